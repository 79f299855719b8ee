"""Who owns a journal file: one process, proved by a lock that dies with it. And whether the place can be trusted."""

import contextlib
import fcntl
import os
import re
import time
import weakref
from pathlib import Path
from typing import Final

from orchestrator.errors import JournalError, JournalOwned, PromiseError

#: Locks and write order are not dependable there, and SQLite advises against a write-ahead log on them
#: (sqlite.org/wal.html: "All processes using a database must be on the same host computer").
NETWORK_FILE_SYSTEMS: Final = frozenset({
    "9p", "afs", "beegfs", "ceph", "cifs", "fuse.ceph", "fuse.glusterfs", "fuse.s3fs", "fuse.sshfs", "gfs2",
    "glusterfs", "lustre", "ncpfs", "nfs", "nfs4", "ocfs2", "smb3", "smbfs", "vboxsf",
})  # fmt: skip
MOUNTS: Final = Path("/proc/self/mounts")  #: Linux only; elsewhere nothing is known and nothing is refused
_OCTAL: Final = re.compile(r"\\([0-7]{3})")
_PID_WAIT_S: Final = 0.5  #: an owner writes its number right after taking the lock, and clears it before letting go


class FileLock:
    """The lock of one journal file, held until `release` or the end of the process, however it ends.

    It lies in `<file>.lock`, which stays behind empty: deleting it would let two processes lock two files of one name.
    """

    def __init__(self, path: Path, descriptor: int) -> None:
        self._path, self._descriptor = path, descriptor
        _held.add(self)

    @classmethod
    def acquire(cls, path: Path) -> "FileLock":
        """Lock the journal file at `path`, at once or not at all.

        Raises:
            JournalOwned: another process has it, or this one has opened it before.
            JournalError: the lock file cannot be made.
        """
        beside = lock_path(path)
        try:
            descriptor = os.open(beside, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise JournalError(f"{beside} cannot be opened: {error.strerror}") from error
        until = time.monotonic() + _PID_WAIT_S
        while not _locked(descriptor):
            pid = _pid_in(descriptor)
            if pid or time.monotonic() > until:
                os.close(descriptor)
                raise JournalOwned(str(path), pid)
            time.sleep(0.005)  # the owner has just come, or is just going
        os.ftruncate(descriptor, 0)
        with contextlib.suppress(OSError):  # on a full disk others are not told who has it; it can be read all the same
            os.pwrite(descriptor, str(os.getpid()).encode(), 0)
        return cls(path, descriptor)

    def release(self) -> None:
        """Let go. Safe to call twice."""
        descriptor, self._descriptor = self._descriptor, -1
        _held.discard(self)
        if descriptor >= 0:
            os.ftruncate(descriptor, 0)
            os.close(descriptor)

    def drop_in_child(self) -> None:
        """After a fork: close the copy, so that a child cannot keep the lock when the owner has died."""
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor >= 0:
            os.close(descriptor)


def lock_path(path: Path) -> Path:
    """Where the lock of a journal file lies."""
    return path.with_name(path.name + ".lock")


def owner_pid(path: Path) -> int | None:
    """The process that owns the journal file at `path`; None when nobody does."""
    try:
        lock = FileLock.acquire(path)
    except JournalOwned as owned:
        return owned.pid
    lock.release()
    return None


def refuse_network_file_system(path: Path, mounts: Path = MOUNTS) -> None:
    """Refuse a place where the journal's promises do not hold.

    Raises:
        PromiseError: `path` lies on a network file system.
    """
    kind = _file_system(path, mounts)
    if kind in NETWORK_FILE_SYSTEMS:
        raise PromiseError(
            f"{path} lies on a network file system ({kind}), where SQLite can lose what it has acknowledged",
            "name a file on a local disk with --store, or use PostgreSQL",
        )


def _file_system(path: Path, mounts: Path) -> str:
    try:
        lines = mounts.read_text().splitlines()
    except OSError:
        return ""
    place = os.path.realpath(path)
    longest, found = -1, ""
    for line in lines:
        fields = line.split(" ")
        if len(fields) < 3:
            continue
        point = _OCTAL.sub(lambda found: chr(int(found[1], 8)), fields[1])  # a space is written as \040
        inside = place == point or place.startswith(point.rstrip("/") + "/")
        if inside and len(point) >= longest:  # of two mounts on one point the later one is seen
            longest, found = len(point), fields[2]
    return found


def _locked(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def _pid_in(descriptor: int) -> int:
    """The number in a lock file; 0 while there is none."""
    text = os.pread(descriptor, 32, 0)
    return int(text) if text.isdigit() else 0


_held: "weakref.WeakSet[FileLock]" = weakref.WeakSet()


def _after_fork_in_child() -> None:
    for lock in list(_held):
        lock.drop_in_child()
    _held.clear()


os.register_at_fork(after_in_child=_after_fork_in_child)
