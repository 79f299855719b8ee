"""A run in one document, from its facts alone: what `run --json` prints, and the counts a live view shows."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final, Protocol

from orchestrator.core import facts as f
from orchestrator.core.state import SETTLED, UPSTREAM, Status
from orchestrator.ids import JsonValue

VERDICT_REASONS_MAX: Final = 3  #: of the last verdict of a kind that was no pass
_SETTLING: Final[dict[type[f.Fact], Status]] = {
    f.StepPassed: Status.PASSED,
    f.StepSkipped: Status.SKIPPED,
    f.StepGap: Status.GAP,
    f.StepFailed: Status.FAILED,
    f.StepCancelled: Status.CANCELLED,
}
_MOVING: Final[dict[type[f.Fact], Status]] = {
    f.AttemptFailed: Status.REJECTED,
    f.LeaseLost: Status.REJECTED,
    f.StepRejected: Status.REJECTED,
    f.ReplanRefused: Status.REJECTED,
    f.StepBackoff: Status.BACKOFF,
    f.ApprovalAsked: Status.WAITING,
    f.ReplanAsked: Status.WAITING,
    f.ApprovalAnswered: Status.CHECKING,
    f.ApprovalExpired: Status.CHECKING,
    f.StepProduced: Status.CHECKING,
}


class Record(Protocol):
    """A fact as a journal gives it back; `orchestrator.ports.journal.Recorded`."""

    @property
    def fact(self) -> f.Fact:
        """What happened."""
        ...

    @property
    def forgotten(self) -> bool:
        """Whether its payload was deleted."""
        ...


@dataclass(slots=True)
class UnitTally:
    """One step that is not mapped, or one branch."""

    status: Status = Status.PENDING
    reason: str = ""  #: of a gap, a failure, a skip; of a refusal while the ladder goes on
    note: str = ""  #: the last sign of life from its worker
    child: str | None = None  #: the run of a sub-plan
    asked: f.ApprovalAsked | None = None  #: the question that is open
    until_s: float = 0.0  #: end of a back-off


@dataclass(slots=True)
class StepTally:
    """One step of the plan, branches together."""

    id: str
    whole: UnitTally = field(default_factory=UnitTally)
    branches: dict[int, UnitTally] | None = None  #: of a mapped step, once it knows them
    attempts: int = 0  #: of a mapped step: the most that a branch took
    usd: float = 0.0
    verdicts: dict[tuple[int, str, str], "VerdictTally"] = field(default_factory=dict)
    started_at_s: float | None = None
    ended_at_s: float | None = None
    quarantined: bool = False

    @property
    def counts(self) -> Counter[str]:
        """How many branches have each status."""
        return Counter(unit.status.value for unit in (self.branches or {}).values())

    def unit(self, branch: int) -> UnitTally:
        """The branch, or the step itself."""
        if self.branches is None or branch == f.WHOLE:
            return self.whole
        return self.branches.setdefault(branch, UnitTally())

    def document(self) -> dict[str, JsonValue]:
        """The step as `--json` prints it; times in seconds since the epoch."""
        told: dict[str, JsonValue] = {
            "status": self.whole.status.value,
            "attempts": self.attempts,
            "verdicts": [verdict.document(*key) for key, verdict in self.verdicts.items()],
            "usd": self.usd,
            "started_at": self.started_at_s,
            "ended_at": self.ended_at_s,
        }
        if self.branches is not None:
            told["branches"] = {"total": len(self.branches), **dict(sorted(self.counts.items()))}
            told["gaps"] = [
                {"branch": index, "reason": unit.reason}
                for index, unit in sorted(self.branches.items())
                if unit.status in (Status.GAP, Status.FAILED) or unit.reason in UPSTREAM
            ]
        return told


@dataclass(slots=True)
class VerdictTally:
    """How often a check said the same."""

    count: int = 0
    reasons: tuple[str, ...] = ()  #: of the last time

    def document(self, check: int, name: str, verdict: str) -> JsonValue:
        """{check, name, verdict, count, reasons}; `check` is 0 for the schema, then the position from 1."""
        reasons: list[JsonValue] = [*self.reasons[:VERDICT_REASONS_MAX]]
        return {"check": check, "name": name, "verdict": verdict, "count": self.count, "reasons": reasons}


@dataclass(slots=True)
class RunTally:
    """Counts along the facts of one run, one `add` per fact, in order."""

    accepted: f.RunAccepted | None = None
    ended: f.RunEnded | None = None
    steps: dict[str, StepTally] = field(default_factory=dict)
    usd: float = 0.0
    tokens: int = 0
    calls: int = 0  #: of models
    limit: str = ""
    budget_asked: f.ApprovalAsked | None = None
    cancelling: bool = False
    forgotten: bool = False  #: payloads were deleted: outputs and reasons are gone
    last_at_s: float = 0.0
    _charged: set[str] = field(default_factory=set)

    def add(self, record: Record) -> None:
        """Count one more fact."""
        self.forgotten = self.forgotten or record.forgotten
        fact = record.fact
        self.last_at_s = fact.at_s
        if isinstance(fact, f.StepFact) and fact.step:
            self._of_step(fact)
        else:
            self._of_run(fact)

    @property
    def status(self) -> str:
        """The result's word; `running`, `cancelling`, or `waiting` (for a person, and nothing else moves) before."""
        if self.ended is not None:
            return self.ended.status
        if self.cancelling:
            return "cancelling"
        return "waiting" if self.asking and not self.active else "running"

    @property
    def units(self) -> Iterable[tuple[StepTally, int, UnitTally]]:
        """Every step that is not mapped, and every branch, with its number."""
        for step in self.steps.values():
            if step.branches is None:
                yield step, f.WHOLE, step.whole
            else:
                for index, unit in step.branches.items():
                    yield step, index, unit

    @property
    def active(self) -> bool:
        """Something runs, is checked, or is about to be tried again."""
        still = {Status.PENDING, Status.WAITING, *SETTLED}
        return any(unit.status not in still for _, _, unit in self.units)

    @property
    def asking(self) -> bool:
        """A person is asked something."""
        return self.budget_asked is not None or any(unit.asked is not None for _, _, unit in self.units)

    def document(self) -> dict[str, JsonValue]:
        """The run as `--json` prints it."""
        accepted, ended = self.accepted, self.ended
        gaps: list[JsonValue] = [dict(gap) for gap in ended.gaps or ()] if ended is not None else []
        return {
            "run": accepted.run if accepted is not None else None,
            "status": self.status,
            "output": ended.output if ended is not None else None,
            "gaps": gaps,
            "usage": {"usd": self.usd, "tokens": self.tokens, "calls": self.calls},
            "steps": {name: step.document() for name, step in self.steps.items()},
        }

    # ---- facts about the run

    def _of_run(self, fact: f.Fact) -> None:
        match fact:
            case f.RunAccepted():
                self.accepted = fact
            case f.PlanFrozen() if isinstance(fact.plan, dict):
                steps = fact.plan.get("steps")
                before, self.steps = self.steps, {}  # a retry has taken steps over before it names its plan
                for name in steps if isinstance(steps, dict) else ():
                    self.steps[name] = before.get(name, StepTally(name))
            case f.PlanPatched() if isinstance(fact.patch, dict):
                self._patched(fact.patch)
            case f.LimitHit():
                self.limit = fact.limit
            case f.LimitExtended():
                self.limit, self.budget_asked = "", None
            case f.CancelRequested():
                self.cancelling = True
            case f.RunEnded():
                self.ended = fact
            case f.ApprovalAsked():
                self.budget_asked = fact
            case f.ApprovalAnswered() | f.ApprovalExpired():
                self.budget_asked = None
            case _:
                pass

    def _patched(self, patch: dict[str, JsonValue]) -> None:
        ops = patch.get("ops")
        for op in ops if isinstance(ops, list) else ():
            kind, told = next(iter(op.items())) if isinstance(op, dict) else ("", None)
            name = (told.get("id") or told.get("step")) if isinstance(told, dict) else None
            if not isinstance(name, str):
                continue
            old = self.steps.get(name)
            if kind == "drop":
                self.steps.pop(name, None)
            else:
                self.steps[name] = StepTally(name, attempts=old.attempts if old is not None else 0)
        for name, step in self.steps.items():
            if step.whole.status is Status.SKIPPED and step.whole.reason in UPSTREAM:
                self.steps[name] = StepTally(name)

    # ---- facts about a step

    def _of_step(self, fact: f.StepFact) -> None:
        step = self.steps.get(fact.step)
        if step is None:
            step = self.steps[fact.step] = StepTally(fact.step)
        unit = step.unit(fact.branch)
        self._spend(step, fact)
        settled = _SETTLING.get(type(fact))
        if settled is not None:
            _settle(step, unit, fact, settled)
            return
        moved = _MOVING.get(type(fact))
        if moved is not None:
            unit.status = moved
        match fact:
            case f.StepExpanded():
                step.branches = {index: UnitTally() for index in range(fact.count)}
                step.whole.status = Status.RUNNING
                step.started_at_s = step.started_at_s or fact.at_s
            case f.StepReused():
                _reused(step, fact)
            case f.StepDispatched() if fact.purpose == "work":
                step.attempts = max(step.attempts, fact.attempt)
                step.started_at_s = step.started_at_s or fact.at_s
                unit.status, unit.reason, unit.note = Status.RUNNING, "", ""
                if step.branches is not None:
                    step.whole.status = Status.RUNNING
            case f.StepProgress():
                percent = f"{fact.fraction:.0%} " if fact.fraction is not None else ""
                unit.note = (percent + (fact.message or "")).strip()
            case f.ChildStarted():
                unit.child = fact.child
            case f.StepQuarantined():
                self._quarantined(fact)
            case _:
                _judged(step, unit, fact)

    def _spend(self, step: StepTally, fact: f.StepFact) -> None:
        """A charge counts once. What answers cost is in facts that are journaled once."""
        tokens = 0
        match fact:
            case f.ModelCalled():
                charge, usd, tokens = fact.charge, fact.usd, fact.tokens_in + fact.tokens_out
                self.calls += charge not in self._charged and not fact.served
            case f.BudgetSettled():
                charge, usd, tokens = fact.charge, fact.usd, fact.tokens
            case f.ChildEnded():
                charge, usd, tokens = fact.child, fact.usd, fact.tokens
                self.calls += fact.calls if charge not in self._charged else 0
            case f.StepProduced() | f.AttemptFailed() | f.CheckVerdict():
                charge, usd, tokens = "", fact.usd, fact.tokens
            case _:
                return
        if charge:
            if charge in self._charged:
                return
            self._charged.add(charge)
        self.usd += usd
        self.tokens += tokens
        step.usd += usd

    def _quarantined(self, fact: f.StepQuarantined) -> None:
        for name in (fact.step, *fact.affected):
            step = self.steps.setdefault(name, StepTally(name))
            step.quarantined = True
            if self.ended is not None:
                continue
            status = Status.FAILED if name == fact.step else Status.SKIPPED
            reason = f"quarantined: {fact.reason}" if name == fact.step else "quarantined"
            for unit in (step.whole, *(step.branches or {}).values()):
                unit.status, unit.reason, unit.asked = status, reason, None


