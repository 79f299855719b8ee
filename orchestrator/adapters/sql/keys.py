"""API keys in a SQLite file of their own, beside the journal.

The journal's file belongs to one process; keys are made and revoked by commands while a service runs. So they lie
apart, in SQLite's older form with a rollback journal, which any number of processes may share.
"""

import os
import sqlite3
from collections.abc import Callable, Sequence
from contextlib import closing, suppress
from pathlib import Path
from typing import Final, TypeVar

import anyio
import anyio.to_thread

from orchestrator.adapters.key_rows import COLUMNS, key_of, row_of
from orchestrator.errors import JournalError
from orchestrator.ports.keys import ApiKey

APPLICATION_ID: Final = 0x484F4B31  #: "HOK1", in the header of the file
BUSY_S: Final = 5.0  #: another process may be writing for this long
_TABLE: Final = """
CREATE TABLE keys (
  id TEXT PRIMARY KEY,
  name TEXT NOT NULL,
  tenant TEXT NOT NULL,
  scopes TEXT NOT NULL,
  digest TEXT NOT NULL,
  created_at_s REAL NOT NULL,
  caps TEXT NOT NULL,
  expires_at_s REAL,
  revoked_at_s REAL
) WITHOUT ROWID
"""
T = TypeVar("T")


class SqliteKeys:
    """See `Keys`. Opened for each call and closed again: nothing stays locked, and a fork inherits nothing."""

    def __init__(self, path: Path) -> None:
        self._path = path

    async def add(self, key: ApiKey) -> bool:
        row = row_of(key)

        def work(connection: sqlite3.Connection) -> bool:
            text = f"INSERT OR IGNORE INTO keys ({COLUMNS}) VALUES ({', '.join('?' * len(row))})"  # noqa: S608 # ours
            return connection.execute(text, row).rowcount == 1

        return await self._do(work)

    async def get(self, key_id: str) -> ApiKey | None:
        def work(connection: sqlite3.Connection) -> ApiKey | None:
            row = connection.execute(f"SELECT {COLUMNS} FROM keys WHERE id = ?", (key_id,)).fetchone()  # noqa: S608 # ours
            return key_of(row) if row is not None else None

        return await self._do(work)

    async def all(self) -> Sequence[ApiKey]:
        def work(connection: sqlite3.Connection) -> list[ApiKey]:
            rows = connection.execute(f"SELECT {COLUMNS} FROM keys ORDER BY created_at_s, id")  # noqa: S608 # ours
            return [key_of(row) for row in rows]

        return await self._do(work)

    async def revoke(self, key_id: str, at_s: float) -> bool:
        def work(connection: sqlite3.Connection) -> bool:
            text = "UPDATE keys SET revoked_at_s = coalesce(revoked_at_s, ?) WHERE id = ?"
            return connection.execute(text, (at_s, key_id)).rowcount == 1

        return await self._do(work)

    async def close(self) -> None:
        """Nothing is held."""

    async def _do(self, work: Callable[[sqlite3.Connection], T]) -> T:
        return await anyio.to_thread.run_sync(self._done, work)

    def _done(self, work: Callable[[sqlite3.Connection], T]) -> T:
        try:
            _create_private(self._path)
            with closing(sqlite3.connect(self._path, timeout=BUSY_S, isolation_level=None)) as connection:
                _set_up(connection, self._path)
                return work(connection)
        except (sqlite3.Error, OSError) as error:
            raise JournalError(f"the keys in {self._path} cannot be used: {error}") from error


def _create_private(path: Path) -> None:
    """Who may use the service is nobody else's business: the file is made readable for its owner alone."""
    with suppress(FileExistsError):
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))


def _set_up(connection: sqlite3.Connection, path: Path) -> None:
    (application,) = connection.execute("PRAGMA application_id").fetchone()
    if application == APPLICATION_ID:
        return
    if application or connection.execute("SELECT 1 FROM sqlite_master").fetchone() is not None:
        raise JournalError(f"{path} is a SQLite database, but holds no keys; move it away")
    connection.execute("BEGIN IMMEDIATE")  # whoever comes second at this moment waits, and finds the table
    if connection.execute("SELECT 1 FROM sqlite_master").fetchone() is None:
        connection.execute(_TABLE)
        connection.execute(f"PRAGMA application_id={APPLICATION_ID}")
    connection.execute("COMMIT")
