"""Between a thread and the event loop it serves: how the loop is woken, and how one call waits. For asyncio and trio.

The thread never waits for the loop: both ways of waking only leave a note.
"""

import asyncio
import contextlib
import sys
from collections.abc import Callable, Generator
from typing import Protocol

from orchestrator.errors import JournalError


class Bell(Protocol):
    """Rung once, in the loop; whoever awaits it goes on."""

    def ring(self) -> None:
        """Let the waiter go on."""
        ...

    def __await__(self) -> Generator[object, None, None]: ...


class Loop(Protocol):
    """The event loop in which something was opened, and the only one that may use it."""

    def is_current(self) -> bool:
        """Whether the caller runs in this loop."""
        ...

    def bell(self) -> Bell:
        """A new bell, for use in this loop."""
        ...

    def soon(self, call: Callable[[], object]) -> None:
        """Run `call` in the loop, after the tasks that are ready now. From the loop itself."""
        ...

    def from_thread(self, call: Callable[[], object]) -> None:
        """Run `call` in the loop, from another thread. When the loop has ended nobody waits, and nothing is done."""
        ...


class _AsyncioBell:
    __slots__ = ("_future",)

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._future: asyncio.Future[None] = loop.create_future()

    def ring(self) -> None:
        if not self._future.done():  # a cancelled caller is gone
            self._future.set_result(None)

    def __await__(self) -> Generator[object, None, None]:
        return self._future.__await__()


class _AsyncioLoop:
    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop

    def is_current(self) -> bool:
        try:
            return asyncio.get_running_loop() is self._loop
        except RuntimeError:
            return False

    def bell(self) -> Bell:
        return _AsyncioBell(self._loop)

    def soon(self, call: Callable[[], object]) -> None:
        self._loop.call_soon(call)

    def from_thread(self, call: Callable[[], object]) -> None:
        try:
            self._loop.call_soon_threadsafe(call)
        except RuntimeError:
            if not self._loop.is_closed():
                raise


class _TrioBell:
    __slots__ = ("_event",)

    def __init__(self) -> None:
        import trio

        self._event = trio.Event()

    def ring(self) -> None:
        self._event.set()

    def __await__(self) -> Generator[object, None, None]:
        return self._event.wait().__await__()


class _TrioLoop:
    def __init__(self) -> None:
        import trio

        self._token = trio.lowlevel.current_trio_token()

    def is_current(self) -> bool:
        import trio

        return trio.lowlevel.in_trio_run() and trio.lowlevel.current_trio_token() is self._token

    def bell(self) -> Bell:
        return _TrioBell()

    def soon(self, call: Callable[[], object]) -> None:
        self._token.run_sync_soon(call)

    def from_thread(self, call: Callable[[], object]) -> None:
        import trio

        with contextlib.suppress(trio.RunFinishedError):
            self._token.run_sync_soon(call)


def current_loop() -> Loop:
    """The event loop of the caller.

    Raises:
        JournalError: there is none.
    """
    trio = sys.modules.get("trio")  # whoever runs it has imported it
    if trio is not None and trio.lowlevel.in_trio_task():
        return _TrioLoop()
    try:
        return _AsyncioLoop(asyncio.get_running_loop())
    except RuntimeError:
        raise JournalError("a SQLite journal is opened inside an event loop, asyncio or trio") from None
