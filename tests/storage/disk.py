"""A disk that fails on purpose: a VFS of SQLite's own kind between SQLite and the operating system.

It is registered with the very library that Python's sqlite3 uses, so every write, sync, truncation, read and deletion
of the product passes it, in any thread. It can count them, write them down, and make one of them fail as a real disk
does: full, half written, refused, or done and then reported as failed.
"""

import _sqlite3
import ctypes as c
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Literal

import pytest

Kind = Literal["write", "sync", "truncate", "read", "delete"]
Fault = Literal["full", "refused", "torn", "done"]

OK: Final = 0
FULL: Final = 13
IOERR: Final[dict[Kind, int]] = {"read": 266, "write": 778, "sync": 1034, "truncate": 1546, "delete": 2570}

_File, _Vfs, _I64, _Int = c.c_void_p, c.c_void_p, c.c_int64, c.c_int
_OPEN = c.CFUNCTYPE(_Int, _Vfs, c.c_void_p, _File, _Int, c.POINTER(_Int))
_DELETE = c.CFUNCTYPE(_Int, _Vfs, c.c_char_p, _Int)
_CLOSE = c.CFUNCTYPE(_Int, _File)
_MOVE = c.CFUNCTYPE(_Int, _File, c.c_void_p, _Int, _I64)
_TRUNCATE = c.CFUNCTYPE(_Int, _File, _I64)
_SYNC = c.CFUNCTYPE(_Int, _File, _Int)


class _VfsTable(c.Structure):
    """`struct sqlite3_vfs`, version 3."""

    _fields_ = (
        ("version", _Int), ("file_bytes", _Int), ("path_bytes", _Int), ("next", c.c_void_p), ("name", c.c_char_p),
        ("data", c.c_void_p), ("open", c.c_void_p), ("delete", c.c_void_p), ("others", c.c_void_p * 14),
    )  # fmt: skip


class _FileTable(c.Structure):
    """`struct sqlite3_io_methods`, version 3."""

    _fields_ = (
        ("version", _Int), ("close", c.c_void_p), ("read", c.c_void_p), ("write", c.c_void_p),
        ("truncate", c.c_void_p), ("sync", c.c_void_p), ("others", c.c_void_p * 13),
    )  # fmt: skip


@dataclass(frozen=True, slots=True)
class Done:
    """One thing that was asked of the disk and done."""

    kind: Kind
    path: Path
    offset: int = 0  #: of a write; the length that stays, of a truncation
    data: bytes = b""


@dataclass
class Disk:
    """What the disk saw, and what it is to do."""

    folder: Path  #: only files below it count, fail and are written down
    kinds: frozenset[Kind] = frozenset({"write", "sync", "truncate"})  #: that are counted
    at: int | None = None  #: the number, from 1, of the operation that fails
    fault: Fault = "refused"
    lasting: bool = False  #: whether everything after it fails too
    seen: int = 0
    failed: int = 0
    keep: bool = False  #: whether to write down what was done
    done: list[Done] = field(default_factory=list)

    def heal(self) -> None:
        """Fail no more."""
        self.at = None

    def verdict(self, kind: Kind, path: Path) -> Fault | None:
        """Whether this operation fails, and how."""
        if kind not in self.kinds or self.folder not in path.parents:
            return None
        self.seen += 1
        if self.at is None or not (self.seen == self.at or (self.lasting and self.seen > self.at)):
            return None
        if self.fault == "full" and kind != "write":  # only what needs room fails for want of it
            return None
        self.failed += 1
        return self.fault

    def note(self, kind: Kind, path: Path, offset: int = 0, data: bytes = b"") -> None:
        """Write down what was done."""
        if self.keep and kind != "read" and self.folder in path.parents:
            self.done.append(Done(kind, path, offset, data))


