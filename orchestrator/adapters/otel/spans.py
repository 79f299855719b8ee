"""Spans of one run from its facts alone: run, plan, step, attempt, and below it model calls, tools, checks, questions.

A span is told when it has ended. Its id comes from what it is and its times from the facts, so that whoever reads the
journal again tells the same span, and what a process did not live to tell, the next owner of the run tells.
"""

from collections.abc import Callable, Mapping
from typing import Any, Final

from orchestrator.adapters.otel import ids, names
from orchestrator.adapters.otel.span import Attribute, Key, Outline, Span, SpanBook, of_run
from orchestrator.adapters.otel.specs import Spec, spec, specs_of
from orchestrator.core import facts as f
from orchestrator.ids import StepId

FAILED: Final = frozenset({"failed", "stopped"})  #: how runs end that are errors
_UNKNOWN: Final = Spec()


class RunSpans(SpanBook):
    """The spans of one run, fed with its facts in order."""

    def __init__(self, accepted: f.RunAccepted, *, trace: int = 0, content: bool = False) -> None:
        super().__init__(accepted.run, trace or ids.trace_of(accepted), content=content)
        self.accepted = accepted
        self._specs: dict[str, Spec] = {}
        self._revision = 0
        self._run_span, self._plan_span = ids.run_span(accepted.run), ids.plan_span(accepted.run, 0)
        self._begun: dict[tuple[str, int], int] = {}  #: how often: a patch may have it run again
        self._times: dict[Key, int] = {}  #: how often what may happen several times in one attempt, or to one person
        self._within: dict[tuple[str, int], list[Key]] = {}  #: what began in a step or branch that has not settled
        self._branches: dict[str, set[int]] = {}  #: of mapped steps that have not settled
        self._mark: dict[Key, float] = {}  #: when an attempt's output, or the verdict before, was there

    def _spec_of(self, step: str) -> Spec:
        return self._specs.get(step) or _UNKNOWN

    # ---- the run and its plan

    def _frozen(self, fact: f.PlanFrozen) -> None:
        self._specs |= specs_of(fact.digest, fact.plan)
        self._plan(fact.at_s, fact.digest)

    def _patched(self, fact: f.PlanPatched) -> None:
        ops = (fact.patch or {}).get("ops")
        for op in ops if isinstance(ops, list) else ():
            told = next(iter(op.values()), None) if isinstance(op, dict) else None
            name, step = (told.get("id"), told.get("step")) if isinstance(told, dict) else (None, None)
            if isinstance(name, str) and isinstance(step, dict):
                self._specs[name] = spec(step)
        self._end(("plan",), fact.at_s)
        self._revision += 1
        self._plan_span = ids.plan_span(self.run, self._revision)
        self._plan(fact.at_s, fact.digest)

    def _accepted(self, fact: f.RunAccepted) -> None:
        parent, outside = 0, ids.parse(fact.trace) if fact.trace else None
        if fact.parent is not None:
            mark = fact.run.rpartition("#")
            attempt = int(mark[2]) if mark[1] and mark[2].isdigit() else 1
            parent = ids.attempt_span(fact.parent, str(fact.parent_step), fact.parent_branch, attempt, 0)
        elif outside is not None:
            parent = outside.span
        span = self._begin(("run",), self._run_span, parent, names.workflow(fact.plan), fact.at_s)
        span.remote = outside is not None and fact.parent is None
        span.attributes = of_run(fact.run, Outline(fact.plan, fact.plan_digest, fact.tenant, fact.lane, ""))
        if fact.origin != fact.run:
            span.attributes[names.ORIGIN] = fact.origin

    def _plan(self, at_s: float, digest: str) -> None:
        name = f"{self.accepted.plan} revision {self._revision}" if self._revision else self.accepted.plan
        span = self._begin(("plan",), self._plan_span, self._run_span, names.plan(name), at_s)
        span.attributes = {names.RUN: self.run, names.PLAN_DIGEST: digest}

    def _ended(self, fact: f.RunEnded) -> None:
        for key in [key for key in self._open if key not in {("run",), ("plan",)}]:
            self._end(key, fact.at_s)
        self._end(("plan",), fact.at_s)
        span = self._end(("run",), fact.at_s, fact.status if fact.status in FAILED else "")
        if span is not None:
            span.attributes |= {names.STATUS: fact.status, names.USD: fact.usd, names.TOKENS: fact.tokens}
            self._say(span, names.REASON, fact.reason)

    def _happened(self, fact: f.Fact) -> None:
        """Something about the run, or one of its steps, that takes no time."""
        about = fact.step if isinstance(fact, f.StepFact) else ""
        key: Key = ("step", about, fact.branch) if about and isinstance(fact, f.StepFact) else ("run",)
        span = self._open.get(key)
        if span is not None:
            told = {name: value for name in _TOLD[type(fact)] if (value := getattr(fact, name)) is not None}
            span.note(fact.KIND, fact.at_s, **told)

    # ---- steps

    def _expanded(self, fact: f.StepExpanded) -> None:
        self._step(fact.step, f.WHOLE, fact.at_s)

    def _started(self, fact: f.StepStarted) -> None:
        attempt = self._open.get(_attempt(fact))
        if attempt is not None:
            attempt.note(fact.KIND, fact.at_s)
            attempt.attributes |= {names.WAIT_S: max(fact.at_s - attempt.start_s, 0.0), names.WORKER: fact.actor}

    def _tripped(self, fact: f.GuardTripped) -> None:
        span = self._open.get(_attempt(fact))
        if span is not None:
            span.note(fact.KIND, fact.at_s, guard=fact.guard, stage=fact.stage, verdict=fact.verdict)

    def _failed(self, fact: f.AttemptFailed) -> None:
        span = self._end(_attempt(fact), fact.at_s, fact.error)
        if span is not None:
            span.attributes[names.WORKER] = fact.actor
            self._say(span, names.MESSAGE, fact.message)

    def _lost(self, fact: f.LeaseLost) -> None:
        self._end(_attempt(fact), fact.at_s, fact.reason or "lost")

    def _rejected(self, fact: f.StepRejected) -> None:
        self._end(_attempt(fact), fact.at_s, "rejected")

    def _step(self, step: StepId, branch: int, at_s: float) -> Span:
        key = ("step", step, branch)
        known = self._open.get(key)
        if known is not None:
            return known
        above = self._plan_span if branch == f.WHOLE else self._step(step, f.WHOLE, at_s).id
        times = self._begun[step, branch] = self._begun.get((step, branch), 0) + 1
        name = f"step {step}" if branch == f.WHOLE else f"step {step}[{branch}]"
        span = self._begin(key, ids.step_span(self.run, step, branch, times), above, name, at_s)
        span.attributes[names.STEP] = step
        if branch != f.WHOLE:
            span.attributes[names.BRANCH] = branch
            self._branches.setdefault(step, set()).add(branch)
        return span

    def _inside(self, key: Key, fact: f.StepFact, span: int, parent: int, name: str) -> Span:
        """Begin something that ends with its step at the latest."""
        self._within.setdefault((fact.step, fact.branch), []).append(key)
        return self._begin(key, span, parent, name, fact.at_s)

    def _dispatched(self, fact: f.StepDispatched) -> None:
        if fact.purpose == "check":
            above = ids.attempt_span(self.run, fact.step, fact.branch, fact.attempt, 0)
            own = ids.check_span(self.run, fact.step, fact.branch, fact.attempt, fact.check)
            self._inside(_check(fact, fact.check), fact, own, above, "check call")
            return
        step, spec = self._step(fact.step, fact.branch, fact.at_s), self._spec_of(fact.step)
        own = ids.attempt_span(self.run, fact.step, fact.branch, fact.attempt, fact.sample)
        span = self._inside(_attempt(fact), fact, own, step.id, _name(fact, spec))
        span.attributes |= {names.STEP: fact.step, names.ATTEMPT: fact.attempt}
        if fact.cause != "first":
            span.attributes[names.CAUSE] = fact.cause
        if fact.branch != f.WHOLE:
            span.attributes[names.BRANCH] = fact.branch
        if fact.sample:
            span.attributes[names.SAMPLE] = fact.sample
        if fact.pool:
            span.attributes[names.POOL] = fact.pool
        if spec.kind == "task":
            span.attributes |= {names.OPERATION: names.INVOKE_AGENT, names.AGENT: fact.pool}
        if fact.tier:
            span.attributes[names.TIER] = fact.tier

    def _produced(self, fact: f.StepProduced) -> None:
        key = _attempt(fact)
        self._mark[key] = fact.at_s
        span = self._open.get(key)
        if span is None:
            return
        if fact.actor:
            span.attributes[names.WORKER] = fact.actor
        if fact.started_at_s and names.WAIT_S not in span.attributes:
            span.attributes[names.WAIT_S] = max(fact.started_at_s - span.start_s, 0.0)
        self._say(span, names.OUTPUT, fact.output)
        if fact.sample:
            self._end(key, fact.at_s)

    def _verdict(self, fact: f.CheckVerdict) -> None:
        attempt = _attempt(fact)
        if fact.check == 0 and fact.verdict == "pass":
            self._mark[attempt] = fact.at_s
            return  # the schema of every output is looked at; that it fits is no news
        span = self._end(_check(fact, fact.check), fact.at_s)
        if span is None:
            above = ids.attempt_span(self.run, fact.step, fact.branch, fact.attempt, fact.sample)
            own = self._numbered("verdict", fact, fact.check)
            span = self._moment(own, above, "", self._mark.get(attempt, fact.at_s), fact.at_s)
        self._mark[attempt] = fact.at_s
        span.name = f"check {fact.name}"
        span.attributes |= {
            names.STEP: fact.step,
            names.CHECK: fact.check,
            names.EVALUATION: fact.name,
            names.LABEL: fact.verdict,
        }
        if fact.score is not None:
            span.attributes[names.SCORE] = fact.score
        if fact.verdict == "check_broken":
            span.error = fact.verdict
        self._say(span, names.EXPLANATION, list(fact.reasons or ()))

    def _settled(self, fact: f.StepFact) -> None:
        status = _SETTLED[type(fact)]
        error = status if status in {"failed", "gap", "cancelled"} else ""
        if fact.branch == f.WHOLE:
            for branch in self._branches.pop(fact.step, ()):
                self._close(fact, branch, error)
                self._end(("step", fact.step, branch), fact.at_s)
        self._close(fact, fact.branch, error)
        span = self._step(fact.step, fact.branch, fact.at_s)
        self._end(("step", fact.step, fact.branch), fact.at_s, "failed" if status == "failed" else "")
        span.attributes[names.STATUS] = status
        self._say(span, names.REASON, getattr(fact, "reason", None) or getattr(fact, "cause", None))

    def _close(self, fact: f.StepFact, branch: int, error: str) -> None:
        for key in self._within.pop((fact.step, branch), ()):
            self._end(key, fact.at_s, error)
            self._mark.pop(key, None)

    # ---- below an attempt

    def _above(self, fact: f.StepFact) -> int:
        if not fact.step:
            return self._plan_span
        if fact.attempt:
            return ids.attempt_span(self.run, fact.step, fact.branch, fact.attempt, fact.sample)
        return self._step(fact.step, fact.branch, fact.at_s).id

    def _numbered(self, what: str, fact: f.StepFact, *further: object) -> int:
        """An id for what can happen several times in one attempt."""
        key = (what, fact.step, fact.branch, fact.attempt, fact.sample, *further)
        times = self._times[key] = self._times.get(key, 0) + 1
        return ids.span_id(self.run, *key, times)

    def _called(self, fact: f.ModelCalled) -> None:
        own = ids.span_id(self.run, "model", fact.charge)
        span = self._moment(own, self._above(fact), names.chat(fact.model), fact.at_s - fact.seconds, fact.at_s)
        span.kind = "internal" if fact.served else "client"
        span.error = "" if fact.outcome == "ok" else fact.outcome
        span.attributes |= {
            names.OPERATION: names.CHAT,
            names.PROVIDER: names.PROVIDER_VALUE,
            names.REQUEST_MODEL: fact.model,
            names.TOKENS_IN: fact.tokens_in,
            names.TOKENS_OUT: fact.tokens_out,
            names.USD: fact.usd,
            names.OUTCOME: fact.outcome,
        }
        if fact.outcome == "ok":
            span.attributes[names.RESPONSE_MODEL] = fact.model
        optional: list[tuple[str, Attribute]] = [
            (names.TOKENS_CACHED, fact.tokens_cached),
            (names.FIRST_CHUNK, fact.first_s),
            (names.ENDPOINT, fact.endpoint),
            (names.ESTIMATED, fact.estimated),
            (names.SERVED, fact.served),
        ]
        span.attributes |= {name: value for name, value in optional if value}

    def _tool(self, fact: f.ToolCalled) -> None:
        own = self._numbered("tool", fact)
        span = self._moment(own, self._above(fact), names.tool(fact.tool), fact.at_s - fact.seconds, fact.at_s)
        span.attributes |= {names.OPERATION: names.EXECUTE_TOOL, names.TOOL: fact.tool, names.TOOL_TYPE: "function"}
        self._say(span, names.TOOL_RESULT, fact.result)

    def _fruitless(self, fact: f.ToolFailed) -> None:
        own = self._numbered("tool", fact)
        span = self._moment(own, self._above(fact), names.tool(fact.tool), fact.at_s - fact.seconds, fact.at_s)
        span.attributes |= {names.OPERATION: names.EXECUTE_TOOL, names.TOOL: fact.tool, names.TOOL_TYPE: "function"}
        span.error = fact.error

    def _planned(self, fact: f.GoalPlanned) -> None:
        attempt = self._open.get(_attempt(fact))
        began_s = attempt.start_s if attempt is not None else fact.at_s
        own = ids.span_id(self.run, "planning", fact.step, fact.branch, fact.attempt)
        span = self._moment(own, self._above(fact), names.plan(fact.step), began_s, fact.at_s)
        span.attributes |= {names.OPERATION: names.PLAN, names.PLAN_DIGEST: fact.digest, names.AGENT: "supervisor"}

    def _asked(self, fact: f.ApprovalAsked) -> None:
        key = ("ask", fact.step, fact.branch)
        self._end(key, fact.at_s)
        times = self._times[key] = self._times.get(key, 0) + 1
        span = self._inside(key, fact, ids.span_id(self.run, *key, times), self._above(fact), "ask a person")
        span.attributes[names.SUBJECT] = fact.subject

    def _answered(self, fact: f.ApprovalAnswered | f.ApprovalExpired) -> None:
        expired = isinstance(fact, f.ApprovalExpired)
        span = self._end(("ask", fact.step, fact.branch), fact.at_s, "expired" if expired else "")
        if span is not None and fact.choice is not None:
            span.attributes[names.CHOICE] = fact.choice

    def _quarantined(self, fact: f.StepQuarantined) -> None:
        own = ids.span_id(self.run, "quarantine", fact.step, fact.at_s)
        span = self._moment(own, self._run_span, f"quarantine {fact.step}", fact.at_s, fact.at_s)
        span.attributes[names.STEP] = fact.step
        self._say(span, names.REASON, fact.reason)


