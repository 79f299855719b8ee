"""The event loop of the simulator: one heap of future events, one clock that jumps to the next, and no world outside.

It is asyncio's own loop without files, sockets and threads. Callbacks run in the order in which they were due, so the
same seed gives the same history; on trio the order within one moment would be drawn anew each time.
"""

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Coroutine

TURNS_MAX: Final = 2_000_000  #: rounds of one schedule; a loop that spins in one moment is a bug, not patience
GRAIN_S: Final = 1e-6  #: a jump is never smaller, where a sum of floats falls short of the deadline


class Stalled(Exception):
    """Nothing is ready and nothing is due: everybody waits for somebody else."""


class _NoFiles:
    """What the loop asks for events from outside: there are none, so it moves the clock instead of waiting."""

    def __init__(self, loop: "SimLoop") -> None:
        self._loop = loop

    def select(self, timeout: float | None) -> tuple[()]:
        """Let `timeout` seconds pass at once."""
        self._loop.turns += 1
        if self._loop.turns > TURNS_MAX:
            raise Stalled(f"no end after {TURNS_MAX} turns of the loop")
        if timeout is None:
            raise Stalled("everybody waits, and no timer is set")
        if timeout > 0:
            self._loop.jump(timeout)
        return ()


class SimLoop(asyncio.BaseEventLoop):
    """An asyncio loop for one schedule."""

    def __init__(self, began_s: float = 0.0) -> None:
        self._now_s = began_s
        self.turns = 0
        super().__init__()
        self._clock_resolution = GRAIN_S
        self._selector = _NoFiles(self)

    def time(self) -> float:
        """Seconds on the one true clock of the schedule; nodes read it with a skew of their own."""
        return self._now_s

    def jump(self, seconds: float) -> None:
        """Move the clock."""
        self._now_s += max(seconds, GRAIN_S)

    def _process_events(self, events: object) -> None:
        """There are none."""

    def _write_to_self(self) -> None:
        """Nobody else is there to wake it."""


def play(main: "Callable[[], Coroutine[object, object, None]]") -> None:
    """Run a schedule in a loop of its own, until it ends.

    Raises:
        Stalled: it never would.
    """
    loop = SimLoop()
    asyncio.set_event_loop(loop)
    try:
        loop.run_until_complete(main())
    finally:
        try:
            tasks = sorted(asyncio.all_tasks(loop), key=lambda task: task.get_name())
            for task in tasks:
                task.cancel()
            if tasks:
                loop.run_until_complete(asyncio.gather(*tasks, return_exceptions=True))
        finally:
            asyncio.set_event_loop(None)
            loop.close()


__all__ = ["SimLoop", "Stalled", "play"]
