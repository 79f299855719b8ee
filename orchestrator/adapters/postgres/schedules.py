"""Schedules in the database of the journal."""

from typing import Final

from orchestrator.adapters.postgres.connecting import Connection, Record, Server
from orchestrator.adapters.schedule_rows import body_of, schedule_of
from orchestrator.ids import TenantId
from orchestrator.ports.schedules import Schedule

_SELECT: Final = "SELECT id, tenant, created_at_s, wake_s, version, body FROM schedules"


class PostgresSchedules:
    """See `Schedules`."""

    def __init__(self, server: Server) -> None:
        self._server = server

    async def save(self, schedule: Schedule) -> bool:
        one, body, tries = schedule, body_of(schedule), 0

        async def work(connection: Connection) -> bool:
            nonlocal tries
            tries += 1
            if one.version == 0:
                done = await connection.fetchval(
                    "INSERT INTO schedules (id, tenant, created_at_s, wake_s, version, body) "
                    "VALUES ($1, $2, $3, $4, 1, $5) ON CONFLICT DO NOTHING RETURNING 1",
                    *(one.id, one.tenant, one.created_at_s, one.wake_s, body),
                )
            else:
                done = await connection.fetchval(
                    "UPDATE schedules SET wake_s = $1, version = version + 1, body = $2 "
                    "WHERE id = $3 AND version = $4 RETURNING 1",
                    *(one.wake_s, body, one.id, one.version),
                )
            if done is None and tries > 1:  # the try before may have been committed, and its answer lost
                done = await connection.fetchval(
                    "SELECT 1 FROM schedules WHERE id = $1 AND version = $2 AND body = $3",
                    *(one.id, one.version + 1, body),
                )
            return done is not None

        return await self._server.do(work)

    async def of_tenant(self, tenant: TenantId) -> list[Schedule]:
        return await self._read(f"{_SELECT} WHERE tenant = $1 ORDER BY created_at_s, id", tenant)

    async def get(self, tenant: TenantId, schedule_id: str) -> Schedule | None:
        found = await self._read(f"{_SELECT} WHERE tenant = $1 AND id = $2", tenant, schedule_id)
        return found[0] if found else None

    async def due(self, now_s: float, limit: int) -> list[Schedule]:
        return await self._read(f"{_SELECT} WHERE wake_s <= $1 ORDER BY wake_s, id LIMIT $2", now_s, limit)

    async def remove(self, tenant: TenantId, schedule_id: str) -> bool:
        gone = await self._server.do(
            lambda connection: connection.fetchval(
                "DELETE FROM schedules WHERE tenant = $1 AND id = $2 RETURNING 1", tenant, schedule_id
            )
        )
        return gone is not None

    async def _read(self, text: str, *values: object) -> list[Schedule]:
        rows: list[Record] = await self._server.do(lambda connection: connection.fetch(text, *values))
        return [schedule_of(tuple(row)) for row in rows]
