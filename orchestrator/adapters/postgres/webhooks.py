"""Webhooks in the database of the journal. Triggers make what is told due in the transaction that journals it."""

from typing import Final

from orchestrator.adapters.postgres.connecting import Connection, Record, Server
from orchestrator.adapters.webhook_rows import (
    DELIVERY,
    ENDPOINT,
    NOTICE,
    delivery_of,
    delivery_values,
    endpoint_of,
    endpoint_values,
    notice_of,
)
from orchestrator.ids import TenantId
from orchestrator.ports.webhooks import (
    KEEP_S,
    LOOKED_AT,
    TOLD_MAX,
    Delivery,
    DeliveryQuery,
    Due,
    Endpoint,
    Notice,
    Settled,
    deliveries_for,
)

TAKING: Final = 0x484F4A32  #: "HOJ2": the advisory lock under which one process at a time takes what is due
_END: Final = "run_id, tenant, plan, status, accepted_at_s, ended_at_s, usd, tokens, 0, NULL"  #: as `NOTICE`
_MARKS: Final = ", ".join(f"${number}" for number in range(1, DELIVERY.count(",") + 2))
_PUT: Final = f"""
INSERT INTO webhook_endpoints ({ENDPOINT}) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)
ON CONFLICT (id) DO UPDATE SET url = excluded.url, secrets = excluded.secrets, events = excluded.events,
  state = excluded.state, reason = excluded.reason
"""  # noqa: S608 # our names
#: As in the SQLite store: endpoints that are busy enough are left out before the first rows are looked at.
_DUE: Final = f"""
WITH busy AS (
  SELECT endpoint_id, count(*) AS n FROM webhook_deliveries
  WHERE state = 'pending' AND leased_until_s > $1 GROUP BY endpoint_id
), near AS (
  SELECT d.id, d.endpoint_id, d.due_at_s, coalesce(b.n, 0) AS n
  FROM webhook_deliveries d JOIN webhook_endpoints e ON e.id = d.endpoint_id LEFT JOIN busy b USING (endpoint_id)
  WHERE d.state = 'pending' AND d.due_at_s <= $1 AND d.leased_until_s <= $1
    AND e.state = 'active' AND coalesce(b.n, 0) < $2
  ORDER BY d.due_at_s, d.id LIMIT {LOOKED_AT}
), chosen AS (
  SELECT id FROM (
    SELECT id, due_at_s, n + row_number() OVER (PARTITION BY endpoint_id ORDER BY due_at_s, id) AS place FROM near
  ) p WHERE place <= $2 ORDER BY due_at_s, id LIMIT $3
)
UPDATE webhook_deliveries d SET attempts = attempts + 1, leased_until_s = $1::double precision + $4
FROM chosen WHERE d.id = chosen.id
RETURNING {", ".join(f"d.{name}" for name in DELIVERY.split(", "))}
"""  # noqa: S608 # likewise
_TOLD: Final = f"""
DELETE FROM webhook_outbox WHERE id IN (SELECT id FROM webhook_outbox ORDER BY id LIMIT $1) RETURNING {NOTICE}
"""  # noqa: S608 # likewise
_SETTLE: Final = """
UPDATE webhook_deliveries SET state = $1, due_at_s = $2, detail = $3, settled_at_s = $4, leased_until_s = 0
WHERE id = $5 AND attempts = $6 AND state = 'pending' AND leased_until_s > 0 RETURNING endpoint_id
"""
_REQUEUE: Final = """
UPDATE webhook_deliveries d SET state = 'pending', attempts = 0, due_at_s = $1, settled_at_s = NULL, leased_until_s = 0
WHERE d.id = $2 AND d.tenant = $3 AND d.state = 'dead'
  AND EXISTS (SELECT 1 FROM webhook_endpoints e WHERE e.id = d.endpoint_id AND e.state <> 'removed') RETURNING 1
"""


