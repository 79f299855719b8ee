"""The floor: bare redis-py. XADD batched per turn of the loop, XREADGROUP, reply and XACK in one pipeline.

`raw-single` does the same without any pipelining. Usage: raw.py worker|producer|producer-single|worker-single URL …
"""

import asyncio
import contextlib
import os
import sys

import redis.asyncio as redis
import uvloop
from producing import PATIENCE_S, produce, slow_job

JOBS, REPLIES, GROUP = "raw:jobs", f"raw:replies:{os.getpid()}", "workers"
LEASE_MS = 3_000


async def worker(url: str, slots: int, single: bool) -> None:
    client, blocking = redis.Redis.from_url(url, socket_timeout=30), redis.Redis.from_url(url, socket_timeout=30)
    with contextlib.suppress(redis.ResponseError):
        await client.xgroup_create(JOBS, GROUP, id="0", mkstream=True)
    me, running, answers = f"w{os.getpid()}", set(), asyncio.Event()
    finished: list[tuple[bytes, bytes, bytes]] = []
    print("ready", flush=True)

    async def run(entry: bytes, fields: dict[bytes, bytes]) -> None:
        if fields[b"kind"] == b"slow":
            await slow_job(int(fields[b"n"]))
        finished.append((entry, fields[b"to"], fields[b"n"]))
        answers.set()

    async def answer() -> None:
        while True:
            await answers.wait()
            answers.clear()
            batch = finished[:1] if single else finished[:]
            del finished[: len(batch)]
            if finished:
                answers.set()
            if single:
                for entry, to, number in batch:
                    await client.xadd(to, {"n": number})
                    await client.xack(JOBS, GROUP, entry)
                continue
            pipe = client.pipeline(transaction=False)
            for entry, to, number in batch:
                pipe.xadd(to, {"n": number})
                pipe.xack(JOBS, GROUP, entry)
            await pipe.execute()

    async def reclaim() -> None:
        while True:
            await asyncio.sleep(LEASE_MS / 3000)
            found = await client.xautoclaim(JOBS, GROUP, me, LEASE_MS, count=slots)
            start(found[1])

    def start(entries: list[tuple[bytes, dict[bytes, bytes]]]) -> None:
        for entry, fields in entries:
            task = asyncio.create_task(run(entry, fields))
            running.add(task)
            task.add_done_callback(running.discard)

    kept = [asyncio.create_task(answer()), asyncio.create_task(reclaim())]
    while kept:
        free = 1 if single else slots - len(running)
        if free <= 0:
            await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
            continue
        found = await blocking.xreadgroup(GROUP, me, {JOBS: ">"}, count=free, block=1000)
        for _stream, entries in found.items() if isinstance(found, dict) else found:
            start(entries[0] if entries and isinstance(entries[0], list) else entries)
        await asyncio.sleep(0)


async def producer(url: str, kind: str, jobs: int, in_flight: int, single: bool) -> None:
    client, blocking = redis.Redis.from_url(url, socket_timeout=120), redis.Redis.from_url(url, socket_timeout=120)
    waiting: dict[int, asyncio.Future[int]] = {}
    queued: list[int] = []
    wake = asyncio.Event()

    async def send() -> None:
        while True:
            await wake.wait()
            wake.clear()
            batch = queued[:]
            queued.clear()
            if single:
                for number in batch:
                    await client.xadd(JOBS, {"n": number, "to": REPLIES, "kind": kind})
                continue
            pipe = client.pipeline(transaction=False)
            for number in batch:
                pipe.xadd(JOBS, {"n": number, "to": REPLIES, "kind": kind})
            await pipe.execute()

    async def listen() -> None:
        last: bytes | str = "0"
        while True:
            found = await blocking.xread({REPLIES: last}, count=1 if single else 1000, block=1000)
            for _stream, entries in found.items() if isinstance(found, dict) else found:
                for entry, fields in entries[0] if entries and isinstance(entries[0], list) else entries:
                    last = entry
                    future = waiting.pop(int(fields[b"n"]), None)
                    if future is not None and not future.done():
                        future.set_result(int(fields[b"n"]))

    async def call(number: int) -> int:
        waiting[number] = asyncio.get_running_loop().create_future()
        queued.append(number)
        wake.set()
        return await asyncio.wait_for(waiting[number], PATIENCE_S)

    kept = [asyncio.create_task(send()), asyncio.create_task(listen())]
    await produce(call, jobs, in_flight)
    for task in kept:
        task.cancel()


if __name__ == "__main__":
    role, url, *rest = sys.argv[1:]
    single = role.endswith("-single")
    if role.startswith("worker"):
        uvloop.run(worker(url, int(rest[0]), single))
    else:
        uvloop.run(producer(url, rest[0], int(rest[1]), int(rest[2]), single))
