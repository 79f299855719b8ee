"""Eight reference plans, and how a person drives each to its end. Shared by every crash test."""

from collections.abc import Awaitable, Callable
from contextlib import aclosing, suppress
from dataclasses import dataclass
from pathlib import Path

import anyio

from orchestrator import FrozenPlan, Plan, checks, ladder
from orchestrator.app import Engine
from orchestrator.core.results import RunResult
from orchestrator.engine.handle import Run
from orchestrator.engine.operations import Operations
from orchestrator.errors import WrongState
from orchestrator.plan.parts import Effect
from workers import Pool, WorkContext

PAUSE_S = 0.001  #: how long work takes
WITNESS: list[str] = []  #: what was executed in this process, in order
WITNESS_FILE: list[Path] = []  #: where a real process writes it down, outside the journal


def witness(ctx: WorkContext, what: str) -> None:
    """Note that work was done, outside of the journal."""
    line = f"{ctx.step_id}[{ctx.branch}]#{ctx.attempt} {what}"
    WITNESS.append(line)
    for path in WITNESS_FILE:
        with path.open("a") as file:
            file.write(line + "\n")


pool = Pool("work", concurrency=64)


@pool.worker
async def grow(ctx: WorkContext, x: int) -> int:
    """Work whose answer depends on its input alone."""
    await anyio.sleep(PAUSE_S)
    witness(ctx, "grow")
    return x + 1


@pool.worker
async def add(ctx: WorkContext, xs: list[int]) -> int:
    """A join."""
    await anyio.sleep(PAUSE_S)
    witness(ctx, "add")
    return sum(xs)


@pool.worker
async def improve(ctx: WorkContext, x: int) -> int:
    """Good enough only from the third attempt on, or with a strong tier."""
    await anyio.sleep(PAUSE_S)
    witness(ctx, "improve")
    return x + len(ctx.reasons) + (10 if ctx.tier == "strong" else 0)


@pool.worker(honours_key=True)
async def publish(ctx: WorkContext, text: str) -> str:
    """An effect outside; the receiver honours the key."""
    await anyio.sleep(PAUSE_S)
    witness(ctx, f"publish {ctx.idempotency_key}")
    return f"published {text}"


@pool.worker
async def linger(ctx: WorkContext, x: int) -> int:
    """Work that only a cancellation ends."""
    witness(ctx, "linger")
    await anyio.sleep(3600)
    return x


def chain() -> FrozenPlan:
    """Six steps in a row."""
    with Plan("chain") as p:
        x = p.step(grow, id="s0", x=0)
        for index in range(1, 6):
            x = p.step(grow, id=f"s{index}", x=x)
        p.result(x)
    return p.freeze()


def diamond() -> FrozenPlan:
    """One, three beside each other, one."""
    with Plan("diamond") as p:
        top = p.step(grow, id="top", x=1)
        sides = [p.step(grow, id=f"side{index}", x=top) for index in range(3)]
        p.result(p.step(add, id="bottom", xs=sides))
    return p.freeze()


def wide() -> FrozenPlan:
    """A map of 50."""
    with Plan("wide") as p:
        grown = p.map(grow, id="grown", over=list(range(50)), max_parallel=8)
        p.result(p.step(add, id="sum", xs=grown.passed))
    return p.freeze()


def nested() -> FrozenPlan:
    """A sub-plan between two steps."""
    with Plan("inner", inputs={"x": {"type": "integer"}}) as inner:
        first = inner.step(grow, id="first", x=inner.inputs.x)
        inner.result(inner.step(grow, id="second", x=first))
    with Plan("nested") as p:
        before = p.step(grow, id="before", x=0)
        sub = p.plan(inner.freeze(), id="sub", x=before)
        p.result(p.step(grow, id="after", x=sub))
    return p.freeze()


def climbing() -> FrozenPlan:
    """Two refusals, an escalation, and a gap elsewhere."""
    with Plan("climbing") as p:
        strong = p.step(
            improve,
            id="strong",
            x=0,
            checks=[checks.rule("output >= 10")],
            on_fail=[ladder.retry(1), ladder.escalate(tier="strong")],
        )
        lost = p.step(
            improve, id="lost", x=0, checks=[checks.rule("output > 99")], on_fail=[ladder.retry(1), ladder.gap()]
        )
        p.step(grow, id="last", x=strong, needs=[lost])
        p.result(strong)
    return p.freeze()


def asking() -> FrozenPlan:
    """A person between two steps."""
    with Plan("asking") as p:
        draft = p.step(grow, id="draft", x=0)
        said = p.human("approve", ask="Go on?", show=draft, choices=["yes", "no"])
        p.result(p.step(grow, id="after", x=draft, when=said.output["choice"] == "yes"))
    return p.freeze()


def effecting() -> FrozenPlan:
    """An effect whose receiver honours the key."""
    with Plan("effecting") as p:
        text = p.step(grow, id="text", x=41)
        sent = p.step(
            publish, id="sent", text="brief", needs=[text], effect=Effect(key="${{ run.id }}/sent", on_unknown="retry")
        )
        p.result(sent)
    return p.freeze()


def cancelled() -> FrozenPlan:
    """Cancelled while a step lingers; a `finally` step runs all the same."""
    with Plan("cancelled") as p:
        first = p.step(grow, id="first", x=0)
        p.step(linger, id="long", x=first)
        p.step(grow, id="tidy", x=1, finally_=True)
    return p.freeze()


async def just_wait(engine: Engine, run: Run) -> RunResult:
    """Nobody needs to do anything."""
    return await run.result()


async def say_yes(engine: Engine, run: Run) -> RunResult:
    """Answer when asked."""
    if await run.result_or_waiting() is None:
        with suppress(WrongState):  # answered before the crash
            await Operations(engine.runs).approve(run.id, "approve", "yes", by="anna")
    return await run.result()


async def cancel_it(engine: Engine, run: Run) -> RunResult:
    """Cancel once the first step has passed; a client whose call broke off calls again."""
    async with aclosing(run.events()) as records:
        async for record in records:
            if record.fact.KIND == "step.passed":
                break
    await run.cancel("changed my mind")
    return await run.result()


@dataclass(frozen=True, slots=True)
class Reference:
    """A plan, and who drives it."""

    name: str
    plan: Callable[[], FrozenPlan]
    drive: Callable[[Engine, Run], Awaitable[RunResult]] = just_wait


REFERENCES = (
    Reference("chain", chain),
    Reference("diamond", diamond),
    Reference("wide", wide),
    Reference("nested", nested),
    Reference("climbing", climbing),
    Reference("asking", asking, say_yes),
    Reference("effecting", effecting),
    Reference("cancelled", cancelled, cancel_it),
)
