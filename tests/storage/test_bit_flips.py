"""Any bit of a closed journal file turns over: it is found, or nothing that can be read is different.

Real: bits of the bytes of the file, anywhere, free pages and indexes included. What is compared: the list of runs by
every way of asking for them, each record, each artifact, and what `audit verify --all` says of the file.
"""

import random
import sqlite3
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from itertools import islice
from pathlib import Path

import pytest

from orchestrator.adapters.sql.journal import SqliteJournal
from orchestrator.adapters.sql.schema import PAGE_BYTES
from orchestrator.errors import ArtifactMissing, JournalError, PromiseError
from orchestrator.ids import ArtifactDigest, JsonValue, RunId, TenantId
from orchestrator.ports.journal import RunQuery
from orchestrator.service.control_proving import verify
from orchestrator.testing.facts import accepted, ended, produced
from orchestrator.testing.journal_contract import entry
from tests.crash.tally import tally
from tests.sizes import SIZES
from tests.storage import story

pytestmark = [pytest.mark.anyio, pytest.mark.crash]
FLIPS = 10_000 if SIZES.name == "prove" else 300
KEPT = b"kept by a worker " * 50


async def readings(journal: SqliteJournal, kept: ArtifactDigest) -> list[object]:
    """Everything the file says, asked for in every way there is."""
    told: list[object] = []
    every = RunQuery(limit=100)
    rows = await journal.runs(every)
    names = [RunId(f"run-{number}") for number in range(story.RUNS)]
    queries = [
        every,
        *(replace(every, status=(status,)) for status in ("open", "succeeded")),
        *(replace(every, run_id=name) for name in names),
        *(replace(every, origin=name) for name in names),
        *(replace(every, tenant=TenantId("default"), idempotency_key=f"key of {name}") for name in names),
        replace(every, parent=names[0]),
        replace(every, top_level=True),
        replace(every, plan="plan"),
        replace(every, before=names[1]),
    ]
    told += [await journal.runs(query) for query in queries]
    told += [await journal.read(row.run_id) for row in rows]
    told.append(await journal.artifacts.get(kept))
    return told


async def proof(journal: SqliteJournal) -> list[JsonValue]:
    """What `audit verify --all` says."""
    return [item async for item in verify(journal, None, None, None)]


async def filled(path: Path) -> ArtifactDigest:
    """A journal with every kind of page: tables, indexes, overflow, free ones."""
    await story.write(path, story.Told())
    journal = await SqliteJournal.open(path)
    gone = [RunId(f"gone-{number}") for number in range(3)]
    for name in gone:
        facts = accepted(name), produced("gone " * 3_000), ended()
        await journal.append([entry(1, *facts, run_id=name)])
    await journal.forget(gone[:1], payloads_only=True)
    kept = await journal.artifacts.put(KEPT)
    await journal.close()
    db = sqlite3.connect(path)
    db.execute("DELETE FROM payloads WHERE at >> 32 = (SELECT id FROM runs WHERE run_id = 'gone-1')")
    db.execute("DELETE FROM events WHERE run = (SELECT id FROM runs WHERE run_id = 'gone-1')")
    db.execute("DELETE FROM runs WHERE run_id = 'gone-1'")
    db.commit()
    db.close()
    return kept


def bits(whole: bytes, path: Path) -> Iterator[int]:
    """Bits to flip: half anywhere; the others where a flip does more: page headers, the list of runs, its indexes."""
    db = sqlite3.connect(path)
    roots = [page for (page,) in db.execute("SELECT rootpage FROM sqlite_master WHERE rootpage > 0")]
    db.close()
    chance = random.Random("flips")
    pages = len(whole) // PAGE_BYTES
    while True:
        yield chance.randrange(len(whole) * 8)
        yield (chance.randrange(pages) * PAGE_BYTES + chance.randrange(40)) * 8 + chance.randrange(8)
        yield chance.randrange(len(whole) * 8)
        yield ((chance.choice(roots) - 1) * PAGE_BYTES + chance.randrange(PAGE_BYTES)) * 8 + chance.randrange(8)


async def outcome_of(path: Path, kept: ArtifactDigest, expected: list[object], proved: list[JsonValue]) -> str:
    """What a user of the damaged file meets."""
    try:
        journal = await SqliteJournal.open(path)
    except (JournalError, PromiseError) as error:
        return "refused at opening" if str(path) in str(error) else "WRONG: the error names no file"
    try:
        try:
            if await proof(journal) != proved:
                return "found by the proof"
        except JournalError:
            return "found by the proof"
        try:
            return "harmless" if await readings(journal, kept) == expected else "WRONG"
        except (JournalError, ArtifactMissing):
            return "found on reading"
    finally:
        await journal.close()


async def test_no_flipped_bit_gives_a_wrong_answer(place: Path) -> None:
    path = place / "journal.db"
    kept = await filled(path)
    whole = path.read_bytes()
    journal = await SqliteJournal.open(path)
    expected, proved = await readings(journal, kept), await proof(journal)
    await journal.close()

    outcomes: Counter[str] = Counter()
    wrong = []
    for bit in islice(bits(whole, path), FLIPS):
        damaged = bytearray(whole)
        damaged[bit // 8] ^= 1 << bit % 8
        path.write_bytes(damaged)
        outcome = await outcome_of(path, kept, expected, proved)
        outcomes[outcome] += 1
        if outcome.startswith("WRONG"):
            wrong.append(f"page {bit // 8 // PAGE_BYTES + 1}, byte {bit // 8 % PAGE_BYTES}, bit {bit % 8}")
    assert not wrong
    assert outcomes["found by the proof"] > FLIPS / 4
    tally("flipped bits", "journal", FLIPS, outcomes)


async def test_damage_to_what_the_list_of_runs_is_searched_by_is_found(place: Path) -> None:
    path = place / "journal.db"
    kept = await filled(path)
    whole = path.read_bytes()
    journal = await SqliteJournal.open(path)
    expected, proved = await readings(journal, kept), await proof(journal)
    await journal.close()
    db = sqlite3.connect(path)
    roots = db.execute("SELECT name, rootpage FROM sqlite_master WHERE type = 'index' AND tbl_name = 'runs'").fetchall()
    db.close()

    outcomes = {}
    for name, root in roots:
        damaged = bytearray(whole)
        damaged[root * PAGE_BYTES - 2] ^= 1  # within the entry that was made first
        path.write_bytes(damaged)
        outcomes[name] = await outcome_of(path, kept, expected, proved)
    assert outcomes == dict.fromkeys(
        ("sqlite_autoindex_runs_1", "runs_key", "runs_accepted", "runs_status", "runs_origin"), "found by the proof"
    ) | {"runs_parent": "harmless"}  # no run here has a parent: these bytes are free
    journal = await SqliteJournal.open(path)
    assert await journal.damages() == []  # the last of them was harmless
    await journal.close()