class PostgresWebhooks:
    """See `Webhooks`."""

    def __init__(self, server: Server) -> None:
        self._server = server

    async def put(self, endpoint: Endpoint) -> None:
        async def work(connection: Connection) -> None:
            async with connection.transaction():
                await connection.execute(_PUT, *endpoint_values(endpoint))
                if endpoint.state == "removed":
                    await connection.execute(
                        "DELETE FROM webhook_deliveries WHERE endpoint_id = $1 AND state = 'pending'", endpoint.id
                    )
                elif endpoint.run_id is not None:
                    # Whoever ends the run meanwhile waits for this row, or is waited for: one sees the other.
                    ended = await connection.fetchrow(
                        f"SELECT {_END}, status <> 'open' FROM runs WHERE run_id = $1 AND tenant = $2 FOR UPDATE",  # noqa: S608 # our names
                        endpoint.run_id,
                        endpoint.tenant,
                    )
                    if ended is not None and ended[-1]:
                        await _owe(connection, notice_of(tuple(ended)[:-1]), [endpoint])

        await self._server.do(work)

    async def endpoints(self, tenant: TenantId, endpoint_id: str | None = None) -> list[Endpoint]:
        which, values = ("id = $2", [endpoint_id]) if endpoint_id is not None else ("run_id IS NULL", [])
        rows: list[Record] = await self._server.do(
            lambda connection: connection.fetch(
                f"SELECT {ENDPOINT} FROM webhook_endpoints WHERE tenant = $1 AND state <> 'removed' AND {which} "  # noqa: S608 # our names
                "ORDER BY created_at_s, id",
                tenant,
                *values,
            )
        )
        return [endpoint_of(tuple(row)) for row in rows]

    async def take(self, now_s: float, limit: int, lease_s: float, each: int) -> list[Due]:
        async def work(connection: Connection) -> list[Due]:
            async with connection.transaction():
                await connection.execute("SELECT pg_advisory_xact_lock($1)", TAKING)
                await _expand(connection)
                await _prune(connection, now_s)
                rows = await connection.fetch(_DUE, now_s, each, limit, lease_s)
                taken = [delivery_of(tuple(row)) for row in rows]
                found = await connection.fetch(
                    f"SELECT {ENDPOINT} FROM webhook_endpoints WHERE id = ANY($1::text[])",  # noqa: S608 # our names
                    [one.endpoint_id for one in taken],
                )
                endpoints = {one.id: one for one in (endpoint_of(tuple(row)) for row in found)}
                taken.sort(key=lambda one: (one.due_at_s, one.id))
                return [Due(delivery=one, endpoint=endpoints[one.endpoint_id]) for one in taken]

        return await self._server.do(work)

    async def settle(self, settled: Settled) -> bool:
        over = settled.state != "pending"

        async def work(connection: Connection) -> bool:
            async with connection.transaction():
                endpoint_id = await connection.fetchval(
                    _SETTLE,
                    *(settled.state, settled.due_at_s, settled.detail, settled.at_s if over else None),
                    *(settled.id, settled.attempt),
                )
                if endpoint_id is not None and settled.disable:
                    await connection.execute(
                        "UPDATE webhook_endpoints SET state = 'disabled', reason = $1 "
                        "WHERE id = $2 AND state = 'active'",
                        *(settled.disable, endpoint_id),
                    )
                    await connection.execute(
                        "UPDATE webhook_deliveries SET state = 'dead', settled_at_s = $1, detail = $2, "
                        "leased_until_s = 0 WHERE endpoint_id = $3 AND state = 'pending'",
                        *(settled.at_s, settled.disable, endpoint_id),
                    )
                return endpoint_id is not None

        return await self._server.do(work)

    async def deliveries(self, query: DeliveryQuery) -> list[Delivery]:
        values: list[object] = [query.tenant]
        terms = ["tenant = $1"]
        for column in ("endpoint_id", "run_id", "state"):
            value = getattr(query, column)
            if value is not None:
                values.append(value)
                terms.append(f"{column} = ${len(values)}")
        if query.before is not None:
            values.append(query.before)
            place = "SELECT created_at_s, id FROM webhook_deliveries WHERE tenant = $1 AND id"
            terms.append(f"(created_at_s, id) < ({place} = ${len(values)})")
        values.append(query.limit)
        rows: list[Record] = await self._server.do(
            lambda connection: connection.fetch(
                f"SELECT {DELIVERY} FROM webhook_deliveries WHERE {' AND '.join(terms)} "  # noqa: S608 # our names
                f"ORDER BY created_at_s DESC, id DESC LIMIT ${len(values)}",
                *values,
            )
        )
        return [delivery_of(tuple(row)) for row in rows]

    async def requeue(self, tenant: TenantId, delivery_id: str, now_s: float) -> bool:
        done = await self._server.do(lambda connection: connection.fetchval(_REQUEUE, now_s, delivery_id, tenant))
        return done is not None


async def _expand(connection: Connection) -> None:
    """Turn notices into what is owed to each endpoint."""
    rows = await connection.fetch(_TOLD, TOLD_MAX)
    for row in rows:
        notice = notice_of(tuple(row))
        found = await connection.fetch(
            f"SELECT {ENDPOINT} FROM webhook_endpoints "  # noqa: S608 # our names
            "WHERE tenant = $1 AND state = 'active' AND (run_id IS NULL OR run_id = $2)",
            *(notice.tenant, notice.run_id),
        )
        await _owe(connection, notice, [endpoint_of(tuple(one)) for one in found])


async def _owe(connection: Connection, notice: Notice, endpoints: list[Endpoint]) -> None:
    owed = deliveries_for(notice, endpoints)
    if owed:
        await connection.executemany(
            f"INSERT INTO webhook_deliveries ({DELIVERY}) VALUES ({_MARKS}) ON CONFLICT DO NOTHING",  # noqa: S608 # our names
            [delivery_values(one) for one in owed],
        )


async def _prune(connection: Connection, now_s: float) -> None:
    before_s = now_s - KEEP_S
    await connection.execute("DELETE FROM webhook_deliveries WHERE settled_at_s < $1", before_s)
    await connection.execute(
        "DELETE FROM webhook_endpoints e WHERE (run_id IS NOT NULL OR state = 'removed') AND created_at_s < $1 "
        "AND NOT EXISTS (SELECT 1 FROM webhook_deliveries d WHERE d.endpoint_id = e.id) "
        "AND NOT EXISTS (SELECT 1 FROM runs r WHERE r.run_id = e.run_id AND r.status = 'open')",
        before_s,
    )
