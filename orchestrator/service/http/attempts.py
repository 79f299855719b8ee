"""One step of a run, attempt by attempt, from its facts alone."""

from dataclasses import dataclass, field
from typing import Final

from orchestrator.core import facts as f
from orchestrator.core.summary import RunTally
from orchestrator.ids import JsonValue
from orchestrator.ports.journal import Recorded

ATTEMPTS_MAX: Final = 200  #: that one answer tells of
CALLS_MAX: Final = 200  #: of models, and of tools, that one attempt tells of
Document = dict[str, JsonValue]


@dataclass(slots=True)
class Attempt:
    """One attempt, or one of its samples."""

    branch: int
    attempt: int
    sample: int
    pool: str = ""
    tier: str | None = None
    cause: str = ""
    inputs_digest: str = ""
    sent_at_s: float | None = None
    started_at_s: float | None = None
    ended_at_s: float | None = None
    worker: str = ""
    outcome: str = "running"
    error: str = ""
    message: str = ""
    reasons: list[JsonValue] = field(default_factory=list)
    digest: str = ""
    output: JsonValue = None
    usd: float = 0.0
    tokens: int = 0
    verdicts: list[JsonValue] = field(default_factory=list)
    models: list[JsonValue] = field(default_factory=list)
    tools: list[JsonValue] = field(default_factory=list)
    child: str | None = None

    def document(self) -> Document:
        """As the API tells it; `branch` is null for a step that is not mapped."""
        return {
            "branch": self.branch if self.branch >= 0 else None,
            "attempt": self.attempt,
            "sample": self.sample,
            "pool": self.pool,
            "tier": self.tier,
            "cause": self.cause,
            "inputs_digest": self.inputs_digest,
            "sent_at": self.sent_at_s,
            "started_at": self.started_at_s,
            "ended_at": self.ended_at_s,
            "worker": self.worker,
            "outcome": self.outcome,
            "error": self.error,
            "message": self.message,
            "reasons": self.reasons,
            "digest": self.digest,
            "output": self.output,
            "usd": self.usd,
            "tokens": self.tokens,
            "verdicts": self.verdicts,
            "models": self.models,
            "tools": self.tools,
            "child": self.child,
        }


class StepStory:
    """The attempts of one step, or of one branch of it, one `add` per fact of the run."""

    def __init__(self, step: str, branch: int | None) -> None:
        self._step, self._branch = step, branch
        self._tally = RunTally()
        self._charged: set[str] = set()
        self.attempts: dict[tuple[int, int, int], Attempt] = {}
        self.cut = False  #: there were more

    def add(self, record: Recorded) -> None:
        """Take one more fact."""
        self._tally.add(record)
        fact = record.fact
        if not isinstance(fact, f.StepFact) or fact.step != self._step or not fact.attempt:
            return
        if self._branch is not None and fact.branch != self._branch:
            return
        key = (fact.branch, fact.attempt, fact.sample)
        attempt = self.attempts.get(key)
        if attempt is None:
            if len(self.attempts) >= ATTEMPTS_MAX:
                self.cut = True
                return
            attempt = self.attempts[key] = Attempt(*key)
        self._take(attempt, fact)

    def document(self) -> Document | None:
        """The step; None: the run has none of this name, or no such branch."""
        counted = self._tally.steps.get(self._step)
        if counted is None:
            return None
        if self._branch is not None and self._branch not in (counted.branches or {}):
            return None
        attempts: list[JsonValue] = [one.document() for _, one in sorted(self.attempts.items())]
        return {"step": self._step, **counted.document(), "tries": attempts, "cut": self.cut}

    def _take(self, attempt: Attempt, fact: f.StepFact) -> None:
        match fact:
            case f.StepDispatched() if fact.purpose == "work":
                attempt.pool, attempt.tier, attempt.cause = fact.pool, fact.tier, fact.cause
                attempt.inputs_digest, attempt.sent_at_s, attempt.outcome = fact.digest, fact.at_s, "running"
            case f.StepStarted():
                attempt.started_at_s, attempt.worker = fact.at_s, fact.actor
            case f.StepProduced():
                attempt.outcome, attempt.output, attempt.digest = "produced", fact.output, fact.digest
                attempt.ended_at_s, attempt.worker = fact.at_s, fact.actor
                attempt.started_at_s = attempt.started_at_s or fact.started_at_s or None
                attempt.usd += fact.usd
                attempt.tokens += fact.tokens
            case f.AttemptFailed():
                attempt.outcome, attempt.error, attempt.message = "failed", fact.error, fact.message or ""
                attempt.ended_at_s, attempt.worker = fact.at_s, fact.actor or attempt.worker
                attempt.usd += fact.usd
                attempt.tokens += fact.tokens
            case f.LeaseLost():
                attempt.outcome, attempt.ended_at_s, attempt.message = "lost", fact.at_s, fact.reason
            case f.StepRejected():
                attempt.outcome, attempt.reasons = "rejected", [*(fact.reasons or ())]
            case f.StepPassed():
                attempt.outcome = "passed"
            case f.StepCancelled():
                attempt.outcome, attempt.ended_at_s = "cancelled", fact.at_s
            case f.ChildStarted():
                attempt.child = fact.child
            case _:
                self._calls(attempt, fact)

    def _calls(self, attempt: Attempt, fact: f.StepFact) -> None:
        match fact:
            case f.CheckVerdict():
                attempt.usd += fact.usd
                attempt.tokens += fact.tokens
                attempt.verdicts.append({
                    "check": fact.check, "name": fact.name, "verdict": fact.verdict, "score": fact.score,
                    "reasons": [*(fact.reasons or ())], "evidence": fact.evidence, "at": fact.at_s, "usd": fact.usd,
                })  # fmt: skip
            case f.ModelCalled() if fact.charge not in self._charged:
                self._charged.add(fact.charge)
                attempt.usd += fact.usd
                attempt.tokens += fact.tokens_in + fact.tokens_out
                if len(attempt.models) < CALLS_MAX:
                    attempt.models.append({
                        "model": fact.model, "outcome": fact.outcome, "usd": fact.usd, "tokens_in": fact.tokens_in,
                        "tokens_out": fact.tokens_out, "seconds": fact.seconds, "why": fact.why, "at": fact.at_s,
                    })  # fmt: skip
            case f.BudgetSettled() if fact.charge not in self._charged:
                self._charged.add(fact.charge)
                attempt.usd += fact.usd
                attempt.tokens += fact.tokens
            case f.ToolCalled() if len(attempt.tools) < CALLS_MAX:
                tool: JsonValue = {
                    "tool": fact.tool, "result": fact.result, "error": "", "seconds": fact.seconds, "at": fact.at_s,
                }  # fmt: skip
                attempt.tools.append(tool)
            case f.ToolFailed() if len(attempt.tools) < CALLS_MAX:
                attempt.tools.append({
                    "tool": fact.tool, "result": None, "error": fact.error, "seconds": fact.seconds, "at": fact.at_s,
                })  # fmt: skip
            case _:
                pass


