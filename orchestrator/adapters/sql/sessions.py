"""Sessions in the file of the SQLite journal, so that a backup of one is a backup of both."""

import sqlite3
from collections.abc import Callable, Sequence
from typing import Final, TypeVar

from orchestrator.adapters.session_rows import head_of, head_text, is_next, turn_of, turn_text
from orchestrator.adapters.sql.writer import Writer
from orchestrator.ids import SessionId, TenantId
from orchestrator.ports.sessions import SWEEP_MAX, TURNS_READ_MAX, SessionHead, SessionKey, Turn

#: Made when they are first needed: a journal that no session was ever kept in has none of this.
TABLES: Final = (
    """
    CREATE TABLE IF NOT EXISTS sessions (
      id INTEGER PRIMARY KEY,
      tenant TEXT NOT NULL,
      session TEXT NOT NULL,
      stamp TEXT NOT NULL,
      version INTEGER NOT NULL,
      expires_at_s REAL NOT NULL,
      head TEXT NOT NULL,
      UNIQUE (tenant, session)
    )
    """,
    "CREATE INDEX IF NOT EXISTS sessions_expiry ON sessions (expires_at_s)",
    """
    CREATE TABLE IF NOT EXISTS session_turns (
      id INTEGER PRIMARY KEY,
      owner INTEGER NOT NULL,
      number INTEGER NOT NULL,
      body TEXT NOT NULL,
      UNIQUE (owner, number)
    )
    """,
)
T = TypeVar("T")


class SqliteSessions:
    """`Sessions` beside the facts; open and close the journal they belong to."""

    def __init__(self, writer: Writer) -> None:
        self._writer = writer
        self._made = False

    async def read(self, key: SessionKey, now_s: float) -> SessionHead | None:
        def work(connection: sqlite3.Connection) -> str | None:
            row = connection.execute(
                "SELECT head FROM sessions WHERE tenant = ? AND session = ? AND expires_at_s > ?",
                (key.tenant, key.id, now_s),
            ).fetchone()
            return None if row is None else str(row[0])

        text = await self._do(work)
        return None if text is None else head_of(key, text)

    async def write(self, head: SessionHead, turns: Sequence[Turn], over: SessionHead | None) -> bool:
        is_next(head, len(turns), over)
        text, bodies = head_text(head), [(turn.number, turn_text(turn)) for turn in turns]

        def work(connection: sqlite3.Connection) -> bool:
            now_s, key = head.updated_at_s, head.key
            if over is None:
                _drop(connection, "tenant = ? AND session = ? AND expires_at_s <= ?", (key.tenant, key.id, now_s))
                changed = connection.execute(
                    "INSERT INTO sessions (tenant, session, stamp, version, expires_at_s, head) "
                    "VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING",
                    (key.tenant, key.id, head.stamp, head.version, head.expires_at_s, text),
                )
            else:
                changed = connection.execute(
                    "UPDATE sessions SET stamp = ?, version = ?, expires_at_s = ?, head = ? "
                    "WHERE tenant = ? AND session = ? AND stamp = ? AND expires_at_s > ?",
                    (head.stamp, head.version, head.expires_at_s, text, key.tenant, key.id, over.stamp, now_s),
                )
            if changed.rowcount != 1:
                return False
            connection.executemany(
                "INSERT INTO session_turns (owner, number, body) "
                "SELECT id, ?, ? FROM sessions WHERE tenant = ? AND session = ?",
                [(number, body, key.tenant, key.id) for number, body in bodies],
            )
            return True

        return await self._do(work)

    async def turns(self, key: SessionKey, after: int, limit: int = TURNS_READ_MAX) -> list[Turn]:
        rows = await self._do(
            lambda connection: connection.execute(
                "SELECT t.number, t.body FROM session_turns t JOIN sessions s ON s.id = t.owner "
                "WHERE s.tenant = ? AND s.session = ? AND t.number > ? ORDER BY t.number LIMIT ?",
                (key.tenant, key.id, after, limit),
            ).fetchall()
        )
        return [turn_of(key, number, body) for number, body in rows]

    async def page(self, tenant: TenantId, after: str, limit: int, now_s: float) -> list[SessionHead]:
        rows = await self._do(
            lambda connection: connection.execute(
                "SELECT session, head FROM sessions WHERE tenant = ? AND session > ? AND expires_at_s > ? "
                "ORDER BY session LIMIT ?",
                (tenant, after, now_s, limit),
            ).fetchall()
        )
        return [head_of(SessionKey(tenant=tenant, id=SessionId(name)), head) for name, head in rows]

    async def delete(self, key: SessionKey) -> bool:
        return (
            await self._do(lambda connection: _drop(connection, "tenant = ? AND session = ?", (key.tenant, key.id))) > 0
        )

    async def sweep(self, now_s: float, limit: int = SWEEP_MAX) -> int:
        gone = "id IN (SELECT id FROM sessions WHERE expires_at_s <= ? ORDER BY expires_at_s LIMIT ?)"
        return await self._do(lambda connection: _drop(connection, gone, (now_s, limit)))

    async def _do(self, work: Callable[[sqlite3.Connection], T]) -> T:
        def made(connection: sqlite3.Connection) -> T:
            if not self._made:
                for statement in TABLES:
                    connection.execute(statement)
            return work(connection)

        result = await self._writer.submit(lambda store: store.within(made)).answer()
        self._made = True
        return result


def _drop(connection: sqlite3.Connection, where: str, values: tuple[object, ...]) -> int:
    """Delete sessions with their turns; return how many sessions."""
    connection.execute(f"DELETE FROM session_turns WHERE owner IN (SELECT id FROM sessions WHERE {where})", values)  # noqa: S608 # ours
    return connection.execute(f"DELETE FROM sessions WHERE {where}", values).rowcount  # noqa: S608 # ours
