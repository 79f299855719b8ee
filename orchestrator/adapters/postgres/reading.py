"""Reading a PostgreSQL journal: records, each checked against the chain, and the list of runs."""

from collections.abc import Sequence
from typing import Final

import asyncpg

from orchestrator.adapters.postgres.connecting import Connection
from orchestrator.adapters.records import ROW_NAMES, recorded, stored_link
from orchestrator.core.chain import FIRST_HASH, Link, check_link
from orchestrator.errors import JournalCorrupt, RunNotFound
from orchestrator.ids import RunId
from orchestrator.ports.journal import Recorded, RunQuery, RunRow

_PAGE: Final = 2_000  #: records fetched at a time while a whole run is verified
_RECORDS: Final = """
SELECT e.seq, e.header, e.digest, e.hash, p.salt, coalesce(p.body, a.body), p.artifact
FROM events e
LEFT JOIN payloads p ON p.run = e.run AND p.seq = e.seq
LEFT JOIN artifacts a ON a.digest = p.artifact
WHERE e.run = $1 AND e.seq > $2 ORDER BY e.seq LIMIT $3
"""
_RUN: Final = """
SELECT r.id, r.last_seq, r.forgotten_seq, (SELECT e.hash FROM events e WHERE e.run = r.id AND e.seq = $2)
FROM runs r WHERE r.run_id = $1
"""
ROWS: Final = f"SELECT {', '.join(ROW_NAMES)}, coalesce(parked, '') FROM runs"  # noqa: S608 # names of our fields


async def read(connection: Connection, run_id: RunId, after: int, limit: int) -> list[Recorded]:
    """See `Journal.read`."""
    return [recorded(run_id, link, before) for link, before in await _checked(connection, run_id, after, limit)]


async def links(connection: Connection, run_id: RunId, after: int, limit: int) -> list[Link]:
    """Records as the chain sees them, each checked, for an export that strangers can verify."""
    return [link for link, _ in await _checked(connection, run_id, after, limit)]


async def verify(connection: Connection, run_id: RunId) -> int:
    """Check every hash of a run without decoding its facts; return the number of its records.

    Raises:
        JournalCorrupt: a record is damaged or missing.
        RunNotFound: no such run.
    """
    if await connection.fetchval("SELECT 1 FROM runs WHERE run_id = $1", run_id) is None:
        raise RunNotFound(run_id)
    seq = 0
    while True:
        counted = len(await _checked(connection, run_id, seq, _PAGE))
        seq += counted
        if counted < _PAGE:
            return seq


async def _checked(connection: Connection, run_id: RunId, after: int, limit: int) -> list[tuple[Link, bytes]]:
    """Records with the hash before each, in order.

    Both questions see one state of the database: an append in between would look like damage.

    Raises:
        JournalCorrupt: one is damaged or missing.
    """
    async with connection.transaction(isolation="repeatable_read", readonly=True):
        run = await connection.fetchrow(_RUN, run_id, after)
        if run is None:
            return []
        key, last, forgotten, hash_after = run
        rows: Sequence[asyncpg.Record] = await connection.fetch(_RECORDS, key, after, limit) if limit > 0 else []
    before = hash_after if after > 0 else FIRST_HASH
    if before is None:
        if after < last:
            raise JournalCorrupt(run_id, after, "the record is missing")
        return []
    found: list[tuple[Link, bytes]] = []
    seq = after
    for row in rows:
        seq += 1
        link = stored_link(run_id, seq, tuple(row), forgotten)
        before, earlier = check_link(run_id, link, before), before
        found.append((link, earlier))
    if seq - after < limit and seq < last:
        raise JournalCorrupt(run_id, seq + 1, f"the record is missing, and so is what followed up to {last}")
    return found


async def runs(connection: Connection, query: RunQuery) -> list[RunRow]:
    """See `Journal.runs`. What is asked for is bound, never written into the text; the columns are a closed list."""
    terms: list[str] = []
    values: list[object] = []
    for column in ("tenant", "run_id", "plan", "lane", "idempotency_key", "origin", "parent"):
        value = getattr(query, column)
        if value is not None:
            values.append(value)
            terms.append(f"{column} = ${len(values)}")
    if query.status is not None:
        values.append(list(query.status))
        terms.append(f"status = ANY(${len(values)}::text[])")
    if query.top_level:
        terms.append("parent IS NULL")
    if query.ended_before_s is not None:
        values.append(query.ended_before_s)
        terms.append(f"ended_at_s < ${len(values)}")
    if query.before is not None:
        values.append(query.before)
        there = f"SELECT accepted_at_s, id FROM runs WHERE run_id = ${len(values)}"  # noqa: S608 # a place, bound
        terms.append(f"(accepted_at_s, id) < ({there})")
    where = f"WHERE {' AND '.join(terms)}" if terms else ""
    values.append(query.limit)
    rows = await connection.fetch(f"{ROWS} {where} ORDER BY accepted_at_s DESC, id DESC LIMIT ${len(values)}", *values)
    return [row_of(row) for row in rows]


def row_of(row: asyncpg.Record) -> RunRow:
    """A row of `ROWS`, or one without its last column, of a run that is not parked."""
    return RunRow(**dict(zip((*ROW_NAMES, "parked"), row, strict=False)))