class Costs:
    """What a run cost, by step, model and pool, one `add` per fact."""

    def __init__(self) -> None:
        self._tally = RunTally()
        self._charged: set[str] = set()
        self._pools: dict[tuple[str, int, int, int], str] = {}
        self._by_pool: dict[str, float] = {}
        self._by_model: dict[str, dict[str, float]] = {}

    def add(self, record: Recorded) -> None:
        """Take one more fact."""
        self._tally.add(record)
        fact = record.fact
        if not isinstance(fact, f.StepFact):
            return
        if isinstance(fact, f.StepDispatched) and fact.purpose == "work":
            self._pools[fact.step, fact.branch, fact.attempt, fact.sample] = fact.pool
        usd = self._usd(fact)
        if usd:
            pool = self._pools.get((fact.step, fact.branch, fact.attempt, fact.sample), "")
            self._by_pool[pool] = self._by_pool.get(pool, 0.0) + usd

    def _usd(self, fact: f.StepFact) -> float:
        match fact:
            case f.ModelCalled():
                if fact.charge in self._charged:
                    return 0.0
                self._charged.add(fact.charge)
                model = self._by_model.setdefault(fact.model, {"usd": 0.0, "tokens": 0, "calls": 0})
                model["usd"] += fact.usd
                model["tokens"] += fact.tokens_in + fact.tokens_out
                model["calls"] += not fact.served
                return fact.usd
            case f.BudgetSettled() | f.ChildEnded():
                charge = fact.charge if isinstance(fact, f.BudgetSettled) else fact.child
                if charge in self._charged:
                    return 0.0
                self._charged.add(charge)
                return fact.usd
            case f.StepProduced() | f.AttemptFailed() | f.CheckVerdict():
                return fact.usd
            case _:
                return 0.0

    def document(self) -> Document:
        """{usage, by_step, by_model, by_pool}; what sub-plans and people cost is under the pool ""."""
        tally = self._tally
        by_step: Document = {name: step.usd for name, step in tally.steps.items() if step.usd}
        return {
            "usage": {"usd": tally.usd, "tokens": tally.tokens, "calls": tally.calls},
            "by_step": by_step,
            "by_model": {name: dict(row) for name, row in self._by_model.items()},
            "by_pool": dict(self._by_pool),
        }
