"""A disk that is full or fails at any one operation: nothing acknowledged is lost, nothing half done is kept.

Real: SQLite's own code paths, the files, the thread of the journal. Simulated: the answer of the disk alone.
"""

import errno
import random
import sqlite3
from pathlib import Path
from typing import get_args

import pytest

from orchestrator.adapters.sql.journal import SqliteJournal
from orchestrator.errors import JournalError, JournalFull
from orchestrator.ports.journal import RunQuery
from orchestrator.testing.facts import ended
from tests.crash.tally import tally
from tests.sizes import SIZES
from tests.storage import story
from tests.storage.disk import Disk, Fault, Kind, failing

pytestmark = [pytest.mark.anyio, pytest.mark.crash]
FULL = SIZES.name == "prove"
FULL_DISKS = 100 if FULL else 20
FAILURES = 300 if FULL else 40
READS = 60 if FULL else 10
FAULTS = tuple(fault for fault in get_args(Fault) if fault != "full")


async def operations(place: Path, *kinds: Kind) -> int:
    """How many there are in an undisturbed day."""
    told = story.Told()
    place.mkdir()
    with failing(Disk(place, kinds=frozenset(kinds))) as disk:
        await story.write(place / "journal.db", told)
    assert told.acknowledged == story.entries()
    assert not told.errors
    return disk.seen


def must_name_place(error: JournalError, path: Path) -> None:
    """Whoever reads it knows where to look and what to do."""
    words = ("restart", "free some", "restore a backup")
    assert str(path) in str(error), error
    assert any(word in str(error) for word in words), error


def sound(path: Path) -> bool:
    db = sqlite3.connect(path)
    try:
        return db.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    finally:
        db.close()


async def test_a_disk_that_fails_once_or_for_good_loses_nothing_acknowledged(place: Path) -> None:
    count = await operations(place / "calm", "write", "sync", "truncate", "delete")
    chance = random.Random("failures")
    failed = 0
    for number in range(FAILURES):
        folder = place / str(number)
        folder.mkdir()
        path = folder / "journal.db"
        disk = Disk(
            folder,
            kinds=frozenset({"write", "sync", "truncate", "delete"}),
            at=1 + (number * count) // FAILURES if FULL else chance.randint(1, count),
            fault=chance.choice(FAULTS),
            lasting=chance.random() < 0.5,
        )
        told = story.Told()
        with failing(disk):
            try:
                await story.write(path, told)
            except JournalError as error:  # it could not even be opened
                told.errors.append(error)
            disk.heal()
        failed += disk.failed > 0
        for met in told.errors:
            must_name_place(met, path)
        story.must_be_a_beginning(await story.read(path), told)
        await story.go_on(path, told)
        found = await story.read(path)
        assert [r.fact for run in found.values() for r in run].count(ended()) == story.RUNS - 1
        assert sound(path)
    assert failed == FAILURES
    tally("failing disks", "journal", failed)


async def test_a_full_disk_takes_nothing_and_goes_on_when_there_is_room(place: Path) -> None:
    count = await operations(place / "calm", "write")
    chance = random.Random("full")
    refused = 0
    for number in range(FULL_DISKS):
        folder = place / str(number)
        folder.mkdir()
        path = folder / "journal.db"
        disk = Disk(folder, kinds=frozenset({"write"}), fault="full", lasting=True)
        told = story.Told()
        with failing(disk):
            journal = await SqliteJournal.open(path)
            disk.at = disk.seen + chance.randint(1, count - disk.seen)
            for turn, one in enumerate(story.entries(), 1):
                try:
                    assert await journal.append([one]) == ()
                except JournalFull as error:
                    must_name_place(error, path)
                    refused += 1
                    for query in (RunQuery(limit=100), RunQuery(status=("open",))):  # reading goes on
                        assert len(await journal.runs(query)) <= story.RUNS
                    with pytest.raises(JournalFull):
                        await journal.append([one])
                    disk.heal()
                    assert await journal.append([one]) == (), "there is room again, and the same entry fits"
                told.acknowledged.append(one)
                if turn % 9 == 0:
                    await story.checkpoint(journal, told)
            disk.heal()
            await journal.close()
        assert not told.errors  # a checkpoint without room waits for another time
        assert story.must_be_a_beginning(await story.read(path), told) == len(story.entries())
        assert sound(path)
    assert refused > FULL_DISKS / 2
    tally("full disks", "journal", refused)


async def test_a_read_that_fails_is_an_error_and_not_an_empty_journal(place: Path) -> None:
    path = place / "journal.db"
    told = story.Told()
    await story.write(path, told)
    whole = await story.read(path)
    with failing(Disk(place, kinds=frozenset({"read"}))) as disk:
        assert await story.read(path) == whole
    chance = random.Random("reads")
    for at in sorted(chance.sample(range(1, disk.seen + 1), min(READS, disk.seen))):
        with failing(Disk(place, kinds=frozenset({"read"}), at=at, lasting=True)) as broken:
            with pytest.raises(JournalError) as caught:
                await story.read(path)
            must_name_place(caught.value, path)
            assert broken.failed
    assert await story.read(path) == whole


async def test_a_journal_on_a_full_disk_can_be_opened_and_read(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = place / "journal.db"
    await story.write(path, story.Told())
    whole = await story.read(path)

    def full(descriptor: int, data: bytes, offset: int) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("orchestrator.adapters.sql.ownership.os.pwrite", full)  # the owner's number, beside the file
    with failing(Disk(place, kinds=frozenset({"write"}), at=1, fault="full", lasting=True)) as disk:
        assert await story.read(path) == whole
    assert disk.failed == 0
