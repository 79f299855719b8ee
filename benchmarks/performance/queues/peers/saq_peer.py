"""SAQ: enqueue, then wait with `refresh`, which listens on pub/sub. Usage: saq_peer.py worker|producer URL and more."""

import asyncio
import contextlib
import sys

import uvloop
from producing import PATIENCE_S, produce, slow_job
from saq import Queue, Worker
from saq.job import Job


async def quick(ctx: object, *, n: int) -> int:
    return n


async def slow(ctx: object, *, n: int) -> int:
    return await slow_job(n)


async def worker(url: str, slots: int, tuned: bool) -> None:
    queue = Queue.from_url(url)
    timers = {"schedule": 1, "worker_info": 10, "sweep": 5 if tuned else 60, "abort": 1}
    built = Worker(queue, functions=[("quick", quick), ("slow", slow)], concurrency=slots, timers=timers)
    print("ready", flush=True)
    await built.start()


async def producer(url: str, kind: str, jobs: int, in_flight: int, tuned: bool) -> None:
    queue = Queue.from_url(url)
    await queue.connect()
    options = {"retries": 3, "heartbeat": 4, "timeout": 30} if tuned else {}

    async def call(number: int) -> int:
        job: Job | None = await queue.enqueue(kind, n=number, **options)
        assert job is not None
        until_s = asyncio.get_running_loop().time() + PATIENCE_S
        while not job.completed and asyncio.get_running_loop().time() < until_s:
            with contextlib.suppress(TimeoutError, asyncio.TimeoutError):
                await job.refresh(1.0)  # its pub/sub can miss the message: look again
        if job.error:
            raise RuntimeError(job.error.strip().splitlines()[-1])
        assert isinstance(job.result, int)
        return job.result

    await produce(call, jobs, in_flight)
    await queue.disconnect()


if __name__ == "__main__":
    role, url, *rest = sys.argv[1:]
    tuned = role.endswith("-tuned")
    if role.startswith("worker"):
        uvloop.run(worker(url, int(rest[0]), tuned))
    else:
        asyncio.run(producer(url, rest[0], int(rest[1]), int(rest[2]), tuned))
