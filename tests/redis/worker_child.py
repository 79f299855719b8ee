"""A worker process: `python -m tests.redis.worker_child URL NAMESPACE LEASE_S SLOTS WITNESS`. Serves until SIGTERM.

Every start of a job is one line in WITNESS, a file outside of the system: number, process, seconds since the epoch.
"""

import asyncio
import os
import signal
import sys
import time
from pathlib import Path

import anyio

from orchestrator.adapters.redis.worker import RedisWorkers
from workers import Pool, Workers

POOL = "jobs"


def pool_of(slots: int, witness: Path) -> Pool:
    """The pool with its two jobs."""
    pool = Pool(POOL, concurrency=slots)
    log = os.open(witness, os.O_WRONLY | os.O_APPEND | os.O_CREAT)

    def note(number: int) -> None:
        os.write(log, f"{number} {os.getpid()} {time.time()}\n".encode())

    @pool.worker
    async def nap(number: int, seconds: float) -> int:
        note(number)
        await asyncio.sleep(seconds)
        return number

    @pool.worker
    async def block(number: int, seconds: float) -> int:
        note(number)
        time.sleep(seconds)  # noqa: ASYNC251  # what it is there for: it starves the event loop
        return number

    return pool


async def main() -> None:
    """Serve until told to stop; then finish within the grace and hand back the rest."""
    url, namespace, lease_s, slots, witness = sys.argv[1:]
    port = await RedisWorkers.open(url, worker="child", namespace=namespace, lease_s=float(lease_s))
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    workers = Workers([pool_of(int(slots), Path(witness))], port, worker=port.name)
    async with anyio.create_task_group() as group:
        workers.open(group)
        print("ready", flush=True)
        await stop.wait()
        await workers.drain(0.1)
        group.cancel_scope.cancel()
    await port.close()


if __name__ == "__main__":
    asyncio.run(main())
