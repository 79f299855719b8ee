"""Pools, drafts and engines for the tests of supervisors."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import TypeVar

from orchestrator.adapters.memory.journal import MemoryJournal
from orchestrator.app import Engine
from orchestrator.core import facts as f
from orchestrator.engine.recovery import read_all
from orchestrator.ids import JsonValue, RunId
from orchestrator.ports.journal import RunQuery
from workers import Pool, WorkContext

F = TypeVar("F", bound=f.Fact)
Data = dict[str, JsonValue]
SEEN: list[tuple[str, str, JsonValue]] = []  #: step, instruction or function, arguments: what workers were given
CONSTRAINTS: list[tuple[str, ...]] = []  #: what they were told besides


async def _work(ctx: WorkContext, instruction: str, args: dict[str, JsonValue]) -> JsonValue:
    """An agent that does what its step is for, without a model."""
    SEEN.append((str(ctx.step_id), instruction, args))
    CONSTRAINTS.append(ctx.constraints)
    if ctx.step_id == "answer":
        cited = [name for name, value in args.items() if value not in (None, [])]
        return {"answer": f"from {', '.join(cited)}", "citations": dict.fromkeys(cited, "what it says")}
    if "impossible" in instruction:
        raise ValueError("it cannot be done")
    return {"text": f"done: {instruction}"}


def pools() -> list[Pool]:
    """Three pools with agents, one with functions, one with an effect."""
    SEEN.clear()
    CONSTRAINTS.clear()
    made = []
    for name in ("research", "analyst", "writer"):
        pool = Pool(name, concurrency=200)
        pool.handler(_work)
        made.append(pool)
    tools = Pool("tools")

    @tools.worker
    async def measure(ctx: WorkContext, about: str) -> Data:
        SEEN.append((str(ctx.step_id), "measure", {"about": about}))
        return {"n": len(about)}

    @tools.worker(honours_key=True)
    async def publish(ctx: WorkContext, text: str) -> str:
        SEEN.append((str(ctx.step_id), "publish", {"text": text, "key": ctx.idempotency_key}))
        return "published"

    return [*made, tools]


def task(id_: str, pool: str = "research", text: str = "", **more: JsonValue) -> Data:
    """A step with an instruction."""
    return {"id": id_, "pool": pool, "task": text or f"do {id_}", **more}


def use(name: str, source: str) -> Data:
    """A named value from elsewhere."""
    return {"name": name, "source": source}


def draft(*steps: JsonValue, closing: Data | str | None = "auto", **assessed: JsonValue) -> Data:
    """A plan as a model writes it; with more than one step it ends in a closing one."""
    assessment: Data = {"parts": len(steps) or 1, "sequential": False, "one_agent": 0.2, **assessed}
    made: Data = {"assessment": assessment, "steps": list(steps)}
    if closing == "auto":
        closing = {"pool": "writer", "task": "Write the answer"} if len(steps) > 1 else None
    if closing is not None:
        made["closing"] = closing
    return made


FAN_OUT = draft(task("eu"), task("us"), task("jp"))
ONE = draft(task("all"))


def good(score: float = 0.95) -> Data:
    """A judge's vote."""
    return {"reasons": [] if score >= 0.8 else ["too thin"], "score": score}


@asynccontextmanager
async def opened(journal: MemoryJournal | None = None, **options: object) -> AsyncIterator[Engine]:
    """An engine with these pools on a memory journal."""
    options.setdefault("drain_s", 0.0)
    options.setdefault("pools", pools())
    async with Engine(journal=journal or MemoryJournal(), **options) as engine:  # type: ignore[arg-type]  # options of Engine
        yield engine


async def facts(engine: Engine, kind: type[F], run_id: str | None = None) -> list[F]:
    """All facts of a kind in the journal, of one run or of all, runs in order of their ids."""
    journal = engine.runs.journal
    rows = await journal.runs(RunQuery(limit=1000))
    ids = sorted(row.run_id for row in rows) if run_id is None else [RunId(run_id)]
    return [record.fact for one in ids for record in await read_all(journal, one) if isinstance(record.fact, kind)]


async def plans(engine: Engine) -> list[Data]:
    """Every plan that a supervisor has made, outermost first."""
    return [fact.plan for fact in await facts(engine, f.GoalPlanned)]


def steps_of(plan: Data) -> dict[str, Data]:
    """The steps of a plan's data."""
    found = plan["steps"]
    assert isinstance(found, dict)
    return found  # type: ignore[return-value]  # mappings all


def kinds(made: Sequence[f.Fact]) -> list[str]:
    """The kinds of facts, in order."""
    return [fact.KIND for fact in made]
