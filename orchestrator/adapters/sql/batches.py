"""Items and groups of the batch service in a SQLite file beside the journal: they outlive the process."""

import secrets
import sqlite3
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path
from typing import Final, TypeVar

import anyio
import anyio.to_thread
from pydantic import TypeAdapter

from orchestrator.errors import JournalError
from orchestrator.ports.batches import BatchEntry, BatchGroup, BatchItem, ItemState

_ENTRY: Final[TypeAdapter[BatchEntry]] = TypeAdapter(BatchEntry)
_TABLES: Final = """
CREATE TABLE IF NOT EXISTS batch_items (
    id TEXT PRIMARY KEY, line TEXT NOT NULL, model TEXT NOT NULL, state TEXT NOT NULL, grp TEXT NOT NULL,
    asked_at_s REAL NOT NULL, until_s REAL NOT NULL, entry BLOB NOT NULL
) STRICT;
CREATE INDEX IF NOT EXISTS batch_items_open ON batch_items (line, state, model);
CREATE INDEX IF NOT EXISTS batch_items_group ON batch_items (grp, state);
CREATE TABLE IF NOT EXISTS batch_groups (
    key TEXT PRIMARY KEY, line TEXT NOT NULL, owner TEXT NOT NULL, at_s REAL NOT NULL, batch TEXT NOT NULL
) STRICT;
"""
KEEP_S: Final = 7 * 86_400.0  #: what has ended is kept so long after its time, for attempts that ask again
BUSY_S: Final = 10.0  #: another process may hold the file so long
T = TypeVar("T")


