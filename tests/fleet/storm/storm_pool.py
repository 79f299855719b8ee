"""Pools for storms: every call leaves a line with the witness, a file outside that nothing of the system reads."""

import asyncio
import os
import secrets
import time

from workers import Pool, WorkContext

WITNESS = "STORM_WITNESS"
calculating = Pool("calculating", concurrency=4, scale=(0, 8))
publishing = Pool("publishing", concurrency=4, scale=(0, 8))


def note(word: str, *rest: object) -> None:
    """One line, whole or not at all: time, word, what for, process."""
    line = " ".join([f"{time.time():.6f}", word, *map(str, rest), str(os.getpid())]) + "\n"
    out = os.open(os.environ[WITNESS], os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    try:
        os.write(out, line.encode())
    finally:
        os.close(out)


@calculating.worker
async def square(ctx: WorkContext, number: int, pause_s: float) -> int:
    """A pure step that takes a while."""
    note("began", ctx.run_id, f"{ctx.step_id}[{ctx.branch}]")
    await asyncio.sleep(pause_s)
    return number * number


@publishing.worker(honours_key=True)
async def publish(ctx: WorkContext, total: int) -> str:
    """An effect, in two lines, so that what a death in the middle left half done can be told."""
    key = ctx.idempotency_key
    begun = secrets.token_hex(4)
    note("began", ctx.run_id, ctx.step_id, ctx.attempt, begun)
    await asyncio.sleep(0.02)
    note("effect", ctx.run_id, ctx.step_id, ctx.attempt, begun, key, total)
    return str(key)
