"""The pool that our side of the queue benchmarks runs: a job that does nothing, and one of 200 ms with a witness."""

import asyncio
import os
import time

from workers import Pool

jobs = Pool("jobs", concurrency=100, scale=(0, 4))
WITNESS = "BENCH_WITNESS"


def _note(word: str, number: int) -> None:
    out = os.open(os.environ[WITNESS], os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    try:
        os.write(out, f"{time.time():.4f} {word} {number} {os.getpid()}\n".encode())
    finally:
        os.close(out)


@jobs.worker
async def quick(n: int) -> int:
    """Nothing."""
    return n


@jobs.worker
async def slow(n: int) -> int:
    """200 ms, and two lines with the witness."""
    _note("began", n)
    await asyncio.sleep(0.2)
    _note("ended", n)
    return n


@jobs.worker
async def nap(n: int, seconds: float) -> int:
    """A call of a model, as far as a queue can tell."""
    await asyncio.sleep(seconds)
    return n
