"""One connection to the server: one command at a time, nothing repeated, everything under a deadline."""

import asyncio
import math
from collections.abc import Iterable
from typing import Final, cast

import redis.exceptions as vendor
from redis.asyncio.connection import Connection, UnixDomainSocketConnection, parse_url
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from orchestrator.adapters.redis.limits import CALL_S, CONNECT_S
from orchestrator.adapters.redis.scripts import Script
from orchestrator.errors import PromiseError, TransportRefused, TransportUnreachable


class _ServerId:
    """See `SERVER`."""


SERVER: Final = _ServerId()  #: among the words of a call: the id of the server process that the connection leads to
Argument = str | bytes | int | _ServerId
#: Words with which a server says that it cannot do it now, and did not.
PASSING: Final = frozenset(
    [
        "LOADING",
        "BUSY",
        "READONLY",
        "OOM",
        "MISCONF",
        "MASTERDOWN",
        "NOREPLICAS",
        "CLUSTERDOWN",
        "TRYAGAIN",
        "UNBLOCKED",
        "NOGROUP",
        "NOAUTH",
        "WRONGPASS",
        "NOPERM",
        "MOVED",
        "ASK",
    ]
)
_NOT_MASTER: Final = frozenset({"READONLY", "MASTERDOWN"})  #: another connection may lead to the server that took over
#: redis-py keeps the first word of these to itself.
_WORDS: Final[tuple[tuple[type[Exception], str], ...]] = (
    (vendor.ReadOnlyError, "READONLY"),
    (vendor.NoScriptError, "NOSCRIPT"),
    (vendor.OutOfMemoryError, "OOM"),
    (vendor.NoPermissionError, "NOPERM"),
    (vendor.MovedError, "MOVED"),
    (vendor.AskError, "ASK"),
    (vendor.TryAgainError, "TRYAGAIN"),
    (vendor.MasterDownError, "MASTERDOWN"),
    (vendor.ClusterDownError, "CLUSTERDOWN"),
)


def connection_kwargs(url: str) -> dict[str, object]:
    """What redis-py needs to connect to `url`, without its retries and with deadlines of ours; `connection_class` too.

    Raises:
        PromiseError: the URL cannot be read.
    """
    try:
        kwargs = cast(dict[str, object], parse_url(url))
    except ValueError as error:
        raise PromiseError(f"the transport's URL cannot be read: {error}", "write redis://host:6379/0") from None
    kwargs.setdefault("connection_class", Connection)
    kwargs.setdefault("protocol", 3)
    kwargs["socket_timeout"] = None  # a whole call stands under one deadline instead
    kwargs["socket_connect_timeout"] = CONNECT_S
    if kwargs["connection_class"] is not UnixDomainSocketConnection:
        kwargs["socket_keepalive"] = True
    kwargs["retry"] = Retry(NoBackoff(), 0)
    return kwargs


def first_word(error: Exception) -> str:
    """The code at the beginning of an error reply, such as READONLY; also where a script wrapped it."""
    for kind, word in _WORDS:
        if isinstance(error, kind):
            return word
    text = str(error)
    word = text.split(" ", 1)[0]
    if word == "ERR":
        for known in PASSING:
            if f"{known} " in text:
                return known
        if "max number of clients" in text:
            return "BUSY"
    return word


class Wire:
    """A connection that is made when it is needed and thrown away as soon as anything is odd about it.

    A command that was sent is never sent again from here: whether that is safe only the caller can know.
    """

    def __init__(self, url: str, *, name: str = "") -> None:
        self._kwargs = connection_kwargs(url)
        self._kind = cast(type[Connection], self._kwargs.pop("connection_class"))
        self._kwargs["client_name"] = name or None
        host, port = self._kwargs.get("host", "localhost"), self._kwargs.get("port", 6379)
        self.where = str(self._kwargs.get("path") or f"{host}:{port}")  #: without passwords
        self._connection: Connection | None = None
        self._lock = asyncio.Lock()
        self.connects = 0  #: how often it was made
        self._server = b""  #: id of the process at the other end

    async def call(self, *words: Argument, block_s: float = 0.0) -> object:
        """Send one command and return its answer, its texts as bytes. A command that blocks says for how long.

        Raises:
            TransportUnreachable: no answer; whether the command was carried out is not known.
            TransportRefused: the server did not do it.
        """
        async with self._lock:
            try:
                async with asyncio.timeout(CALL_S + block_s):
                    connection = self._connection or await self._connect()
                    said = [self._server if isinstance(word, _ServerId) else word for word in words]
                    await connection.send_packed_command(connection.pack_command(*said), check_health=False)
                    answer = await connection.read_response(disable_decoding=True, timeout=math.inf)
            except vendor.ResponseError as error:
                word = first_word(error)
                if word in _NOT_MASTER:
                    await self._drop()
                raise TransportRefused(self.where, f"{word}: {error}", word in PASSING) from error
            except (vendor.RedisError, OSError, TimeoutError) as error:
                await self._drop()
                raise TransportUnreachable(self.where, f"{type(error).__name__}: {error}") from error
            except BaseException:
                await self._drop()  # an answer may be under way that belongs to nobody
                raise
            if isinstance(answer, vendor.ResponseError):
                raise TransportRefused(self.where, str(answer))
            return cast(object, answer)

    async def run(self, script: Script, *arguments: Argument) -> object:
        """Run one of our scripts; it is sent along where the server does not know it, or no longer."""
        try:
            return await self.call("EVALSHA", script.sha, 0, *arguments)
        except TransportRefused as error:
            if not error.reason.startswith("NOSCRIPT"):
                raise
        await self.call("SCRIPT", "LOAD", script.text)
        return await self.call("EVALSHA", script.sha, 0, *arguments)

    async def close(self) -> None:
        """Close the connection; a later call would make a new one."""
        await self._drop()

    async def _connect(self) -> Connection:
        connection = self._kind(**self._kwargs)  # type: ignore[arg-type]  # what parse_url made for this class
        self._connection = connection
        await connection.connect()  # type: ignore[no-untyped-call]  # redis-py leaves it untyped
        await connection.send_packed_command(connection.pack_command("INFO", "server"), check_health=False)
        told = cast(bytes, await connection.read_response(disable_decoding=True, timeout=math.inf))
        self._server = told.partition(b"\nrun_id:")[2].split(maxsplit=1)[0]
        self.connects += 1
        return connection

    async def _drop(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            await connection.disconnect(nowait=True)


def entries_of(reply: object) -> dict[str, list[tuple[str, dict[bytes, bytes]]]]:
    """What XREAD and XREADGROUP answer, per stream: id and fields. RESP2 says it as lists, RESP3 as a map."""
    if reply is None:
        return {}
    pairs: Iterable[tuple[bytes, list[list[object]]]]
    pairs = reply.items() if isinstance(reply, dict) else cast(list[tuple[bytes, list[list[object]]]], reply)
    found: dict[str, list[tuple[str, dict[bytes, bytes]]]] = {}
    for stream, entries in pairs:
        rows = found.setdefault(stream.decode(), [])
        for entry, fields in entries:
            rows.append((cast(bytes, entry).decode(), mapping_of(fields)))
    return found


def mapping_of(reply: object) -> dict[bytes, bytes]:
    """A flat list of names and values, or the map that RESP3 makes of it."""
    if isinstance(reply, dict):
        return cast(dict[bytes, bytes], reply)
    flat = cast(list[bytes], reply or [])
    return dict(zip(flat[::2], flat[1::2], strict=True))
