"""The system clock: the wall clock at start, moved on by the event loop's monotonic one."""

import time

import anyio


class SystemClock:
    """Seconds since the epoch that never jump, even when somebody sets the machine's clock.

    Made inside a running event loop, whose clock it follows: under a test clock, time is what that one says.
    """

    def __init__(self) -> None:
        self._offset_s = time.time() - anyio.current_time()

    def now_s(self) -> float:
        """Seconds since the epoch."""
        return anyio.current_time() + self._offset_s
