"""A crash amid the recovery from a crash: the outcome is as if nothing had happened, nothing is lost or counts twice.

In memory, and on SQLite files that are left as a killed process leaves them: copied in the moment of the crash, log and
all. Points are drawn by seed; each pair really crashes twice.
"""

import random
import shutil
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Literal

import anyio
import pytest

from orchestrator.adapters.memory.journal import MemoryJournal
from orchestrator.adapters.sql.journal import SqliteJournal
from orchestrator.core import facts as f
from orchestrator.core.history import check_history
from orchestrator.core.results import RunResult
from orchestrator.engine.recovery import read_all
from orchestrator.ids import RunId
from orchestrator.ports.journal import Append, Journal, Recorded, RunQuery
from tests.crash.reference import REFERENCES, WITNESS, Reference
from tests.crash.tally import tally
from tests.crash.test_crash_points import Crash, finish, plain, produced
from tests.sizes import SIZES

pytestmark = [pytest.mark.anyio, pytest.mark.crash]
FULL = SIZES.name == "prove"
PAIRS_IN_MEMORY = 170 if FULL else 8  #: of each plan; 2,000 of all plans in both places
PAIRS_IN_FILES = 80 if FULL else 4
DRAWS_MAX = 5  #: per pair wanted: a recovery may end before its point comes

Story = dict[RunId, list[Recorded]]


class Mortal:
    """How a process dies: at append `at` of its journal, from 1, before or after writing. The dead write nothing."""

    at: int | None = None
    written = False
    appends = 0
    dead = False

    def reached(self) -> bool:
        """Whether this append is the one."""
        if self.dead:
            raise Crash
        self.appends += 1
        self.dead = self.appends == self.at
        return self.dead


class MemoryMortal(Mortal, MemoryJournal):
    """In memory; what was written outlives the process."""

    async def append(self, entries: Sequence[Append]) -> tuple[RunId, ...]:
        if not self.reached():
            return await super().append(entries)
        if self.written:
            await super().append(entries)
        raise Crash


class FileMortal(Mortal, SqliteJournal):
    """In a file, which is copied to `left` in the moment of the crash."""

    left: Path

    async def append(self, entries: Sequence[Append]) -> tuple[RunId, ...]:
        if not self.reached():
            return await super().append(entries)
        if self.written:
            await super().append(entries)
        for name in (self.path.name, f"{self.path.name}-wal"):
            shutil.copyfile(
                self.path.with_name(name), self.left.with_name(self.left.name + name[len(self.path.name) :])
            )
        raise Crash


class Memory:
    """One journal for all lives."""

    def __init__(self) -> None:
        self.journal = MemoryMortal()

    @asynccontextmanager
    async def life(self, at: int | None, written: bool) -> AsyncIterator[Journal]:
        """The same journal, alive again."""
        journal = self.journal
        journal.at, journal.written, journal.appends, journal.dead = at, written, 0, False
        yield journal


class Files:
    """A file for each life."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.lives = folder, 0

    @asynccontextmanager
    async def life(self, at: int | None, written: bool) -> AsyncIterator[Journal]:
        """What the last life left behind."""
        journal = await FileMortal.open(self.folder / f"{self.lives}.db")
        assert isinstance(journal, FileMortal)
        journal.left = self.folder / f"{self.lives + 1}.db"
        journal.at, journal.written = at, written
        try:
            yield journal
        finally:
            await journal.close()
            self.lives += journal.dead


async def story(journal: Journal) -> Story:
    """Everything the journal holds."""
    return {row.run_id: await read_all(journal, row.run_id) for row in await journal.runs(RunQuery(limit=1000))}


async def lived(
    house: Memory | Files, reference: Reference, at: int | None, written: bool
) -> tuple[RunResult | None, int]:
    """One life: its result, or None when it crashed, and how many appends it made."""
    async with house.life(at, written) as journal:
        assert isinstance(journal, Mortal)
        before = await produced(journal)
        WITNESS.clear()
        result: RunResult | None = None
        with anyio.fail_after(7200):
            try:
                result = plain(await finish(reference, journal))
            except* Crash:
                pass
        again = {line.split(" ")[0] for line in WITNESS} & before
        assert not again, f"executed again although journaled: {again}"
        return (None if journal.dead and result is None else result), journal.appends


async def kept(house: Memory | Files) -> Story:
    """What the next life will find."""
    async with house.life(None, False) as journal:
        return await story(journal)


def must_be_right(before: list[Story], after: Story) -> None:
    """Nothing that was there is lost or changed, nothing was accepted twice, and every rule of a run is kept."""
    for earlier in before:
        assert {run_id: after[run_id][: len(records)] for run_id, records in earlier.items()} == earlier
    for records in after.values():
        passed = Counter((r.fact.step, r.fact.branch) for r in records if isinstance(r.fact, f.StepPassed))
        assert set(passed.values()) <= {1}, passed
        assert check_history(records) == ()


async def prove(kind: Literal["memory", "files"], reference: Reference, pairs: int, folder: Path) -> None:
    """Crash twice, so many times over."""

    def house(number: int) -> Memory | Files:
        if kind == "memory":
            return Memory()
        place = folder / str(number)
        place.mkdir()
        return Files(place)

    expected, appends = await lived(house(0), reference, None, False)
    chance = random.Random(f"{kind} {reference.name}")
    found = 0
    for number in range(1, pairs * DRAWS_MAX + 1):
        if found == pairs:
            break
        place = house(number)
        at, written = chance.randint(1, appends), chance.random() < 0.5
        then, then_written = chance.randint(1, appends - at + 2), chance.random() < 0.5
        where = f"crash at append {at} of {appends} ({written=}), then at {then} ({then_written=})"
        before: list[Story] = []
        result, _ = await lived(place, reference, at, written)
        if result is None:
            before.append(await kept(place))
            result, _ = await lived(place, reference, then, then_written)
        if result is None:
            found += 1
            before.append(await kept(place))
            result, _ = await lived(place, reference, None, False)
        assert result == expected, where
        if len(before) == 2:
            must_be_right(before, await kept(place))
        if kind == "files":
            shutil.rmtree(folder / str(number))
    assert found == pairs, f"only {found} pairs crashed twice"
    tally("pairs", f"{reference.name}, {kind}", found)


@pytest.mark.parametrize("reference", REFERENCES, ids=[reference.name for reference in REFERENCES])
@pytest.mark.parametrize("anyio_backend", ["trio"], indirect=True)
async def test_a_crash_amid_a_recovery_changes_nothing(reference: Reference, tmp_path: Path) -> None:
    await prove("memory", reference, PAIRS_IN_MEMORY, tmp_path)


@pytest.mark.parametrize("reference", REFERENCES, ids=[reference.name for reference in REFERENCES])
@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_a_crash_amid_a_recovery_of_a_file_changes_nothing(reference: Reference, tmp_path: Path) -> None:
    await prove("files", reference, PAIRS_IN_FILES, tmp_path)
