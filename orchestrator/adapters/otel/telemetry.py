"""The observer that traces: of runs by their journaled facts, of tasks where they are worked on, of requests."""

import os
import secrets
from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Final

from opentelemetry import context as otel_context
from opentelemetry import trace as otel
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SpanExporter
from opentelemetry.sdk.trace.sampling import DEFAULT_ON, Decision

from orchestrator.adapters.otel import ids, names
from orchestrator.adapters.otel.ids import Parent
from orchestrator.adapters.otel.pump import Pump
from orchestrator.adapters.otel.runs import BRANCHES_MAX, RunTrace
from orchestrator.adapters.otel.sink import LibrarySink, Sink
from orchestrator.adapters.otel.span import Attribute, Span, Told, Work, Worked
from orchestrator.core.facts import Fact, RunAccepted, RunEnded
from orchestrator.ids import RunId
from orchestrator.ports.observer import WorkObserver
from orchestrator.ports.redaction import CLEAR, Redactor
from orchestrator.ports.tasks import StepTask, TaskKey

#: A run that is taken over may have lost what ended this shortly before the last fact of its owner, whose process may
#: have died with it. Those spans are told again, with the ids they had; well above the time between two exports.
AGAIN_S: Final = 60.0
DECISIONS_MAX: Final = 50_000  #: traces whose sampling is remembered; forgotten ones are decided anew, and alike
_NOT_SAMPLED: Final = "-00"
CAPTURE: Final = "OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT"


#: Of a run: its id, whether it is told, and what stands before and after the span in a `traceparent`. A plain tuple,
#: as a garbage collector need not look into one of texts and numbers again and again.
_Trace = tuple[int, bool, str, str]


