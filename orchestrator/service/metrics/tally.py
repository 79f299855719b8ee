"""Counts facts into metrics. Pure: a fact counts once, and what it counts depends on the facts of its run alone."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from orchestrator.core import facts as f
from orchestrator.core.settle import charge_of
from orchestrator.service.metrics.values import OTHER, Values

AGREES_WITHIN: Final = 0.2  #: a vote of a judge agrees when it is this near to the score of the verdict
RATED_MAX: Final = 10_000  #: cases of evaluations whose latest rating is known
Place = tuple[str, int]  #: step and branch
Turn = tuple[int, int]  #: attempt and sample
_SETTLED: Final[Mapping[type[f.Fact], str]] = {
    f.StepPassed: "passed",
    f.StepReused: "reused",
    f.StepGap: "gap",
    f.StepSkipped: "skipped",
    f.StepFailed: "failed",
    f.StepCancelled: "cancelled",
}
_WORD: Final = re.compile(r"[a-zA-Z_][a-zA-Z0-9_-]{0,63}")  #: the form of a tool's name, and of a kind of error
_RESOLVED: Final = frozenset({"succeeded", "degraded"})


@dataclass(slots=True)
class Sent:
    """An attempt under way."""

    at_s: float
    pool: str  #: empty: a person's, or a sub-plan's
    began_s: float | None = None  #: when a worker began, once that is known


@dataclass(slots=True)
class Seen:
    """What must be known of a run to count its next fact."""

    accepted: f.RunAccepted
    seq: int = 0  #: of the last fact that was taken
    last_at_s: float = 0.0
    ended: bool = False
    asked: bool = False  #: a person was asked something
    questions: dict[tuple[str, int], str] = field(default_factory=dict)  #: open ones: their subject
    sent: dict[Place, dict[Turn, "Sent"]] = field(default_factory=dict)  #: attempts under way
    mapped: set[str] = field(default_factory=set)
    charged: set[str] = field(default_factory=set)
    votes: dict[tuple[str, int, int, int], list[float]] = field(default_factory=dict)

    @property
    def top(self) -> bool:
        """No sub-plan."""
        return self.accepted.parent is None


class Tally:
    """Counts facts of many runs. `values` holds what came of it."""

    def __init__(self, values: Values | None = None, cases: Mapping[str, float] | None = None) -> None:
        self.values = values or Values()
        self.cases: dict[str, float] = dict(cases or {})  #: latest score by set and case
        self._count = True

    def begin(self, accepted: f.RunAccepted) -> Seen:
        """A run whose facts follow, from the first on."""
        return Seen(accepted=accepted)

    def add(self, run: Seen, seq: int, fact: f.Fact, *, count: bool = True) -> None:
        """Take the next fact of a run. Without `count` it is only remembered: it was counted in an earlier life."""
        if seq <= run.seq:
            return
        run.seq, run.last_at_s = seq, fact.at_s
        self._count = count
        handler = _HANDLERS.get(type(fact))
        if handler is not None:
            handler(self, run, fact)

    # ---- counting

    def _add(self, name: str, *labels: str, by: float = 1.0) -> None:
        if self._count and by:
            self.values.add(name, *labels, by=by)

    def _observe(self, name: str, *labels: str, value: float) -> None:
        if self._count:
            self.values.observe(name, *labels, value=max(value, 0.0))

    def _spend(self, run: Seen, charge: str, usd: float) -> bool:
        """Book money once per charge; False: it was booked."""
        if charge and charge in run.charged:
            return False
        if charge:
            run.charged.add(charge)
        self._add("spent_usd_total", run.accepted.tenant, run.accepted.plan, by=usd)
        return True

    # ---- runs

    def _accepted(self, run: Seen, fact: f.RunAccepted) -> None:
        if run.top:
            self._add("runs_accepted_total", fact.tenant, fact.plan, fact.lane)

    def _ended(self, run: Seen, fact: f.RunEnded) -> None:
        run.ended = True
        run.sent.clear()
        run.questions.clear()
        if not run.top:
            return
        tenant, plan = run.accepted.tenant, run.accepted.plan
        self._add("runs_total", tenant, plan, fact.status)
        self._add("run_usd_total", tenant, plan, fact.status, by=fact.usd)
        self._observe("run_seconds", plan, fact.status, value=fact.at_s - run.accepted.at_s)
        if fact.status in _RESOLVED:
            self._add("runs_resolved_total", tenant, plan)
            if not run.asked:
                self._add("runs_deflected_total", tenant, plan)

    def _rated(self, run: Seen, fact: f.RunRated) -> None:
        if fact.source == "thumb":
            value = "up" if fact.score >= 0.5 else "down"
            self._add("thumbs_total", run.accepted.tenant, run.accepted.plan, value)
            return
        name = fact.about.rpartition("/")[0] or fact.about
        self._add("eval_cases_total", name, "right" if fact.score >= 0.5 else "wrong")
        if fact.about in self.cases or len(self.cases) < RATED_MAX:
            self.cases[fact.about] = fact.score

    def _limit(self, _: Seen, fact: f.LimitHit) -> None:
        self._add("guard_trips_total", f"limit:{fact.limit}", "block")

    def _tripped(self, _: Seen, fact: f.GuardTripped) -> None:
        self._add("guard_trips_total", fact.guard, fact.verdict)

    # ---- steps

    def _expanded(self, run: Seen, fact: f.StepExpanded) -> None:
        run.mapped.add(fact.step)

    def _dispatched(self, run: Seen, fact: f.StepDispatched) -> None:
        if fact.purpose != "work":
            return
        turns = run.sent.setdefault((fact.step, fact.branch), {})
        turns[fact.attempt, fact.sample] = Sent(fact.at_s, fact.pool)
        if fact.cause != "first":
            self._add("retries_total", fact.pool, fact.cause)

    def _started(self, run: Seen, fact: f.StepStarted) -> None:
        sent = run.sent.get((fact.step, fact.branch), {}).get((fact.attempt, fact.sample))
        if sent is not None and sent.began_s is None:
            sent.began_s = fact.at_s
            self._observe("queue_wait_seconds", sent.pool, value=fact.at_s - sent.at_s)

    def _over(self, run: Seen, fact: f.StepFact, outcome: str, started_at_s: float = 0.0) -> None:
        """An attempt has ended."""
        sent = run.sent.get((fact.step, fact.branch), {}).pop((fact.attempt, fact.sample), None)
        if sent is None or not sent.pool:
            return
        began_s = sent.began_s
        if began_s is None and started_at_s:
            began_s = started_at_s
            self._observe("queue_wait_seconds", sent.pool, value=began_s - sent.at_s)
        self._add("attempts_total", sent.pool, outcome)
        self._observe("attempt_seconds", sent.pool, value=fact.at_s - (sent.at_s if began_s is None else began_s))

    def _produced(self, run: Seen, fact: f.StepProduced) -> None:
        self._spend(run, charge_of(fact), fact.usd)
        self._over(run, fact, "ok", fact.started_at_s)

    def _failed(self, run: Seen, fact: f.AttemptFailed) -> None:
        self._spend(run, charge_of(fact), fact.usd)
        self._over(run, fact, fact.error, fact.started_at_s)
        if fact.error == "refused":
            self._add("guard_trips_total", "permission", "block")

    def _lost(self, run: Seen, fact: f.LeaseLost) -> None:
        self._over(run, fact, fact.reason or "lost")

    def _rejected(self, run: Seen, fact: f.StepRejected) -> None:
        self._add("rejections_total", run.accepted.plan)
        if fact.repeat:
            self._add("guard_trips_total", "repeat", "block")

    def _escalated(self, run: Seen, fact: f.StepEscalated) -> None:
        self._add("escalations_total", run.accepted.plan, "pool" if fact.pool else "tier")

    def _replan(self, run: Seen, _: f.ReplanAsked) -> None:
        self._add("escalations_total", run.accepted.plan, "plan")

    def _settled(self, run: Seen, fact: f.StepFact) -> None:
        run.sent.pop((fact.step, fact.branch), None)
        run.questions.pop((fact.step, fact.branch), None)
        if fact.branch != f.WHOLE or fact.step not in run.mapped:  # branches count, and their step not once more
            self._add("steps_total", run.accepted.plan, _SETTLED[type(fact)])

    def _quarantined(self, run: Seen, _: f.StepQuarantined) -> None:
        self._add("quarantined_total", run.accepted.plan)

    # ---- models, money, tools

    def _called(self, run: Seen, fact: f.ModelCalled) -> None:
        if not self._spend(run, fact.charge, fact.usd):
            return
        model = fact.model
        self._add("model_served_total", fact.served or ("batch" if fact.saved_batch_usd else "model"))
        for by, usd in (
            ("cache", fact.saved_cache_usd),
            ("routing", fact.saved_routing_usd),
            ("compression", fact.saved_compression_usd),
            ("batch", fact.saved_batch_usd),
        ):
            self._add("model_saved_usd_total", by, by=max(usd, 0.0))
        self._add("model_usd_total", model, run.accepted.tenant, by=fact.usd)
        for kind, tokens in (("in", fact.tokens_in), ("out", fact.tokens_out), ("cached", fact.tokens_cached)):
            self._add("model_tokens_total", model, kind, by=tokens)
        if fact.served:
            return  # no model was asked
        self._add("model_calls_total", model, fact.endpoint, fact.outcome)
        if fact.outcome == "rate_limited":
            self._add("model_rate_limits_total", model, fact.endpoint)
        if fact.outcome == "filtered":
            self._add("guard_trips_total", "filtered", "block")
        self._observe("model_request_tokens", model, value=fact.tokens_in + fact.tokens_out)
        self._observe("model_request_usd", model, value=fact.usd)
        self._observe("model_seconds", model, value=fact.seconds)
        if fact.first_s:
            self._observe("model_first_token_seconds", model, value=fact.first_s)

    def _settled_charge(self, run: Seen, fact: f.BudgetSettled) -> None:
        self._spend(run, fact.charge, fact.usd)

    def _tool(self, _: Seen, fact: f.ToolCalled) -> None:
        # Code may call its evidence what it likes, by a file or a person: no such word belongs in a label.
        self._add("tool_calls_total", _word(fact.tool))

    def _fruitless(self, _: Seen, fact: f.ToolFailed) -> None:
        self._add("tool_errors_total", _word(fact.tool), _word(fact.error))

    # ---- quality

    def _voted(self, run: Seen, fact: f.JudgeVoted) -> None:
        run.votes.setdefault((fact.step, fact.branch, fact.attempt, fact.check), []).append(fact.score)

    def _verdict(self, run: Seen, fact: f.CheckVerdict) -> None:
        self._spend(run, "", fact.usd)
        self._add("verdicts_total", fact.name, fact.verdict)
        if fact.name == "grounded" and fact.verdict != "check_broken":
            self._add("grounded_total", "grounded" if fact.verdict == "pass" else "ungrounded")
        votes = run.votes.pop((fact.step, fact.branch, fact.attempt, fact.check), ())
        if fact.score is not None:
            for vote in votes:
                self._add("judge_votes_total", "yes" if abs(vote - fact.score) <= AGREES_WITHIN else "no")

    def _asked(self, run: Seen, fact: f.ApprovalAsked) -> None:
        run.asked = True
        run.questions[fact.step, fact.branch] = fact.subject
        self._add("people_asked_total", fact.subject)

    def _answered(self, run: Seen, fact: f.ApprovalAnswered | f.ApprovalExpired) -> None:
        subject = run.questions.pop((fact.step, fact.branch), "step")
        self._add("people_answered_total", subject, "expired" if isinstance(fact, f.ApprovalExpired) else "answered")


def _word(text: str) -> str:
    return text if _WORD.fullmatch(text) else OTHER


#: Facts that are not here count for nothing.
_HANDLERS: Final[Mapping[type[f.Fact], Callable[[Tally, Seen, Any], None]]] = {
    f.RunAccepted: Tally._accepted,
    f.RunEnded: Tally._ended,
    f.RunRated: Tally._rated,
    f.LimitHit: Tally._limit,
    f.GuardTripped: Tally._tripped,
    f.StepExpanded: Tally._expanded,
    f.StepDispatched: Tally._dispatched,
    f.StepStarted: Tally._started,
    f.StepProduced: Tally._produced,
    f.AttemptFailed: Tally._failed,
    f.LeaseLost: Tally._lost,
    f.StepRejected: Tally._rejected,
    f.StepEscalated: Tally._escalated,
    f.ReplanAsked: Tally._replan,
    f.StepQuarantined: Tally._quarantined,
    f.ModelCalled: Tally._called,
    f.BudgetSettled: Tally._settled_charge,
    f.ToolCalled: Tally._tool,
    f.ToolFailed: Tally._fruitless,
    f.JudgeVoted: Tally._voted,
    f.CheckVerdict: Tally._verdict,
    f.ApprovalAsked: Tally._asked,
    f.ApprovalAnswered: Tally._answered,
    f.ApprovalExpired: Tally._answered,
    **dict.fromkeys(_SETTLED, Tally._settled),
}

__all__ = ["AGREES_WITHIN", "Seen", "Tally"]
