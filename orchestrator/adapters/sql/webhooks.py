"""Webhooks in the file of the SQLite journal. Triggers make what is told due in the transaction that journals it."""

import sqlite3
from typing import Final

from orchestrator.adapters.sql.store import Store
from orchestrator.adapters.sql.writer import Writer
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

_END: Final = "run_id, tenant, plan, status, accepted_at_s, ended_at_s, usd, tokens, 0, NULL"  #: as `NOTICE`
_MARKS: Final = ", ".join("?" * (DELIVERY.count(",") + 1))

#: Made when they are first needed: a journal that no webhook was ever asked of has none of this.
TABLES: Final = """
CREATE TABLE IF NOT EXISTS webhook_endpoints (
  id TEXT PRIMARY KEY, tenant TEXT NOT NULL, url TEXT NOT NULL, secrets TEXT NOT NULL, events TEXT NOT NULL,
  run_id TEXT, state TEXT NOT NULL, reason TEXT NOT NULL, created_at_s REAL NOT NULL
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS webhook_endpoints_tenant ON webhook_endpoints (tenant, run_id);
CREATE TABLE IF NOT EXISTS webhook_outbox (
  id INTEGER PRIMARY KEY, run_id TEXT NOT NULL, tenant TEXT NOT NULL, plan TEXT NOT NULL, status TEXT NOT NULL,
  accepted_at_s REAL NOT NULL, at_s REAL NOT NULL, usd REAL NOT NULL, tokens INTEGER NOT NULL,
  seq INTEGER NOT NULL DEFAULT 0, question TEXT
);
CREATE TABLE IF NOT EXISTS webhook_deliveries (
  id TEXT PRIMARY KEY, endpoint_id TEXT NOT NULL, tenant TEXT NOT NULL, run_id TEXT NOT NULL, event TEXT NOT NULL,
  body TEXT NOT NULL, created_at_s REAL NOT NULL, state TEXT NOT NULL, attempts INTEGER NOT NULL,
  due_at_s REAL NOT NULL, detail TEXT NOT NULL, settled_at_s REAL, leased_until_s REAL NOT NULL DEFAULT 0
);
CREATE INDEX IF NOT EXISTS webhook_deliveries_due ON webhook_deliveries (due_at_s, id) WHERE state = 'pending';
CREATE INDEX IF NOT EXISTS webhook_deliveries_leased ON webhook_deliveries (leased_until_s) WHERE state = 'pending';
CREATE INDEX IF NOT EXISTS webhook_deliveries_list ON webhook_deliveries (tenant, created_at_s, id);
CREATE INDEX IF NOT EXISTS webhook_deliveries_endpoint ON webhook_deliveries (endpoint_id, state);
CREATE INDEX IF NOT EXISTS webhook_deliveries_settled ON webhook_deliveries (settled_at_s)
  WHERE settled_at_s IS NOT NULL;
CREATE TRIGGER IF NOT EXISTS webhook_run_ended AFTER UPDATE OF status ON runs
WHEN OLD.status = 'open' AND NEW.status <> 'open' AND NEW.parent IS NULL
BEGIN
  INSERT INTO webhook_outbox (run_id, tenant, plan, status, accepted_at_s, at_s, usd, tokens)
  SELECT NEW.run_id, NEW.tenant, NEW.plan, NEW.status, NEW.accepted_at_s, NEW.ended_at_s, NEW.usd, NEW.tokens
  WHERE EXISTS (SELECT 1 FROM webhook_endpoints e
    WHERE e.tenant = NEW.tenant AND e.state = 'active' AND (e.run_id IS NULL OR e.run_id = NEW.run_id));
END;
CREATE TRIGGER IF NOT EXISTS webhook_approval_asked AFTER INSERT ON events
WHEN instr(substr(NEW.header, 1, 24), CAST('"approval.asked"' AS BLOB)) > 0
BEGIN
  INSERT INTO webhook_outbox (run_id, tenant, plan, status, accepted_at_s, at_s, usd, tokens, seq, question)
  SELECT r.run_id, r.tenant, r.plan, 'waiting', r.accepted_at_s, json_extract(CAST(NEW.header AS TEXT), '$[3]'),
    0.0, 0, NEW.seq, CAST(NEW.header AS TEXT)
  FROM runs r WHERE r.id = NEW.run AND EXISTS (SELECT 1 FROM webhook_endpoints e
    WHERE e.tenant = r.tenant AND e.state = 'active' AND (e.run_id IS NULL OR e.run_id = r.run_id));
END;
"""


