"""streaq with JSON instead of pickle. Usage: streaq_peer.py worker|producer URL and more."""

import asyncio
import json
import sys

import anyio
from producing import PATIENCE_S, produce, slow_job
from streaq import Worker


def built(url: str, slots: int, tuned: bool) -> Worker:
    return Worker(
        redis_url=url,
        concurrency=slots,
        serializer=json.dumps,
        deserializer=json.loads,
        idle_timeout=5 if tuned else 60,
    )


def register(worker: Worker) -> tuple[object, object]:
    @worker.task(name="quick")
    async def quick(n: int) -> int:
        return n

    @worker.task(name="slow")
    async def slow(n: int) -> int:
        return await slow_job(n)

    return quick, slow


async def producer(url: str, kind: str, jobs: int, in_flight: int) -> None:
    worker = built(url, 1, tuned=False)
    quick, slow = register(worker)
    function = slow if kind == "slow" else quick
    async with worker:

        async def call(number: int) -> int:
            task = await function.enqueue(number)
            found = await task.result(int(PATIENCE_S))
            if not found.success:
                raise RuntimeError(str(found.exception))
            return int(found.result)

        await produce(call, jobs, in_flight)


async def serve(url: str, slots: int, tuned: bool) -> None:
    worker = built(url, slots, tuned)
    register(worker)
    print("ready", flush=True)
    await worker.run_async()


if __name__ == "__main__":
    role, url, *rest = sys.argv[1:]
    if role.startswith("worker"):
        anyio.run(serve, url, int(rest[0]), role.endswith("-tuned"), backend_options={"use_uvloop": True})
    else:
        asyncio.run(producer(url, rest[0], int(rest[1]), int(rest[2])))
