"""API keys in PostgreSQL, for every process of a service."""

from collections.abc import Sequence
from typing import Final

from orchestrator.adapters.key_rows import COLUMNS, key_of, row_of
from orchestrator.adapters.postgres.connecting import Connection, Record, Server
from orchestrator.ports.keys import ApiKey

PATIENCE_S: Final = 5.0  #: a request waits no longer for a server that is away
_PLACES: Final = ", ".join(f"${place}" for place in range(1, COLUMNS.count(",") + 2))


class PostgresKeys:
    """See `Keys`. It shares the connections of a journal, and ends with it."""

    def __init__(self, server: Server) -> None:
        self._server = server

    async def add(self, key: ApiKey) -> bool:
        text = f"INSERT INTO api_keys ({COLUMNS}) VALUES ({_PLACES}) ON CONFLICT DO NOTHING RETURNING true"  # noqa: S608 # ours
        return bool(await self._server.do(lambda c: c.fetchval(text, *row_of(key)), patience_s=PATIENCE_S))

    async def get(self, key_id: str) -> ApiKey | None:
        text = f"SELECT {COLUMNS} FROM api_keys WHERE id = $1"  # noqa: S608 # ours
        row: Record | None = await self._server.do(lambda c: c.fetchrow(text, key_id), patience_s=PATIENCE_S)
        return key_of(tuple(row)) if row is not None else None

    async def all(self) -> Sequence[ApiKey]:
        text = f"SELECT {COLUMNS} FROM api_keys ORDER BY created_at_s, id"  # noqa: S608 # ours
        rows: list[Record] = await self._server.do(lambda c: c.fetch(text), patience_s=PATIENCE_S)
        return [key_of(tuple(row)) for row in rows]

    async def revoke(self, key_id: str, at_s: float) -> bool:
        async def work(connection: Connection) -> bool:
            text = "UPDATE api_keys SET revoked_at_s = coalesce(revoked_at_s, $2) WHERE id = $1 RETURNING true"
            return bool(await connection.fetchval(text, key_id, at_s))

        return await self._server.do(work, patience_s=PATIENCE_S)

    async def close(self) -> None:
        """The connections are the journal's."""
