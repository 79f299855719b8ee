"""Deleting from a PostgreSQL journal: whole runs, or only what they said; and artifacts nobody needs.

The server overwrites what was deleted when it vacuums, which it does by itself; a backup made before holds it still.
"""

from collections.abc import Sequence
from typing import Final

from orchestrator.adapters.postgres.connecting import Connection
from orchestrator.errors import WrongState
from orchestrator.ids import RunId

FORGET_RUNS: Final = 200  #: deleted in one transaction, so that none lasts long

_PAYLOADS: Final = """
WITH gone AS (DELETE FROM payloads WHERE run = ANY($1::bigint[]) RETURNING salt, body, artifact)
SELECT coalesce(sum(length(salt) + coalesce(length(body), 0)), 0)::bigint,
  array_agg(DISTINCT artifact) FILTER (WHERE artifact IS NOT NULL) FROM gone
"""
_ARTIFACTS: Final = """
WITH gone AS (
  DELETE FROM artifacts a WHERE a.digest = ANY($1::bytea[]) AND NOT a.held
  AND NOT EXISTS (SELECT 1 FROM payloads p WHERE p.artifact = a.digest) RETURNING length(body) AS size
) SELECT coalesce(sum(size), 0)::bigint FROM gone
"""
_RECORDS: Final = """
WITH gone AS (DELETE FROM events WHERE run = ANY($1::bigint[]) RETURNING length(header) AS size)
SELECT coalesce(sum(size), 0)::bigint FROM gone
"""


async def forget(connection: Connection, run_ids: Sequence[RunId], *, payloads_only: bool) -> int:
    """See `Journal.forget`. The runs are locked first, so that none gets a record meanwhile."""
    names = sorted(set(run_ids))
    freed = 0
    for at in range(0, len(names), FORGET_RUNS):
        async with connection.transaction():
            open_ = await connection.fetchval(
                "SELECT run_id FROM runs WHERE run_id = ANY($1::text[]) AND status = 'open' LIMIT 1", names
            )
            if open_ is not None:
                raise WrongState(f"run {open_}", "open", "cancel it or let it end before forgetting it")
            rows = await connection.fetch(
                "SELECT id FROM runs WHERE run_id = ANY($1::text[]) ORDER BY id FOR UPDATE",
                names[at : at + FORGET_RUNS],
            )
            freed += await _forget(connection, [row[0] for row in rows], payloads_only=payloads_only)
    return freed


async def _forget(connection: Connection, keys: list[int], *, payloads_only: bool) -> int:
    row = await connection.fetchrow(_PAYLOADS, keys)
    assert row is not None, "one row"
    freed: int = row[0]
    large = row[1] or []
    if large:
        freed += await connection.fetchval(_ARTIFACTS, large)
    if payloads_only:
        await connection.execute("UPDATE runs SET forgotten_seq = last_seq WHERE id = ANY($1::bigint[])", keys)
        return freed
    freed += await connection.fetchval(_RECORDS, keys)
    await connection.execute("DELETE FROM runs WHERE id = ANY($1::bigint[])", keys)
    return freed


async def sweep(connection: Connection, keep: list[bytes]) -> int:
    """Delete every artifact that is neither in `keep` nor holds a payload; return the bytes of them."""
    async with connection.transaction():
        await connection.execute("UPDATE artifacts SET held = false WHERE held AND digest <> ALL($1::bytea[])", keep)
        freed: int = await connection.fetchval(
            "WITH gone AS (DELETE FROM artifacts a WHERE NOT a.held AND digest <> ALL($1::bytea[]) AND NOT EXISTS "
            "(SELECT 1 FROM payloads p WHERE p.artifact = a.digest) RETURNING length(body) AS size) "
            "SELECT coalesce(sum(size), 0)::bigint FROM gone",
            keep,
        )
    return freed
