"""What a killed process and a machine without power leave on the disk: always a true beginning, or an error.

The writes of a real journal are recorded below SQLite; images of the files are put together from them. Of what was
written after the last sync of a file any part may be missing, torn at a sector, or there without what came before it.
"""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from orchestrator.adapters.sql.journal import SqliteJournal
from orchestrator.adapters.sql.schema import PAGE_BYTES
from orchestrator.errors import JournalError
from orchestrator.ids import RunId
from orchestrator.ports.journal import Recorded
from orchestrator.service.control_proving import verify
from tests.crash.tally import tally
from tests.sizes import SIZES
from tests.storage import story
from tests.storage.disk import Disk, Done, failing

pytestmark = [pytest.mark.anyio, pytest.mark.crash]
FULL = SIZES.name == "prove"
KILLS = 500 if FULL else 40
POWER_CUTS = 500 if FULL else 40
TORN_LOGS = 500 if FULL else 40
SECTOR_BYTES = 512
FRAME_BYTES = 24 + PAGE_BYTES
LOG_HEADER_BYTES = 32


@dataclass(frozen=True)
class Day:
    """A recorded day."""

    told: story.Told
    done: list[Done]

    def acknowledged(self, upto: int) -> int:
        """How many entries had been acknowledged after so many operations of the disk."""
        return sum(when <= upto for when in self.told.when)

    def synced(self, upto: int) -> int:
        """The number of the last of them that had to be on the disk itself."""
        return max(
            (n for n, one in enumerate(self.told.acknowledged[: self.acknowledged(upto)], 1) if one.sync), default=0
        )


@pytest.fixture
async def day(place: Path) -> Day:
    """A whole day, from an empty folder until closing time."""
    folder = place / "day"
    folder.mkdir()
    with failing(Disk(folder, keep=True)) as disk:
        told = story.Told(clock=lambda: len(disk.done))
        await story.write(folder / "journal.db", told)
    assert told.acknowledged == story.entries()
    return Day(told, disk.done)


def applied(data: bytearray | None, one: Done, chance: random.Random | None) -> bytearray | None:
    """A file after one operation; with `chance` of a write only some sectors arrive."""
    if one.kind == "delete":
        return None
    data = bytearray() if data is None else data
    if one.kind == "truncate":
        del data[one.offset :]
        return data
    if len(data) < one.offset + len(one.data):
        data.extend(bytes(one.offset + len(one.data) - len(data)))
    for at in range(0, len(one.data), SECTOR_BYTES):
        if chance is None or chance.random() < 0.7:
            part = one.data[at : at + SECTOR_BYTES]
            data[one.offset + at : one.offset + at + len(part)] = part
    return data


def image(done: Sequence[Done], chance: random.Random | None) -> dict[str, bytes]:
    """The files after these operations: all of them, or, with `chance`, what a machine without power may have kept.

    SQLite syncs the folder, and with it what was deleted, when it first syncs a log or journal it has made.
    """
    files: dict[str, bytearray | None] = {"journal.db": bytearray()}
    waiting: dict[str, list[Done]] = {}
    known, fresh = {"journal.db"}, set()
    for one in done:
        name = one.path.name
        if one.kind != "sync":
            waiting.setdefault(name, []).append(one)
            if one.kind == "delete":
                known.discard(name)
            elif name not in known:
                known.add(name)
                fresh.add(name)
            continue
        if name in fresh:
            fresh.discard(name)
            for other in set(waiting) - {name}:
                deleted = [n for n, late in enumerate(waiting[other], 1) if late.kind == "delete"]
                if deleted:
                    files[other], waiting[other] = None, waiting[other][deleted[-1] :]
        for earlier in waiting.pop(name, []):
            files[name] = applied(files.get(name), earlier, None)
    for name, late in waiting.items():
        for one in late:
            if chance is None or chance.random() < 0.6:
                torn = chance if chance is not None and chance.random() < 0.3 else None
                files[name] = applied(files.get(name), one, torn)
    return {name: bytes(data) for name, data in files.items() if data is not None}


def put(folder: Path, files: dict[str, bytes]) -> Path:
    folder.mkdir()
    for name, data in files.items():
        (folder / name).write_bytes(data)
    return folder / "journal.db"


async def met(path: Path) -> dict[RunId, list[Recorded]] | None:
    """What is found there, all of it proved; None: an error that names the file or the record."""
    try:
        journal = await SqliteJournal.open(path)
        try:
            damaged = [item async for item in verify(journal, None, None, None) if item["damaged"]]  # type: ignore[index, call-overload] # an object
        finally:
            await journal.close()
        return None if damaged else await story.read(path)
    except JournalError as error:
        if str(path) not in str(error) and "record" not in str(error):
            raise AssertionError(f"no place is named: {error}") from error
        return None


async def test_a_kill_between_or_amid_writes_loses_nothing_acknowledged(day: Day, place: Path) -> None:
    chance = random.Random("kills")
    points = sorted(chance.choices(range(len(day.done) + 1), k=KILLS))
    for number, upto in enumerate(points):
        files = image(day.done[:upto], None)
        if upto < len(day.done) and chance.random() < 0.5:  # and a part of the next
            torn = applied(bytearray(files.get(day.done[upto].path.name, b"")), day.done[upto], chance)
            if torn is not None and day.done[upto].kind == "write":
                files[day.done[upto].path.name] = bytes(torn)
        found = await met(put(place / str(number), files))
        assert found is not None, f"refused after {upto} operations"
        there = story.there(found)
        least = day.acknowledged(upto)
        assert there == story.entries()[: len(there)]
        assert least <= len(there) <= least + 1
    tally("killed writers", "journal", KILLS)


