"""Pools for services that tests start as processes of their own: they can be imported by name."""

import os
import pathlib

import anyio

from workers import Pool

desk = Pool("desk", concurrency=16)


@desk.worker
async def double(n: int) -> int:
    return n * 2


@desk.worker
async def odd(n: int) -> int:
    if n % 2 == 0:
        raise ValueError(f"{n} is even")
    return n


@desk.worker
async def note(text: str) -> str:
    return text


@desk.worker
async def gated(name: str) -> str:
    """Waits for a file of this name where the process runs."""
    while not pathlib.Path(name).exists():  # noqa: ASYNC110  # nothing tells of it
        await anyio.sleep(0.01)
    return name


@desk.worker(honours_key=True)
async def witness(ctx, text: str) -> str:
    """Writes a line to a file outside of the journal, under the key of its effect."""
    line = f"{ctx.idempotency_key} {text}\n".encode()
    handle = os.open("witness", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    try:
        os.write(handle, line)
    finally:
        os.close(handle)
    return text


@desk.worker
async def paid(ctx, usd: float) -> float:
    ctx.cost(usd=usd)
    return usd
