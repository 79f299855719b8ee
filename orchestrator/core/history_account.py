"""The money, tokens and steps of a run as its journal tells them: what was set aside, what was spent, what was left."""

from collections.abc import Iterable
from math import inf
from typing import Final

from orchestrator.core import facts as f
from orchestrator.core.closing import MONEY
from orchestrator.core.ledger import Held
from orchestrator.core.settle import charge_of
from orchestrator.ids import StepId
from orchestrator.plan.compiled import CompiledPlan

_ROUNDING: Final = 1e-9  #: relative
Broken = tuple[str, str]  #: the rule, and what is wrong


class Account:
    """Books every fact that speaks of money; gives back what breaks a rule."""

    def __init__(self) -> None:
        self.usd = self.usd_limit = 0.0
        self.tokens = self.tokens_limit = self.steps = self.steps_limit = 0
        self.calls = 0
        self.calls_limit: int | None = None
        self.open: dict[str, Held] = {}
        self.charged: set[str] = set()
        self.run, self.closing = "", 0.0

    def limit(self, fact: f.RunAccepted) -> None:
        """The budget in force."""
        self.usd_limit, self.tokens_limit, self.steps_limit = fact.usd, fact.tokens, fact.steps
        self.calls_limit, self.closing, self.run = fact.calls, fact.closing, fact.run

    def extend(self, fact: f.LimitExtended) -> None:
        """More budget."""
        self.usd_limit += fact.by if fact.limit == "usd" else 0
        self.tokens_limit += int(fact.by) if fact.limit == "tokens" else 0
        self.steps_limit += int(fact.by) if fact.limit == "steps" else 0
        if fact.limit == "calls":
            self.calls_limit = (self.calls_limit or 0) + int(fact.by)

    def take(self, fact: f.Fact, *, last: bool) -> Iterable[Broken]:
        """Book one fact. `last`: it is of a `finally` step, for which the budget is no bar."""
        if isinstance(fact, f.StepProduced | f.AttemptFailed):
            charge = charge_of(fact)
            told = charge in self.charged  # the worker had named the amount before it answered
            if not told and (fact.usd or fact.tokens or charge in self.open):
                yield from self._settle(charge, fact.usd, fact.tokens, 0)
        elif isinstance(fact, f.CheckVerdict):
            self.usd, self.tokens = self.usd + fact.usd, self.tokens + fact.tokens
        elif isinstance(fact, f.ChildEnded):
            yield from self._settle(fact.child, fact.usd, fact.tokens, fact.steps, fact.calls)
        elif isinstance(fact, f.BudgetSettled):
            yield from self._settle(fact.charge, fact.usd, fact.tokens, 0)
        elif isinstance(fact, f.ModelCalled):
            yield from self._settle(fact.charge, fact.usd, fact.tokens_in + fact.tokens_out, 0, 0 if fact.served else 1)
        elif isinstance(fact, f.ChildStarted):
            self.open[fact.child] = own = Held(fact.usd, fact.tokens, fact.steps, fact.calls or 0)
            yield from self._over(own) if not last else ()
        elif isinstance(fact, f.BudgetReserved):
            self.open[fact.charge] = own = Held(fact.usd, fact.tokens, 0, 1)
            yield from self._over(own) if not last else ()

    def _over(self, own: Held) -> Iterable[Broken]:
        """Of what was set aside last, more than was left: dearer answers may have eaten what others set aside."""
        usd, tokens, steps, calls = (sum(amounts) for amounts in zip(*self.open.values(), strict=True))
        over = [
            name
            for name, mine, spent, aside, limit in (
                ("usd", own.usd, self.usd, usd, self.usd_limit * (1 + _ROUNDING)),
                ("tokens", own.tokens, self.tokens, tokens, self.tokens_limit),
                ("steps", own.steps, self.steps, steps, self.steps_limit),
                ("calls", own.calls, self.calls, calls, self.calls_limit if self.calls_limit is not None else inf),
            )
            if mine and spent + aside > limit
        ]
        if over:
            yield "budget.reserved", f"more than is left of {', '.join(over)}"

    def _settle(self, charge: str, usd: float, tokens: int, steps: int, calls: int = 0) -> Iterable[Broken]:
        if charge in self.charged:
            yield "charge.once", f"{charge} is booked twice"
            return
        self.charged.add(charge)
        self.open.pop(charge, None)
        self.usd, self.tokens, self.steps = self.usd + usd, self.tokens + tokens, self.steps + steps
        self.calls += calls

    def room(self, *, first: bool) -> Iterable[Broken]:
        """What stands against another attempt."""
        held = sum(one.steps for one in self.open.values())
        if first and self.steps + held + 1 > self.steps_limit:
            yield "budget.steps", f"dispatch {self.steps + 1} of {self.steps_limit}, {held} set aside"
        calls_out = self.calls_limit is not None and self.calls >= self.calls_limit > 0
        if self.usd >= self.usd_limit > 0 or self.tokens >= self.tokens_limit > 0 or calls_out:
            told = f"{self.usd:g} USD, {self.tokens} tokens and {self.calls} calls"
            yield "budget.spent", f"{told} were spent before"

    def spares(self, limit: str, policy: str, step: StepId, plan: CompiledPlan | None) -> bool:
        """Whether a step may start although a limit is met: a share of the budget was kept for it."""
        if not self.closing or limit not in MONEY or policy != "degrade":
            return False
        return plan is None or (plan.result is not None and plan.by_id.get(step) in plan.result_steps)

    def ended(self, fact: f.RunEnded) -> str:
        """Whether the totals of the result are those of the records; empty when they are."""
        unsettled = [held for charge, held in self.open.items() if not charge.startswith(f"{self.run}.")]
        usd = self.usd + sum(held.usd for held in unsettled)
        tokens = self.tokens + sum(held.tokens for held in unsettled)
        calls = self.calls + sum(held.calls for held in unsettled)
        if (fact.steps, fact.tokens, fact.calls) == (self.steps, tokens, calls) and abs(fact.usd - usd) <= 1e-6:
            return ""
        told = f"{fact.steps} steps, {fact.tokens} tokens, {fact.calls} calls, {fact.usd:g} USD"
        return f"the result says {told}; the records {self.steps}, {tokens}, {calls}, {usd:g}"
