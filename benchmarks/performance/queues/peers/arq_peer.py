"""arq, polling at 10 ms instead of its 500. Usage: arq_peer.py worker|producer URL and more."""

import asyncio
import sys

import uvloop
from arq import create_pool, func
from arq.connections import RedisSettings
from arq.worker import Worker
from producing import PATIENCE_S, produce, slow_job

POLL_S = 0.01


async def quick(ctx: object, n: int) -> int:
    return n


async def slow(ctx: object, n: int) -> int:
    return await slow_job(n)


def work(url: str, slots: int, tuned: bool) -> None:
    asyncio.set_event_loop(asyncio.new_event_loop())
    timeout_s = 5 if tuned else 300
    built = Worker(
        functions=[func(quick, timeout=timeout_s), func(slow, timeout=timeout_s)],
        redis_settings=RedisSettings.from_dsn(url),
        max_jobs=slots,
        poll_delay=POLL_S,
        keep_result=60,
    )
    print("ready", flush=True)
    built.run()


async def producer(url: str, kind: str, jobs: int, in_flight: int) -> None:
    pool = await create_pool(RedisSettings.from_dsn(url))

    async def call(number: int) -> int:
        job = await pool.enqueue_job(kind, number)
        assert job is not None
        return int(await job.result(timeout=PATIENCE_S, poll_delay=POLL_S))

    await produce(call, jobs, in_flight)
    await pool.aclose()


if __name__ == "__main__":
    role, url, *rest = sys.argv[1:]
    if role.startswith("worker"):
        uvloop.install()
        work(url, int(rest[0]), role.endswith("-tuned"))
    else:
        asyncio.run(producer(url, rest[0], int(rest[1]), int(rest[2])))
