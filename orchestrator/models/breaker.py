"""A circuit breaker per endpoint: after failures in a row it is left alone, then one call may try it."""

from collections.abc import Callable
from typing import Literal

State = Literal["closed", "open", "half_open"]
Entered = Literal["call", "probe"]


class Breaker:
    """`closed` lets calls through; `open` none; `half_open` one at a time, which decides.

    `failures_to_open` failures in a row open it for `open_s` seconds; a probe that fails opens it again. Only failures
    of the endpoint count: the caller leaves out refusals, rate limits and faults of the request.

    Source of the pattern: M. Nygard, "Release It!", 2nd edition, 2018, chapter 5.
    """

    def __init__(self, failures_to_open: int, open_s: float, now_s: Callable[[], float]) -> None:
        self._failures_to_open, self._open_s, self._now_s = failures_to_open, open_s, now_s
        self._failures = 0
        self._opened_at_s: float | None = None
        self._probing = False

    @property
    def state(self) -> State:
        """What a call would meet now."""
        if self._opened_at_s is None:
            return "closed"
        return "open" if self._now_s() < self._opened_at_s + self._open_s else "half_open"

    @property
    def opens_in_s(self) -> float:
        """Seconds until a call may try again; 0 where one may now."""
        return 0.0 if self._opened_at_s is None else max(self._opened_at_s + self._open_s - self._now_s(), 0.0)

    @property
    def lets_through(self) -> bool:
        """Whether `enter` would be granted."""
        return self.state == "closed" or (self.state == "half_open" and not self._probing)

    def enter(self) -> Entered | None:
        """Begin a call; None: it must not be made. After it one of `succeeded`, `failed` and `left` follows."""
        if not self.lets_through:
            return None
        if self._opened_at_s is None:
            return "call"
        self._probing = True
        return "probe"

    def succeeded(self) -> None:
        """The endpoint answered, be it with a refusal."""
        self._failures, self._opened_at_s, self._probing = 0, None, False

    def failed(self, entered: Entered) -> None:
        """The endpoint failed. A late failure of a call from before the opening prolongs nothing and ends no probe."""
        self._failures += 1
        if entered == "probe" or (self._opened_at_s is None and self._failures >= self._failures_to_open):
            self._opened_at_s, self._probing = self._now_s(), False

    def left(self, entered: Entered) -> None:
        """The call ended without a word on the endpoint: it was cancelled, or never sent."""
        if entered == "probe":
            self._probing = False
