"""A meter for tests: one budget in memory, exact about what is held and what is spent."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import count

from orchestrator.errors import BudgetExceeded
from orchestrator.ports.model import ModelCall


@dataclass(slots=True, kw_only=True)
class Purse:
    """Holds reservations against a limit and records every call. Shared by as many callers as you like.

    A call under a charge that was never reserved, or that was settled before, is an error of the caller.
    """

    usd: float = float("inf")  #: the limit
    tokens: int | None = None  #: the limit; None is none
    spent_usd: float = 0.0
    spent_tokens: int = 0
    calls: list[ModelCall] = field(default_factory=list)
    deltas: list[str] = field(default_factory=list)
    held: dict[str, tuple[float, int]] = field(default_factory=dict)  #: reservations that no call has settled yet
    _charges: Iterator[int] = field(default_factory=lambda: count(1))

    async def reserve(self, usd: float, tokens: int) -> str:
        """Hold an amount; see `Meter`."""
        left_usd = self.usd - self.spent_usd - sum(held for held, _ in self.held.values())
        if usd > left_usd:
            raise BudgetExceeded("usd", usd, left_usd)
        if self.tokens is not None:
            left = self.tokens - self.spent_tokens - sum(held for _, held in self.held.values())
            if tokens > left:
                raise BudgetExceeded("tokens", tokens, left)
        charge = f"charge-{next(self._charges)}"
        self.held[charge] = (usd, tokens)
        return charge

    def called(self, call: ModelCall) -> None:
        """Settle the reservation of a call; see `Meter`."""
        if call.served:
            self.calls.append(call)  # nobody was asked, so nothing was held
            return
        if call.charge not in self.held:
            raise AssertionError(f"charge {call.charge!r} is not held: settled twice, or never reserved")
        del self.held[call.charge]
        self.spent_usd += call.usd
        self.spent_tokens += call.tokens_in + call.tokens_out
        self.calls.append(call)

    def delta(self, text: str) -> None:
        """Keep a piece of an answer; see `Meter`."""
        self.deltas.append(text)
