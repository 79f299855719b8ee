"""Sessions in the database of the journal, for every process of a service."""

from collections.abc import Sequence
from typing import Final

from orchestrator.adapters.postgres.connecting import Connection, Record, Server
from orchestrator.adapters.session_rows import head_of, head_text, is_next, turn_of, turn_text
from orchestrator.ids import SessionId, TenantId
from orchestrator.ports.sessions import SWEEP_MAX, TURNS_READ_MAX, SessionHead, SessionKey, Turn

PATIENCE_S: Final = 5.0  #: a turn waits no longer for a server that is away
_BEGIN: Final = """
INSERT INTO sessions (tenant, session, stamp, version, expires_at_s, head) VALUES ($1, $2, $3, $4, $5, $6)
ON CONFLICT (tenant, session) DO NOTHING RETURNING true
"""
_CHANGE: Final = """
UPDATE sessions SET stamp = $3, version = $4, expires_at_s = $5, head = $6
WHERE tenant = $1 AND session = $2 AND stamp = $7 AND expires_at_s > $8 RETURNING true
"""
_TURNS: Final = """
INSERT INTO session_turns (tenant, session, number, body)
SELECT $1, $2, number, body FROM unnest($3::int[], $4::text[]) AS t (number, body)
"""
_SWEEP: Final = """
DELETE FROM sessions WHERE (tenant, session) IN (
  SELECT tenant, session FROM sessions WHERE expires_at_s <= $1 ORDER BY expires_at_s LIMIT $2 FOR UPDATE SKIP LOCKED
) AND expires_at_s <= $1 RETURNING true
"""


class PostgresSessions:
    """`Sessions` in a shared database; open and close the journal they belong to."""

    def __init__(self, server: Server) -> None:
        self._server = server

    async def read(self, key: SessionKey, now_s: float) -> SessionHead | None:
        text = "SELECT head FROM sessions WHERE tenant = $1 AND session = $2 AND expires_at_s > $3"
        found: str | None = await self._server.do(
            lambda c: c.fetchval(text, key.tenant, key.id, now_s), patience_s=PATIENCE_S
        )
        return None if found is None else head_of(key, found)

    async def write(self, head: SessionHead, turns: Sequence[Turn], over: SessionHead | None) -> bool:
        is_next(head, len(turns), over)
        text = head_text(head)

        async def work(connection: Connection) -> bool:
            key, now_s = head.key, head.updated_at_s
            common = (key.tenant, key.id, head.stamp, head.version, head.expires_at_s, text)
            async with connection.transaction():
                if over is None:
                    gone = "DELETE FROM sessions WHERE tenant = $1 AND session = $2 AND expires_at_s <= $3"
                    await connection.execute(gone, key.tenant, key.id, now_s)
                    written = await connection.fetchval(_BEGIN, *common)
                else:
                    written = await connection.fetchval(_CHANGE, *common, over.stamp, now_s)
                if written and turns:
                    numbers, bodies = [turn.number for turn in turns], [turn_text(turn) for turn in turns]
                    await connection.execute(_TURNS, key.tenant, key.id, numbers, bodies)
            # After a lost connection the work is done again: the stamp says whether the first try was kept.
            return bool(written) or await _is_there(connection, head)

        return await self._server.do(work, patience_s=PATIENCE_S)

    async def turns(self, key: SessionKey, after: int, limit: int = TURNS_READ_MAX) -> list[Turn]:
        text = (
            "SELECT number, body FROM session_turns WHERE tenant = $1 AND session = $2 AND number > $3 "
            "ORDER BY number LIMIT $4"
        )
        rows: list[Record] = await self._server.do(
            lambda c: c.fetch(text, key.tenant, key.id, after, limit), patience_s=PATIENCE_S
        )
        return [turn_of(key, number, body) for number, body in rows]

    async def page(self, tenant: TenantId, after: str, limit: int, now_s: float) -> list[SessionHead]:
        text = (
            "SELECT session, head FROM sessions WHERE tenant = $1 AND session > $2 AND expires_at_s > $3 "
            "ORDER BY session LIMIT $4"
        )
        rows: list[Record] = await self._server.do(
            lambda c: c.fetch(text, tenant, after, now_s, limit), patience_s=PATIENCE_S
        )
        return [head_of(SessionKey(tenant=tenant, id=SessionId(name)), head) for name, head in rows]

    async def delete(self, key: SessionKey) -> bool:
        text = "DELETE FROM sessions WHERE tenant = $1 AND session = $2 RETURNING true"
        return bool(await self._server.do(lambda c: c.fetchval(text, key.tenant, key.id), patience_s=PATIENCE_S))

    async def sweep(self, now_s: float, limit: int = SWEEP_MAX) -> int:
        rows: list[Record] = await self._server.do(lambda c: c.fetch(_SWEEP, now_s, limit), patience_s=PATIENCE_S)
        return len(rows)


async def _is_there(connection: Connection, head: SessionHead) -> bool:
    """Whether this very write has been kept."""
    query = "SELECT stamp = $3 FROM sessions WHERE tenant = $1 AND session = $2"
    return bool(await connection.fetchval(query, head.key.tenant, head.key.id, head.stamp))