#: Endpoints that have as much under way as they may are left out before the first rows are looked at, so that one with
#: thousands of messages hides nobody else's.
_DUE: Final = f"""
WITH busy AS (
  SELECT endpoint_id, count(*) AS n FROM webhook_deliveries
  WHERE state = 'pending' AND leased_until_s > ?1 GROUP BY endpoint_id
), near AS (
  SELECT d.*, coalesce(b.n, 0) AS n
  FROM webhook_deliveries d JOIN webhook_endpoints e ON e.id = d.endpoint_id LEFT JOIN busy b USING (endpoint_id)
  WHERE d.state = 'pending' AND d.due_at_s <= ?1 AND d.leased_until_s <= ?1
    AND e.state = 'active' AND coalesce(b.n, 0) < ?2
  ORDER BY d.due_at_s, d.id LIMIT {LOOKED_AT}
)
SELECT {DELIVERY} FROM (
  SELECT *, n + row_number() OVER (PARTITION BY endpoint_id ORDER BY due_at_s, id) AS place FROM near
) WHERE place <= ?2 ORDER BY due_at_s, id LIMIT ?3
"""  # noqa: S608 # our names


class SqliteWebhooks:
    """`Webhooks` beside the facts; open and close the journal they belong to."""

    def __init__(self, writer: Writer) -> None:
        self._writer = writer

    @classmethod
    async def open(cls, writer: Writer) -> "SqliteWebhooks":
        """Make the tables where there are none. What another process had begun to send is due again: it is gone."""
        await writer.submit(lambda store: store.within(_set_up, sync=True)).answer()
        return cls(writer)

    async def put(self, endpoint: Endpoint) -> None:
        def work(store: Store) -> None:
            store.within(lambda connection: _put(connection, endpoint), sync=True)

        await self._writer.submit(work).answer()

    async def endpoints(self, tenant: TenantId, endpoint_id: str | None = None) -> list[Endpoint]:
        which, values = ("id = ?", [endpoint_id]) if endpoint_id is not None else ("run_id IS NULL", [])
        text = (
            f"SELECT {ENDPOINT} FROM webhook_endpoints WHERE tenant = ? AND state <> 'removed' AND {which} "  # noqa: S608 # our names
            "ORDER BY created_at_s, id"
        )
        return await self._writer.submit(
            lambda store: store.within(
                lambda connection: [endpoint_of(row) for row in connection.execute(text, (tenant, *values))]
            )
        ).answer()

    async def take(self, now_s: float, limit: int, lease_s: float, each: int) -> list[Due]:
        return await self._writer.submit(
            lambda store: store.within(lambda connection: _take(connection, now_s, limit, lease_s, each))
        ).answer()

    async def settle(self, settled: Settled) -> bool:
        return await self._writer.submit(
            lambda store: store.within(lambda connection: _settle(connection, settled))
        ).answer()

    async def deliveries(self, query: DeliveryQuery) -> list[Delivery]:
        return await self._writer.submit(
            lambda store: store.within(lambda connection: _deliveries(connection, query))
        ).answer()

    async def requeue(self, tenant: TenantId, delivery_id: str, now_s: float) -> bool:
        def work(connection: sqlite3.Connection) -> bool:
            changed = connection.execute(
                "UPDATE webhook_deliveries SET state = 'pending', attempts = 0, due_at_s = ?, settled_at_s = NULL, "
                "leased_until_s = 0 WHERE id = ? AND tenant = ? AND state = 'dead' AND EXISTS "
                "(SELECT 1 FROM webhook_endpoints e WHERE e.id = endpoint_id AND e.state <> 'removed')",
                (now_s, delivery_id, tenant),
            )
            return changed.rowcount == 1

        return await self._writer.submit(lambda store: store.within(work, sync=True)).answer()


def _set_up(connection: sqlite3.Connection) -> None:
    for statement in _statements(TABLES):
        connection.execute(statement)
    connection.execute("UPDATE webhook_deliveries SET leased_until_s = 0 WHERE leased_until_s > 0")


def _statements(script: str) -> list[str]:
    """A script in single statements: `executescript` would end the transaction they are to be made in."""
    found, part = [], ""
    for line in script.strip().splitlines():
        part += line + "\n"
        if sqlite3.complete_statement(part):
            found.append(part)
            part = ""
    return found


def _put(connection: sqlite3.Connection, endpoint: Endpoint) -> None:
    gone = endpoint.state == "removed"
    connection.execute(
        f"INSERT OR REPLACE INTO webhook_endpoints ({ENDPOINT}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",  # noqa: S608 # our names
        endpoint_values(endpoint),
    )
    if gone:
        connection.execute("DELETE FROM webhook_deliveries WHERE endpoint_id = ? AND state = 'pending'", (endpoint.id,))
    if endpoint.run_id is not None and not gone:
        ended = connection.execute(
            f"SELECT {_END} FROM runs WHERE run_id = ? AND tenant = ? AND status <> 'open'",  # noqa: S608 # our names
            (endpoint.run_id, endpoint.tenant),
        ).fetchone()
        if ended is not None:
            _owe(connection, notice_of(ended), [endpoint])


