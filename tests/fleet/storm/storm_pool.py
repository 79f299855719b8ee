"""Pools for storms: every call leaves lines with the witness, a file outside that nothing of the system reads."""

import asyncio
import os
import secrets
import time

from orchestrator.ports.model import Message, Prompt
from workers import Pool, RetryableError, WorkContext

WITNESS = "STORM_WITNESS"
#: What must be found nowhere: it stands in what workers fail with.
CANARY = "sk-proj-aSecretAmidTheStorm0123456789abcdef"
FAILS_EACH = 7  #: the first attempt at every number that this divides
calculating = Pool("calculating", concurrency=4, scale=(0, 8))
publishing = Pool("publishing", concurrency=4, scale=(0, 8))
asking = Pool("asking", concurrency=4, scale=(0, 8))


def note(word: str, ctx: WorkContext, *rest: object) -> None:
    """One line, whole or not at all: time, word, run, step, attempt, process, and what else there is to say."""
    step = ctx.step_id if ctx.branch is None else f"{ctx.step_id}[{ctx.branch}]"
    line = " ".join([f"{time.time():.6f}", word, *map(str, (ctx.run_id, step, ctx.attempt, os.getpid(), *rest))]) + "\n"
    out = os.open(os.environ[WITNESS], os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    try:
        os.write(out, line.encode())
    finally:
        os.close(out)


@calculating.worker
async def square(ctx: WorkContext, number: int, pause_s: float) -> int:
    """A pure step that takes a while."""
    note("began", ctx, number)
    await asyncio.sleep(pause_s)
    note("did", ctx)
    return number * number


@publishing.worker(honours_key=True)
async def publish(ctx: WorkContext, total: int) -> str:
    """An effect, in two lines, so that what a death in the middle left half done can be told."""
    key = ctx.idempotency_key
    begun = secrets.token_hex(4)
    note("began", ctx, begun)
    await asyncio.sleep(0.02)
    note("effect", ctx, begun, key, total)
    return str(key)


@calculating.worker
async def stamp(ctx: WorkContext, tag: str, number: int, pause_s: float) -> str:
    """The same for a tenant; now and then it fails first, and says a secret as it does."""
    note("began", ctx, number, ctx.tenant, tag)
    await asyncio.sleep(pause_s)
    if number % FAILS_EACH == 0 and ctx.attempt == 1:
        raise RetryableError(f"the key {CANARY} was refused for {number}", kind="resource")
    note("did", ctx)
    return f"{tag}:{number}"


@calculating.worker
async def echo(ctx: WorkContext, text: str) -> str:
    """A turn's answer."""
    note("began", ctx, "text", ctx.tenant)
    note("did", ctx)
    return text


@asking.worker
async def ask(ctx: WorkContext, tag: str) -> str:
    """A model that costs money is asked; the prompt names the run, so that its bill can be told."""
    note("began", ctx, "model", ctx.tenant, tag)
    found = await ctx.models.complete(
        Prompt(tier="cheap", messages=(Message(role="user", content=f"{ctx.run_id} {tag}"),), tokens_max=64)
    )
    note("did", ctx)
    return f"{tag}:{found.text}"


@publishing.worker(honours_key=True)
async def tell(ctx: WorkContext, tag: str, stamps: list[str], said: str) -> dict[str, object]:
    """An effect of a tenant."""
    begun = secrets.token_hex(4)
    note("began", ctx, begun, ctx.tenant, tag)
    await asyncio.sleep(0.02)
    note("effect", ctx, begun, ctx.idempotency_key, tag)
    return {"tag": tag, "stamps": stamps, "said": said}
