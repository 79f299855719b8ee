"""Money, tokens, calls and steps of a run: limits, what is spent, what is set aside. Arithmetic alone."""

from dataclasses import dataclass, field
from math import ceil
from typing import NamedTuple

from orchestrator.core.fact import LimitName


class Held(NamedTuple):
    """An amount that is set aside."""

    usd: float
    tokens: int
    steps: int
    calls: int  #: of models


@dataclass(slots=True)
class Ledger:
    """The account of one run."""

    usd_limit: float
    tokens_limit: int
    steps_limit: int
    wall_s: float
    calls_limit: int | None = None  #: None: calls are not limited
    closing: float = 0.0  #: share of USD, tokens and calls held back for the steps of the result
    usd: float = 0.0
    tokens: int = 0
    steps: int = 0
    calls: int = 0
    usd_reserved: float = 0.0
    tokens_reserved: int = 0
    steps_reserved: int = 0  #: by sub-plans
    calls_reserved: int = 0
    open: dict[str, Held] = field(default_factory=dict)  #: by charge; a sub-plan's is its run id
    charged: set[str] | frozenset[str] = frozenset()

    def reserve(self, charge: str, usd: float, tokens: int, steps: int = 0, calls: int = 1) -> None:
        """Set an amount aside under a charge that is not known yet."""
        self.open[charge] = Held(usd, tokens, steps, calls)
        self.usd_reserved += usd
        self.tokens_reserved += tokens
        self.steps_reserved += steps
        self.calls_reserved += calls

    def settle(self, charge: str, usd: float, tokens: int, steps: int = 0, calls: int = 0) -> bool:
        """Book what was spent under a charge and give its reservation back. False for a duplicate."""
        if charge in self.charged:
            return False
        if isinstance(self.charged, set):
            self.charged.add(charge)
        else:
            self.charged = {charge}
        held = self.open.pop(charge, None)
        if held is not None:
            self.usd_reserved = self.usd_reserved - held.usd if self.open else 0.0
            self.tokens_reserved -= held.tokens
            self.steps_reserved -= held.steps
            self.calls_reserved -= held.calls
        self.usd += usd
        self.tokens += tokens
        self.steps += steps
        self.calls += calls
        return True

    @property
    def usd_left(self) -> float:
        """USD neither spent nor set aside; not below zero."""
        return max(self.usd_limit - self.usd - self.usd_reserved, 0.0)

    @property
    def tokens_left(self) -> int:
        """Tokens neither spent nor set aside; not below zero."""
        return max(self.tokens_limit - self.tokens - self.tokens_reserved, 0)

    @property
    def steps_left(self) -> int:
        """First dispatches left; not below zero."""
        return max(self.steps_limit - self.steps - self.steps_reserved, 0)

    @property
    def calls_left(self) -> int | None:
        """Calls of models neither made nor under way; not below zero. None: not limited."""
        if self.calls_limit is None:
            return None
        return max(self.calls_limit - self.calls - self.calls_reserved, 0)

    def kept_back(self) -> Held:
        """What `closing` keeps for the steps of the result; at least one call where calls are limited."""
        if not self.closing:
            return NOTHING
        calls = 0 if self.calls_limit is None else min(ceil(self.calls_limit * self.closing), self.calls_limit)
        return Held(self.usd_limit * self.closing, int(self.tokens_limit * self.closing), 0, calls)

    def spent_out(self, aside: Held | None = None) -> LimitName | None:
        """`usd`, `tokens` or `calls` when that limit, less what is kept back, is reached; else None.

        A limit of 0 is reached by the first spending.
        """
        aside = NOTHING if aside is None else aside
        usd, tokens = self.usd_limit - aside.usd, self.tokens_limit - aside.tokens
        if self.usd > usd or (self.usd >= usd > 0):
            return "usd"
        if self.tokens > tokens or (self.tokens >= tokens > 0):
            return "tokens"
        if self.calls_limit is not None:
            calls = self.calls_limit - aside.calls
            if self.calls > calls or (self.calls >= calls > 0):
                return "calls"
        return None

    def unsettled(self, parent: str) -> Held:
        """What calls have set aside and nobody has settled; sub-plans of the run `parent` settle their own."""
        prefix = f"{parent}."
        held = [one for charge, one in self.open.items() if not charge.startswith(prefix)]
        return Held(
            sum(one.usd for one in held),
            sum(one.tokens for one in held),
            sum(one.steps for one in held),
            sum(one.calls for one in held),
        )


NOTHING = Held(0.0, 0, 0, 0)
