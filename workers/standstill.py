"""Limits of time that count only while this process runs: a stopped or starved one must not take it for its user's.

A process that is frozen (SIGSTOP, a cgroup freezer, a machine that is moved or suspended) finds every deadline over
when it goes on. Where a limit that is over ends a step for good, that would be the freeze's doing. A thread ticks; a
gap between ticks in which the process got no processor either was no time for anybody. Code that blocks the loop lets
the thread tick, and code that computes without ever letting go of the interpreter uses the processor: both stay late.
"""

import threading
import time
from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

import anyio

TICK_S: Final = 0.25
GAP_S: Final = 0.75  #: shortest time without a tick and without processor that is taken for a standstill

T = TypeVar("T")


class Late(Exception):
    """What was asked is not done in time."""


class Standstill:
    """Adds up, in seconds since its first question, how long this process has stood still.

    `now` and `used` give seconds: a clock that never goes back, and the processor time of all threads.
    """

    def __init__(
        self, now: Callable[[], float] = time.monotonic, used: Callable[[], float] = time.process_time
    ) -> None:
        self._now, self._used = now, used
        self._at: tuple[float, float, float] = (0.0, now(), used())  #: counted until the last tick; both clocks then
        self._starting = threading.Lock()
        self._thread: threading.Thread | None = None

    def seconds(self) -> float:
        """All of it, with the standstill that this process may just have come back from."""
        if self._thread is None or not self._thread.is_alive():  # a forked child has no thread but its own
            self._start()
        return self._counted_s()

    def tick(self) -> None:
        """Count what has passed since the last tick. Of one thread alone."""
        self._at = (self._counted_s(), self._now(), self._used())

    def _counted_s(self) -> float:
        counted_s, ticked_s, used_s = self._at
        passed_s = self._now() - ticked_s
        if passed_s < GAP_S:
            return counted_s
        idle_s = passed_s - max(self._used() - used_s, 0.0)
        return counted_s + idle_s if idle_s >= GAP_S else counted_s

    def _start(self) -> None:
        with self._starting:
            if self._thread is None or not self._thread.is_alive():
                self._at = (self._at[0], self._now(), self._used())
                self._thread = threading.Thread(target=self._run, name="standstill", daemon=True)
                self._thread.start()

    def _run(self) -> None:
        while True:
            time.sleep(TICK_S)
            self.tick()


STANDSTILL: Final = Standstill()  #: of this process


async def within(limit_s: float, ask: Callable[[], Awaitable[T]]) -> T:
    """What `ask` gives, if it gives it in `limit_s` seconds of this process's running; it is cancelled then.

    A deadline that fell into a standstill cancels it too, and it is asked again for the rest of its time: it must be
    such that it can be begun again.

    Raises:
        Late: it was not done, or was done too late because it had held the loop.
        Exception: what it raised itself.
    """
    began_s, still_s = anyio.current_time(), STANDSTILL.seconds()
    rest_s = limit_s
    while rest_s > 0:
        with anyio.move_on_after(rest_s) as clock:
            given = await ask()
        rest_s = limit_s - (anyio.current_time() - began_s) + (STANDSTILL.seconds() - still_s)
        if rest_s > 0 and not clock.cancelled_caught:
            return given
    raise Late
