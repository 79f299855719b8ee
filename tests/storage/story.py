"""A journal's working day in small: what is written to it, and whether what is read afterwards is a true beginning."""

from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from orchestrator.adapters.sql.journal import SqliteJournal
from orchestrator.core.facts import Fact
from orchestrator.errors import JournalError, JournalFull
from orchestrator.ids import RunId
from orchestrator.ports.journal import Append, Recorded, RunQuery
from orchestrator.testing.facts import accepted, ended, passed, produced
from orchestrator.testing.journal_contract import entry

RUNS = 4
STEPS = 5
LARGE = "large " * 7_000  #: more than lies beside an event


def _facts(name: str, number: int) -> Iterator[tuple[Fact, ...]]:
    yield (accepted(name, key=f"key of {name}"),)
    for step in range(STEPS):
        text: str = LARGE if (number, step) == (1, 1) else f"{name} {step} " * (1 + step * 40)
        yield produced({"step": step, "text": text}), passed()
    if number != RUNS - 1:  # the last stays open
        yield (ended(),)


def entries() -> list[Append]:
    """Everything that is written, in order; runs take turns."""
    rows: list[list[Append]] = []
    for number in range(RUNS):
        name, seq, row = f"run-{number}", 1, []
        for facts in _facts(name, number):
            row.append(entry(seq, *facts, run_id=RunId(name), sync=len(facts) == 1))
            seq += len(facts)
        rows.append(row)
    longest = max(map(len, rows))
    return [row[turn] for turn in range(longest) for row in rows if turn < len(row)]


@dataclass
class Told:
    """What the journal answered."""

    acknowledged: list[Append] = field(default_factory=list)
    doubtful: list[Append] = field(default_factory=list)  #: asked for, and answered with an error
    errors: list[JournalError] = field(default_factory=list)
    clock: Callable[[], int] = int  #: what counts the operations of the disk
    when: list[int] = field(default_factory=list)  #: how many there had been when each entry was acknowledged


async def write(path: Path, told: Told, *, checkpoints: int = 9) -> None:
    """Write the story to `path`, with the log moved into the database every so many entries; stop at an error."""
    journal = await SqliteJournal.open(path)
    try:
        for number, one in enumerate(entries(), 1):
            try:
                assert await journal.append([one]) == ()
            except JournalError as error:
                told.doubtful.append(one)
                told.errors.append(error)
                return
            told.acknowledged.append(one)
            told.when.append(told.clock())
            if number % checkpoints == 0:
                await checkpoint(journal, told)
    finally:
        await journal.close()


async def checkpoint(journal: SqliteJournal, told: Told) -> None:
    """As the writer does it when the log has grown: failing is not the caller's matter."""
    try:
        await journal.writer.submit(lambda store: store.checkpoint()).answer()
    except JournalError as error:
        told.errors.append(error)


async def go_on(path: Path, told: Told) -> None:
    """Open again and write what was not acknowledged and is not there."""
    journal = await SqliteJournal.open(path)
    try:
        there = {row.run_id: row.last_seq for row in await journal.runs(RunQuery(limit=100))}
        for one in entries():
            if one.first_seq > there.get(one.run_id, 0):
                with suppress(JournalFull):
                    assert await journal.append([one]) == ()
                    told.acknowledged.append(one)
    finally:
        await journal.close()


async def read(path: Path) -> dict[RunId, list[Recorded]]:
    """Everything that is there, each run proved: its chain, and the list of runs against it."""
    journal = await SqliteJournal.open(path)
    try:
        rows = await journal.runs(RunQuery(limit=100))
        found = {row.run_id: await journal.read(row.run_id) for row in rows}
        for row in rows:
            assert await journal.verify_run(row.run_id) == row.last_seq == len(found[row.run_id])
            assert (row.status == "open") is (found[row.run_id][-1].fact != ended())
        return found
    finally:
        await journal.close()


def there(found: dict[RunId, list[Recorded]]) -> list[Append]:
    """Which entries those are, if they are whole ones and the right ones.

    Raises:
        AssertionError: anything else is there, or a part of an entry.
    """
    whole = [one for one in entries() if found.get(one.run_id, [])[one.first_seq - 1 :]]
    facts: dict[RunId, list[Fact]] = {}
    for one in whole:
        facts.setdefault(one.run_id, []).extend(one.facts)
    assert {run_id: [record.fact for record in records] for run_id, records in found.items()} == facts
    return whole


def must_be_a_beginning(found: dict[RunId, list[Recorded]], told: Told) -> int:
    """All that was acknowledged is there, and else at most what was in doubt; returns the number of entries."""
    whole = there(found)
    assert [one for one in told.acknowledged if one not in whole] == [], "acknowledged and lost"
    assert [one for one in whole if one not in told.acknowledged] in ([], told.doubtful)
    return len(whole)
