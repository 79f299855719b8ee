"""Damage by chance: any bit, any record, any end of a copy is found, and an unharmed copy is whole."""

import random
import sqlite3
import struct
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from orchestrator.adapters.sql.journal import SqliteJournal
from orchestrator.core.chain import FIRST_HASH, link_hash
from orchestrator.core.checkpoints import Ledger
from orchestrator.errors import JournalCorrupt, JournalError
from orchestrator.ids import RunId
from orchestrator.ports.journal import RunQuery
from orchestrator.service.control_proof import Chains, line_of, seal_of
from tests.audit.conftest import KEY, Asker, Report, examined, fill
from tests.sizes import SIZES

pytestmark = pytest.mark.anyio
TRIALS = 10_000 if SIZES.name == "prove" else 300
CELLS = {
    "events": ("seq", "header", "digest", "hash"),
    "payloads": ("at", "salt", "body", "artifact"),
    "artifacts": ("digest", "body"),
    "runs": (
        "run_id", "tenant", "plan", "lane", "status", "accepted_at_s", "ended_at_s", "origin", "parent",
        "idempotency_key", "request_digest", "usd", "tokens",
    ),
}  # fmt: skip
KEYS = {"events": ("run", "seq"), "payloads": ("at",), "artifacts": ("id",), "runs": ("id",)}
Harm = Callable[[sqlite3.Connection, random.Random], str]


