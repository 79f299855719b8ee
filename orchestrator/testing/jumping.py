"""An asyncio loop whose clock jumps: when nothing can go on, time moves to the next deadline at once.

Trio has this as `MockClock(autojump_threshold=0)`; with this loop a test needs nothing but asyncio. Like trio's, it
does not see threads, child processes or servers at work: it waits for what they send only when no deadline is left.
"""

import asyncio
import selectors
from collections.abc import Callable
from typing import Final

BEGAN_S: Final = 1_000.0  #: what the clock of a fresh loop says


class _JumpingSelector(selectors.DefaultSelector):  # type: ignore[valid-type, misc, unused-ignore]  # chosen at run time
    """Looks for what is ready without waiting; instead of waiting it moves the clock."""

    def __init__(self) -> None:
        super().__init__()
        self.jump: Callable[[float], None] | None = None

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        """What is ready now; `timeout` seconds pass at once where nothing is."""
        if timeout is None:
            return super().select(None)
        ready = super().select(0)
        if not ready and timeout > 0 and self.jump is not None:
            self.jump(timeout)
        return ready


class JumpingLoop(asyncio.SelectorEventLoop):
    """`anyio.run(main, backend_options={"loop_factory": JumpingLoop})`; a day of waiting costs no time."""

    def __init__(self) -> None:
        selector = _JumpingSelector()
        self._now_s = BEGAN_S
        selector.jump = self._jump
        super().__init__(selector)

    def time(self) -> float:
        """Seconds since some moment, on this loop's clock."""
        return self._now_s

    def _jump(self, seconds: float) -> None:
        # The loop runs what is due within its clock's resolution; a sum of floats that falls short would be asked for
        # ever again.
        self._now_s += max(seconds, 1e-6)