def _settle(step: StepTally, unit: UnitTally, fact: f.StepFact, status: Status) -> None:
    unit.status, unit.asked, unit.note = status, None, ""
    match fact:
        case f.StepGap() | f.StepSkipped() | f.StepCancelled():
            unit.reason = fact.reason or ""
        case f.StepFailed():
            unit.reason = fact.cause or ""
        case _:
            unit.reason = ""
    if unit is step.whole:
        step.ended_at_s = fact.at_s


def _judged(step: StepTally, unit: UnitTally, fact: f.StepFact) -> None:
    match fact:
        case f.StepBackoff():
            unit.until_s = fact.until_s
        case f.AttemptFailed():
            unit.reason = f"{fact.error}: {fact.message}" if fact.message else fact.error
        case f.StepRejected():
            unit.reason = "; ".join(fact.reasons or ())
        case f.CheckVerdict():
            verdict = step.verdicts.setdefault((fact.check, fact.name, fact.verdict), VerdictTally())
            verdict.count += 1
            verdict.reasons = tuple(fact.reasons or ()) if fact.verdict != "pass" else ()
            unit.asked = None
        case f.ApprovalAsked():
            unit.asked = fact
        case f.ApprovalAnswered() | f.ApprovalExpired():
            unit.asked = None
        case _:
            pass


def _reused(step: StepTally, fact: f.StepReused) -> None:
    if fact.branch == f.WHOLE and step.branches is None:
        step.whole.status, step.whole.note = Status.PASSED, f"taken over from {fact.source}"
        step.ended_at_s = fact.at_s
        return
    step.unit(fact.branch).status = Status.PASSED


def tally(records: Iterable[Record]) -> RunTally:
    """The counts of a whole run."""
    run = RunTally()
    for record in records:
        run.add(record)
    return run


def summary(records: Iterable[Record]) -> dict[str, JsonValue]:
    """A run as one document.

    {run, status, output, gaps: [{step, branch, reason}], usage: {usd, tokens, calls}, steps: {id: {status, attempts,
    verdicts, usd, started_at, ended_at}}}; a mapped step has `branches` (counts by status) and `gaps` on top. Times are
    seconds since the epoch. What a deleted payload said is null.
    """
    return tally(records).document()


__all__ = ["RunTally", "StepTally", "UnitTally", "summary", "tally"]
