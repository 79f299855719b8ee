"""The control socket's language: where the socket lies, JSON lines, errors as data, events back into records."""

import hashlib
import json
import os
import socket
import stat
import struct
import tempfile
from pathlib import Path
from typing import Final, cast

from anyio.abc import ByteReceiveStream, SocketAttribute, SocketStream

from orchestrator.core.codec import LAYOUTS
from orchestrator.errors import PromiseError
from orchestrator.ids import JsonValue, RunId
from orchestrator.ports.error_data import error_document, error_of
from orchestrator.ports.journal import Recorded

REQUEST_BYTES_MAX: Final = 1 << 20  #: one request, line break included
REPLY_BYTES_MAX: Final = 64 << 20  #: one reply
SOCKET_PATH_BYTES_MAX: Final = 107  #: sun_path of Linux without its NUL; macOS has 103, and falls back the same way
__all__ = [
    "REPLY_BYTES_MAX",
    "REQUEST_BYTES_MAX",
    "LineTooLong",
    "Lines",
    "error_document",
    "error_of",
    "line_of",
    "peer_pid",
    "peer_uid",
    "raw_socket",
    "record_of",
    "socket_path",
]
_SHORT_PATH_BYTES: Final = 100
_READ_BYTES: Final = 65536


def socket_path(journal: Path) -> Path:
    """Where the owner of a journal file listens: beside the file, or where that is too long, in a private folder.

    Raises:
        PromiseError: the private folder belongs to somebody else, or others may write to it.
    """
    whole = Path(os.path.realpath(journal))
    beside = whole.with_name(whole.name + ".sock")
    if len(os.fsencode(beside)) <= _SHORT_PATH_BYTES:
        return beside
    name = hashlib.sha256(os.fsencode(whole)).hexdigest()[:32]
    base = os.environ.get("XDG_RUNTIME_DIR", "")
    folder = Path(base if 0 < len(base) < 40 else tempfile.gettempdir()) / f"orchestrator-{os.getuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    found = folder.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid() or found.st_mode & 0o077:
        raise PromiseError(f"{folder} is not a folder of yours alone", "remove it, or set XDG_RUNTIME_DIR")
    return folder / f"{name}.sock"


def raw_socket(stream: SocketStream) -> socket.socket:
    """The socket under a stream."""
    found: socket.socket = stream.extra_attributes[SocketAttribute.raw_socket]()
    return found


def peer_uid(raw: socket.socket) -> int | None:
    """The user at the other end of a Unix socket; None where the system does not tell."""
    option = getattr(socket, "SO_PEERCRED", None)
    if option is None:
        return None
    _pid, uid, _gid = struct.unpack("3i", raw.getsockopt(socket.SOL_SOCKET, option, struct.calcsize("3i")))
    return int(uid)


def peer_pid(raw: socket.socket) -> int:
    """The process at the other end; 0 where the system does not tell."""
    option = getattr(socket, "SO_PEERCRED", None)
    if option is None:
        return 0
    pid, _uid, _gid = struct.unpack("3i", raw.getsockopt(socket.SOL_SOCKET, option, struct.calcsize("3i")))
    return int(pid)


def line_of(value: JsonValue) -> bytes:
    """One message, with its line break."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode() + b"\n"


class LineTooLong(ValueError):
    """A message is longer than it may be."""


class Lines:
    """Messages out of a stream of bytes, each of at most `most` bytes."""

    def __init__(self, stream: ByteReceiveStream, most: int) -> None:
        self._stream, self._most = stream, most
        self._held = bytearray()
        self._searched = 0

    async def next(self) -> bytes:
        """The next line, without its break.

        Raises:
            LineTooLong: the line does not end within `most` bytes.
            anyio.EndOfStream: the other side is done.
        """
        while True:
            end = self._held.find(b"\n", self._searched)
            if end >= 0:
                line = bytes(self._held[:end])
                del self._held[: end + 1]
                self._searched = 0
                if len(line) >= self._most:
                    raise LineTooLong(f"over {self._most:,} bytes")
                return line
            if len(self._held) >= self._most:
                raise LineTooLong(f"over {self._most:,} bytes")
            self._searched = len(self._held)
            self._held += await self._stream.receive(_READ_BYTES)


def record_of(event: JsonValue) -> Recorded:
    """The record that a canonical event tells of: the inverse of `canonical_event`.

    Raises:
        ValueError: it is none.
    """
    if not isinstance(event, dict) or not isinstance(event.get("data"), dict):
        raise ValueError("not an event")
    layout = LAYOUTS.get(str(event.get("kind")))
    if layout is None:
        raise ValueError(f"no event is of kind {event.get('kind')!r}")
    forgotten = event.get("forgotten") is True
    data = cast(dict[str, JsonValue], event["data"])
    told = {**event, **data, "at_s": event.get("at"), "actor": event.get("actor", "")}
    values: dict[str, object] = {}
    for names, shapes, gone in (
        (layout.header, layout.header_shapes, False),
        (layout.payload, layout.payload_shapes, forgotten),
    ):
        for name, shape in zip(names, shapes, strict=True):
            values[name] = None if gone else shape(told.get(name))
    return Recorded(
        run_id=RunId(str(event.get("run"))),
        seq=cast(int, event.get("seq")),
        epoch=cast(int, event.get("epoch")),
        fact=layout.cls(**values),  # type: ignore[arg-type]  # shaped field by field just above
        prev_hash=str(event.get("prev_hash")),
        hash=str(event.get("hash")),
        forgotten=forgotten,
    )
