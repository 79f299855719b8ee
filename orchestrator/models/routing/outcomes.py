"""What became of attempts, by pool and tier: verdicts of checks, costs, and a small classifier where they suffice."""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from orchestrator.models.routing.expected import Estimate, Gate, lower_bound
from orchestrator.models.routing.logistic import Logistic, fit

KEPT: Final = 400  #: verdicts of one pool at one tier that are remembered; older ones say little of today's models
POOLS_MAX: Final = 256  #: pools that are remembered
FIT_FROM: Final = 60  #: examples before a classifier is fitted
REFIT: Final = 1.25  #: and fitted again when there are so many times more
TRUST_FROM: Final = 50  #: predictions, each made before its verdict, before they are believed

#: What a tier costs where nothing was measured, in terms of the others: the models that OpenAI's tiers name by default
#: (gpt-5-nano, gpt-5-mini, gpt-5) cost 0.05, 0.25 and 1.25 USD per million tokens in, and 0.40, 2 and 10 out.
COST_RATIO: Final = {"cheap": 1.0, "standard": 5.0, "strong": 25.0}


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """One attempt that was judged."""

    accepted: bool
    usd: float
    features: tuple[float, ...] = ()  #: empty: unknown
    escalated: bool = False  #: a lower tier was refused before: such work is harder than the rest


@dataclass(slots=True)
class _Learnt:
    """Verdicts of one pool at one tier, and the classifier over them."""

    verdicts: deque[Verdict] = field(default_factory=lambda: deque(maxlen=KEPT))
    model: Logistic | None = None
    next_fit: float = FIT_FROM
    seen: int = 0
    judged: int = 0  #: predictions that were made before the verdict was known
    model_error: float = 0.0  #: sum of their squared errors
    share_error: float = 0.0  #: what the bare share would have had

    def add(self, verdict: Verdict) -> None:
        if verdict.features and self.model is not None:
            truth, share = float(verdict.accepted), self.share
            self.judged += 1
            self.model_error += (self.model.probability(verdict.features) - truth) ** 2
            self.share_error += (share - truth) ** 2
        self.verdicts.append(verdict)
        self.seen += 1
        if self.seen >= self.next_fit:
            self._fit()

    @property
    def share(self) -> float:
        count = len(self.verdicts)
        return sum(one.accepted for one in self.verdicts) / count if count else 0.0

    @property
    def trusted(self) -> bool:
        """Whether the classifier has told verdicts beforehand better than the bare share."""
        return self.judged >= TRUST_FROM and self.model_error < self.share_error

    def _fit(self) -> None:
        self.next_fit = self.seen * REFIT
        known = [one for one in self.verdicts if one.features]
        answers = [one.accepted for one in known]
        if len(known) >= FIT_FROM and any(answers) and not all(answers):
            self.model = fit([one.features for one in known], answers)


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """What is known of one kind of work."""

    first: dict[
        str, Estimate
    ]  #: of tiers that work begins with; where too little did, as `then`, which is rather too low
    then: dict[str, Estimate]  #: of tiers that refused work went on to; where too little did, as `first`
    begun: frozenset[str]  #: tiers that enough work began with
    classified: bool  #: a classifier had a part in it
    priced: bool  #: costs are USD; otherwise only their proportions mean something


class Outcomes:
    """Everything that was learnt. The same verdicts in the same order give the same estimates."""

    def __init__(self) -> None:
        self._learnt: dict[tuple[str, str, bool], _Learnt] = {}

    def add(self, pool: str, tier: str, verdict: Verdict) -> None:
        """Take in one verdict; the pool that was heard of first goes when there are too many."""
        key = (pool, tier, verdict.escalated)
        if key not in self._learnt and len(self._learnt) >= POOLS_MAX:
            self._learnt.pop(next(iter(self._learnt)))
        self._learnt.setdefault(key, _Learnt()).add(verdict)

    def count(self, pool: str, tier: str) -> int:
        """Verdicts that are remembered."""
        found = (self._learnt.get((pool, tier, escalated)) for escalated in (False, True))
        return sum(len(one.verdicts) for one in found if one is not None)

    def estimates(
        self, pool: str, tiers: Sequence[str], features: tuple[float, ...], gate: Gate, least: int
    ) -> "Known":
        """What is known of each tier with at least `least` verdicts."""
        first: dict[str, Estimate] = {}
        then: dict[str, Estimate] = {}
        classified = False
        costs, priced = self._costs(pool, tiers)
        for tier in tiers:
            for escalated, found in ((False, first), (True, then)):
                learnt = self._learnt.get((pool, tier, escalated))
                if learnt is None or len(learnt.verdicts) < least:
                    continue
                accepted = sum(one.accepted for one in learnt.verdicts)
                share, low = learnt.share, lower_bound(accepted, len(learnt.verdicts))
                if features and learnt.model is not None and learnt.trusted:
                    classified = True
                    margin = share - low
                    share = learnt.model.probability(features)
                    low = max(share - margin, 0.0)
                found[tier] = Estimate(tier=tier, usd=costs[tier], right=gate.right(share), low=gate.right(low))
        return Known(
            first={**then, **first},
            then={**first, **then},
            begun=frozenset(first),
            classified=classified,
            priced=priced,
        )

    def _costs(self, pool: str, tiers: Sequence[str]) -> tuple[dict[str, float], bool]:
        """Cost of an attempt, measured where it was, else in proportion to a tier that was; and whether any was."""
        measured: dict[str, float] = {}
        for tier in tiers:
            seen = [one for way in (False, True) if (one := self._learnt.get((pool, tier, way))) is not None]
            verdicts = [one for learnt in seen for one in learnt.verdicts]
            if verdicts:
                usd = sum(one.usd for one in verdicts) / len(verdicts)
                if usd > 0:
                    measured[tier] = usd
        unit = max((usd / COST_RATIO.get(tier, 1.0) for tier, usd in measured.items()), default=1.0)
        return {tier: measured.get(tier, unit * COST_RATIO.get(tier, 1.0)) for tier in tiers}, bool(measured)