def _attempt(fact: f.StepFact) -> Key:
    return ("attempt", fact.step, fact.branch, fact.attempt, fact.sample)


def _check(fact: f.StepFact, check: int) -> Key:
    return ("check", fact.step, fact.branch, fact.attempt, check)


def _name(fact: f.StepDispatched, spec: Spec) -> str:
    match spec.kind:
        case "task":
            return names.agent(fact.pool)
        case "human":
            return f"person {fact.step}"
        case "plan" | "goal":
            return f"sub-plan {fact.step}"
        case _:
            return names.call(fact.pool, spec.function or fact.step)


_SETTLED: Final[Mapping[type[f.Fact], str]] = {
    f.StepReused: "reused",
    f.StepPassed: "passed",
    f.StepGap: "gap",
    f.StepSkipped: "skipped",
    f.StepFailed: "failed",
    f.StepCancelled: "cancelled",
}
#: Facts that are events of a span, and the fields that are told of them.
_TOLD: Final[Mapping[type[f.Fact], tuple[str, ...]]] = {
    f.LimitHit: ("limit",),
    f.LimitExtended: ("limit", "by"),
    f.CancelRequested: ("actor",),
    f.RunAdopted: ("epoch",),
    f.StepBackoff: ("until_s",),
    f.StepEscalated: ("tier", "pool"),
    f.ReplanAsked: ("scope",),
}
#: Facts that are not here, such as reservations and progress, are in no span.
HANDLERS: Final[Mapping[type[f.Fact], Callable[[RunSpans, Any], None]]] = {
    f.RunAccepted: RunSpans._accepted,
    f.PlanFrozen: RunSpans._frozen,
    f.PlanPatched: RunSpans._patched,
    f.RunEnded: RunSpans._ended,
    f.StepExpanded: RunSpans._expanded,
    f.StepDispatched: RunSpans._dispatched,
    f.StepStarted: RunSpans._started,
    f.StepProduced: RunSpans._produced,
    f.AttemptFailed: RunSpans._failed,
    f.LeaseLost: RunSpans._lost,
    f.CheckVerdict: RunSpans._verdict,
    f.StepRejected: RunSpans._rejected,
    f.GuardTripped: RunSpans._tripped,
    f.ModelCalled: RunSpans._called,
    f.ToolCalled: RunSpans._tool,
    f.ToolFailed: RunSpans._fruitless,
    f.GoalPlanned: RunSpans._planned,
    f.ApprovalAsked: RunSpans._asked,
    f.ApprovalAnswered: RunSpans._answered,
    f.ApprovalExpired: RunSpans._answered,
    f.StepQuarantined: RunSpans._quarantined,
    **dict.fromkeys(_SETTLED, RunSpans._settled),
    **dict.fromkeys(_TOLD, RunSpans._happened),
}

#: Of these the spans of a run and its plan say something, or other spans come in their place.
OF_RUN: Final = frozenset({f.RunAccepted, f.PlanFrozen, f.PlanPatched, f.RunEnded, *_TOLD})

__all__ = ["FAILED", "HANDLERS", "OF_RUN", "RunSpans"]
