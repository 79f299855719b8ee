"""Reads verdicts out of a run's facts: which attempt ran with which tier, what it cost, and whether it passed."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final, TypeVar

from orchestrator.core import facts as f
from orchestrator.ids import RunId
from orchestrator.models.routing.outcomes import Verdict

K = TypeVar("K")
V = TypeVar("V")

OPEN_MAX: Final = 20_000  #: attempts under way that are remembered
#: Failures that are the model's own: it gave no answer that fits, or could not handle its tools.
_OF_THE_MODEL: Final = frozenset({"output", "tools", "turns"})


@dataclass(slots=True)
class _Attempt:
    pool: str
    tier: str
    features: tuple[float, ...] = ()
    usd: float = 0.0
    judged: bool = False  #: an output was there, or the model failed to give one


class Watch:
    """Follows any number of runs; what the surroundings spoil is no verdict on a model."""

    def __init__(self) -> None:
        self._features: dict[tuple[RunId, str, int], tuple[float, ...]] = {}
        self._open: dict[tuple[RunId, str, int], _Attempt] = {}

    def verdicts(self, run_id: RunId, facts: Sequence[f.Fact]) -> Iterator[tuple[str, str, Verdict]]:
        """Pool, tier and verdict of each attempt that these facts decide."""
        for fact in facts:
            if isinstance(fact, f.RunEnded):
                self._drop(run_id)
            elif isinstance(fact, f.StepFact):
                found = self._step((run_id, fact.step, fact.branch), fact)
                if found is not None:
                    yield found

    def _step(self, key: tuple[RunId, str, int], fact: f.StepFact) -> tuple[str, str, Verdict] | None:
        attempt = self._open.get(key)
        if isinstance(fact, f.TierChosen):
            _keep(self._features, key, tuple(fact.features or ()))
        elif isinstance(fact, f.StepDispatched):
            if fact.purpose == "work" and not fact.sample and fact.tier and fact.pool:
                _keep(self._open, key, _Attempt(fact.pool, fact.tier, self._features.get(key, ())))
        elif attempt is None:
            return None
        elif isinstance(fact, f.ModelCalled):
            attempt.usd += fact.usd
        elif isinstance(fact, f.StepProduced):
            attempt.judged = True
        elif isinstance(fact, f.AttemptFailed):
            attempt.judged = fact.error in _OF_THE_MODEL
        elif isinstance(fact, f.StepPassed | f.StepRejected):
            del self._open[key]
            if attempt.judged:
                accepted = isinstance(fact, f.StepPassed)
                verdict = Verdict(accepted=accepted, usd=attempt.usd, features=attempt.features)
                return attempt.pool, attempt.tier, verdict
        elif isinstance(fact, f.StepGap | f.StepFailed | f.StepSkipped | f.StepCancelled | f.LeaseLost):
            del self._open[key]
        return None

    def _drop(self, run_id: RunId) -> None:
        for kept in (self._features, self._open):
            for key in [key for key in kept if key[0] == run_id]:
                del kept[key]


def _keep(kept: dict[K, V], key: K, value: V) -> None:
    if key not in kept and len(kept) >= OPEN_MAX:
        kept.pop(next(iter(kept)))
    kept[key] = value
