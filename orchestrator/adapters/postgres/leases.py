"""Who owns which run, in PostgreSQL: leases by the server's clock, claims as compare-and-set."""

from collections.abc import Collection, Sequence
from typing import Final

from orchestrator.adapters.postgres.connecting import Connection, Server
from orchestrator.adapters.postgres.reading import row_of
from orchestrator.adapters.records import ROW_NAMES
from orchestrator.ids import RunId
from orchestrator.ports.ownership import LOADS_MAX, Adopted

SUSPECTS: Final = 8  #: claimed at once of runs that were loaded once and not for long; of those after that, one

_RENEW: Final = """
INSERT INTO owners AS o (owner, lease_until) VALUES ($1, clock_timestamp() + $2 * interval '1 second')
ON CONFLICT (owner) DO UPDATE SET lease_until = EXCLUDED.lease_until
RETURNING (xmax = 0) OR (SELECT b.lease_until > clock_timestamp() FROM owners b WHERE b.owner = $1)
"""
#: Of the owners whose lease has ended the index of open runs by owner is asked: what lives costs nothing.
_PICKED: Final = """
SELECT r.id, r.root, r.loads FROM (SELECT '' AS owner UNION ALL SELECT owner FROM owners
  WHERE lease_until <= clock_timestamp()) d JOIN runs r ON r.owner = d.owner
WHERE r.status = 'open' AND r.parked IS NULL AND r.root <> ALL($1::text[]) AND (r.parent IS NULL
  OR NOT EXISTS (SELECT 1 FROM runs t WHERE t.run_id = r.root AND t.status = 'open'))
"""
_NEXT_CLASS: Final = f"SELECT min(loads) FROM ({_PICKED}) p"  # noqa: S608 # our own text
_ADOPT: Final = f"""
WITH picked AS ({_PICKED} AND r.loads = $4 ORDER BY r.accepted_at_s, r.id LIMIT $3 FOR UPDATE OF r SKIP LOCKED)
UPDATE runs u SET owner = $2, loads = p.loads + 1,
  epoch = greatest(u.epoch + 1, floor(extract(epoch FROM clock_timestamp()) * 1000)::bigint)
FROM (SELECT DISTINCT root, loads FROM picked) p WHERE u.root = p.root AND u.status = 'open'
RETURNING u.loads, {", ".join(f"u.{name}" for name in ROW_NAMES)}
"""  # noqa: S608 # names of our fields
_PARK: Final = f"""
WITH picked AS ({_PICKED} AND r.loads >= $2)
UPDATE runs u SET parked = $3 FROM picked p WHERE u.root = p.root AND u.status = 'open' RETURNING u.run_id
"""  # noqa: S608 # our own text
_DROP_OWNERS: Final = """
DELETE FROM owners o WHERE o.owner = $1 OR (o.lease_until < clock_timestamp() - interval '1 day'
  AND NOT EXISTS (SELECT 1 FROM runs r WHERE r.owner = o.owner AND r.status = 'open'))
"""
CRASHES: Final = f"{LOADS_MAX} owners ended while they loaded it; look at it, then resume it by name"


class PostgresLeases:
    """See `Ownership`."""

    def __init__(self, server: Server) -> None:
        self._server = server

    async def renew(self, owner: str, lease_s: float) -> bool:
        held: bool = await self._server.do(lambda c: c.fetchval(_RENEW, owner, lease_s), patience_s=lease_s)
        return held

    async def adopt(self, owner: str, limit: int, but_not: Collection[RunId] = ()) -> list[Adopted]:
        left_alone = list(but_not)

        async def work(connection: Connection) -> list[Adopted]:
            loads: int | None = await connection.fetchval(_NEXT_CLASS, left_alone)
            if loads is None:
                return []
            if loads >= LOADS_MAX:
                await connection.fetch(_PARK, left_alone, LOADS_MAX, CRASHES)
                return []
            most = (limit, SUSPECTS)[loads] if loads < 2 else 1
            async with connection.transaction():
                rows = await connection.fetch(_ADOPT, left_alone, owner, min(limit, most), loads)
            found = [Adopted(row=row_of(row[1:]), loads=row[0]) for row in rows]
            return sorted(found, key=lambda one: (one.row.accepted_at_s, one.row.run_id))

        return await self._server.do(work) if limit > 0 else []

    async def held(self, owner: str) -> dict[RunId, int]:
        rows = await self._server.do(
            lambda c: c.fetch("SELECT run_id, epoch FROM runs WHERE owner = $1 AND status = 'open'", owner)
        )
        return {RunId(run_id): epoch for run_id, epoch in rows}

    async def steady(self, owner: str, run_ids: Sequence[RunId]) -> None:
        await self._server.do(
            lambda c: c.execute(
                "UPDATE runs SET loads = 0 WHERE run_id = ANY($1::text[]) AND owner = $2 AND loads > 0",
                list(run_ids),
                owner,
            )
        )

    async def release(self, owner: str, run_ids: Sequence[RunId] | None, *, parked: str = "") -> None:
        roots = None if run_ids is None else list({run_id.partition(".")[0] for run_id in run_ids})

        async def work(connection: Connection) -> None:
            async with connection.transaction():
                await connection.execute(
                    "UPDATE runs SET owner = '', parked = nullif($3, ''), loads = 0 "
                    "WHERE owner = $1 AND status = 'open' AND ($2::text[] IS NULL OR root = ANY($2::text[]))",
                    owner,
                    roots,
                    parked,
                )
                if roots is None:
                    await connection.execute(_DROP_OWNERS, owner)
                await connection.execute("SELECT pg_notify('orchestrator_journal', 'new ' || $1)", owner)

        await self._server.do(work, patience_s=5.0)

    async def owner_of(self, run_id: RunId) -> str | None:
        owner: str | None = await self._server.do(
            lambda c: c.fetchval(
                "SELECT o.owner FROM runs r JOIN owners o ON o.owner = r.owner "
                "WHERE r.run_id = $1 AND o.lease_until > clock_timestamp()",
                run_id,
            )
        )
        return owner
