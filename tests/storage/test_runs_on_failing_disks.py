"""Whole runs on a disk that fails or is full at any one operation: the outcome is as if the disk had been sound.

After a failure the process ends and another takes over, as after a crash; on a full disk the run waits and goes on.
"""

import random
from pathlib import Path
from typing import get_args

import anyio
import pytest

from orchestrator.adapters.sql.journal import SqliteJournal
from orchestrator.app import Engine
from orchestrator.core.results import RunResult
from orchestrator.engine.handle import Run
from orchestrator.errors import JournalFull, OrchestratorError
from orchestrator.ports.journal import RunQuery
from tests.crash.reference import REFERENCES, Reference, pool
from tests.crash.tally import tally
from tests.crash.test_crash_points import plain
from tests.crash.test_pairs import Story, must_be_right, story
from tests.sizes import SIZES
from tests.storage.disk import Disk, Fault, Kind, failing

pytestmark = [pytest.mark.anyio, pytest.mark.crash]
FULL = SIZES.name == "prove"
FAILURES = 40 if FULL else 4  #: of each plan
FULL_DISKS = 13 if FULL else 2
FAULTS = tuple(fault for fault in get_args(Fault) if fault != "full")
KINDS: frozenset[Kind] = frozenset({"write", "sync", "truncate", "delete"})
PATIENCE_S = 60.0


async def submitted(engine: Engine, reference: Reference) -> Run:
    """The run; while there is no room, its submission is refused and made again."""
    while True:
        try:
            return await engine.submit(reference.plan(), idempotency_key="once")
        except JournalFull:
            await anyio.sleep(0.005)


async def finish(reference: Reference, path: Path) -> RunResult:
    """Take over what is there, or submit; drive it to its end."""
    async with Engine(pools=[pool], store=f"sqlite:///{path}", drain_s=0.0, recover=False) as engine:
        found = await engine.runs.journal.runs(RunQuery(top_level=True))
        if found:
            await engine.runs.recover()
            run = Run(engine.runs, found[0].run_id)
        else:
            run = await submitted(engine, reference)
        return plain(await reference.drive(engine, run))


async def left(path: Path) -> Story:
    journal = await SqliteJournal.open(path)
    try:
        return await story(journal)
    finally:
        await journal.close()


async def calm(reference: Reference, place: Path, kinds: frozenset[Kind]) -> tuple[RunResult, int]:
    """The outcome, and how many operations it takes."""
    folder = place / "calm"
    folder.mkdir()
    with failing(Disk(folder, kinds=kinds)) as disk:
        return await finish(reference, folder / "journal.db"), disk.seen


@pytest.mark.parametrize("reference", REFERENCES, ids=[reference.name for reference in REFERENCES])
async def test_a_run_outlives_a_failing_disk(reference: Reference, place: Path) -> None:
    expected, count = await calm(reference, place, KINDS)
    chance = random.Random(f"failing {reference.name}")
    failed = 0
    for number in range(FAILURES):
        folder = place / str(number)
        folder.mkdir()
        path = folder / "journal.db"
        at, fault, lasting = chance.randint(1, count), chance.choice(FAULTS), chance.random() < 0.5
        where = f"{fault} at {at} of {count}, {lasting=}"
        result: RunResult | None = None
        disk = Disk(folder, kinds=KINDS, at=at, fault=fault, lasting=lasting)
        with failing(disk), anyio.fail_after(PATIENCE_S):
            try:
                result = await finish(reference, path)
            except* OrchestratorError as errors:
                told = str(errors.exceptions[0])
                assert str(path) in told, told
        failed += disk.failed > 0
        before = [] if not path.exists() or not path.stat().st_size else [await left(path)]
        with anyio.fail_after(PATIENCE_S):
            if result is None:
                result = await finish(reference, path)
        assert result == expected, where
        must_be_right(before, await left(path))
    tally("failing disks", reference.name, failed)


@pytest.mark.parametrize("reference", REFERENCES, ids=[reference.name for reference in REFERENCES])
async def test_a_run_waits_while_the_disk_is_full(
    reference: Reference, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("orchestrator.engine.loop.FULL_RETRY_S", 0.005)
    expected, count = await calm(reference, place, frozenset({"write"}))
    chance = random.Random(f"full {reference.name}")
    waited = 0
    for number in range(FULL_DISKS):
        folder = place / str(number)
        folder.mkdir()
        path = folder / "journal.db"
        disk = Disk(folder, kinds=frozenset({"write"}), fault="full", lasting=True)

        async def make_room(disk: Disk = disk) -> None:
            while disk.failed < 4:  # noqa: ASYNC110 # the disk does not tell
                await anyio.sleep(0.001)
            disk.heal()

        with failing(disk):
            await (await SqliteJournal.open(path)).close()  # a file that cannot even be made is another matter
            disk.at = disk.seen + chance.randint(1, count - disk.seen - 1)
            with anyio.fail_after(PATIENCE_S):
                async with anyio.create_task_group() as group:
                    group.start_soon(make_room)
                    assert await finish(reference, path) == expected
                    group.cancel_scope.cancel()
        waited += disk.failed > 0
        must_be_right([], await left(path))
    assert waited
    tally("full disks", reference.name, waited)
