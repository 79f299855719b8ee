"""Kept answers in a SQLite file of their own, found again by the next process. Losing it loses only money."""

import sqlite3
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from time import time
from typing import Final, TypeVar

import anyio
import anyio.to_thread

from orchestrator.adapters.cached import CacheLimits, entry_bytes, entry_of, size_of
from orchestrator.adapters.likeness import SCOPE_MAX, nearest
from orchestrator.errors import CacheError
from orchestrator.ports.cache import NEAR_MAX, SEEN_MAX, CacheEntry, Near, Observation
from orchestrator.ports.embeddings import Vector, packed, unpacked

BUSY_S: Final = 2.0  #: that another process may hold the file
USED_MAX: Final = 4_096  #: looks remembered before they are written down
_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS entries (
  tenant TEXT NOT NULL, key TEXT NOT NULL, entry BLOB NOT NULL, scope TEXT NOT NULL, vector BLOB, size INTEGER NOT NULL,
  used_at_s REAL NOT NULL, expires_at_s REAL NOT NULL, PRIMARY KEY (tenant, key));
CREATE INDEX IF NOT EXISTS entries_by_use ON entries (used_at_s);
CREATE INDEX IF NOT EXISTS entries_by_scope ON entries (tenant, scope, used_at_s) WHERE vector IS NOT NULL;
CREATE TABLE IF NOT EXISTS tags (
  tenant TEXT NOT NULL, tag TEXT NOT NULL, key TEXT NOT NULL, PRIMARY KEY (tenant, tag, key)) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS tags_by_key ON tags (tenant, key);
CREATE TABLE IF NOT EXISTS seen (
  number INTEGER PRIMARY KEY, tenant TEXT NOT NULL, key TEXT NOT NULL, similarity REAL NOT NULL, same INTEGER NOT NULL);
