"""What runs cost and what was spared, by any side one may ask about; alarms and forecasts from the same figures.

Everything derives from facts. Money of a sub-plan is counted in the sub-plan's own run, never twice.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from math import ceil
from statistics import median
from typing import Final, Literal, get_args

from orchestrator.core import facts as f
from orchestrator.ids import JsonValue
from orchestrator.plan.models import Plan

Side = Literal["run", "plan", "step", "model", "pool", "tenant", "day"]
SIDES: Final[tuple[Side, ...]] = get_args(Side)
SAVERS: Final = ("cache", "routing", "compression", "batch")
SERVED: Final = {"exact": "a kept answer", "semantic": "the kept answer to a like question", "shared": "one answer"}
_SAVER_NAMES: Final = ("the cache", "routing", "compression", "the batch service")
ALARM_FACTOR: Final = 10.0  #: times a tenant's habit
HABIT_DAYS_MIN: Final = 3  #: with spending, before there is a habit
HABIT_DAYS: Final = 30  #: that a habit is taken from, the latest
ALARM_USD_MIN: Final = 0.01  #: of a day: less is nothing to be alarmed about
NO_MODEL: Final = "(no model)"  #: what workers and checks spent by themselves
ROWS_MAX: Final = 10_000  #: of one side; what comes beyond is one row, "(others)"
OTHERS: Final = "(others)"


def spared_told(fact: f.ModelCalled) -> str:
    """What a call did not cost, and by what, in words; empty where nothing was spared."""
    amounts = (getattr(fact, f"saved_{saver}_usd") for saver in SAVERS)
    return "".join(f"; {name} saved {usd:.4g} USD" for name, usd in zip(_SAVER_NAMES, amounts, strict=True) if usd)


@dataclass(slots=True)
class Spent:
    """Money and tokens of one row."""

    usd: float = 0.0
    tokens: int = 0
    tokens_cached: int = 0  #: of `tokens`: read from the providers' own prompt caches
    calls: int = 0  #: of models
    served: int = 0  #: answers that needed no call
    saved: dict[str, float] = field(default_factory=lambda: dict.fromkeys(SAVERS, 0.0))  #: USD by what spared them

    @property
    def saved_usd(self) -> float:
        """All that was spared."""
        return sum(self.saved.values())

    def document(self) -> dict[str, JsonValue]:
        """As JSON; `without_usd` is what the row would have cost."""
        return {
            "usd": self.usd,
            "tokens": self.tokens,
            "tokens_cached": self.tokens_cached,
            "calls": self.calls,
            "served": self.served,
            "saved_usd": dict(self.saved),
            "without_usd": self.usd + self.saved_usd,
        }


class Costs:
    """Adds up facts of runs, each run's in their order."""

    def __init__(self) -> None:
        self.total = Spent()
        self.by: dict[Side, dict[str, Spent]] = {side: {} for side in SIDES}
        self.days: dict[str, dict[str, float]] = {}  #: USD by tenant and day
        self._charged: set[tuple[str, str]] = set()
        self._pools: dict[tuple[str, str, int, int], str] = {}

    def add(self, accepted: f.RunAccepted, fact: f.Fact) -> None:
        """One more fact of a run."""
        if isinstance(fact, f.StepDispatched) and fact.purpose == "work":
            self._pools[accepted.run, fact.step, fact.branch, fact.attempt] = fact.pool
        elif isinstance(fact, f.RunEnded):
            self._pools = {at: pool for at, pool in self._pools.items() if at[0] != accepted.run}
        elif isinstance(fact, f.ModelCalled | f.BudgetSettled | f.StepProduced | f.AttemptFailed | f.CheckVerdict):
            self._spend(accepted, fact)

    def _spend(
        self,
        accepted: f.RunAccepted,
        fact: f.ModelCalled | f.BudgetSettled | f.StepProduced | f.AttemptFailed | f.CheckVerdict,
    ) -> None:
        if isinstance(fact, f.ModelCalled | f.BudgetSettled):  # a charge counts once; all else is journaled once
            if (accepted.run, fact.charge) in self._charged:
                return
            self._charged.add((accepted.run, fact.charge))
        tokens = fact.tokens_in + fact.tokens_out if isinstance(fact, f.ModelCalled) else fact.tokens
        if not (fact.usd or tokens or isinstance(fact, f.ModelCalled)):
            return
        day = _day(fact.at_s)
        pool = self._pools.get((accepted.run, fact.step, fact.branch, fact.attempt), "")
        names: dict[Side, str] = {
            "run": accepted.run,
            "plan": accepted.plan,
            "step": f"{accepted.plan}/{fact.step}",
            "model": fact.model if isinstance(fact, f.ModelCalled) else NO_MODEL,
            "pool": pool or "(none)",
            "tenant": accepted.tenant,
            "day": day,
        }
        for row in (self.total, *(self._row(side, name) for side, name in names.items())):
            _book(row, fact, tokens)
        self._spent_on(accepted.tenant, day, fact.usd)

    def add_older(self, tenant: str, at_s: float, usd: float) -> None:
        """A run whose facts are not read: only what its tenant spent on the day of `at_s`, for the habit."""
        if usd:
            self._spent_on(tenant, _day(at_s), usd)

    def _spent_on(self, tenant: str, day: str, usd: float) -> None:
        of_tenant = self.days.setdefault(tenant, {})
        of_tenant[day] = of_tenant.get(day, 0.0) + usd

    def _row(self, side: Side, name: str) -> Spent:
        rows = self.by[side]
        if name not in rows and len(rows) >= ROWS_MAX:
            name = OTHERS
        return rows.setdefault(name, Spent())


