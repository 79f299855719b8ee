"""The control socket of whoever owns a journal file: other commands ask here, in JSON lines.

A request is `{"verb": …, "args": {…}}`. A reply is `{"value": …}`; a streaming verb sends `{"item": …}` any number of
times and `{"end": true}`; what went wrong is `{"error": {"kind", "args", "text"}}`.

Nothing that is sent can end the owner.
"""

import contextlib
import json
import os
import socket
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from pathlib import Path
from typing import Final

import anyio
import structlog
from anyio.abc import SocketStream

from orchestrator.errors import OrchestratorError, PromiseError
from orchestrator.ids import JsonValue
from orchestrator.service.control_args import STREAMING
from orchestrator.service.control_desk import Desk, ask
from orchestrator.service.control_wire import (
    REPLY_BYTES_MAX,
    REQUEST_BYTES_MAX,
    Lines,
    LineTooLong,
    error_document,
    line_of,
    peer_uid,
    raw_socket,
    socket_path,
)

CONNECTIONS_MAX: Final = 64  #: at a time
IDLE_S: Final = 60.0  #: a connection that asks nothing is closed
SEND_S: Final = 30.0  #: a peer that does not read is dropped
log = structlog.get_logger(__name__)


@asynccontextmanager
async def serve_control(journal_file: Path, desk: Desk) -> AsyncIterator[Path]:
    """Listen beside a journal file that this process owns, until the end of the block; gives the socket's path.

    A socket file that is there already is dead, because the file's lock is held: it is replaced.
    """
    path = socket_path(journal_file)
    path.unlink(missing_ok=True)
    raw = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
    raw.setblocking(False)
    # No moment at which others could connect: the mask holds while the file is made.
    before = os.umask(0o177)
    try:
        raw.bind(str(path))
    finally:
        os.umask(before)
    raw.listen(CONNECTIONS_MAX)
    failure: Exception | None = None
    async with anyio.create_task_group() as group:
        group.start_soon(_accept, raw, _Server(desk))
        try:
            yield path
        except Exception as error:  # noqa: BLE001  # raised again below, so that no group is wrapped around it
            failure = error
        finally:
            group.cancel_scope.cancel()
            path.unlink(missing_ok=True)
    if failure is not None:
        raise failure


async def _accept(raw: socket.socket, server: "_Server") -> None:
    listener = await anyio.abc.SocketListener.from_socket(raw)
    async with listener:
        await listener.serve(server.serve)


class _Server:
    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._free = anyio.CapacityLimiter(CONNECTIONS_MAX)

    async def serve(self, stream: SocketStream) -> None:
        """One connection, whatever it sends."""
        async with stream:
            with contextlib.suppress(anyio.EndOfStream, anyio.BrokenResourceError, anyio.ClosedResourceError):
                uid = peer_uid(raw_socket(stream))
                if uid is not None and uid != os.getuid():
                    await _send(stream, _refusal(PromiseError("this store belongs to another user", "ask them")))
                    return
                try:
                    self._free.acquire_on_behalf_of_nowait(stream)
                except anyio.WouldBlock:
                    told = PromiseError(f"{CONNECTIONS_MAX} commands are being answered", "try again in a moment")
                    await _send(stream, _refusal(told))
                    return
                try:
                    await self._answer_all(stream)
                finally:
                    self._free.release_on_behalf_of(stream)

    async def _answer_all(self, stream: SocketStream) -> None:
        lines = Lines(stream, REQUEST_BYTES_MAX)
        while True:
            line: bytes | None = None
            with anyio.move_on_after(IDLE_S):
                try:
                    line = await lines.next()
                except LineTooLong as error:
                    await _send(stream, _refusal(PromiseError(f"a request of {error}", "send less")))
                    return
            if line is None:
                return
            await self._answer(stream, line)

    async def _answer(self, stream: SocketStream, line: bytes) -> None:
        try:
            verb, args = _read(line)
            async with aclosing(ask(self._desk, verb, args)) as answers:
                async for value in answers:
                    await _send(stream, {"item" if verb in STREAMING else "value": value})
            if verb in STREAMING:
                await _send(stream, {"end": True})
        except (anyio.EndOfStream, anyio.BrokenResourceError, anyio.ClosedResourceError, TimeoutError):
            raise
        except (OrchestratorError, ValueError) as error:
            await _send(stream, _refusal(error))
        except Exception as error:  # noqa: BLE001  # a request must not be able to end the owner of the runs
            log.error("a control request failed", error=f"{type(error).__name__}: {error}")
            await _send(stream, _refusal(error))


def _read(line: bytes) -> tuple[str, JsonValue]:
    try:
        request = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise PromiseError(f"the request is no JSON ({error})", 'send {"verb": …, "args": {…}} on one line') from None
    if not isinstance(request, dict) or not isinstance(request.get("verb"), str):
        raise PromiseError("the request names no verb", 'send {"verb": …, "args": {…}} on one line')
    return request["verb"], request.get("args", {})


def _refusal(error: Exception) -> JsonValue:
    return {"error": error_document(error)}


async def _send(stream: SocketStream, reply: JsonValue) -> None:
    line = line_of(reply)
    if len(line) > REPLY_BYTES_MAX:
        told = PromiseError(f"the answer has {len(line):,} bytes, over {REPLY_BYTES_MAX:,}", "ask for less of it")
        line = line_of(_refusal(told))
    with anyio.fail_after(SEND_S):
        await stream.send(line)