class SqliteBatches:
    """Answers the port `BatchStore` from a file that several processes of one machine may share.

    Raises:
        JournalError: at any call, where the file cannot be read or written.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._turn = anyio.Lock()
        self._connection: sqlite3.Connection | None = None

    async def _do(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """One transaction in a thread, one at a time; a caller that is cancelled does not cut it off."""
        async with self._turn:
            with anyio.CancelScope(shield=True):
                return await anyio.to_thread.run_sync(self._done, work)
            raise AssertionError("a shielded scope swallows nothing")

    def _done(self, work: Callable[[sqlite3.Connection], T]) -> T:
        try:
            if self._connection is None:
                self._path.parent.mkdir(parents=True, exist_ok=True)
                connection = sqlite3.connect(self._path, BUSY_S, isolation_level=None, check_same_thread=False)
                connection.execute("PRAGMA journal_mode = WAL")
                connection.execute("PRAGMA synchronous = FULL")
                connection.executescript(_TABLES)
                self._connection = connection
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                result = work(self._connection)
            except BaseException:
                self._connection.execute("ROLLBACK")
                raise
            self._connection.execute("COMMIT")
        except sqlite3.Error as error:
            raise JournalError(f"the file of the batch lane, {self._path.name}: {error}") from error
        return result

    async def aclose(self) -> None:
        """Close the file."""
        async with self._turn:
            if self._connection is not None:
                self._connection.close()
                self._connection = None

    async def put(self, item: BatchItem) -> BatchEntry:
        def work(db: sqlite3.Connection) -> BatchEntry:
            row = db.execute("SELECT entry FROM batch_items WHERE id = ?", (item.id,)).fetchone()
            known = _ENTRY.validate_json(row[0]) if row is not None else None
            if known is not None and known.state == "withdrawn":
                known = None
            made = BatchEntry(item=item) if known is None else known.asked_again(item)
            if made is not known:
                _write(db, made)
            return made

        return await self._do(work)

    async def look(self, ids: Sequence[str]) -> list[BatchEntry]:
        def work(db: sqlite3.Connection) -> list[BatchEntry]:
            found = []
            for one in ids:
                row = db.execute("SELECT entry FROM batch_items WHERE id = ?", (one,)).fetchone()
                if row is not None:
                    found.append(_ENTRY.validate_json(row[0]))
            return found

        return await self._do(work)

    async def gather(self, line: str, *, owner: str, now_s: float, ripe_s: float, most: int) -> BatchGroup | None:
        def work(db: sqlite3.Connection) -> BatchGroup | None:
            row = db.execute(
                "SELECT model FROM batch_items WHERE line = ? AND state = 'waiting' AND until_s > ? GROUP BY model "
                "HAVING COUNT(*) >= ? OR MIN(asked_at_s) <= ? ORDER BY MIN(asked_at_s) LIMIT 1",
                (line, now_s, most, ripe_s),
            ).fetchone()
            if row is None:
                return None
            rows = db.execute(
                "SELECT entry FROM batch_items WHERE line = ? AND state = 'waiting' AND until_s > ? AND model = ? "
                "ORDER BY asked_at_s, id LIMIT ?",
                (line, now_s, row[0], most),
            ).fetchall()
            db.execute(
                "DELETE FROM batch_items WHERE state NOT IN ('waiting', 'sent') AND until_s < ?", (now_s - KEEP_S,)
            )
            key = secrets.token_hex(16)
            db.execute("INSERT INTO batch_groups VALUES (?, ?, ?, ?, '')", (key, line, owner, now_s))
            items = []
            for (entry,) in rows:
                known = _ENTRY.validate_json(entry)
                items.append(known.item)
                _write(db, BatchEntry(item=known.item, state="sent", group=key, sent=known.sent + 1))
            return BatchGroup(key=key, line=line, owner=owner, at_s=now_s, items=tuple(items))

        return await self._do(work)

    async def groups(self, line: str) -> list[BatchGroup]:
        def work(db: sqlite3.Connection) -> list[BatchGroup]:
            db.execute(
                "DELETE FROM batch_groups WHERE line = ? AND NOT EXISTS "
                "(SELECT 1 FROM batch_items WHERE grp = batch_groups.key AND state = 'sent')",
                (line,),
            )
            found = []
            with closing(
                db.execute("SELECT key, owner, at_s, batch FROM batch_groups WHERE line = ? ORDER BY at_s", (line,))
            ) as rows:
                for key, owner, at_s, batch in rows.fetchall():
                    entries = db.execute("SELECT entry FROM batch_items WHERE grp = ? AND state = 'sent'", (key,))
                    items = tuple(_ENTRY.validate_json(entry).item for (entry,) in entries.fetchall())
                    found.append(BatchGroup(key=key, line=line, owner=owner, at_s=at_s, batch=batch, items=items))
            return found

        return await self._do(work)

    async def claim(self, group: BatchGroup, *, owner: str, now_s: float, batch: str = "") -> bool:
        def work(db: sqlite3.Connection) -> bool:
            changed = db.execute(
                "UPDATE batch_groups SET owner = ?, at_s = ?, batch = ? WHERE key = ? AND owner = ? AND batch = ?",
                (owner, now_s, batch or group.batch, group.key, group.owner, group.batch),
            )
            return changed.rowcount == 1

        return await self._do(work)

    async def settle(self, entries: Sequence[BatchEntry], was: ItemState) -> list[str]:
        def work(db: sqlite3.Connection) -> list[str]:
            written = []
            for entry in entries:
                row = db.execute("SELECT state, entry FROM batch_items WHERE id = ?", (entry.item.id,)).fetchone()
                if row is not None and row[0] == was and _ENTRY.validate_json(row[1]).group == entry.group:
                    _write(db, entry)
                    written.append(entry.item.id)
            return written

        return await self._do(work)


def _write(db: sqlite3.Connection, entry: BatchEntry) -> None:
    item = entry.item
    group = entry.group if entry.state == "sent" else ""
    values = (item.id, item.line, item.request.model, entry.state, group, item.asked_at_s, item.until_s)
    db.execute("INSERT OR REPLACE INTO batch_items VALUES (?, ?, ?, ?, ?, ?, ?, ?)", (*values, _ENTRY.dump_json(entry)))
