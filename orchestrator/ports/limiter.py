"""The limiter port: requests and tokens per minute of an endpoint, over everyone who shares it."""

from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True, kw_only=True)
class Rates:
    """What an endpoint allows in a minute; None is no limit. A full minute may go out at once."""

    requests_per_minute: int | None = None
    tokens_per_minute: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Slot:
    """A place in the order of calls: begin in `wait_s` seconds, not before."""

    ticket: str
    wait_s: float  #: 0: now


class Limiter(Protocol):
    """Keeps calls under the rates of their endpoint, in the order in which they asked.

    A slot is taken when it is given, also where it lies ahead: whoever comes later gets a later one, so nobody polls
    and nobody starves. An endpoint that has no rates is limited by its cool-downs alone.
    """

    async def reserve(self, endpoint: str, tokens: int) -> Slot:
        """Take the next slot for a call of up to `tokens` tokens, 0 or more; over a minute's worth waits longer."""
        ...

    async def start(self, slot: Slot) -> Slot:
        """Ask right before sending: with `wait_s` 0 the call may begin; else a cool-down moved the slot."""
        ...

    async def settle(self, slot: Slot, tokens: int, *, sent: bool = True) -> None:
        """Give back what the call did not use of its tokens, and its request where it was not sent.

        Using more than was reserved takes the difference from whoever comes next. A slot settles once.
        """
        ...

    async def cool_down(self, endpoint: str, seconds: float) -> None:
        """Start nothing at this endpoint for so many seconds. Slots that wait move behind it in their order, a rate
        apart; a cool-down that is on is never shortened.
        """
        ...
