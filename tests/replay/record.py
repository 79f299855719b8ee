"""Records golden journals of the reference plans: `python -m tests.replay.record`. Existing files are never replaced.

Virtual time, so that a recording takes no time; what differs from one recording to the next (run ids, seconds) is kept
as it fell.
"""

from unittest.mock import patch

import anyio
import trio.testing

from orchestrator import Budget, FrozenPlan, Plan, checks
from orchestrator.adapters.memory.journal import MemoryJournal
from orchestrator.app import Engine
from orchestrator.core.codec import CODEC_VERSION
from orchestrator.engine.recovery import read_all
from orchestrator.ports.journal import RunQuery
from tests.crash.reference import REFERENCES, Reference, grow, pool
from tests.replay import golden


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


RECORDED = (*REFERENCES, Reference("limited", limited), Reference("agreeing", agreeing))


async def record(reference: Reference) -> None:
    """Run one plan and write its journal, and those of its sub-plans."""
    journal = MemoryJournal()
    async with Engine(pools=[pool], journal=journal, drain_s=0.0) as engine:
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
        await record(reference)


if __name__ == "__main__":
    anyio.run(main, backend="trio", backend_options={"clock": trio.testing.MockClock(autojump_threshold=0)})
