"""The router: rules first, then what verdicts have taught, then a cascade on the checks; each with its reason."""

from collections import Counter
from collections.abc import Sequence
from typing import Final, NamedTuple

from orchestrator.core.facts import Fact
from orchestrator.core.route import ChosenBy, RouteAnswer, RouteQuestion
from orchestrator.ids import RunId
from orchestrator.models.routing.expected import Estimate, Gate, Prospect, best, prospect
from orchestrator.models.routing.features import features_of, script_of
from orchestrator.models.routing.outcomes import Outcomes
from orchestrator.models.routing.watch import Watch
from orchestrator.plan.parts import AUTO
from orchestrator.ports.model import Tier
from orchestrator.settings import RoutingRule, RoutingSettings

ORDER: tuple[Tier, ...] = ("cheap", "standard", "strong")
TRIED_EVERY: Final = 10  #: task that is still tried blind after the first: of those some may never get a verdict
POOLS_MAX: Final = 256  #: pools whose trials are counted; further ones begin with the highest tier


class _Chosen(NamedTuple):
    tier: Tier
    by: ChosenBy
    reason: str
    found: Prospect | None = None
    priced: bool = False


class Router:
    """Answers the routing port by settings. Never below `floor`; a tier with too few verdicts is only begun with where
    a check and an `escalate` rung stand behind it, and, where the checks miss more wrong outputs than `success` allows,
    by no more tasks of a pool than it takes to know it."""

    def __init__(self, settings: RoutingSettings) -> None:
        self.settings = settings
        self._gate = Gate(detection=settings.detection, false_alarm=settings.false_alarm)
        self._tiers = tuple(tier for tier in ORDER if tier in settings.tiers)
        self._able = tuple(tier for tier in self._tiers if ORDER.index(tier) >= ORDER.index(settings.floor))
        self._outcomes, self._watch = Outcomes(), Watch()
        self._tried: Counter[str] = Counter()  # pool -> tasks since its lowest tier was first begun with blind

    @property
    def tiers(self) -> tuple[Tier, ...]:
        """Every tier that it may choose: those of the settings, from the floor up."""
        return self._able

    def saw(self, run_id: RunId, facts: Sequence[Fact]) -> None:
        """Learn from facts of a run; see `Routing.saw`."""
        for pool, tier, verdict in self._watch.verdicts(run_id, facts):
            self._outcomes.add(pool, tier, verdict)

    def choose(self, question: RouteQuestion) -> RouteAnswer | None:
        """The tier a step begins with; see `Routing.choose`."""
        shadow = self.settings.mode == "shadow"
        if question.asked != AUTO and not (shadow and question.kind == "task"):
            return None
        text = question.text
        features = features_of(text)
        tier, by, reason, found, priced = self._chosen(question, text, features)
        acts: str | None = tier
        if shadow:
            acts = self.settings.fallback if question.asked == AUTO else question.asked
        return RouteAnswer(
            tier=acts,
            advised=tier,
            by=by,
            reason=reason,
            success=None if found is None else round(found.success, 6),
            usd=round(found.usd, 9) if found is not None and priced else None,
            features=tuple(round(x, 6) for x in features),
        )

    def _chosen(self, question: RouteQuestion, text: str, features: tuple[float, ...]) -> "_Chosen":
        for number, rule in enumerate(self.settings.rules, 1):
            if _fits(rule, question, text):
                tier = self._raised(rule.tier)
                raised = f", raised to the floor {tier}" if tier != rule.tier else ""
                return _Chosen(tier, "rule", f"rule {number} says {rule.tier}{raised}: {_said(rule)}")
        learnt = self._learnt(question, features)
        if learnt is not None:
            return learnt
        first = self._able[0]
        then = next((tier for tier in reversed(question.escalates) if _above(tier, first)), "")
        if question.checked and then:
            return self._cascade(question.pool, first, then)
        why = "no check stands behind it" if not question.checked else "no rung escalates"
        return _Chosen(self.settings.fallback, "fallback", f"too few verdicts in pool {question.pool}, and {why}")

    def _cascade(self, pool: str, first: Tier, then: str) -> "_Chosen":
        """The lowest tier, unknown as it is. At worst all its outputs are wrong: where the checks refuse too few of
        them for `success`, that is ventured for as many tasks as verdicts are wanted, and then for every tenth."""
        settings = self.settings
        few = f"under {settings.examples_min} verdicts in pool {pool}"
        reason = f"{few}: the lowest tier first, and {then} where a check refuses it"
        if settings.detection >= settings.success or settings.mode == "shadow":
            return _Chosen(first, "cascade", reason)
        missed = "the checks miss more than success allows"
        if pool in self._tried or len(self._tried) < POOLS_MAX:
            self._tried[pool] += 1
            if self._tried[pool] <= settings.examples_min:
                return _Chosen(first, "cascade", f"{reason}, for {settings.examples_min} tasks alone, since {missed}")
            if self._tried[pool] % TRIED_EVERY == 0:
                return _Chosen(first, "cascade", f"{reason}, for every {TRIED_EVERY}th task alone, since {missed}")
        highest = self._able[-1]
        tried = f"{settings.examples_min} tasks of pool {pool} are being tried with {first}, and {missed}"
        waits = f"{highest} until their verdicts are there, but for every {TRIED_EVERY}th"
        return _Chosen(highest, "cascade", f"{tried}: {waits}")

    def _learnt(self, question: RouteQuestion, features: tuple[float, ...]) -> "_Chosen | None":
        """The choice by what became of earlier attempts; None while a tier that a cascade protects is still unknown."""
        least, required = self.settings.examples_min, self.settings.success
        learnt = self._outcomes.estimates(question.pool, self._tiers, features, self._gate, least)
        known = learnt.first
        if not any(tier in known for tier in self._able):
            return None
        if question.checked and self._able[0] not in known and question.escalates:
            return None  # the cheapest has to be tried before it can be judged, and here that is safe
        prospects = [
            prospect(known[tier], _next(tier, question, learnt.then), self._gate)
            for tier in self._able
            if tier in known
        ]
        found, enough = best(prospects, required)
        by: ChosenBy = "classifier" if learnt.classified else "verdicts"
        what = "the text" if learnt.classified else f"{self._outcomes.count(question.pool, found.tier)} verdicts"
        how = f", {found.then} where a check refuses it" if found.then else ""
        if not enough and self._able[-1] not in learnt.begun:
            highest = self._able[-1]
            reason = (
                f"by {what} no way is sure of {required:.0%}, and {highest} was not begun with often enough to know it"
            )
            return _Chosen(highest, by, reason)
        if enough:
            reason = f"by {what} the cheapest way to {required:.0%}: {found.tier} first{how}"
        else:
            reason = f"by {what} no way is sure of {required:.0%}; {found.tier}{how} comes nearest"
        return _Chosen(_tier(found.tier), by, reason, found, learnt.priced)

    def _raised(self, tier: Tier) -> Tier:
        """The tier, or the lowest allowed one above it; the highest where there is none."""
        return next((one for one in self._able if ORDER.index(one) >= ORDER.index(tier)), self._able[-1])