def _take(connection: sqlite3.Connection, now_s: float, limit: int, lease_s: float, each: int) -> list[Due]:
    _expand(connection)
    _prune(connection, now_s)
    rows = connection.execute(_DUE, (now_s, each, limit)).fetchall()
    taken = []
    for row in rows:
        delivery = delivery_of(row, counted=1)
        connection.execute(
            "UPDATE webhook_deliveries SET attempts = attempts + 1, leased_until_s = ? WHERE id = ?",
            (now_s + lease_s, delivery.id),
        )
        endpoint = connection.execute(
            f"SELECT {ENDPOINT} FROM webhook_endpoints WHERE id = ?",  # noqa: S608 # our names
            (delivery.endpoint_id,),
        ).fetchone()
        taken.append(Due(delivery=delivery, endpoint=endpoint_of(endpoint)))
    return taken


def _expand(connection: sqlite3.Connection) -> None:
    """Turn notices into what is owed to each endpoint."""
    rows = connection.execute(f"SELECT id, {NOTICE} FROM webhook_outbox ORDER BY id LIMIT ?", (TOLD_MAX,)).fetchall()  # noqa: S608 # our names
    for row in rows:
        notice = notice_of(row[1:])
        found = connection.execute(
            f"SELECT {ENDPOINT} FROM webhook_endpoints "  # noqa: S608 # our names
            "WHERE tenant = ? AND state = 'active' AND (run_id IS NULL OR run_id = ?)",
            (notice.tenant, notice.run_id),
        )
        _owe(connection, notice, [endpoint_of(one) for one in found.fetchall()])
        connection.execute("DELETE FROM webhook_outbox WHERE id = ?", (row[0],))


def _owe(connection: sqlite3.Connection, notice: Notice, endpoints: list[Endpoint]) -> None:
    for one in deliveries_for(notice, endpoints):
        connection.execute(
            f"INSERT OR IGNORE INTO webhook_deliveries ({DELIVERY}) VALUES ({_MARKS})",  # noqa: S608 # our names
            delivery_values(one),
        )


def _prune(connection: sqlite3.Connection, now_s: float) -> None:
    before_s = now_s - KEEP_S
    connection.execute("DELETE FROM webhook_deliveries WHERE settled_at_s < ?", (before_s,))
    connection.execute(
        "DELETE FROM webhook_endpoints WHERE (run_id IS NOT NULL OR state = 'removed') AND created_at_s < ? "
        "AND NOT EXISTS (SELECT 1 FROM webhook_deliveries d WHERE d.endpoint_id = webhook_endpoints.id) "
        "AND NOT EXISTS (SELECT 1 FROM runs r WHERE r.run_id = webhook_endpoints.run_id AND r.status = 'open')",
        (before_s,),
    )


def _settle(connection: sqlite3.Connection, settled: Settled) -> bool:
    over = settled.state != "pending"
    changed = connection.execute(
        "UPDATE webhook_deliveries SET state = ?, due_at_s = ?, detail = ?, settled_at_s = ?, leased_until_s = 0 "
        "WHERE id = ? AND attempts = ? AND state = 'pending' AND leased_until_s > 0",
        (
            *(settled.state, settled.due_at_s, settled.detail, settled.at_s if over else None),
            *(settled.id, settled.attempt),
        ),
    )
    if changed.rowcount == 0:
        return False
    if settled.disable:
        (endpoint_id,) = connection.execute(
            "SELECT endpoint_id FROM webhook_deliveries WHERE id = ?", (settled.id,)
        ).fetchone()
        connection.execute(
            "UPDATE webhook_endpoints SET state = 'disabled', reason = ? WHERE id = ? AND state = 'active'",
            (settled.disable, endpoint_id),
        )
        _give_up(connection, endpoint_id, settled.at_s, settled.disable)
    return True


def _give_up(connection: sqlite3.Connection, endpoint_id: str, at_s: float, detail: str) -> None:
    connection.execute(
        "UPDATE webhook_deliveries SET state = 'dead', settled_at_s = ?, detail = ? "
        "WHERE endpoint_id = ? AND state = 'pending'",
        (at_s, detail, endpoint_id),
    )


def _deliveries(connection: sqlite3.Connection, query: DeliveryQuery) -> list[Delivery]:
    terms = ["tenant = ?"]
    values: list[object] = [query.tenant]
    for column in ("endpoint_id", "run_id", "state"):
        value = getattr(query, column)
        if value is not None:
            terms.append(f"{column} = ?")
            values.append(value)
    if query.before is not None:
        terms.append(
            "(created_at_s, id) < (SELECT created_at_s, id FROM webhook_deliveries WHERE id = ? AND tenant = ?)"
        )
        values += [query.before, query.tenant]
    rows = connection.execute(
        f"SELECT {DELIVERY} FROM webhook_deliveries WHERE {' AND '.join(terms)} "  # noqa: S608 # our names
        "ORDER BY created_at_s DESC, id DESC LIMIT ?",
        (*values, query.limit),
    )
    return [delivery_of(row) for row in rows]