class Telemetry:
    """Traces runs (`Observer`), tasks (`WorkObserver`) and requests. Thread-safe; never blocks, never raises."""

    def __init__(
        self,
        exporter: SpanExporter | Sink,
        *,
        redactor: Redactor = CLEAR,
        content: bool | None = None,
        branches_max: int = BRANCHES_MAX,
    ) -> None:
        provider = TracerProvider(shutdown_on_exit=False)  # reads OTEL_SERVICE_NAME, …_RESOURCE_ATTRIBUTES, …_SAMPLER
        resource = provider.resource
        if resource.attributes.get("service.name", "unknown_service").startswith("unknown_service"):  # type: ignore[union-attr]  # a text
            resource = resource.merge(type(resource)({"service.name": "hierarchical-orchestrator"}))
        self._sampler = provider.sampler
        self._all = provider.sampler.get_description() == DEFAULT_ON.get_description()  # type: ignore[no-untyped-call]  # of a library
        self._pump = Pump(exporter if isinstance(exporter, Sink) else LibrarySink(exporter), resource, redactor)
        asked = os.environ.get(CAPTURE, "").strip().lower() in {"true", "1", "span_only", "span_and_event"}
        self._content = asked if content is None else content
        self._branches_max = branches_max  #: of a mapped step that are told although they pass at once
        self._runs: dict[RunId, RunTrace] = {}  #: in the hands of whoever makes spans
        self._traces: OrderedDict[RunId, _Trace] = OrderedDict()
        self._outside: OrderedDict[str, int] = OrderedDict()  #: traces that others began, by the run at the top

    @property
    def counts(self) -> dict[str, int]:
        """Spans exported and failed; things told that were dropped, or of which no span could be made."""
        pump = self._pump
        return {
            "exported": pump.exported,
            "failed": pump.failed,
            "dropped": pump.dropped,
            "broken": pump.broken,
        }

    def close(self) -> None:
        """Export what is queued, for a few seconds at most."""
        self._pump.close()

    def trace_of_run(self, run_id: str) -> str:
        """See `Tracing`."""
        root = ids.root_of(run_id)
        return f"{self._outside.get(root) or ids.trace_id(root):032x}"

    # ---- runs

    def journaled(self, accepted: RunAccepted, first_seq: int, facts: tuple[Fact, ...]) -> None:
        """See `Observer`."""
        if self._trace(accepted)[1]:
            self._pump.later(self._of_run, accepted, first_seq, facts)

    def resumed(self, accepted: RunAccepted, facts: Sequence[Fact]) -> None:
        """See `Observer`."""
        if self._trace(accepted)[1]:
            self._pump.later(self._again, accepted, facts)

    def trace_of(self, accepted: RunAccepted, key: TaskKey) -> str:
        """See `Observer`."""
        _, _, before, after = self._trace(accepted)
        if key.purpose == "check":
            span = ids.check_span(key.run_id, key.step_id, key.branch, key.attempt, key.check)
        else:
            span = ids.attempt_span(key.run_id, key.step_id, key.branch, key.attempt, key.sample)
            if key.branch >= self._branches_max and key.attempt == 1 and not self._content:
                after = _NOT_SAMPLED
        return f"{before}{span:016x}{after}"

    def here(self) -> str:
        """See `Observer`."""
        span = otel.get_current_span()
        if span is otel.INVALID_SPAN:
            return ""
        context = span.get_span_context()
        if not context.is_valid:
            return ""
        return ids.written(context.trace_id, context.span_id, sampled=context.trace_flags.sampled)

    def let_go(self, run_id: RunId) -> None:
        """See `Observer`."""
        self._pump.always(self._forget, run_id)

    def _forget(self, run_id: RunId) -> Sequence[Told]:
        self._runs.pop(run_id, None)
        return ()

    def _of_run(self, accepted: RunAccepted, first_seq: int, facts: Sequence[Fact]) -> Sequence[Told]:
        run = self._runs.get(accepted.run)
        if run is None:  # a run that has ended may still be charged; one whose beginning was dropped is told in part
            known = self._traces.get(accepted.run)
            trace = known[0] if known is not None else 0
            run = RunTrace(accepted, trace=trace, content=self._content, branches_max=self._branches_max)
            if first_seq == 1:
                self._runs[accepted.run] = run
        told = run.tell(facts)
        if RunEnded in map(type, facts):
            self._runs.pop(accepted.run, None)
        return told

    def _again(self, accepted: RunAccepted, facts: Sequence[Fact]) -> Sequence[Told]:
        since_s = facts[-1].at_s - AGAIN_S if facts else 0.0
        self._runs.pop(accepted.run, None)  # what is known of it would be told twice
        return [one for one in self._of_run(accepted, 1, facts) if one.end_s >= since_s]

    def _trace(self, accepted: RunAccepted) -> _Trace:
        known = self._traces.get(accepted.run)
        if known is not None:
            return known
        trace = ids.trace_of(accepted)
        told = self._decide(trace, ids.parse(accepted.trace) if accepted.trace else None, accepted.plan)
        known = (trace, told, f"00-{trace:032x}-", "-01" if told else _NOT_SAMPLED)
        self._traces[accepted.run] = known
        if accepted.trace and accepted.parent is None:
            self._outside[accepted.run] = trace
        for kept in (self._traces, self._outside):
            while len(kept) > DECISIONS_MAX:
                kept.popitem(last=False)
        return known

    def _decide(self, trace: int, parent: Parent | None, name: str) -> bool:
        if parent is None and self._all:
            return True
        context = None if parent is None else otel.set_span_in_context(_span_of(parent), otel_context.Context())
        result = self._sampler.should_sample(context or otel_context.Context(), trace, names.workflow(name))
        return result.decision is Decision.RECORD_AND_SAMPLE

    # ---- tasks

    def begin(self, task: StepTask, worker: str) -> None:
        """See `WorkObserver`: user code finds the span of its task as the current one."""
        _enter(TaskSpan(task, worker))

    def said_here(self) -> Mapping[str, object]:
        """See `Tracing`."""
        span = otel_context.get_value(_TASK)
        return span.said() if isinstance(span, TaskSpan) else {}

    def inside(self) -> WorkObserver:
        """See `Tracing`."""
        return _Inside()

    def end(self, task: StepTask, worker: str, began_s: float, ended_s: float, error: str | None) -> None:
        """See `WorkObserver`."""
        if task.trace and not task.trace.endswith(_NOT_SAMPLED):
            self._pump.later(_worked, task, worker, began_s, max(ended_s, began_s), error)

    # ---- requests

    @contextmanager
    def request(self, name: str, traceparent: str, now_s: float) -> Iterator["RequestSpan"]:
        """A request that is answered here: the caller's `traceparent` is gone on with, and runs it starts are below.

        The block tells the answer's status; the span ends with it.
        """
        asked = ids.parse(traceparent) if traceparent else None
        trace = asked.trace if asked is not None else secrets.randbits(128) or 1
        sampled = self._decide(trace, asked, name)
        own = Parent(trace, secrets.randbits(64) or 1, int(sampled))
        span = Span(trace, own.span, asked.span if asked is not None else 0, name, now_s)
        span.kind, span.remote = "server", asked is not None
        told = RequestSpan(span)
        token = otel_context.attach(otel.set_span_in_context(_span_of(own)))
        try:
            yield told
        finally:
            otel_context.detach(token)
            if sampled:
                self._pump.take((span,))


