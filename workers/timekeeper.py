"""Ends what takes longer than it may, and counts only the time in which this process runs.

A deadline of the event loop would be over when a frozen process goes on, before anybody can ask whose time it was. So
one task for a whole pool looks at what is left of each one's time when it seems to be over.
"""

import math
from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

import anyio

from workers.standstill import REST_S_MIN, Late, Rest

T = TypeVar("T")
_NEVER: Final = math.inf


class _Timed:
    __slots__ = ("late", "rest", "scope")

    def __init__(self, limit_s: float) -> None:
        self.rest, self.scope, self.late = Rest(limit_s), anyio.CancelScope(), False


class Timekeeper:
    """Limits the time of what is asked through it, as long as `run` runs beside it."""

    def __init__(self) -> None:
        self._timed: set[_Timed] = set()
        self._wake = anyio.Event()
        self._looks_s = _NEVER  #: when it looks again, by the loop's clock
        self._scope = anyio.CancelScope()

    async def within(self, limit_s: float, ask: Callable[[], Awaitable[T]]) -> T:
        """What `ask` gives, if it gives it in `limit_s` seconds of this process's running; it is cancelled then.

        Raises:
            Late: it did not, or did so too late because it had held the loop.
            Exception: what it raised itself.
        """
        one = _Timed(limit_s)
        self._timed.add(one)
        if anyio.current_time() + limit_s < self._looks_s:
            self._wake.set()
        try:
            with one.scope:
                given = await ask()
        finally:
            self._timed.discard(one)
        if one.late or one.rest.seconds() <= 0:
            raise Late
        return given

    async def run(self) -> None:
        """Keep time until `close`, or until it is cancelled."""
        with self._scope:
            while True:
                self._wake = anyio.Event()
                wait_s = self._look()
                self._looks_s = anyio.current_time() + wait_s
                with anyio.move_on_after(wait_s):
                    await self._wake.wait()

    def close(self) -> None:
        """End `run`."""
        self._scope.cancel()

    def _look(self) -> float:
        """Cancel what has had its time; seconds until the next may have."""
        wait_s = _NEVER
        for one in tuple(self._timed):
            rest_s = one.rest.seconds()
            if rest_s > 0:
                wait_s = min(wait_s, rest_s)
                continue
            self._timed.discard(one)
            one.late = True
            one.scope.cancel()
        return max(wait_s, REST_S_MIN)
