"""Schedules in the file of the SQLite journal."""

import sqlite3
from typing import Final

from orchestrator.adapters.schedule_rows import body_of, schedule_of
from orchestrator.adapters.sql.writer import Writer
from orchestrator.ids import TenantId
from orchestrator.ports.schedules import Schedule

#: Made when they are first needed.
TABLES: Final = (
    """
    CREATE TABLE IF NOT EXISTS schedules (
      id TEXT PRIMARY KEY, tenant TEXT NOT NULL, created_at_s REAL NOT NULL, wake_s REAL, version INTEGER NOT NULL,
      body TEXT NOT NULL
    )
    """,
    "CREATE INDEX IF NOT EXISTS schedules_tenant ON schedules (tenant, created_at_s, id)",
    "CREATE INDEX IF NOT EXISTS schedules_wake ON schedules (wake_s, id) WHERE wake_s IS NOT NULL",
)
_SELECT: Final = "SELECT id, tenant, created_at_s, wake_s, version, body FROM schedules"


class SqliteSchedules:
    """`Schedules` beside the facts; open and close the journal they belong to."""

    def __init__(self, writer: Writer) -> None:
        self._writer = writer

    @classmethod
    async def open(cls, writer: Writer) -> "SqliteSchedules":
        """Make the table where there is none."""

        def work(connection: sqlite3.Connection) -> None:
            for statement in TABLES:
                connection.execute(statement)

        await writer.submit(lambda store: store.within(work, sync=True)).answer()
        return cls(writer)

    async def save(self, schedule: Schedule) -> bool:
        one = schedule

        def work(connection: sqlite3.Connection) -> bool:
            if one.version == 0:
                done = connection.execute(
                    "INSERT INTO schedules (id, tenant, created_at_s, wake_s, version, body) VALUES (?, ?, ?, ?, 1, ?) "
                    "ON CONFLICT DO NOTHING",
                    (one.id, one.tenant, one.created_at_s, one.wake_s, body_of(one)),
                )
            else:
                done = connection.execute(
                    "UPDATE schedules SET wake_s = ?, version = version + 1, body = ? WHERE id = ? AND version = ?",
                    (one.wake_s, body_of(one), one.id, one.version),
                )
            return done.rowcount == 1

        return await self._writer.submit(lambda store: store.within(work, sync=True)).answer()

    async def of_tenant(self, tenant: TenantId) -> list[Schedule]:
        return await self._read(f"{_SELECT} WHERE tenant = ? ORDER BY created_at_s, id", tenant)

    async def get(self, tenant: TenantId, schedule_id: str) -> Schedule | None:
        found = await self._read(f"{_SELECT} WHERE tenant = ? AND id = ?", tenant, schedule_id)
        return found[0] if found else None

    async def due(self, now_s: float, limit: int) -> list[Schedule]:
        return await self._read(f"{_SELECT} WHERE wake_s <= ? ORDER BY wake_s, id LIMIT ?", now_s, limit)

    async def remove(self, tenant: TenantId, schedule_id: str) -> bool:
        def work(connection: sqlite3.Connection) -> bool:
            gone = connection.execute("DELETE FROM schedules WHERE tenant = ? AND id = ?", (tenant, schedule_id))
            return gone.rowcount == 1

        return await self._writer.submit(lambda store: store.within(work, sync=True)).answer()

    async def _read(self, text: str, *values: object) -> list[Schedule]:
        return await self._writer.submit(
            lambda store: store.within(
                lambda connection: [schedule_of(row) for row in connection.execute(text, values)]
            )
        ).answer()