def _next(tier: str, question: RouteQuestion, known: dict[str, Estimate]) -> Estimate | None:
    """The strongest known tier that a refused output of `tier` goes on to."""
    if not question.checked:
        return None
    above = [known[one] for one in question.escalates if one in known and _above(one, tier)]
    return max(above, key=lambda one: _rank(one.tier), default=None)


def _rank(tier: str) -> int:
    return ORDER.index(_tier(tier))


def _above(tier: str, other: str) -> bool:
    return _rank(tier) > _rank(other)


def _tier(text: str) -> Tier:
    return next(tier for tier in ORDER if tier == text)


def _fits(rule: RoutingRule, question: RouteQuestion, text: str) -> bool:
    return (
        (rule.pool is None or rule.pool == question.pool)
        and (rule.kind is None or rule.kind == question.kind)
        and (rule.chars_min is None or len(text) >= rule.chars_min)
        and (rule.chars_max is None or len(text) <= rule.chars_max)
        and (rule.tools is None or rule.tools == question.tools)
        and (rule.script is None or rule.script == script_of(text))
    )


def _said(rule: RoutingRule) -> str:
    """The conditions of a rule in words."""
    parts = [f"pool {rule.pool}"] if rule.pool is not None else []
    parts += [f"a {rule.kind}"] if rule.kind is not None else []
    parts += [f"{rule.chars_min:,} characters or more"] if rule.chars_min is not None else []
    parts += [f"{rule.chars_max:,} characters or fewer"] if rule.chars_max is not None else []
    if rule.tools is not None:
        parts.append("it needs tools" if rule.tools else "it needs no tools")
    parts += [f"written in {rule.script}"] if rule.script is not None else []
    return ", ".join(parts) or "every step"
