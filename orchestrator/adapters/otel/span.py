"""What is told before OpenTelemetry: spans, the short forms of frequent ones, and the book of those that are open."""

from dataclasses import dataclass, field
from typing import Final, Literal, NamedTuple

from orchestrator.adapters.otel import names
from orchestrator.core.facts import WHOLE
from orchestrator.ids import JsonValue, RunId

EVENTS_MAX: Final = 32  #: of one span
CONTENT_CHARS_MAX: Final = 4_096  #: of one attribute that holds content
Attribute = str | bool | int | float
Key = tuple[object, ...]
Kind = Literal["internal", "client", "server", "consumer"]


@dataclass(slots=True)
class Span:
    """One span; open while `end_s` is below `start_s`."""

    trace: int
    id: int
    parent: int  #: 0: none
    name: str
    start_s: float
    end_s: float = -1.0
    kind: Kind = "internal"
    remote: bool = False  #: its parent is of another process
    error: str = ""  #: what `error.type` says
    content: bool = False  #: some attribute holds content, which is redacted at the sink
    attributes: dict[str, Attribute] = field(default_factory=dict)
    events: list[tuple[str, float, dict[str, Attribute]]] = field(default_factory=list)

    def spans(self) -> tuple["Span", ...]:
        """Itself."""
        return (self,)

    def note(self, name: str, at_s: float, **attributes: Attribute) -> None:
        """Something that happened meanwhile; at most `EVENTS_MAX` are kept."""
        if len(self.events) < EVENTS_MAX:
            self.events.append((name, at_s, attributes))


class Branch(NamedTuple):
    """What the branches of a mapped step have in common whose first attempt passes; or what such a step says."""

    trace: int
    above: int  #: the span of the step; of a whole step, that of its plan
    step: str
    function: str  #: empty where the plan does not tell
    pool: str
    tier: str


class Passed(NamedTuple):
    """The two spans of a branch or step whose first attempt passed, its own and the attempt's, with the same times."""

    branch: Branch
    number: int  #: of the branch, or `WHOLE`
    span: int
    attempt: int
    start_s: float
    end_s: float
    worker: str
    wait_s: float

    def spans(self) -> tuple[Span, ...]:
        """Both, written out."""
        trace, above, step, function, pool, tier = self.branch
        numbered: dict[str, Attribute] = {} if self.number == WHOLE else {names.BRANCH: self.number}
        name = f"step {step}[{self.number}]" if numbered else f"step {step}"
        own = Span(trace, self.span, above, name, self.start_s, self.end_s)
        own.attributes = {names.STEP: step, **numbered, names.STATUS: "passed"}
        attempt = Span(trace, self.attempt, self.span, names.call(pool, function or step), self.start_s, self.end_s)
        attempt.attributes = {names.STEP: step, names.ATTEMPT: 1, **numbered, names.POOL: pool}
        if tier:
            attempt.attributes[names.TIER] = tier
        attempt.attributes |= {names.WORKER: self.worker, names.WAIT_S: self.wait_s}
        return attempt, own


class Work(NamedTuple):
    """What the spans of the work on the branches of a step have in common."""

    trace: int
    run: str
    step: str
    attempt: int
    pool: str
    function: str  #: empty for an agent's task
    worker: str


class Worked(NamedTuple):
    """The span of the work on a task that went well."""

    work: Work
    span: int
    asked: int  #: the span it was asked for by, of another process
    start_s: float
    end_s: float

    def spans(self) -> tuple[Span, ...]:
        """Written out."""
        trace, run, step, attempt, pool, function, worker = self.work
        name = f"work {pool}.{function}" if function else f"work {pool}"
        span = Span(trace, self.span, self.asked, name, self.start_s, self.end_s, "consumer", remote=True)
        span.attributes = {
            names.RUN: run,
            names.STEP: step,
            names.ATTEMPT: attempt,
            names.POOL: pool,
            names.WORKER: worker,
        }
        if function:
            span.attributes[names.FUNCTION] = function
        return (span,)


class Outline(NamedTuple):
    """What runs of one plan have in common that end, and to which nothing happened but the work of their steps."""

    plan: str
    digest: str
    tenant: str
    lane: str
    status: str


class Ended(NamedTuple):
    """The two spans of such a run, its own and that of its plan; they end together."""

    outline: Outline
    trace: int
    run: str
    span: int
    asked: int  #: the span it was asked for by, of another process; 0: none
    frozen: int  #: the span of its plan
    start_s: float
    frozen_s: float
    end_s: float
    usd: float
    tokens: int

    def spans(self) -> tuple[Span, ...]:
        """Both, written out."""
        name, digest, _, _, status = self.outline
        own = Span(self.trace, self.span, self.asked, names.workflow(name), self.start_s, self.end_s)
        own.remote = bool(self.asked)
        own.attributes = of_run(self.run, self.outline)
        own.attributes |= {names.STATUS: status, names.USD: self.usd, names.TOKENS: self.tokens}
        plan = Span(self.trace, self.frozen, self.span, names.plan(name), self.frozen_s, self.end_s)
        plan.attributes = {names.RUN: self.run, names.PLAN_DIGEST: digest}
        return plan, own


def of_run(run: str, outline: Outline) -> dict[str, Attribute]:
    """What the span of a run says from its beginning."""
    plan, digest, tenant, lane, _ = outline
    return {
        names.RUN: run,
        names.OPERATION: names.INVOKE_WORKFLOW,
        names.AGENT: plan,
        names.WORKFLOW: plan,
        names.PLAN_NAME: plan,
        names.PLAN_DIGEST: digest,
        names.TENANT: tenant,
        names.LANE: lane,
    }


Told = Span | Passed | Worked | Ended


class SpanBook:
    """Begins and ends the spans of one run; those that have ended lie in `done`."""

    def __init__(self, run: RunId, trace: int, *, content: bool) -> None:
        self.run, self.trace, self._content = run, trace, content
        self._open: dict[Key, Span] = {}
        self._done: list[Told] = []

    def _begin(self, key: Key, span: int, parent: int, name: str, at_s: float) -> Span:
        made = self._open[key] = Span(self.trace, span, parent, name, at_s)
        return made

    def _end(self, key: Key, at_s: float, error: str = "") -> Span | None:
        span = self._open.pop(key, None)
        if span is not None:
            span.end_s, span.error = max(at_s, span.start_s), error or span.error
            self._done.append(span)
        return span

    def _moment(self, span: int, parent: int, name: str, start_s: float, end_s: float) -> Span:
        made = Span(self.trace, span, parent, name, min(start_s, end_s), end_s)
        made.attributes[names.RUN] = self.run
        self._done.append(made)
        return made

    def _say(self, span: Span, name: str, value: JsonValue) -> None:
        """Content: nothing unless it is asked for."""
        if self._content and value not in (None, "", [], ()):
            text = value if isinstance(value, str) else repr(value)
            span.attributes[name], span.content = text[:CONTENT_CHARS_MAX], True
