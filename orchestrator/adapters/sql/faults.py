"""What an error of SQLite means for a journal: which of ours it is, what to do about it, and whether to go on."""

import sqlite3
from pathlib import Path
from typing import Final

from orchestrator.errors import JournalError, JournalFull

_DAMAGED: Final = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB})
#: After these the state of the file is unknown until it is opened again: a write or sync that failed once may have
#: thrown away what was waiting in the operating system's memory, and would then seem to succeed.
_FATAL: Final = _DAMAGED | {sqlite3.SQLITE_IOERR, sqlite3.SQLITE_READONLY}
#: What a call of sqlite3 raises. A damaged file can hold bytes that are no text, also where SQLite's error quotes it.
FAULTS: Final = (sqlite3.Error, UnicodeDecodeError)
_NO_TEXT: Final = "Could not decode to UTF-8"  #: sqlite3 gives no code for these
RESTORE: Final = "restore a backup (`orchestrator restore`)"
RESTART: Final = "see that the disk works, then restart to find out what was kept"


def is_fatal(error: Exception) -> bool:
    """Whether the connection may not be used any more."""
    return _kind(error) in _FATAL


def translated(error: Exception, path: Path, doing: str = "") -> JournalError:
    """The error to raise for one of `FAULTS` at `path`; `doing` says what could not be done: " cannot be opened"."""
    kind = _kind(error)
    if kind == sqlite3.SQLITE_FULL:
        return JournalFull(str(path))
    if kind in _DAMAGED:
        told = "a text in it is none" if isinstance(error, UnicodeDecodeError) else str(error)
        elsewhere = "name another file, or " if kind == sqlite3.SQLITE_NOTADB else ""
        return JournalError(f"{path}{doing}: {told}; {elsewhere}{RESTORE}")
    if kind in _FATAL:
        return JournalError(f"{path}{doing}: {error}; {RESTART}")
    return JournalError(f"{path}{doing}: {error}")


def _kind(error: Exception) -> int:
    if isinstance(error, UnicodeDecodeError) or str(error).startswith(_NO_TEXT):
        return sqlite3.SQLITE_CORRUPT
    code: int = getattr(error, "sqlite_errorcode", 0)
    return code & 0xFF  # the lowest byte is the kind, the rest its details