def _day(at_s: float) -> str:
    return datetime.fromtimestamp(at_s, UTC).date().isoformat()


def _book(row: Spent, fact: f.Fact, tokens: int) -> None:
    row.usd += getattr(fact, "usd", 0.0)
    row.tokens += tokens
    if isinstance(fact, f.ModelCalled):
        row.tokens_cached += fact.tokens_cached
        row.calls += not fact.served
        row.served += bool(fact.served)
        for saver in SAVERS:
            row.saved[saver] += getattr(fact, f"saved_{saver}_usd")


@dataclass(frozen=True, slots=True, kw_only=True)
class Alarm:
    """A tenant spent far more on a day than it does."""

    tenant: str
    day: str
    usd: float
    habit_usd: float  #: median of its days with spending before
    times: float

    def document(self) -> dict[str, JsonValue]:
        """As JSON."""
        return {
            "tenant": self.tenant,
            "day": self.day,
            "usd": self.usd,
            "habit_usd": self.habit_usd,
            "times": self.times,
        }


def alarms(days: Mapping[str, Mapping[str, float]], day: str, *, factor: float = ALARM_FACTOR) -> tuple[Alarm, ...]:
    """Tenants whose spending on `day` (YYYY-MM-DD) is at least `factor` times their habit, the worst first.

    The habit is the median of the latest `HABIT_DAYS` days with spending before that day; without `HABIT_DAYS_MIN` of
    them there is none, and no alarm.
    """
    found = []
    for tenant, spent in days.items():
        before = [spent[at] for at in sorted(spent) if at < day and spent[at] > 0][-HABIT_DAYS:]
        usd = spent.get(day, 0.0)
        if len(before) < HABIT_DAYS_MIN or usd < ALARM_USD_MIN:
            continue
        habit = median(before)
        if usd >= factor * habit:
            found.append(Alarm(tenant=tenant, day=day, usd=usd, habit_usd=habit, times=usd / habit))
    return tuple(sorted(found, key=lambda alarm: (-alarm.times, alarm.tenant)))


@dataclass(frozen=True, slots=True, kw_only=True)
class Forecast:
    """What a run of a plan is likely to cost, from runs that ended."""

    runs: int  #: of a plan of this name
    usd: tuple[float, float, float] | None  #: 10 %, 50 % and 90 % of those runs cost at most this much; None: none ran
    steps: dict[str, tuple[float, int]]  #: of this plan's steps that ran: mean USD of a run, and in how many runs
    unknown: tuple[str, ...]  #: steps of this plan that no such run had

    def document(self) -> dict[str, JsonValue]:
        """As JSON."""
        usd: JsonValue = None
        if self.usd is not None:
            usd = {"p10": self.usd[0], "p50": self.usd[1], "p90": self.usd[2]}
        steps: dict[str, JsonValue] = {
            name: {"usd_mean": mean, "runs": runs} for name, (mean, runs) in self.steps.items()
        }
        return {"runs": self.runs, "usd": usd, "steps": steps, "unknown": list(self.unknown)}


def forecast(plan: Plan, history: Iterable[tuple[float, Mapping[str, float]]]) -> Forecast:
    """What a plan is likely to cost. `history`: USD of every ended run of a plan of this name, in all and by step; a
    step that ran for nothing is there with 0."""
    totals: list[float] = []
    of_steps: dict[str, list[float]] = {}
    for usd, steps in history:
        totals.append(usd)
        for name, spent in steps.items():
            of_steps.setdefault(name, []).append(spent)
    known = {
        name: (sum(of_steps[name]) / len(of_steps[name]), len(of_steps[name]))
        for name in plan.steps
        if name in of_steps
    }
    totals.sort()
    return Forecast(
        runs=len(totals),
        usd=(_share(totals, 0.1), _share(totals, 0.5), _share(totals, 0.9)) if totals else None,
        steps=known,
        unknown=tuple(name for name in plan.steps if name not in of_steps),
    )


def _share(ordered: Sequence[float], share: float) -> float:
    return ordered[max(ceil(share * len(ordered)) - 1, 0)]


def rendered(told: Mapping[str, JsonValue]) -> str:
    """A forecast's document in a few lines for people."""
    usd, steps = told["usd"], told["steps"]
    if not isinstance(usd, dict) or not isinstance(steps, dict):
        return "forecast: no run of a plan of this name has ended in the store"
    lines = [
        (
            f"forecast: {usd['p50']:.4f} USD; 10 to 90 % of {told['runs']:,} earlier runs cost "
            f"{usd['p10']:.4f} to {usd['p90']:.4f}"
        )
    ]
    for name, step in steps.items():
        if isinstance(step, dict) and step["usd_mean"]:
            lines.append(f"  {name}: {step['usd_mean']:.4f} USD on average of {step['runs']:,} runs")
    unknown = told["unknown"]
    if isinstance(unknown, list) and unknown:
        lines.append(f"  never ran: {', '.join(map(str, unknown))}")
    return "\n".join(lines)