class TaskSpan(otel.NonRecordingSpan):
    """The span of a task for the code that works on it. Few look at it, so what it says is made when somebody does."""

    def __init__(self, task: StepTask, worker: str | None) -> None:
        self._task, self._worker = task, worker  #: no worker: the span of the attempt itself
        self._known: otel.SpanContext | None = None

    def get_span_context(self) -> otel.SpanContext:
        """See `Span`; not valid where the run is not traced."""
        if self._known is None:
            task, asked = self._task, ids.parse(self._task.trace) if self._task.trace else None
            if asked is None:
                self._known = otel.INVALID_SPAN_CONTEXT
            else:
                worker = self._worker
                own = asked.span if worker is None else ids.work_span(asked.span, task.sent_at_s, worker)
                self._known = _context_of(Parent(asked.trace, own, asked.flags))
        return self._known

    def __repr__(self) -> str:
        return f"TaskSpan({self._task.key})"

    def said(self) -> dict[str, object]:
        """What log lines of its code say."""
        key, own = self._task.key, self.get_span_context()
        said: dict[str, object] = {"run": key.run_id, "step": key.step_id, "attempt": key.attempt}
        if key.branch >= 0:
            said["branch"] = key.branch
        if own.is_valid:
            said |= {"trace_id": f"{own.trace_id:032x}", "span_id": f"{own.span_id:016x}"}
        return said


def _worked(task: StepTask, worker: str, began_s: float, ended_s: float, error: str | None) -> Sequence[Told]:
    """What is told of the work on a task; nothing where its run is not traced."""
    key, parent = task.key, ids.asked(task.trace)
    if parent is None or not parent.flags & ids.SAMPLED:
        return ()
    work = Work(parent.trace, key.run_id, key.step_id, key.attempt, task.pool, task.function or "", worker)
    told = Worked(work, ids.work_span(parent.span, task.sent_at_s, worker), parent.span, began_s, ended_s)
    if error == "":
        return (told,)
    (span,) = told.spans()
    span.error = "dropped" if error is None else error
    return (span,)


class _Inside:
    """Workers in the process of the owner: their code sees the span of its attempt, which says all of it already."""

    def begin(self, task: StepTask, worker: str) -> None:
        """See `WorkObserver`."""
        del worker
        _enter(TaskSpan(task, None))

    def end(self, task: StepTask, worker: str, began_s: float, ended_s: float, error: str | None) -> None:
        """See `WorkObserver`: the journal tells it."""


class RequestSpan:
    """The span of a request while it is answered."""

    def __init__(self, span: Span) -> None:
        self._span = span

    def answered(self, status: int, route: str, method: str, now_s: float) -> None:
        """How it was answered: the HTTP status, and the form of the address, never what was written there."""
        attributes: dict[str, Attribute] = {
            "http.request.method": method,
            "http.route": route,
            "http.response.status_code": status,
        }
        self._span.attributes |= attributes
        self._span.name = f"{method} {route}"
        self._span.end_s = max(now_s, self._span.start_s)
        self._span.error = str(status) if status >= 500 else ""


def _context_of(parent: Parent) -> otel.SpanContext:
    return otel.SpanContext(parent.trace, parent.span, True, otel.TraceFlags(parent.flags & ids.SAMPLED))


def _span_of(parent: Parent) -> otel.NonRecordingSpan:
    return otel.NonRecordingSpan(_context_of(parent))


def _enter(span: TaskSpan) -> None:
    """Make a span the current one of the code that is about to run, and the one that its log lines tell."""
    otel_context.attach(otel_context.Context({**otel_context.get_current(), _CURRENT: span, _TASK: span}))


#: Where a context holds the current span; the library tells it by putting one there.
(_CURRENT,) = otel.set_span_in_context(otel.INVALID_SPAN, otel_context.Context())
_TASK: Final = otel_context.create_key("orchestrator.task")

__all__ = ["RequestSpan", "TaskSpan", "Telemetry"]
