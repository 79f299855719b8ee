"""Reads verdicts out of a run's facts: which attempt ran with which tier, what it cost, and whether it passed."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final

from orchestrator.core import facts as f
from orchestrator.ids import RunId
from orchestrator.models.routing.outcomes import Verdict

RUNS_MAX: Final = 10_000  #: runs under way that are followed
#: Failures that are the model's own: it gave no answer that fits, or could not handle its tools.
_OF_THE_MODEL: Final = frozenset({"output", "tools", "turns"})


_WITH_TIER: Final = frozenset({f.StepEscalated, f.StepDispatched})
_ENDS: Final = (f.StepPassed, f.StepRejected, f.StepGap, f.StepFailed, f.StepSkipped, f.StepCancelled, f.LeaseLost)
_BEFORE: Final = (f.TierChosen, f.StepEscalated, f.StepDispatched, f.ModelCalled, f.StepProduced, f.AttemptFailed)
_READ: Final = (*_BEFORE, f.CheckVerdict, *_ENDS)


@dataclass(slots=True, kw_only=True)
class _Attempt:
    pool: str
    tier: str
    features: tuple[float, ...]
    escalated: bool
    usd: float = 0.0
    judged: bool = False  #: an output was there, or the model failed to give one
    checked: bool = False  #: a check has spoken of it: what nobody looked at is no success
    asked: bool = False  #: a model of the tier answered
    served: bool = False  #: a kept answer was used: it says nothing of the tier that it did not say before

    def verdict(self, *, accepted: bool) -> Verdict:
        return Verdict(accepted=accepted, usd=self.usd, features=self.features, escalated=self.escalated)


_Unit = tuple[str, int]  # step and branch


@dataclass(slots=True)
class _Run:
    features: dict[_Unit, tuple[float, ...]] = field(default_factory=dict)
    open: dict[_Unit, _Attempt] = field(default_factory=dict)
    escalated: set[_Unit] = field(default_factory=set)


class Watch:
    """Follows any number of runs; what the surroundings spoil is no verdict on a model."""

    def __init__(self) -> None:
        self._runs: dict[RunId, _Run] = {}

    def verdicts(self, run_id: RunId, facts: Sequence[f.Fact]) -> Iterator[tuple[str, str, Verdict]]:
        """Pool, tier and verdict of each attempt that these facts decide."""
        run = self._runs.get(run_id)
        for fact in facts:
            if run is None and not _begins(fact):
                continue  # the usual case: nothing of the run has asked for a tier
            if isinstance(fact, f.RunEnded):
                self._runs.pop(run_id, None)
                run = None
            elif isinstance(fact, _READ):
                run = run or self._run(run_id)
                found = _step(run, (fact.step, fact.branch), fact)
                if found is not None:
                    yield found

    def _run(self, run_id: RunId) -> _Run:
        run = self._runs.get(run_id)
        if run is None:
            if len(self._runs) >= RUNS_MAX:
                self._runs.pop(next(iter(self._runs)))
            run = self._runs[run_id] = _Run()
        return run


def _begins(fact: f.Fact) -> bool:
    kind = type(fact)
    return kind is f.TierChosen or (kind in _WITH_TIER and fact.tier is not None)  # type: ignore[attr-defined]  # as named


def _step(run: _Run, key: _Unit, fact: f.StepFact) -> tuple[str, str, Verdict] | None:
    attempt = run.open.get(key)
    if isinstance(fact, f.TierChosen):
        run.features[key] = tuple(fact.features or ())
    elif isinstance(fact, f.StepEscalated):
        if fact.tier is not None:
            run.escalated.add(key)
    elif isinstance(fact, f.StepDispatched):
        if fact.purpose == "work" and not fact.sample and fact.tier and fact.pool:
            features, escalated = run.features.get(key, ()), key in run.escalated
            run.open[key] = _Attempt(pool=fact.pool, tier=fact.tier, features=features, escalated=escalated)
    elif attempt is None:
        return None
    elif isinstance(fact, f.ModelCalled):
        attempt.usd += fact.usd
        attempt.asked, attempt.served = attempt.asked or not fact.served, attempt.served or bool(fact.served)
    elif isinstance(fact, f.CheckVerdict):
        attempt.checked = attempt.checked or fact.verdict != "check_broken"
    elif isinstance(fact, f.StepProduced):
        attempt.judged = True
    elif isinstance(fact, f.AttemptFailed):
        attempt.judged = fact.error in _OF_THE_MODEL
    else:
        del run.open[key]
        told = isinstance(fact, f.StepRejected) or (isinstance(fact, f.StepPassed) and attempt.checked)
        if attempt.judged and told and (attempt.asked or not attempt.served):
            return attempt.pool, attempt.tier, attempt.verdict(accepted=isinstance(fact, f.StepPassed))
    return None
