"""The system clock: the wall clock at start, moved on by the event loop's monotonic one."""

import asyncio
import time

import anyio


class SystemClock:
    """Seconds since the epoch that never jump, even when somebody sets the machine's clock.

    Made inside a running event loop, whose clock it follows: under a test clock, time is what that one says.
    """

    def __init__(self) -> None:
        try:
            self._time_s = asyncio.get_running_loop().time  # what anyio would ask, found once: a step asks four times
        except RuntimeError:
            self._time_s = anyio.current_time
        self._offset_s = time.time() - self._time_s()

    def now_s(self) -> float:
        """Seconds since the epoch."""
        return self._time_s() + self._offset_s
