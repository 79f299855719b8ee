"""The tables of a SQLite journal, and how a connection to it is set up.

One file is used by one connection. That is more than tidiness: SQLite 3.7.0 to 3.51.2 can damage a database in WAL mode
when two connections write and checkpoint at the same moment (the "WAL-reset" bug, fixed in 3.51.3). A connection in
exclusive locking mode cannot meet a second one, needs no shared memory, and saves the locking calls of each commit.
"""

import os
import sqlite3
from pathlib import Path
from typing import Final

from orchestrator.adapters.sql.faults import FAULTS, translated
from orchestrator.errors import JournalError, PromiseError

APPLICATION_ID: Final = 0x484F4A31  #: "HOJ1", in the header of the file
SCHEMA_VERSION: Final = 1
SQLITE_LOWEST: Final = (3, 31, 0)  #: VACUUM INTO (3.27) and all the SQL used here, with room
BUSY_TIMEOUT_S: Final = 2.0  #: for a stranger who holds the file while it is opened; later nobody can
PAGE_BYTES: Final = 2048  #: half of what is usual: a commit of a few records writes half as much to the log
STATEMENTS_CACHED: Final = 128

#: `payloads.at` and `events` share their order: a run's rows lie together. `at` is run * 2^32 + seq, which lets rows of
#: some kilobytes lie inside one page; in a WITHOUT ROWID table each of them would take a page more.
TABLES: Final = """
CREATE TABLE runs (
  id INTEGER PRIMARY KEY,
  run_id TEXT NOT NULL UNIQUE,
  tenant TEXT NOT NULL,
  plan TEXT NOT NULL,
  lane TEXT NOT NULL,
  status TEXT NOT NULL,
  accepted_at_s REAL NOT NULL,
  ended_at_s REAL,
  epoch INTEGER NOT NULL,
  owner TEXT NOT NULL,
  origin TEXT NOT NULL,
  parent TEXT,
  idempotency_key TEXT,
  request_digest TEXT NOT NULL,
  usd REAL NOT NULL,
  tokens INTEGER NOT NULL,
  sealed_seq INTEGER NOT NULL DEFAULT 0,
  forgotten_seq INTEGER NOT NULL DEFAULT 0
);
CREATE UNIQUE INDEX runs_key ON runs (tenant, idempotency_key) WHERE idempotency_key IS NOT NULL;
CREATE INDEX runs_accepted ON runs (accepted_at_s, id);
CREATE INDEX runs_status ON runs (status, accepted_at_s, id);
CREATE INDEX runs_origin ON runs (origin);
CREATE INDEX runs_parent ON runs (parent) WHERE parent IS NOT NULL;
CREATE TABLE events (
  run INTEGER NOT NULL,
  seq INTEGER NOT NULL,
  header BLOB NOT NULL,
  digest BLOB,
  hash BLOB NOT NULL,
  PRIMARY KEY (run, seq)
) WITHOUT ROWID;
CREATE TABLE payloads (
  at INTEGER PRIMARY KEY,
  salt BLOB NOT NULL,
  body BLOB,
  artifact BLOB
);
CREATE INDEX payloads_artifact ON payloads (artifact) WHERE artifact IS NOT NULL;
CREATE TABLE artifacts (
  id INTEGER PRIMARY KEY,
  digest BLOB NOT NULL UNIQUE,
  held INTEGER NOT NULL,
  body BLOB NOT NULL
);
"""


def connect(path: Path, max_bytes: int | None) -> sqlite3.Connection:
    """Open the file, create its tables when it is new, and lock it for this connection alone.

    The caller holds the file's lock (`ownership`). The connection may be used from any thread, by one at a time.

    Raises:
        PromiseError: this SQLite is too old, or cannot keep a write-ahead log here.
        JournalError: the file is something else, newer than this release, damaged, or held by another program.
    """
    if sqlite3.sqlite_version_info < SQLITE_LOWEST:
        raise PromiseError(
            f"SQLite {sqlite3.sqlite_version} is too old for a journal",
            f"use a Python with SQLite {'.'.join(map(str, SQLITE_LOWEST))} or newer",
        )
    _create_private(path)
    try:
        connection = sqlite3.connect(
            path,
            timeout=BUSY_TIMEOUT_S,
            isolation_level=None,
            check_same_thread=False,
            cached_statements=STATEMENTS_CACHED,
        )
    except FAULTS as error:
        raise translated(error, path, " cannot be opened") from error
    try:
        _set_up(connection, path)
        if max_bytes is not None:
            connection.execute(f"PRAGMA max_page_count={max(max_bytes // PAGE_BYTES, 1)}")
    except FAULTS as error:
        connection.close()
        if getattr(error, "sqlite_errorcode", None) == sqlite3.SQLITE_BUSY:
            raise JournalError(f"{path} is being used by another program; let it close the file") from error
        raise translated(error, path, " cannot be opened as a journal") from error
    except BaseException:
        connection.close()
        raise
    return connection


def _create_private(path: Path) -> None:
    """Outputs of other people's work lie in here: the file is made readable for its owner alone."""
    try:
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))
    except FileExistsError:
        pass
    except OSError as error:
        raise JournalError(f"{path} cannot be created: {error.strerror}") from error


def _set_up(connection: sqlite3.Connection, path: Path) -> None:
    def pragma(text: str) -> object:
        row = connection.execute(f"PRAGMA {text}").fetchone()
        return None if row is None else row[0]

    pragma("locking_mode=EXCLUSIVE")  # before anything is read, so that no shared memory is ever made
    if pragma("page_count") == 0:  # later they change nothing, and still the second would write: not on a full disk
        pragma(f"page_size={PAGE_BYTES}")
        pragma("auto_vacuum=INCREMENTAL")  # lets `forget` give room back
    if pragma("journal_mode=WAL") != "wal":
        raise PromiseError(f"SQLite cannot keep a write-ahead log beside {path}", "use a local disk")
    pragma("synchronous=NORMAL")
    pragma("wal_autocheckpoint=0")  # the writer does it, when nobody waits
    pragma("secure_delete=ON")  # what is forgotten is overwritten
    pragma("temp_store=MEMORY")
    application, version = pragma("application_id"), pragma("user_version")
    if application == 0 and pragma("schema_version") == 0:
        connection.executescript(
            f"BEGIN IMMEDIATE;{TABLES}"
            f"PRAGMA application_id={APPLICATION_ID};PRAGMA user_version={SCHEMA_VERSION};COMMIT;"
        )
        return
    if application != APPLICATION_ID:
        raise JournalError(f"{path} is a SQLite database, but no journal; name another file")
    if version != SCHEMA_VERSION:
        raise JournalError(f"{path} has schema {version}, this release reads {SCHEMA_VERSION}; use a newer release")