async def test_a_power_cut_leaves_a_beginning_with_all_that_had_to_be_on_the_disk(day: Day, place: Path) -> None:
    chance = random.Random("power")
    lengths = set()
    for number in range(POWER_CUTS):
        upto = chance.randint(0, len(day.done))
        found = await met(put(place / str(number), image(day.done[:upto], chance)))
        assert found is not None, f"refused after {upto} operations"
        there = story.there(found)
        assert there == story.entries()[: len(there)], f"after {upto}: a later commit without an earlier one"
        assert len(there) >= day.synced(upto), f"after {upto}: what was synced is lost"
        assert len(there) <= day.acknowledged(upto) + 1
        lengths.add(len(there))
    assert len(lengths) > 5
    tally("power cuts", "journal", POWER_CUTS)


def harmed(log: bytes, chance: random.Random) -> tuple[str, bytes]:
    """The log with one thing wrong."""
    frames = (len(log) - LOG_HEADER_BYTES) // FRAME_BYTES
    first, second = sorted(chance.sample(range(frames), 2)) if frames > 1 else (0, 0)

    def span(frame: int) -> slice:
        return slice(LOG_HEADER_BYTES + frame * FRAME_BYTES, LOG_HEADER_BYTES + (frame + 1) * FRAME_BYTES)

    data = bytearray(log)
    kind = chance.choice(["cut", "cut", "torn", "swapped", "repeated", "left out", "zeroed"])
    match kind:
        case "cut":
            del data[chance.randrange(len(data) + 1) :]
        case "torn":
            at = span(first).start + 24 + SECTOR_BYTES * chance.randrange(PAGE_BYTES // SECTOR_BYTES)
            data[at : at + SECTOR_BYTES] = chance.randbytes(SECTOR_BYTES)
        case "swapped":
            data[span(first)], data[span(second)] = data[span(second)], data[span(first)]
        case "repeated":
            data[span(second)] = data[span(first)]
        case "left out":
            del data[span(first)]
        case _:
            data[span(first)] = bytes(FRAME_BYTES)
    return kind, bytes(data)


async def test_a_log_with_anything_wrong_is_read_up_to_there(day: Day, place: Path) -> None:
    chance = random.Random("logs")
    points = [
        upto
        for upto in range(len(day.done))
        if len(image(day.done[:upto], None).get("journal.db-wal", b"")) > 4 * FRAME_BYTES
    ]
    lengths = set()
    refused = 0
    for number in range(TORN_LOGS):
        upto = chance.choice(points)
        files = image(day.done[:upto], None)
        kind, files["journal.db-wal"] = harmed(files["journal.db-wal"], chance)
        found = await met(put(place / str(number), files))
        if found is None:  # a log that was on the disk before the database was changed was harmed after that
            refused += 1
            continue
        there = story.there(found)
        assert there == story.entries()[: len(there)], f"{kind} after {upto}"
        lengths.add(len(there))
    assert len(lengths) > 5
    assert refused < TORN_LOGS / 4
    outcomes = {"read up to there": TORN_LOGS - refused, "refused by name": refused}
    tally("torn logs", "journal", TORN_LOGS, outcomes)


async def test_a_log_that_is_lost_or_of_another_hour_is_no_silent_wrong_state(day: Day, place: Path) -> None:
    hours = [upto for upto in range(0, len(day.done), 1 if FULL else 7) if upto]
    number = answers = 0
    for upto in hours:
        files = image(day.done[:upto], None)
        for other in (None, hours[0], hours[len(hours) // 3], hours[-1] - 40):
            mixed = dict(files)
            mixed.pop("journal.db-wal", None)
            if other is not None and (log := image(day.done[:other], None).get("journal.db-wal")) is not None:
                mixed["journal.db-wal"] = log
            number += 1
            found = await met(put(place / str(number), mixed))
            if found is not None:
                answers += 1
                there = story.there(found)
                assert there == story.entries()[: len(there)], f"database of {upto}, log of {other}"
    assert number > answers > number / 4


async def test_there_is_no_shared_memory_to_lose_and_a_strangers_is_not_read(day: Day, place: Path) -> None:
    upto = len(day.done) * 2 // 3
    files = image(day.done[:upto], None)
    assert not [one for one in day.done if one.path.name.endswith("-shm")]
    found = await met(put(place / "strange", {**files, "journal.db-shm": random.Random("shm").randbytes(32_768)}))
    assert found is not None
    assert len(story.there(found)) >= day.acknowledged(upto)


async def test_these_images_find_a_journal_that_does_not_sync(day: Day, place: Path) -> None:
    chance = random.Random("unsynced")
    careless = [one for one in day.done if one.kind != "sync"]
    lost = 0
    for number in range(20):
        upto = len(careless) - 1 - number
        found = await met(put(place / str(number), image(careless[:upto], chance)))
        lost += found is None or len(story.there(found)) < len(story.entries())
    assert lost > 10
