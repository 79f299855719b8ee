"""Copies of a journal file: made while it is in use, and put back while it is not."""

import os
import shutil
import sqlite3
from pathlib import Path

from orchestrator.adapters.sql.ownership import FileLock
from orchestrator.adapters.sql.schema import APPLICATION_ID, SCHEMA_VERSION
from orchestrator.errors import JournalError


def copy(connection: sqlite3.Connection, target: Path) -> None:
    """Write a sound, compact copy of the journal to `target`, readable for its owner alone; nothing is overwritten.

    Raises:
        JournalError: `target` exists or cannot be written.
        sqlite3.Error: the copy failed and was removed.
    """
    if target.exists():
        raise JournalError(f"{target} exists; name a file that does not")
    part = target.with_name(target.name + ".part")
    try:
        part.unlink(missing_ok=True)
        os.close(os.open(part, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))
        connection.execute("VACUUM INTO ?", (str(part),))
        _force(part)
        part.rename(target)
        _force(target.parent)
    except OSError as error:
        raise JournalError(f"{target} cannot be written: {error.strerror}") from error
    finally:
        part.unlink(missing_ok=True)


def restore(backup: Path, path: Path) -> None:
    """Put the copy `backup` in the place of the journal at `path`. The journal it replaces is gone afterwards.

    Raises:
        JournalOwned: a process is using the journal at `path`.
        JournalError: `backup` is no sound journal of this release, or the place cannot be written.
    """
    _check(backup)
    path.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock.acquire(path)
    part = path.with_name(path.name + ".part")
    try:
        part.unlink(missing_ok=True)
        with (
            backup.open("rb") as source,
            os.fdopen(os.open(part, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600), "wb") as sink,
        ):
            shutil.copyfileobj(source, sink)
        _force(part)
        path.with_name(path.name + "-wal").unlink(missing_ok=True)  # of the old journal; it must not meet the new one
        part.rename(path)
        _force(path.parent)
    except OSError as error:
        raise JournalError(f"{path} cannot be written: {error.strerror}") from error
    finally:
        part.unlink(missing_ok=True)
        lock.release()


def _check(backup: Path) -> None:
    if not backup.is_file():
        raise JournalError(f"{backup} is not there")
    try:
        connection = sqlite3.connect(f"{backup.resolve().as_uri()}?mode=ro&immutable=1", uri=True)
        try:
            application = connection.execute("PRAGMA application_id").fetchone()[0]
            version = connection.execute("PRAGMA user_version").fetchone()[0]
            report = connection.execute("PRAGMA quick_check(1)").fetchone()[0]
        finally:
            connection.close()
    except sqlite3.Error as error:
        raise JournalError(f"{backup} cannot be read as a journal: {error}") from error
    if (application, version) != (APPLICATION_ID, SCHEMA_VERSION):
        raise JournalError(f"{backup} is no journal of this release; nothing was restored")
    if report != "ok":
        raise JournalError(f"{backup} is damaged ({report}); nothing was restored")


def _force(path: Path) -> None:
    """Wait until a file or folder is on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
