"""Functions that child processes can import: one pool per isolation, with everything a worker may do."""

import os
import signal
import time
from pathlib import Path

from pydantic import BaseModel

from orchestrator.errors import RetryableError, TerminalError
from orchestrator.ids import JsonValue
from orchestrator.ports.model import Message, Prompt
from workers import Pool, WorkContext, current_context

children = Pool("children", concurrency=2, isolation="process")
small_children = Pool("small-children", concurrency=1, isolation="process", child_bytes_max=600 * 2**20)


class Size(BaseModel):
    name: str
    bytes: int = 0


@children.worker
def double(ctx: WorkContext, size: Size) -> Size:
    print("this must not get between the lines")
    return Size(name=size.name * 2, bytes=size.bytes * 2)


@children.worker
def process_number(ctx: WorkContext) -> int:
    return os.getpid()


def told(here: WorkContext) -> JsonValue:
    """What a context says of its task."""
    return {
        "run": here.run_id,
        "step": here.step_id,
        "branch": here.branch,
        "attempt": here.attempt,
        "traceparent": here.traceparent,
        "tenant": here.tenant,
        "plan": here.plan,
        "tier": here.tier,
        "constraints": list(here.constraints),
        "instruction": here.instruction,
        "reasons": list(here.reasons),
        "key": here.idempotency_key,
        "timeout_s": here.timeout_s,
        "output_schema": here.output_schema,
        "cancelled": here.cancelled,
    }


@children.worker
def speak(ctx: WorkContext) -> JsonValue:
    ctx.log("hello")
    ctx.progress(0.5, "half")
    ctx.heartbeat()
    ctx.evidence("search", {"found": [1, 2]})
    ctx.cost(usd=0.5, tokens=10, charge="mine")
    with ctx.reserve(usd=1.0) as held:
        held.settle(usd=0.25)
    return told(current_context())


@children.worker
def raise_it(kind: str) -> None:
    errors: dict[str, BaseException] = {
        "retry": RetryableError("slow down", "rate_limit", 3.0),
        "terminal": TerminalError("never"),
        "memory": MemoryError("full"),
        "timeout": TimeoutError("late"),
        "value": ValueError("bad"),
    }
    raise errors[kind]


@children.worker
def not_a_number() -> float:
    return float("nan")


@children.worker
def leave(code: int) -> None:
    os._exit(code)


@children.worker
def killed() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


@children.worker
def linger(path: str) -> None:
    Path(path).write_text(str(os.getpid()))
    time.sleep(60)


@small_children.worker
def hoard(count: int) -> int:
    return len(bytearray(count))


def question(text: str) -> Prompt:
    """A prompt of one message."""
    return Prompt(tier="cheap", messages=(Message(role="user", content=text),))


@children.worker(needs_model=True)
def ask_model(ctx: WorkContext) -> str:
    return ctx.models.complete_blocking(question("child")).text


@children.worker
def announce(ctx: WorkContext) -> str:
    ctx.intend_blocking("printer", "page-1")
    return "printed"
