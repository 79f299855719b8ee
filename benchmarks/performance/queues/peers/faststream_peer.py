"""FastStream's request and reply over a Redis list. Usage: faststream_peer.py worker|producer URL and more."""

import asyncio
import logging
import sys

import uvloop
from faststream.redis import RedisBroker, StreamSub
from producing import PATIENCE_S, produce, slow_job


async def worker(url: str) -> None:
    broker = RedisBroker(url, logger=None, log_level=logging.CRITICAL)

    @broker.subscriber(stream=StreamSub("fs-quick", group="g", consumer=f"c{id(broker)}", polling_interval=1000))
    async def quick(n: int) -> int:
        return n

    @broker.subscriber(stream=StreamSub("fs-slow", group="g", consumer=f"c{id(broker)}", polling_interval=1000))
    async def slow(n: int) -> int:
        return await slow_job(n)

    await broker.start()
    print("ready", flush=True)
    await asyncio.Event().wait()


async def producer(url: str, kind: str, jobs: int, in_flight: int) -> None:
    broker = RedisBroker(url, logger=None)
    await broker.connect()

    async def call(number: int) -> int:
        answer = await broker.request(number, stream=f"fs-{kind}", timeout=PATIENCE_S)
        return int(await answer.decode())

    await produce(call, jobs, in_flight)
    await broker.stop()


if __name__ == "__main__":
    role, url, *rest = sys.argv[1:]
    if role.startswith("worker"):
        uvloop.run(worker(url))
    else:
        asyncio.run(producer(url, rest[0], int(rest[1]), int(rest[2])))
