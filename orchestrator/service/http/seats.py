"""How many requests a process works on at once: one more is sent away at once, and told when there is room.

A request that waits for a processor is worse than one that is refused: its caller knows nothing, and when its turn
comes nobody may be there any more. So a request takes a seat when it has arrived whole, and leaves it when its answer
begins: streams, slow readers, and whoever waits for a run to end hold none.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Annotated, Final

import anyio
from fastapi import Depends, Request
from starlette.types import Scope

from orchestrator.service.http.limits import RETRY_AFTER_MOST_S, RETRY_AFTER_S
from orchestrator.service.http.problems import Problem, retry_after

KEY: Final = "orchestrator.seat"  #: in the scope of a request
#: Whoever looks after the process must see it when it is full, and above all then.
ALWAYS_IN: Final = frozenset({"/healthz", "/readyz", "/metrics"})
EACH_S: Final = 0.01  #: between two answers, as long as nothing was measured
EACH_MOST_S: Final = 1.0  #: a longer pause says that nobody asked, and not how long answers take
WEIGHT: Final = 0.05  #: of the newest pause in the mean


class Seats:
    """The seats of one process."""

    def __init__(self, most: int, now_s: Callable[[], float] = anyio.current_time) -> None:
        self._most, self._now_s = most, now_s
        self.taken = 0
        self._each_s = EACH_S
        self._left_s = float("-inf")
        self._promised_s = float("-inf")  #: when the last of those who were sent away may come

    def take(self) -> "Seat":
        """A seat, until it is left.

        Raises:
            Problem: there is none. Those who are sent away get times one after another, as fast as answers were
                given lately, so that they do not all come back together.
        """
        if self.taken < self._most:
            return Seat(self)
        now_s = self._now_s()
        self._promised_s = min(max(self._promised_s, now_s) + self._each_s, now_s + RETRY_AFTER_MOST_S)
        said = f"the process works on {self.taken:,} requests, and {self._most:,} may be under way"
        wait_s = max(self._promised_s - now_s, RETRY_AFTER_S)
        remedy = "nothing was done; send it again after the time that Retry-After names"
        raise Problem(503, "overloaded", said, remedy=remedy, headers=retry_after(wait_s))

    def answered(self) -> None:
        """An answer was begun: how fast they follow each other is what advice goes by."""
        now_s = self._now_s()
        self._each_s += WEIGHT * (min(now_s - self._left_s, EACH_MOST_S) - self._each_s)
        self._left_s = now_s


class Seat:
    """The seat of one request."""

    def __init__(self, seats: Seats) -> None:
        self._seats, self._over = seats, False
        seats.taken += 1

    def leave(self) -> None:
        """It is free; safe to call twice."""
        if not self._over:
            self._over = True
            self._seats.taken -= 1
            self._seats.answered()

    @contextmanager
    def aside(self) -> Iterator[None]:
        """While a request waits for a run, its seat is somebody else's; afterwards it has one however full it is."""
        self._seats.taken -= not self._over
        try:
            yield
        finally:
            self._seats.taken += not self._over


def seat_of(request: Request) -> Seat:
    """The seat of a request: the gate gave it one."""
    found: Seat = request.scope[KEY]
    return found


def must_be_seated(scope: Scope) -> bool:
    """Whether a request needs a seat."""
    return scope["path"] not in ALWAYS_IN


#: A parameter of a route: `async def route(seat: Sits, ...)`.
Sits = Annotated[Seat, Depends(seat_of)]
