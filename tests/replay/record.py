"""Records golden journals of the reference plans: `python -m tests.replay.record [NAME ...]`; replaces none.

Virtual time, so that a recording takes no time; what differs from one recording to the next (run ids, seconds) is kept
as it fell.
"""

import sys
from unittest.mock import patch

import anyio
import trio.testing

from orchestrator import Budget, FrozenPlan, Plan, checks
from orchestrator.adapters.memory.journal import MemoryJournal
from orchestrator.app import Engine
from orchestrator.core.codec import CODEC_VERSION
from orchestrator.engine.recovery import read_all
from orchestrator.ports.journal import RunQuery
from orchestrator.ports.model_errors import ModelRateLimited
from orchestrator.testing.scripted import Says, ScriptedModel
from tests.crash.reference import REFERENCES, Reference, grow, pool
from tests.replay import golden
from workers import Pool, tool


def limited() -> FrozenPlan:
    """A limit on steps leaves the rest of a map as gaps."""
    with Plan("limited", budget=Budget(steps=3)) as p:
        grown = p.map(grow, id="grown", over=list(range(6)), max_parallel=2)
        p.step(grow, id="tidy", x=1, finally_=True)
        p.result(grown)
    return p.freeze()


def agreeing() -> FrozenPlan:
    """Three samples that agree, behind a condition, and a step that is skipped."""
    with Plan("agreeing") as p:
        first = p.step(grow, id="first", x=1, checks=[checks.agree(runs=3, quorum=2)])
        p.step(grow, id="never", x=first, when=first > 100)
        p.result(first)
    return p.freeze()


@tool(effect=True)
async def send(to: str) -> str:
    """Send a letter."""
    return f"sent to {to}"


agents = Pool("agents")
agents.agent("clerk", "You send letters.", tools=[send])
SCRIPT = [Says(tools=(("send", {"to": "ada"}),)), "sent", ModelRateLimited("scripted", "busy", 1.0), "sent again"]


def agent() -> FrozenPlan:
    """An agent: models called, an effect of a tool, a call that is turned away and tried again."""
    with Plan("agent") as p:
        first = p.task(agents, "Send ada a letter.", id="first")
        p.result(p.task(agents, "Say so.", id="second", with_={"first": first}))
    return p.freeze()


RECORDED = (*REFERENCES, Reference("limited", limited), Reference("agreeing", agreeing), Reference("agent", agent))


async def record(reference: Reference) -> None:
    """Run one plan and write its journal, and those of its sub-plans."""
    journal = MemoryJournal()
    async with Engine(
        pools=[pool, agents], journal=journal, models=ScriptedModel(SCRIPT, usd=0.001), drain_s=0.0
    ) as engine:
        await reference.drive(engine, await engine.submit(reference.plan()))
    for number, row in enumerate(reversed(await journal.runs(RunQuery()))):
        name = reference.name if number == 0 else f"{reference.name}-child{number}"
        path = golden.FOLDER / f"v{CODEC_VERSION}" / f"{name}.jsonl"
        if not path.exists():
            golden.write(path, await read_all(journal, row.run_id))


async def main() -> None:
    """Record every plan that has no golden yet."""
    with patch("socket.gethostname", return_value="golden"):
        await _all()


async def _all() -> None:
    for reference in RECORDED:
        if len(sys.argv) == 1 or reference.name in sys.argv:
            await record(reference)


if __name__ == "__main__":
    anyio.run(main, backend="trio", backend_options={"clock": trio.testing.MockClock(autojump_threshold=0)})
