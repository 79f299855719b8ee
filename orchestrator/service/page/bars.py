"""The bars of a timeline: one for each attempt, with its wait for a worker, its work, and its checks."""

from dataclasses import dataclass, field
from typing import Final

from orchestrator.core import facts as f
from orchestrator.ids import JsonValue

BARS_MAX: Final = 60  #: kept for one node; those that are left out are counted
BARS_LEAST: Final = 4  #: of one node, however many nodes there are
ALL_BARS_MAX: Final = 3_000  #: of all nodes together, as long as each has its least
_ENDS: Final[dict[type[f.Fact], str]] = {
    f.StepPassed: "passed",
    f.StepRejected: "rejected",
    f.AttemptFailed: "failed",
    f.LeaseLost: "lost",
    f.StepGap: "gap",
    f.StepFailed: "failed",
    f.StepCancelled: "cancelled",
    f.StepSkipped: "skipped",
}


@dataclass(slots=True)
class Bar:
    """One attempt of a step or branch; times in seconds since the epoch, 0 for not yet."""

    step: str
    branch: int
    attempt: int
    sent_s: float
    began_s: float = 0.0  #: a worker took it
    done_s: float = 0.0  #: it returned an output; its checks follow
    ended_s: float = 0.0
    outcome: str = ""  #: empty while it goes on

    def document(self) -> JsonValue:
        """[step, branch, attempt, sent, began, done, ended, outcome]."""
        return [
            *(self.step, self.branch, self.attempt),
            *(self.sent_s, self.began_s, self.done_s, self.ended_s, self.outcome),
        ]


def bars_most(nodes: int) -> int:
    """How many bars each of so many nodes may keep."""
    return max(BARS_LEAST, min(BARS_MAX, ALL_BARS_MAX // max(nodes, 1)))


@dataclass(slots=True)
class Bars:
    """The attempts of one node of the drawing."""

    most: int = BARS_MAX
    kept: list[Bar] = field(default_factory=list)
    left_out: int = 0
    _open: dict[tuple[str, int], Bar] = field(default_factory=dict)

    def take(self, fact: f.StepFact) -> None:
        """Read one more fact about a step of this node."""
        if isinstance(fact, f.StepDispatched):
            if fact.purpose == "work" and fact.sample == 0:
                self._sent(fact)
            return
        bar = self._open.get((fact.step, fact.branch))
        if bar is None:
            return
        if isinstance(fact, f.StepStarted):
            bar.began_s = bar.began_s or fact.at_s
        elif isinstance(fact, f.StepProduced):
            bar.began_s = bar.began_s or fact.started_at_s or bar.sent_s
            bar.done_s = fact.at_s
        elif type(fact) in _ENDS:
            if isinstance(fact, f.AttemptFailed) and fact.started_at_s:
                bar.began_s = bar.began_s or fact.started_at_s
            bar.ended_s, bar.outcome = fact.at_s, _ENDS[type(fact)]
            del self._open[fact.step, fact.branch]

    def _sent(self, fact: f.StepDispatched) -> None:
        old = self._open.pop((fact.step, fact.branch), None)
        if old is not None and not old.outcome:
            old.ended_s, old.outcome = fact.at_s, "replaced"
        if len(self.kept) >= self.most:
            self.left_out += 1
            return
        bar = Bar(fact.step, fact.branch, fact.attempt, fact.at_s)
        self.kept.append(bar)
        self._open[fact.step, fact.branch] = bar