CREATE INDEX IF NOT EXISTS seen_by_key ON seen (tenant, key);
"""
T = TypeVar("T")
_Name = tuple[str, str]  #: tenant, key


class SqliteCache:
    """`Cache` in a file; opened by the first look. Several processes may share it, one at a time."""

    def __init__(self, path: Path, limits: CacheLimits | None = None, now_s: Callable[[], float] = time) -> None:
        self._path, self._limits, self._now_s = path, limits or CacheLimits(), now_s
        self._connection: sqlite3.Connection | None = None
        self._lock = anyio.Lock()
        self._used: dict[_Name, float] = {}  #: not written down yet: a look costs no write

    async def get(self, tenant: str, key: str) -> CacheEntry | None:
        return await self._do(lambda db: self._get(db, tenant, key))

    async def put(self, entry: CacheEntry) -> None:
        await self._do(lambda db: self._put(db, entry))

    async def near(self, tenant: str, scope: str, vector: Vector, most: int = NEAR_MAX) -> tuple[Near, ...]:
        return await self._do(lambda db: self._near(db, tenant, scope, vector, most))

    async def observe(self, tenant: str, key: str, seen: Observation) -> None:
        await self._do(lambda db: self._observe(db, tenant, key, seen))

    async def drop(self, tenant: str, *, key: str | None = None, tag: str | None = None) -> int:
        return await self._do(lambda db: self._drop(db, tenant, key, tag))

    async def aclose(self) -> None:
        with anyio.CancelScope(shield=True):
            async with self._lock:
                connection, self._connection = self._connection, None
                if connection is not None:
                    self._write_down(connection)
                    connection.close()

    async def _do(self, work: Callable[[sqlite3.Connection], T]) -> T:
        async with self._lock:
            return await anyio.to_thread.run_sync(self._with, work)

    def _with(self, work: Callable[[sqlite3.Connection], T]) -> T:
        try:
            if self._connection is None:
                self._connection = self._open()
            with self._connection:
                return work(self._connection)
        except (sqlite3.Error, OSError) as error:
            raise CacheError(str(self._path), f"{type(error).__name__}: {error}") from error

    def _open(self) -> sqlite3.Connection:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        connection = sqlite3.connect(self._path, timeout=BUSY_S, check_same_thread=False)
        # A rollback journal: several processes may share the file on every version of the library.
        connection.execute("PRAGMA journal_mode = DELETE")
        connection.execute("PRAGMA synchronous = OFF")  # an answer that is lost at a power cut is asked for again
        connection.executescript(_SCHEMA)
        return connection

    # ---- in a thread

    def _get(self, db: sqlite3.Connection, tenant: str, key: str) -> CacheEntry | None:
        row = db.execute(
            "SELECT entry, vector, expires_at_s FROM entries WHERE tenant = ? AND key = ?", (tenant, key)
        ).fetchone()
        if row is None:
            return None
        now_s = self._now_s()
        if row[2] <= now_s:
            self._forget(db, [(tenant, key)])
            return None
        self._used[tenant, key] = now_s
        if len(self._used) >= USED_MAX:
            self._write_down(db)
        return self._whole(db, row[0], row[1])

    def _whole(self, db: sqlite3.Connection, data: bytes, vector: bytes | None) -> CacheEntry:
        entry = entry_of(data, str(self._path))
        if vector is None:
            return entry
        rows = db.execute(
            "SELECT similarity, same FROM seen WHERE tenant = ? AND key = ? ORDER BY number DESC LIMIT ?",
            (entry.tenant, entry.key, SEEN_MAX),
        ).fetchall()
        seen = tuple(Observation(similarity=similarity, same=bool(same)) for similarity, same in reversed(rows))
        return replace(entry, vector=unpacked(vector), seen=seen)

    def _put(self, db: sqlite3.Connection, entry: CacheEntry) -> None:
        size = size_of(entry)
        db.execute("DELETE FROM tags WHERE tenant = ? AND key = ?", (entry.tenant, entry.key))
        if size > self._limits.bytes_max:
            self._forget(db, [(entry.tenant, entry.key)])
            return
        vector = packed(entry.vector) if entry.scope and entry.vector else None
        now_s = self._now_s()
        self._used.pop((entry.tenant, entry.key), None)
        db.execute(
            "INSERT OR REPLACE INTO entries VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            (entry.tenant, entry.key, entry_bytes(entry), entry.scope, vector, size, now_s, entry.expires_at_s),
        )
        db.executemany(
            "INSERT OR IGNORE INTO tags VALUES (?, ?, ?)", [(entry.tenant, tag, entry.key) for tag in entry.tags]
        )
        for one in entry.seen:
            self._observe(db, entry.tenant, entry.key, one)
        self._evict(db)

    def _evict(self, db: sqlite3.Connection) -> None:
        count, size = db.execute("SELECT count(*), coalesce(sum(size), 0) FROM entries").fetchone()
        if count <= self._limits.entries_max and size <= self._limits.bytes_max:
            return
        self._write_down(db)
        over: list[_Name] = []
        for tenant, key, bytes_ in db.execute("SELECT tenant, key, size FROM entries ORDER BY used_at_s"):
            if count <= self._limits.entries_max and size <= self._limits.bytes_max:
                break
            over.append((tenant, key))
            count, size = count - 1, size - bytes_
        self._forget(db, over)

    def _write_down(self, db: sqlite3.Connection) -> None:
        used, self._used = self._used, {}
        db.executemany(
            "UPDATE entries SET used_at_s = ? WHERE tenant = ? AND key = ?",
            [(at_s, tenant, key) for (tenant, key), at_s in used.items()],
        )
        db.commit()

    def _near(self, db: sqlite3.Connection, tenant: str, scope: str, vector: Vector, most: int) -> tuple[Near, ...]:
        rows = db.execute(
            "SELECT key, vector FROM entries WHERE tenant = ? AND scope = ? AND vector IS NOT NULL "
            "AND expires_at_s > ? ORDER BY used_at_s DESC LIMIT ?",
            (tenant, scope, self._now_s(), SCOPE_MAX),
        ).fetchall()
        found = []
        for key, similarity in nearest(rows, vector, most):
            entry = self._get(db, tenant, key)
            if entry is not None:
                found.append(Near(entry=entry, similarity=similarity))
        return tuple(found)

    def _observe(self, db: sqlite3.Connection, tenant: str, key: str, seen: Observation) -> None:
        where = (tenant, key)
        if db.execute("SELECT 1 FROM entries WHERE tenant = ? AND key = ?", where).fetchone() is None:
            return
        db.execute(
            "INSERT INTO seen (tenant, key, similarity, same) VALUES (?, ?, ?, ?)", (*where, seen.similarity, seen.same)
        )
        db.execute(
            "DELETE FROM seen WHERE number IN (SELECT number FROM seen WHERE tenant = ? AND key = ? "
            "ORDER BY number DESC LIMIT -1 OFFSET ?)",
            (*where, SEEN_MAX),
        )

    def _drop(self, db: sqlite3.Connection, tenant: str, key: str | None, tag: str | None) -> int:
        names: list[_Name] = []
        if key is not None:
            names += db.execute("SELECT tenant, key FROM entries WHERE tenant = ? AND key = ?", (tenant, key))
        if tag is not None:
            names += db.execute("SELECT tenant, key FROM tags WHERE tenant = ? AND tag = ?", (tenant, tag))
        self._forget(db, names)
        return len(set(names))

    def _forget(self, db: sqlite3.Connection, names: Iterable[_Name]) -> None:
        rows = list(names)
        for table in ("entries", "tags", "seen"):
            db.executemany(f"DELETE FROM {table} WHERE tenant = ? AND key = ?", rows)  # noqa: S608  # our own names
        for name in rows:
            self._used.pop(name, None)
