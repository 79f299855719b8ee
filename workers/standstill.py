"""Time in which this process stood still, so that a limit of time need count only what it ran.

A process that is frozen (SIGSTOP, a cgroup freezer, a machine that is moved or suspended) finds every deadline over
when it goes on. Where a limit that is over ends a step for good, that would be the freeze's doing. A thread ticks; a
gap between ticks in which the process got no processor either was no time for anybody. Code that blocks the loop lets
the thread tick, and code that computes without letting go of the interpreter uses the processor: both stay late. What
holds the interpreter and does nothing at all looks like a freeze. In a process with many threads at work a freeze can
look shorter than it was, as what they used before it is taken off.
"""

import threading
import time
from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

import anyio

TICK_S: Final = 0.25  #: what each gap counts as running, at least: many short ones must not stop the time
GAP_S: Final = 0.75  #: shortest time without a tick and without processor that is taken for a standstill
REST_S_MIN: Final = 0.001  #: waits are not cut shorter: a rest smaller than a clock's step would not pass

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
        self._thread: threading.Thread | None = None

    def seconds(self) -> float:
        """All of it, with the standstill that this process may just have come back from."""
        if self._thread is None or not self._thread.is_alive():  # a forked child has no thread but its own
            self._at = (self._at[0], self._now(), self._used())
            # Two that begin at once would do no harm: each counts from one and the same last tick.
            self._thread = threading.Thread(target=self._run, name="standstill", daemon=True)
            self._thread.start()
        return self._read()[0]

    def tick(self) -> None:
        """Count what has passed since the last tick."""
        self._at = self._read()

    def _read(self) -> tuple[float, float, float]:
        counted_s, ticked_s, used_before_s = self._at
        now_s = self._now()
        if now_s - ticked_s < GAP_S:
            return (counted_s, now_s, self._used())
        used_s = self._used()
        idle_s = now_s - ticked_s - (used_s - used_before_s)
        return (counted_s + idle_s - TICK_S if idle_s >= GAP_S else counted_s, now_s, used_s)

    def _run(self) -> None:
        while True:
            time.sleep(TICK_S)
            self.tick()


STANDSTILL: Final = Standstill()  #: of this process


class Rest:
    """What is left of `limit_s` seconds of this process's running, from now on."""

    __slots__ = ("_began_s", "_limit_s", "_still_s")

    def __init__(self, limit_s: float) -> None:
        self._limit_s = limit_s
        self._still_s = STANDSTILL.seconds()  # before the clock: a standstill between the two is then in neither
        self._began_s = anyio.current_time()

    def seconds(self) -> float:
        """From `limit_s` down; 0 and below: it is over."""
        return self.at(anyio.current_time(), STANDSTILL.seconds())  # in this order, for the same reason

    def at(self, now_s: float, still_s: float) -> float:
        """The same for one who has just read the loop's clock and then the standstill."""
        return self._limit_s - max(now_s - self._began_s - (still_s - self._still_s), 0.0)


async def waited(limit_s: float, wait: Callable[[], Awaitable[T]]) -> T:
    """What came of waiting for something outside of this process, for up to `limit_s` seconds of its running.

    A deadline that fell into a standstill cancels the wait, which is then begun again: it must lose nothing by that.

    Raises:
        Late: it did not come in time.
        Exception: what waiting raised itself.
    """
    rest = Rest(limit_s)
    while (rest_s := rest.seconds()) > 0:
        with anyio.move_on_after(max(rest_s, REST_S_MIN)) as clock:
            came = await wait()
        if not clock.cancelled_caught:
            return came
    raise Late
