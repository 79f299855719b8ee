"""An asyncio loop whose clock jumps: when nothing can go on, time moves to the next deadline at once.

Trio has this as `MockClock(autojump_threshold=0)`; with this loop a test needs nothing but asyncio. Unlike trio's, it
stands still while one of anyio's worker threads is at work. Child processes and servers it does not see: it waits for
what they send only when no deadline is left.
"""

import asyncio
import selectors
import threading
from collections.abc import Callable
from typing import Final

BEGAN_S: Final = 1_000.0  #: what the clock of a fresh loop says
LOOK_S: Final = 0.05  #: real time between two looks at threads; one that is done wakes the loop at once


class _JumpingSelector(selectors.DefaultSelector):  # type: ignore[valid-type, misc, unused-ignore]  # chosen at run time
    """Looks for what is ready without waiting; instead of waiting it moves the clock."""

    def __init__(self, jump: Callable[[float], None], busy: Callable[[], bool]) -> None:
        super().__init__()
        self._jump, self._busy = jump, busy

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        """What is ready now; `timeout` seconds pass at once where nothing is and no thread is at work."""
        if timeout is None:
            return super().select(None)
        ready = super().select(0)
        if ready or timeout <= 0:
            return ready
        if self._busy():
            return super().select(LOOK_S)
        self._jump(timeout)
        return ready


class JumpingLoop(asyncio.SelectorEventLoop):
    """`anyio.run(main, backend_options={"loop_factory": JumpingLoop})`; a day of waiting costs no time."""

    def __init__(self) -> None:
        self._now_s = BEGAN_S
        super().__init__(_JumpingSelector(self._jump, self._busy))

    def time(self) -> float:
        """Seconds since some moment, on this loop's clock."""
        return self._now_s

    def _jump(self, seconds: float) -> None:
        # The loop runs what is due within its clock's resolution; a sum of floats that falls short would be asked for
        # ever again.
        self._now_s += max(seconds, 1e-6)

    def _busy(self) -> bool:
        """Whether a worker thread of anyio's does something for this loop; it lists those that do not."""
        for thread in threading.enumerate():
            idle = getattr(thread, "idle_workers", None)
            if idle is not None and getattr(thread, "loop", None) is self and thread not in idle:
                return True
        return False
