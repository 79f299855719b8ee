"""Reading a SQLite journal: records, each checked against the chain, and the list of runs."""

import sqlite3
from collections.abc import Iterator
from typing import Final

from orchestrator.adapters.records import ROW_NAMES, recorded, stored_link
from orchestrator.core.chain import FIRST_HASH, Link, check_link
from orchestrator.errors import JournalCorrupt, RunNotFound
from orchestrator.ids import RunId
from orchestrator.ports.journal import Recorded, RunQuery, RunRow

_PAGE: Final = 2_000  #: records fetched at a time while a whole run is verified
_RECORDS: Final = """
SELECT e.seq, e.header, e.digest, e.hash, p.salt, coalesce(p.body, a.body), p.artifact
FROM events e
LEFT JOIN payloads p ON p.at = (e.run * 4294967296 + e.seq)
LEFT JOIN artifacts a ON a.digest = p.artifact
WHERE e.run = ? AND e.seq > ? ORDER BY e.seq LIMIT ?
"""
_ROWS: Final = """
SELECT run_id, tenant, plan, lane, status, accepted_at_s, ended_at_s,
  coalesce((SELECT max(seq) FROM events WHERE run = runs.id), 0),
  epoch, owner, origin, parent, idempotency_key, request_digest, usd, tokens
FROM runs
"""


def read(connection: sqlite3.Connection, run_id: RunId, after: int, limit: int) -> list[Recorded]:
    """See `Journal.read`."""
    found: list[Recorded] = []
    for link, before in _checked(connection, run_id, after, limit):
        found.append(recorded(run_id, link, before))
    return found


def links(connection: sqlite3.Connection, run_id: RunId, after: int, limit: int) -> list[Link]:
    """Records as the chain sees them, each checked, for an export that strangers can verify."""
    return [link for link, _ in _checked(connection, run_id, after, limit)]


def verify(connection: sqlite3.Connection, run_id: RunId) -> int:
    """Check every hash of a run without decoding its facts; return the number of its records.

    Raises:
        JournalCorrupt: a record is damaged or missing.
        RunNotFound: no such run.
    """
    if connection.execute("SELECT 1 FROM runs WHERE run_id = ?", (run_id,)).fetchone() is None:
        raise RunNotFound(run_id)
    seq = 0
    while True:
        counted = sum(1 for _ in _checked(connection, run_id, seq, _PAGE))
        seq += counted
        if counted < _PAGE:
            return seq


def _checked(connection: sqlite3.Connection, run_id: RunId, after: int, limit: int) -> Iterator[tuple[Link, bytes]]:
    """Records with the hash before each, in order; a damaged or missing one ends it with an error."""
    run = connection.execute("SELECT id, sealed_seq, forgotten_seq FROM runs WHERE run_id = ?", (run_id,)).fetchone()
    if run is None:
        return
    key, sealed, forgotten = run
    before = _hash_of(connection, key, after) if after else FIRST_HASH
    if before is None:
        if after < sealed:
            raise JournalCorrupt(run_id, after, "the record is missing")
        return
    seq = after
    for row in connection.execute(_RECORDS, (key, after, limit)):
        seq += 1
        link = stored_link(run_id, seq, row, forgotten)
        before, earlier = check_link(run_id, link, before), before
        yield link, earlier
    if seq - after < limit and seq < sealed:
        raise JournalCorrupt(run_id, seq + 1, f"the record is missing, and so is what followed up to {sealed}")


def _hash_of(connection: sqlite3.Connection, key: int, seq: int) -> bytes | None:
    row = connection.execute("SELECT hash FROM events WHERE run = ? AND seq = ?", (key, seq)).fetchone()
    return None if row is None else row[0]


def damages(connection: sqlite3.Connection) -> list[str]:
    """What is wrong with the list of runs and the indexes it is searched by, which no chain covers; empty: nothing.

    SQLite's own check. It reads some 300 bytes a run; SQLite before 3.33 cannot do this for one table and reads all.
    """
    told = [str(text) for (text,) in connection.execute("PRAGMA integrity_check('runs')")]
    return [] if told == ["ok"] else told


def runs(connection: sqlite3.Connection, query: RunQuery) -> list[RunRow]:
    """See `Journal.runs`."""
    terms: list[str] = []
    values: list[object] = []
    for column in ("tenant", "run_id", "plan", "lane", "idempotency_key", "origin", "parent"):
        value = getattr(query, column)
        if value is not None:
            terms.append(f"{column} = ?")
            values.append(value)
    if query.status is not None:
        terms.append(f"status IN ({', '.join('?' * len(query.status))})")
        values += query.status
    if query.top_level:
        terms.append("parent IS NULL")
    if query.ended_before_s is not None:
        terms.append("ended_at_s < ?")
        values.append(query.ended_before_s)
    if query.before is not None:
        terms.append("(accepted_at_s, id) < (SELECT accepted_at_s, id FROM runs WHERE run_id = ?)")
        values.append(query.before)
    where = f"WHERE {' AND '.join(terms)}" if terms else ""
    order = "ORDER BY accepted_at_s DESC, id DESC LIMIT ?"
    rows = connection.execute(f"{_ROWS} {where} {order}", (*values, query.limit))
    return [RunRow(**dict(zip(ROW_NAMES, row, strict=True))) for row in rows]
