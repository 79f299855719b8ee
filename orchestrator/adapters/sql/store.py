"""A SQLite journal without its thread: every operation as a plain function of one connection, errors translated.

Not for several threads at a time; `writer` sees to that.
"""

import ctypes
import hashlib
import os
import sqlite3
import weakref
from collections.abc import Callable, Iterator, Sequence
from collections.abc import Set as AbstractSet
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

from orchestrator.adapters.records import Encoded, raw_digest
from orchestrator.adapters.sql import backup as copying
from orchestrator.adapters.sql import forget as deleting
from orchestrator.adapters.sql import queries
from orchestrator.adapters.sql.faults import FAULTS, is_fatal, translated
from orchestrator.adapters.sql.group import Group
from orchestrator.adapters.sql.heads import Heads
from orchestrator.adapters.sql.schema import connect
from orchestrator.core.chain import Link
from orchestrator.errors import ArtifactMissing, JournalError, JournalFull, RunNotFound
from orchestrator.ids import ArtifactDigest, RunId
from orchestrator.ports.journal import Append, Recorded, RunQuery, RunRow

T = TypeVar("T")


class Store:
    """One connection, and what it knows about the newest records."""

    def __init__(self, path: Path, max_bytes: int | None) -> None:
        self.path = path
        self._log = path.with_name(path.name + "-wal")
        self._synced = False  #: whether a commit waits for the disk now
        self._broken: str | None = None
        self._connection = connect(path, max_bytes)
        _open.add(self)
        try:
            with self._errors():
                self._heads = Heads(self._connection)
        except BaseException:
            self._connection.close()
            raise

    def commit(
        self, calls: Sequence[tuple[Sequence[Append], Sequence[Encoded]]], *, sync: bool
    ) -> list[tuple[RunId, ...]]:
        """Commit the entries of several calls in one transaction; for each call, return the runs it was refused.

        With `sync` the log is forced to the disk, and with it everything committed before: FULL differs from NORMAL in
        that single call of fsync, so switching costs two statements and the other commits stay as cheap as they are.

        Raises:
            JournalFull: nothing of any call was written.
            JournalError: likewise.
        """
        self._must_be_sound()
        group = Group(self._connection, self._heads)
        try:
            refused = [
                tuple(
                    [entry.run_id for entry, facts in zip(entries, encoded, strict=True) if not group.add(entry, facts)]
                )
                for entries, encoded in calls
            ]
            if sync is not self._synced:
                self._connection.execute("PRAGMA synchronous=FULL" if sync else "PRAGMA synchronous=NORMAL")
                self._synced = sync
            group.write()
        except FAULTS as error:
            self._heads.drop(group.touched)
            raise self._translated(error) from error
        except BaseException:
            self._heads.drop(group.touched)
            raise
        return refused

    def within(self, work: Callable[[sqlite3.Connection], T], *, sync: bool = False) -> T:
        """Do work on tables of others in this file, in one transaction; `sync`: on the disk when this returns.

        Raises:
            JournalError: nothing was written.
        """
        with self._errors():
            if sync is not self._synced:
                self._connection.execute("PRAGMA synchronous=FULL" if sync else "PRAGMA synchronous=NORMAL")
                self._synced = sync
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                result = work(self._connection)
                self._connection.execute("COMMIT")
            except BaseException:
                if self._connection.in_transaction:
                    self._connection.execute("ROLLBACK")
                raise
        return result

    def read(self, run_id: RunId, after: int, limit: int) -> list[Recorded]:
        with self._errors():
            return queries.read(self._connection, run_id, after, limit)

    def verify(self, run_id: RunId) -> int:
        with self._errors():
            return queries.verify(self._connection, run_id)

    def links(self, run_id: RunId, after: int, limit: int) -> list[Link]:
        with self._errors():
            return queries.links(self._connection, run_id, after, limit)

    def damages(self) -> list[str]:
        with self._errors():
            return queries.damages(self._connection)

    def runs(self, query: RunQuery) -> list[RunRow]:
        with self._errors():
            return queries.runs(self._connection, query)

    def claim(self, run_id: RunId, owner: str) -> int:
        with self._errors():
            changed = self._connection.execute(
                "UPDATE runs SET epoch = epoch + 1, owner = ? WHERE run_id = ?", (owner, run_id)
            )
            if changed.rowcount == 0:
                raise RunNotFound(run_id)
            self._heads.drop([run_id])
            head = self._heads.get(run_id)
            assert head is not None
            return head.epoch

    def forget(self, run_ids: Sequence[RunId], *, payloads_only: bool) -> int:
        with self._errors():
            found = deleting.ended_runs(self._connection, run_ids)
            self._heads.drop(run_id for _, run_id in found)
            freed = deleting.forget(self._connection, found, payloads_only=payloads_only)
            deleting.give_back(self._connection)
            return freed

    def put_artifact(self, data: bytes) -> ArtifactDigest:
        digest = hashlib.sha256(data).digest()
        with self._errors():
            self._connection.execute(
                "INSERT INTO artifacts (digest, held, body) VALUES (?, 1, ?) "
                "ON CONFLICT (digest) DO UPDATE SET held = 1",
                (digest, data),
            )
        return ArtifactDigest("sha256:" + digest.hex())

    def get_artifact(self, digest: ArtifactDigest) -> bytes:
        with self._errors():
            row = self._connection.execute(
                "SELECT body FROM artifacts WHERE digest = ?", (raw_digest(digest),)
            ).fetchone()
        if row is None:
            raise ArtifactMissing(digest, "not in this store")
        if not isinstance(row[0], bytes) or hashlib.sha256(row[0]).digest() != raw_digest(digest):
            raise ArtifactMissing(digest, "its bytes were changed after they were stored")
        return row[0]

    def sweep_artifacts(self, keep: AbstractSet[ArtifactDigest]) -> int:
        kept = {raw_digest(digest) for digest in keep}
        with self._errors():
            freed = deleting.sweep(self._connection, kept)
            deleting.give_back(self._connection)
            return freed

    def backup(self, target: Path) -> None:
        with self._errors():
            copying.copy(self._connection, target.absolute())

    def log_bytes(self) -> int:
        """Size of the write-ahead log."""
        try:
            return os.stat(self._log).st_size  # noqa: PTH116 # asked often; Path.stat builds two objects more
        except OSError:
            return 0

    def checkpoint(self) -> None:
        """Move the log into the database and empty it. Where there is no room the log stays, and nothing is lost."""
        self._must_be_sound()
        try:
            self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
        except FAULTS as error:
            if not isinstance(translated := self._translated(error), JournalFull):
                raise translated from error

    def close(self) -> None:
        """Close the file; SQLite moves the log into the database while doing so."""
        self._connection.close()

    def _must_be_sound(self) -> None:
        if self._broken is not None:
            raise JournalError(f"{self.path} failed before ({self._broken}); restart to find out what was kept")

    @contextmanager
    def _errors(self) -> Iterator[None]:
        self._must_be_sound()
        try:
            yield
        except FAULTS as error:
            raise self._translated(error) from error

    def _translated(self, error: Exception) -> JournalError:
        if is_fatal(error):
            self._broken = str(error)
        return translated(error, self.path)


_open: "weakref.WeakSet[Store]" = weakref.WeakSet()


def _after_fork_in_child() -> None:
    """Let no child ever close a connection it has inherited: believing itself the owner, SQLite would delete the log.

    One reference more than the interpreter knows of keeps the object from being cleared away, also at exit.
    """
    for store in list(_open):
        ctypes.pythonapi.Py_IncRef(ctypes.py_object(store._connection))


os.register_at_fork(after_in_child=_after_fork_in_child)
