"""Ends what takes longer than it may, and counts only the time in which this process runs.

A deadline of the event loop would be over when a frozen process goes on, before anybody can ask whose time it was. So
one task for a whole pool looks at what is left of each one's time when it seems to be over.
"""

import math
from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

import anyio

from workers import standstill
from workers.standstill import Late, Rest

T = TypeVar("T")
LOOKS_S_MIN: Final = 0.05  #: between two looks, each of which costs by the number at work; so late may one end
_NEVER: Final = math.inf


class _Timed:
    __slots__ = ("late", "rest", "scope")

    def __init__(self, limit_s: float) -> None:
        self.rest, self.scope, self.late = Rest(limit_s), anyio.CancelScope(), False


class Timekeeper:
    """Limits the time of what is asked through it. Standstills are left out as long as `run` runs beside it."""

    def __init__(self) -> None:
        self._timed: set[_Timed] = set()
        self._scope: anyio.CancelScope | None = None
        self._wake: anyio.Event | None = None
        self._looks_s = _NEVER  #: when it looks again, by the loop's clock
        self._over = False

    async def within(self, limit_s: float, ask: Callable[[], Awaitable[T]]) -> T:
        """What `ask` gives, if it gives it in `limit_s` seconds of this process's running; it is cancelled then.

        Raises:
            Late: it did not, or did so too late because it had held the loop.
            Exception: what it raised itself.
        """
        one = _Timed(limit_s)
        self._timed.add(one)
        if self._over:
            self._leave(one)
        elif self._wake is not None and anyio.current_time() + limit_s < self._looks_s:
            self._wake.set()
        try:
            with one.scope:
                given = await ask()
        finally:
            self._timed.discard(one)
        if one.late or one.scope.cancelled_caught or one.rest.seconds() <= 0:
            raise Late
        return given

    async def run(self) -> None:
        """Keep time until `close`, or until it is cancelled. What is still at work then has the loop's deadline."""
        try:
            with anyio.CancelScope() as self._scope:
                while not self._over:
                    self._wake = anyio.Event()
                    wait_s = self._look()
                    self._looks_s = anyio.current_time() + wait_s
                    with anyio.move_on_after(wait_s):
                        await self._wake.wait()
        finally:
            self._over = True
            for one in self._timed:
                self._leave(one)

    def close(self) -> None:
        """End `run`."""
        self._over = True
        if self._scope is not None:
            self._scope.cancel()

    def _leave(self, one: _Timed) -> None:
        one.scope.deadline = anyio.current_time() + one.rest.seconds()

    def _look(self) -> float:
        """Cancel what has had its time; seconds until the next may have."""
        now_s, still_s, wait_s = anyio.current_time(), standstill.STANDSTILL.seconds(), _NEVER
        for one in tuple(self._timed):
            rest_s = one.rest.at(now_s, still_s)
            if rest_s > 0:
                wait_s = min(wait_s, rest_s)
                continue
            self._timed.discard(one)
            one.late = True
            one.scope.cancel()
        return max(wait_s, LOOKS_S_MIN)
