"""taskiq on Redis Streams, results polled at 10 ms, not 200. Usage: taskiq_peer.py worker|producer URL and more."""

import asyncio
import sys

import uvloop
from producing import PATIENCE_S, produce, slow_job
from taskiq import AsyncBroker
from taskiq.api import run_receiver_task
from taskiq.serializers import JSONSerializer
from taskiq_redis import RedisAsyncResultBackend, RedisStreamBroker

POLL_S = 0.01


def built(url: str, tuned: bool) -> AsyncBroker:
    results: RedisAsyncResultBackend[int] = RedisAsyncResultBackend(
        url, result_ex_time=300, serializer=JSONSerializer()
    )
    idle_ms = 5_000 if tuned else 600_000
    return RedisStreamBroker(url, idle_timeout=idle_ms).with_result_backend(results)


def register(broker: AsyncBroker) -> tuple[object, object]:
    @broker.task(task_name="quick")
    async def quick(n: int) -> int:
        return n

    @broker.task(task_name="slow")
    async def slow(n: int) -> int:
        return await slow_job(n)

    return quick, slow


async def worker(url: str, slots: int, tuned: bool) -> None:
    broker = built(url, tuned)
    broker.is_worker_process = True
    register(broker)
    await broker.startup()
    print("ready", flush=True)
    await run_receiver_task(broker, max_async_tasks=slots)


async def producer(url: str, kind: str, jobs: int, in_flight: int, tuned: bool) -> None:
    broker = built(url, tuned)
    quick, slow = register(broker)
    function = slow if kind == "slow" else quick
    await broker.startup()

    async def call(number: int) -> int:
        task = await function.kiq(number)
        found = await task.wait_result(check_interval=POLL_S, timeout=PATIENCE_S)
        if found.is_err:
            raise RuntimeError(str(found.error))
        return int(found.return_value)

    await produce(call, jobs, in_flight)
    await broker.shutdown()


if __name__ == "__main__":
    role, url, *rest = sys.argv[1:]
    tuned = role.endswith("-tuned")
    if role.startswith("worker"):
        uvloop.run(worker(url, int(rest[0]), tuned))
    else:
        asyncio.run(producer(url, rest[0], int(rest[1]), int(rest[2]), tuned))
