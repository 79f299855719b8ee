"""The other end of the control socket: asks the process that owns a journal file."""

import json
import os
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, asynccontextmanager
from pathlib import Path
from typing import Final, Self

import anyio
from anyio.abc import SocketStream

from orchestrator.errors import OwnerUnreachable
from orchestrator.ids import JsonValue
from orchestrator.service.control_wire import (
    REPLY_BYTES_MAX,
    Lines,
    LineTooLong,
    error_of,
    line_of,
    peer_pid,
    peer_uid,
    raw_socket,
    socket_path,
)

CONNECT_S: Final = 2.0
ANSWER_S: Final = 30.0  #: the owner may be busy, but not for longer


class Owner:
    """A connection to the process that owns a journal file."""

    def __init__(self, stream: SocketStream, journal_file: Path) -> None:
        self._stream, self._file = stream, str(journal_file)
        self._lines = Lines(stream, REPLY_BYTES_MAX + 1)
        self.pid = peer_pid(raw_socket(stream))  #: 0 where the system does not tell

    @classmethod
    @asynccontextmanager
    async def connect(cls, journal_file: Path) -> AsyncIterator[Self | None]:
        """Reach the owner; None when nobody listens, which is no error.

        Raises:
            OwnerUnreachable: somebody else's process listens there.
        """
        stream = await _connected(socket_path(journal_file))
        if stream is None:
            yield None
            return
        async with stream:
            uid = peer_uid(raw_socket(stream))
            if uid is not None and uid != os.getuid():
                raise OwnerUnreachable(str(journal_file), 0, "belongs to another user")
            yield cls(stream, journal_file)

    async def ask(self, verb: str, **args: JsonValue) -> JsonValue:
        """The answer to one request.

        Raises:
            OwnerUnreachable: the owner has gone, or does not answer in time.
            OrchestratorError: what the owner says is wrong.
        """
        with self._in_time():
            async with aclosing(self._replies(verb, args)) as replies:
                async for value in replies:
                    return value
        raise OwnerUnreachable(self._file, self.pid, "gave no answer")

    async def stream(self, verb: str, **args: JsonValue) -> AsyncGenerator[JsonValue, None]:
        """The answers to one request of a streaming verb, as they come; errors as of `ask`."""
        async with aclosing(self._replies(verb, args)) as replies:
            async for value in replies:
                yield value

    async def _replies(self, verb: str, args: dict[str, JsonValue]) -> AsyncGenerator[JsonValue, None]:
        try:
            await self._stream.send(line_of({"verb": verb, "args": args}))
            while True:
                reply: JsonValue = json.loads(await self._lines.next())
                if not isinstance(reply, dict):
                    raise OwnerUnreachable(self._file, self.pid, "speaks another language")
                if "error" in reply:
                    raise error_of(reply["error"])
                if "end" in reply:
                    return
                yield reply.get("item", reply.get("value"))
        except (anyio.EndOfStream, anyio.BrokenResourceError, anyio.ClosedResourceError) as error:
            raise OwnerUnreachable(self._file, self.pid, "has just ended") from error
        except (LineTooLong, ValueError) as error:
            raise OwnerUnreachable(self._file, self.pid, f"speaks another language ({error})") from error

    def _in_time(self) -> "_InTime":
        return _InTime(self._file, self.pid)


class _InTime:
    """`fail_after` with the error of this place."""

    def __init__(self, file: str, pid: int) -> None:
        self._file, self._pid = file, pid
        self._scope = anyio.CancelScope(deadline=anyio.current_time() + ANSWER_S)

    def __enter__(self) -> None:
        self._scope.__enter__()

    def __exit__(self, *error: object) -> bool | None:
        swallowed = self._scope.__exit__(*error)  # type: ignore[arg-type]  # handed on as they came
        if self._scope.cancelled_caught:
            raise OwnerUnreachable(self._file, self._pid, f"has not answered for {ANSWER_S:g} s")
        return swallowed


async def _connected(path: Path) -> SocketStream | None:
    try:
        with anyio.fail_after(CONNECT_S):
            return await anyio.connect_unix(path)
    except (OSError, TimeoutError):  # no file, a dead one, or an owner that is just ending
        return None
