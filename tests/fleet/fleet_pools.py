"""Pools for tests with real processes; every call leaves a line in the file that FLEET_WITNESS names."""

import asyncio
import os
import time
from pathlib import Path

from workers import Pool, WorkContext

bursting = Pool("bursting", concurrency=2, scale=(0, 4))
steady = Pool("steady", concurrency=2, scale=(1, 4))


def note(word: str, ctx: WorkContext) -> None:
    """One line: time, word, task, process."""
    line = f"{time.time():.6f} {word} {ctx.run_id}/{ctx.step_id}[{ctx.branch}]#{ctx.attempt} {os.getpid()}\n"
    out = os.open(os.environ["FLEET_WITNESS"], os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    try:
        os.write(out, line.encode())
    finally:
        os.close(out)


@bursting.worker
async def nap(ctx: WorkContext, number: int, seconds: float) -> int:
    """Sleep, below zero until the test says so; leave a line when it begins and when it ends."""
    note("began", ctx)
    await asyncio.sleep(max(seconds, 0))
    release = Path(os.environ["FLEET_WITNESS"] + ".release")
    while seconds < 0 and not release.exists():  # noqa: ASYNC110  # another process makes it
        await asyncio.sleep(0.02)
    note("ended", ctx)
    return number


@steady.worker
async def add(ctx: WorkContext, numbers: list[int]) -> int:
    """The sum."""
    note("began", ctx)
    return sum(numbers)