class _Layer:
    """The table of functions handed to SQLite. It lives as long as the process: SQLite may keep pointers into it."""

    def __init__(self) -> None:
        self.disk: Disk | None = None
        self._library: Any = c.CDLL(_sqlite3.__file__)  # finds the SQLite it is linked with, too
        try:
            find, self._register = self._library.sqlite3_vfs_find, self._library.sqlite3_vfs_register
        except AttributeError:
            outcome = pytest.fail if os.environ.get("CI") == "true" else pytest.skip
            outcome("this Python hides its SQLite library, so no failing disk can be put below it")
        find.restype, find.argtypes = c.c_void_p, [c.c_char_p]
        self._register.argtypes = [c.c_void_p, _Int]
        self._below: int = find(None)
        below = _VfsTable.from_address(self._below)
        assert below.version >= 1
        self._table = _VfsTable.from_buffer_copy(below)
        self._table.name, self._table.next = b"failing-disk", None
        self._kept: list[object] = []
        self._tables: dict[int, _FileTable] = {}
        self._paths: dict[int, tuple[Path, _FileTable]] = {}
        self._table.open = self._hold(_OPEN, self._opener(_OPEN(below.open)))
        self._table.delete = self._hold(_DELETE, self._deleter(_DELETE(below.delete)))

    @contextmanager
    def used(self, disk: Disk) -> Iterator[None]:
        """Whatever is opened within goes through `disk`."""
        assert self.disk is None, "one failing disk at a time"
        self.disk = disk
        self._register(c.addressof(self._table), 1)
        try:
            yield
        finally:
            self._register(self._below, 1)
            self.disk = None

    def _hold(self, kind: Any, call: Callable[..., int]) -> int:
        held = kind(call)
        self._kept.append(held)
        return c.cast(held, c.c_void_p).value or 0

    def _opener(self, below: Callable[..., int]) -> Callable[..., int]:
        def opened(_vfs: int, name: int | None, file: int, flags: int, out: object) -> int:
            code = below(self._below, name, file, flags, out)
            methods = c.c_void_p.from_address(file)
            if code == OK and name and methods.value:
                original = _FileTable.from_address(methods.value)
                self._paths[file] = (Path(os.fsdecode(c.string_at(name))), original)
                methods.value = c.addressof(self._patched(methods.value))
            return code

        return opened

    def _patched(self, address: int) -> _FileTable:
        if address not in self._tables:
            table = _FileTable.from_buffer_copy(_FileTable.from_address(address))
            table.close = self._hold(_CLOSE, self._closed)
            table.read = self._hold(_MOVE, self._read)
            table.write = self._hold(_MOVE, self._write)
            table.truncate = self._hold(_TRUNCATE, self._truncate)
            table.sync = self._hold(_SYNC, self._sync)
            self._tables[address] = table
        return self._tables[address]

    def _deleter(self, below: Callable[..., int]) -> Callable[..., int]:
        def deleted(_vfs: int, name: bytes, sync_folder: int) -> int:
            path = Path(os.fsdecode(name))
            return self._asked("delete", path, lambda: below(self._below, name, sync_folder))

        return deleted

    def _asked(
        self, kind: Kind, path: Path, whole: Callable[[], int], half: Callable[[], int] | None = None, *,
        offset: int = 0, data: bytes = b"",
    ) -> int:  # fmt: skip
        disk = self.disk
        if disk is None:
            return whole()
        fault = disk.verdict(kind, path)
        if fault == "torn" and half is not None:
            half()
        if fault is None or fault == "done":
            code = whole()
            if code == OK:
                disk.note(kind, path, offset, data)
            if fault is None or code != OK:
                return code
        return FULL if fault == "full" else IOERR[kind]

    def _closed(self, file: int) -> int:
        _, original = self._paths.pop(file)
        c.c_void_p.from_address(file).value = c.addressof(original)
        return int(_CLOSE(original.close)(file))

    def _read(self, file: int, buffer: int, size: int, offset: int) -> int:
        path, original = self._paths[file]
        return self._asked("read", path, lambda: _MOVE(original.read)(file, buffer, size, offset))

    def _write(self, file: int, buffer: int, size: int, offset: int) -> int:
        path, original = self._paths[file]
        write = _MOVE(original.write)
        kept = c.string_at(buffer, size) if self.disk is not None and self.disk.keep else b""
        return self._asked(
            "write", path,
            lambda: write(file, buffer, size, offset),
            lambda: write(file, buffer, size // 2, offset),
            offset=offset, data=kept,
        )  # fmt: skip

    def _truncate(self, file: int, size: int) -> int:
        path, original = self._paths[file]
        return self._asked("truncate", path, lambda: _TRUNCATE(original.truncate)(file, size), offset=size)

    def _sync(self, file: int, flags: int) -> int:
        path, original = self._paths[file]
        return self._asked("sync", path, lambda: _SYNC(original.sync)(file, flags))


_layer: _Layer | None = None


@contextmanager
def failing(disk: Disk) -> Iterator[Disk]:
    """Put `disk` below every SQLite connection that is opened within."""
    global _layer  # noqa: PLW0603 # made once, when first asked for; never unmade
    if _layer is None:
        _layer = _Layer()
    with _layer.used(disk):
        yield disk
