"""A crash at every append, before and after it is written: the outcome is as if nothing had happened."""

from collections.abc import Sequence
from dataclasses import replace

import anyio
import pytest

from orchestrator.adapters.memory.journal import MemoryJournal
from orchestrator.app import Engine
from orchestrator.core import facts as f
from orchestrator.core.results import RunResult
from orchestrator.engine.handle import Run
from orchestrator.engine.recovery import read_all
from orchestrator.ids import RunId
from orchestrator.ports.journal import Append, Journal, RunQuery
from tests.crash.reference import REFERENCES, WITNESS, Reference, pool
from tests.crash.tally import tally
from tests.sizes import SIZES

pytestmark = [pytest.mark.anyio, pytest.mark.crash]


class Crash(Exception):
    """The process dies here."""


class CrashingJournal(MemoryJournal):
    """A memory journal whose process dies at append number `at`, from 1, before or after writing."""

    def __init__(self) -> None:
        super().__init__()
        self.at: int | None = None
        self.written = False
        self.appends = 0

    async def append(self, entries: Sequence[Append]) -> tuple[RunId, ...]:
        self.appends += 1
        if self.appends == self.at:
            if self.written:
                await super().append(entries)
            raise Crash
        return await super().append(entries)


def plain(result: RunResult) -> RunResult:
    """The result without what differs between runs by design."""
    return replace(result, run_id=RunId("R"))


async def finish(reference: Reference, journal: Journal) -> RunResult:
    """Open an engine on the journal, take over what is there or submit anew, and drive it to its end."""
    async with Engine(pools=[pool], journal=journal, drain_s=0.0, recover=False) as engine:
        found = await journal.runs(RunQuery(top_level=True))
        if found:
            await engine.runs.recover()
            run = Run(engine.runs, found[0].run_id)
        else:
            run = await engine.submit(reference.plan())
        return await reference.drive(engine, run)


async def produced(journal: Journal) -> set[str]:
    """Steps whose output is in the journal."""
    done: set[str] = set()
    for row in await journal.runs(RunQuery(limit=1000)):
        for record in await read_all(journal, row.run_id):
            if isinstance(record.fact, f.StepProduced):
                branch = record.fact.branch if record.fact.branch >= 0 else None
                done.add(f"{record.fact.step}[{branch}]#{record.fact.attempt}")
    return done


async def uninterrupted(reference: Reference) -> tuple[RunResult, int]:
    journal = CrashingJournal()
    result = await finish(reference, journal)
    return plain(result), journal.appends


@pytest.mark.parametrize("written", [False, True], ids=["unwritten", "written"])
@pytest.mark.parametrize("reference", REFERENCES, ids=[reference.name for reference in REFERENCES])
@pytest.mark.parametrize("anyio_backend", ["trio"], indirect=True)
async def test_a_crash_at_any_append_changes_nothing(reference: Reference, written: bool) -> None:
    expected, appends = await uninterrupted(reference)
    crashes = 0
    for at in range(1, appends + 1, SIZES.crash_stride):
        journal = CrashingJournal()
        journal.at, journal.written = at, written
        WITNESS.clear()
        with anyio.fail_after(7200):
            try:
                result = await finish(reference, journal)  # the last appends may come after the result
            except* Crash:
                crashes += 1
                before = await produced(journal)
                WITNESS.clear()
                result = await finish(reference, journal)
                again = {line.split(" ")[0] for line in WITNESS} & before
                assert not again, f"crash at append {at}: executed again although journaled: {again}"
        assert plain(result) == expected, f"crash at append {at} of {appends}"
    tally("appends in memory", f"{reference.name}, {'after' if written else 'before'}", crashes)
