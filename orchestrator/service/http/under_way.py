"""The work that one run has in pools: every task that was sent and is not answered, from the run's facts alone.

Whether such a task still waits or has begun, facts do not tell of each: a worker that was free at once says nothing.
"""

from collections import Counter
from typing import Final

from orchestrator.core import facts as f

_Place = tuple[str, int, int, bool]  #: step, branch, sample, whether it is the call of a check
_ANSWERS: Final = (f.StepProduced, f.AttemptFailed, f.LeaseLost)
_SETTLES: Final = (f.StepPassed, f.StepRejected, f.StepSkipped, f.StepGap, f.StepFailed, f.StepCancelled)


class UnderWay:
    """Tasks of one run, by the pool that has them; one `take` per fact, in order."""

    __slots__ = ("_sent",)

    def __init__(self) -> None:
        self._sent: dict[_Place, str] = {}

    def take(self, fact: f.Fact) -> None:
        """Count one more fact."""
        if isinstance(fact, f.RunEnded):
            self._sent.clear()
        elif isinstance(fact, f.StepDispatched):
            if fact.pool:
                self._sent[fact.step, fact.branch, fact.sample, fact.purpose == "check"] = fact.pool
        elif isinstance(fact, _ANSWERS):
            self._sent.pop((fact.step, fact.branch, fact.sample, False), None)
            if isinstance(fact, f.LeaseLost):  # of the work, or of a check of it: neither is under way
                self._sent.pop((fact.step, fact.branch, fact.sample, True), None)
        elif isinstance(fact, f.CheckVerdict):
            self._sent.pop((fact.step, fact.branch, fact.sample, True), None)
        elif isinstance(fact, _SETTLES):
            self._drop({fact.step}, fact.branch)
        elif isinstance(fact, f.StepQuarantined):
            self._drop({fact.step, *fact.affected}, f.WHOLE)

    def by_pool(self) -> Counter[str]:
        """How many tasks each pool has; pools without one are not named."""
        return Counter(self._sent.values())

    def _drop(self, steps: set[str], branch: int) -> None:
        """Forget the tasks of steps, or of one branch of them."""
        for place in [place for place in self._sent if place[0] in steps and branch in {f.WHOLE, place[1]}]:
            del self._sent[place]


__all__ = ["UnderWay"]