def flipped(value: object, chance: random.Random) -> object:
    """The same value, one bit off, in the form in which it is stored."""
    match value:
        case bytes():
            raw = bytearray(value)
        case str():
            raw = bytearray(value.encode())
        case float():
            raw = bytearray(struct.pack(">d", value))
        case int():
            return value ^ (1 << chance.randrange(20))
        case _:
            raise AssertionError(value)
    bit = chance.randrange(len(raw) * 8)
    raw[bit // 8] ^= 1 << bit % 8
    if isinstance(value, float):
        return struct.unpack(">d", raw)[0]
    return bytes(raw) if isinstance(value, bytes) else raw.decode(errors="replace")


def flip(db: sqlite3.Connection, chance: random.Random) -> str:
    table = chance.choice(["events", "events", "payloads", "payloads", "artifacts", "runs"])
    column = chance.choice(CELLS[table])
    key = KEYS[table]
    rows = db.execute(f"SELECT {', '.join(key)}, {column} FROM {table} WHERE {column} IS NOT NULL").fetchall()
    *where, value = chance.choice([row for row in rows if not isinstance(row[-1], bytes | str) or row[-1]])
    terms = " AND ".join(f"{name} = ?" for name in key)
    db.execute(f"UPDATE {table} SET {column} = ? WHERE {terms}", (flipped(value, chance), *where))
    return f"{table}.{column} of {where}"


def some_record(db: sqlite3.Connection, chance: random.Random) -> tuple[int, int]:
    run, seq = chance.choice(db.execute("SELECT run, seq FROM events").fetchall())
    return run, seq


def drop(db: sqlite3.Connection, chance: random.Random) -> str:
    run, seq = some_record(db, chance)
    db.execute("DELETE FROM events WHERE run = ? AND seq = ?", (run, seq))
    db.execute("DELETE FROM payloads WHERE at = ?", (run << 32 | seq,))
    return f"record {seq} of {run} dropped"


def swap(db: sqlite3.Connection, chance: random.Random) -> str:
    (run, one), (other, two) = some_record(db, chance), some_record(db, chance)
    while (run, one) == (other, two):
        other, two = some_record(db, chance)
    for start, end in (((run, one), (-1, -1)), ((other, two), (run, one)), ((-1, -1), (other, two))):
        db.execute("UPDATE events SET run = ?, seq = ? WHERE run = ? AND seq = ?", (*end, *start))
        db.execute("UPDATE payloads SET at = ? WHERE at = ?", (end[0] << 32 | end[1], start[0] << 32 | start[1]))
    return f"record {one} of {run} and {two} of {other} swapped"


def insert(db: sqlite3.Connection, chance: random.Random) -> str:
    """A record more between two others, with a hash that fits the one before it. Behind the last it would be work."""
    inner = "SELECT run, seq FROM events e WHERE seq < (SELECT max(seq) FROM events WHERE run = e.run)"
    run, seq = chance.choice(db.execute(inner).fetchall())
    rows = db.execute("SELECT seq FROM events WHERE run = ? AND seq > ? ORDER BY seq DESC", (run, seq)).fetchall()
    for (later,) in rows:
        db.execute("UPDATE events SET seq = seq + 1 WHERE run = ? AND seq = ?", (run, later))
        db.execute("UPDATE payloads SET at = at + 1 WHERE at = ?", (run << 32 | later,))
    name = db.execute("SELECT run_id FROM runs WHERE id = ?", (run,)).fetchone()[0]
    before = db.execute("SELECT hash FROM events WHERE run = ? AND seq = ?", (run, seq)).fetchone()[0]
    header = b'[2,"run.adopted",1,1.0,"",1]'
    forged = link_hash(before, RunId(name), seq + 1, header, None)
    db.execute("INSERT INTO events VALUES (?, ?, ?, NULL, ?)", (run, seq + 1, header, forged))
    return f"a record inserted after {seq} of {run}"


def cut(db: sqlite3.Connection, chance: random.Random) -> str:
    """The end of a run, with everything in the file that knew of it."""
    run, seq = some_record(db, chance)
    db.execute("DELETE FROM events WHERE run = ? AND seq >= ?", (run, seq))
    db.execute("DELETE FROM payloads WHERE at >= ? AND at < ?", (run << 32 | seq, (run + 1) << 32))
    open_ = "sealed_seq = 0, status = 'open', ended_at_s = NULL, usd = 0, tokens = 0"
    db.execute(f"UPDATE runs SET {open_} WHERE id = ?", (run,))
    return f"{run} cut off at {seq}"


def take_out(db: sqlite3.Connection, chance: random.Random) -> str:
    run, _ = some_record(db, chance)
    db.execute("DELETE FROM events WHERE run = ?", (run,))
    db.execute("DELETE FROM payloads WHERE at >= ? AND at < ?", (run << 32, (run + 1) << 32))
    db.execute("DELETE FROM runs WHERE id = ?", (run,))
    return f"{run} taken out"


def rewrite(db: sqlite3.Connection, chance: random.Random) -> str:
    """One record changed, and every hash after it computed anew: a chain that fits itself."""
    run, seq = some_record(db, chance)
    name = RunId(db.execute("SELECT run_id FROM runs WHERE id = ?", (run,)).fetchone()[0])
    before = FIRST_HASH
    for at, header, digest in db.execute(
        "SELECT seq, header, digest FROM events WHERE run = ? ORDER BY seq", (run,)
    ).fetchall():
        told = header.replace(b".0,", b".25,", 1) if at == seq else header
        before = link_hash(before, name, at, told, digest)
        db.execute("UPDATE events SET header = ?, hash = ? WHERE run = ? AND seq = ?", (told, before, run, at))
    return f"{name} written anew from {seq}"


def erase(db: sqlite3.Connection, chance: random.Random) -> str:
    """What a run said, as if somebody had asked for that."""
    run = chance.choice(db.execute("SELECT id FROM runs WHERE forgotten_seq = 0").fetchall())[0]
    db.execute("DELETE FROM payloads WHERE at >= ? AND at < ?", (run << 32, (run + 1) << 32))
    db.execute("UPDATE runs SET forgotten_seq = (SELECT max(seq) FROM events WHERE run = runs.id) WHERE id = ?", (run,))
    return f"what {run} said was erased"


HARMS: tuple[Harm, ...] = (flip, flip, flip, drop, swap, insert, cut, take_out, rewrite, erase)


async def looked_at(path: Path, ledger: Ledger) -> tuple[str, list[object]]:
    """Who noticed something about a copy, "" for nobody, and then what it tells of its runs."""
    try:
        journal = await SqliteJournal.open(path)
    except JournalError:
        return "opening", []
    try:
        if (await examined(journal, ledger)).damaged:
            return "verifying", []
        rows = [replace(row, epoch=0, owner="") for row in await journal.runs(RunQuery(limit=1_000))]
        return "", [*rows, *[event async for event in Asker(journal).stream("export")]]
    except JournalError:
        return "reading", []
    finally:
        await journal.close()


async def test_harm_to_a_copy_of_the_store_is_found(
    filled: tuple[bytes, Ledger], tmp_path: Path, report: Report
) -> None:
    raw, ledger = filled
    chance, missed, noticed = random.Random(8), [], Counter[str]()
    path = tmp_path / "copy.db"
    for trial in range(TRIALS):
        path.write_bytes(raw)
        db = sqlite3.connect(path, isolation_level=None)
        db.execute("PRAGMA synchronous = OFF")  # the copy need not outlive the machine
        harm = HARMS[trial % len(HARMS)]
        try:
            told = harm(db, chance)
        except sqlite3.IntegrityError:  # the bit would have made two rows one; the file refuses that by itself
            noticed[f"{harm.__name__}: impossible"] += 1
            continue
        finally:
            db.close()
        by, _ = await looked_at(path, ledger)
        noticed[f"{harm.__name__}: {by}"] += 1
        if not by:
            missed.append(told)
    report("sqlite: rows of a copy", TRIALS, missed=len(missed), noticed=dict(noticed))
    assert missed == []


async def test_a_bit_anywhere_in_the_file_is_found_or_changes_nothing_that_is_told(
    filled: tuple[bytes, Ledger], tmp_path: Path, report: Report
) -> None:
    raw, ledger = filled
    path = tmp_path / "copy.db"
    path.write_bytes(raw)
    _, whole = await looked_at(path, ledger)
    assert whole
    chance, missed, noticed = random.Random(11), [], Counter[str]()
    for _ in range(TRIALS):
        harmed, bit = bytearray(raw), chance.randrange(len(raw) * 8)
        harmed[bit // 8] ^= 1 << bit % 8
        path.write_bytes(harmed)
        by, told = await looked_at(path, ledger)
        noticed[by or "without effect"] += 1
        if not by and told != whole:
            missed.append(bit)
    report("sqlite: bits of the file", TRIALS, missed=len(missed), noticed=dict(noticed))
    assert missed == []


async def test_an_unharmed_copy_is_whole(filled: tuple[bytes, Ledger], tmp_path: Path) -> None:
    raw, ledger = filled
    (tmp_path / "copy.db").write_bytes(raw)
    journal = await SqliteJournal.open(tmp_path / "copy.db")
    found = await examined(journal, ledger)
    await journal.close()
    assert (found.damaged, found.runs, found.records) == ([], 7, 44)
    assert (found.emptied, found.open) == ({"run-1"}, {"run-3"})


async def trail(tmp_path: Path, *keys: str) -> list[bytes]:
    """The lines of an export of everything."""
    journal = await SqliteJournal.open(tmp_path / "trail.db")
    await fill(journal)
    events = [event async for event in Asker(journal).stream("export")]
    heads = (await examined(journal)).heads
    await journal.close()
    return [f"{line_of(one)}\n".encode() for one in [*events, seal_of(heads, keys, {"from": None, "to": None})]]


def damage_in(lines: list[bytes], *keys: str) -> str | None:
    chains = Chains(keys)
    try:
        for line in b"".join(lines).splitlines(keepends=True):
            chains.add(line)
        chains.end()
    except JournalCorrupt as error:
        return error.reason
    return None


async def test_harm_to_an_export_is_found(tmp_path: Path, report: Report) -> None:
    lines = await trail(tmp_path, KEY)
    assert damage_in(lines, KEY) is None
    chance, missed = random.Random(9), []
    for trial in range(TRIALS):
        copy = list(lines)
        at, other = chance.sample(range(len(copy)), 2)
        match trial % 5:
            case 0 | 1:
                raw = bytearray(copy[at])
                bit = chance.randrange(len(raw) * 8)
                raw[bit // 8] ^= 1 << bit % 8
                copy[at] = bytes(raw)
            case 2:
                del copy[at]
            case 3:
                copy[at], copy[other] = copy[other], copy[at]
            case _:
                copy.insert(other, copy[at])
        if damage_in(copy, KEY) is None:
            missed.append((trial % 5, at, other))
    report("export: bits and lines", TRIALS, missed=len(missed))
    assert missed == []
