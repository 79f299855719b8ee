"""The clock port: what time it is."""

from typing import Protocol


class Clock(Protocol):
    """Time that never jumps: the wall clock at start, moved on by a monotonic one."""

    def now_s(self) -> float:
        """Seconds since the epoch."""
        ...
