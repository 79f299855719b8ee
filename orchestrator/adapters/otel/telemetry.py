"""The observer that traces: of runs by their journaled facts, of tasks where they are worked on, of requests."""

import os
import secrets
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Final

import structlog
from opentelemetry import context as otel_context
from opentelemetry import trace as otel
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SpanExporter
from opentelemetry.sdk.trace.sampling import Decision

from orchestrator.adapters.otel import ids, names
from orchestrator.adapters.otel.ids import Parent
from orchestrator.adapters.otel.pump import Pump
from orchestrator.adapters.otel.span import Attribute, Span
from orchestrator.adapters.otel.spans import RunTrace
from orchestrator.core.facts import Fact, RunAccepted, RunEnded
from orchestrator.ids import RunId
from orchestrator.ports.observer import WorkObserver
from orchestrator.ports.redaction import CLEAR, Redactor
from orchestrator.ports.tasks import StepTask, TaskKey

#: A run that is taken over may have lost what ended this shortly before the last fact of its owner, whose process may
#: have died with it. Those spans are told again, with the ids they had; well above the time between two exports.
AGAIN_S: Final = 60.0
DECISIONS_MAX: Final = 50_000  #: traces whose sampling is remembered; forgotten ones are decided anew, and alike
CAPTURE: Final = "OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT"


class Telemetry:
    """Traces runs (`Observer`), tasks (`WorkObserver`) and requests. Thread-safe; never blocks, never raises."""

    def __init__(self, exporter: SpanExporter, *, redactor: Redactor = CLEAR, content: bool | None = None) -> None:
        provider = TracerProvider(shutdown_on_exit=False)  # reads OTEL_SERVICE_NAME, …_RESOURCE_ATTRIBUTES, …_SAMPLER
        resource = provider.resource
        if resource.attributes.get("service.name", "unknown_service").startswith("unknown_service"):  # type: ignore[union-attr]  # a text
            resource = resource.merge(type(resource)({"service.name": "hierarchical-orchestrator"}))
        self._sampler = provider.sampler
        self._pump = Pump(exporter, resource, redactor)
        asked = os.environ.get(CAPTURE, "").strip().lower() in {"true", "1", "span_only", "span_and_event"}
        self._content = asked if content is None else content
        self._runs: dict[RunId, RunTrace] = {}  #: the pump's thread alone looks at it
        self._sampled: OrderedDict[RunId, tuple[int, bool]] = OrderedDict()  #: trace, and whether it is told, by run
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
        if self._is_sampled(accepted):
            self._pump.put(lambda: self._of_run(accepted, first_seq, facts))

    def resumed(self, accepted: RunAccepted, facts: Sequence[Fact]) -> None:
        """See `Observer`."""
        if self._is_sampled(accepted):
            self._pump.put(lambda: self._again(accepted, facts))

    def trace_of(self, accepted: RunAccepted, key: TaskKey) -> str:
        """See `Observer`."""
        trace, sampled = self._trace(accepted)
        if key.purpose == "check":
            span = ids.check_span(key.run_id, key.step_id, key.branch, key.attempt, key.check)
        else:
            span = ids.attempt_span(key.run_id, key.step_id, key.branch, key.attempt, key.sample)
        return ids.written(trace, span, sampled=sampled)

    def here(self) -> str:
        """See `Observer`."""
        context = otel.get_current_span().get_span_context()
        if not context.is_valid:
            return ""
        return ids.written(context.trace_id, context.span_id, sampled=context.trace_flags.sampled)

    def let_go(self, run_id: RunId) -> None:
        """See `Observer`."""
        self._pump.put(lambda: self._forget(run_id))

    def _of_run(self, accepted: RunAccepted, first_seq: int, facts: Iterable[Fact]) -> Iterator[Span]:
        run = self._runs.get(accepted.run)
        if run is None:  # a run that has ended may still be charged; one whose beginning was dropped is told in part
            run = RunTrace(accepted, content=self._content)
            if first_seq == 1:
                self._runs[accepted.run] = run
        for fact in facts:
            yield from run.add(fact)
            if isinstance(fact, RunEnded):
                self._runs.pop(accepted.run, None)

    def _again(self, accepted: RunAccepted, facts: Sequence[Fact]) -> Iterator[Span]:
        run = self._runs[accepted.run] = RunTrace(accepted, content=self._content)
        since_s = facts[-1].at_s - AGAIN_S if facts else 0.0
        for fact in facts:
            yield from (span for span in run.add(fact) if span.end_s >= since_s)
            if isinstance(fact, RunEnded):
                self._runs.pop(accepted.run, None)

    def _forget(self, run_id: RunId) -> Iterable[Span]:
        self._runs.pop(run_id, None)
        return ()

    def _is_sampled(self, accepted: RunAccepted) -> bool:
        return self._trace(accepted)[1]

    def _trace(self, accepted: RunAccepted) -> tuple[int, bool]:
        """The trace of a run, and whether it is told."""
        known = self._sampled.get(accepted.run)
        if known is not None:
            return known
        trace = ids.trace_of(accepted)
        told = self._decide(trace, ids.parse(accepted.trace) if accepted.trace else None, accepted.plan)
        known = self._sampled[accepted.run] = trace, told
        if accepted.trace and accepted.parent is None:
            self._outside[accepted.run] = trace
        for kept in (self._sampled, self._outside):
            while len(kept) > DECISIONS_MAX:
                kept.popitem(last=False)
        return known

    def _decide(self, trace: int, parent: Parent | None, name: str) -> bool:
        context = None if parent is None else otel.set_span_in_context(_span_of(parent), otel_context.Context())
        result = self._sampler.should_sample(context or otel_context.Context(), trace, names.workflow(name))
        return result.decision is Decision.RECORD_AND_SAMPLE

    # ---- tasks

    def begin(self, task: StepTask, worker: str) -> None:
        """See `WorkObserver`: user code finds the span of its task as the current one, and its logs carry the ids."""
        parent = ids.parse(task.trace) if task.trace else None
        own = None if parent is None else Parent(parent.trace, _work_span(task, worker), parent.flags)
        self.enter(task, own)

    def enter(self, task: StepTask, own: Parent | None) -> None:
        """Make a span the current one of the code that is about to run, and bind what its log lines say."""
        key = task.key
        bound: dict[str, object] = {"run": key.run_id, "step": key.step_id, "attempt": key.attempt}
        if key.branch >= 0:
            bound["branch"] = key.branch
        if own is not None:
            otel_context.attach(otel.set_span_in_context(_span_of(own)))
            bound |= {"trace_id": f"{own.trace:032x}", "span_id": f"{own.span:016x}"}
        structlog.contextvars.bind_contextvars(**bound)

    def inside(self) -> WorkObserver:
        """See `Tracing`."""
        return _Inside(self)

    def end(self, task: StepTask, worker: str, began_s: float, ended_s: float, error: str | None) -> None:
        """See `WorkObserver`."""
        parent = ids.parse(task.trace) if task.trace else None
        if parent is None or not parent.flags & ids.SAMPLED:
            return
        key = task.key
        name = f"work {task.pool}.{task.function}" if task.function else f"work {task.pool}"
        span = Span(parent.trace, _work_span(task, worker), parent.span, name, began_s, max(ended_s, began_s))
        span.kind, span.remote = "consumer", True
        span.error = "dropped" if error is None else error
        span.attributes = {
            names.RUN: key.run_id,
            names.STEP: key.step_id,
            names.ATTEMPT: key.attempt,
            names.POOL: task.pool,
            names.WORKER: worker,
        }
        if task.function:
            span.attributes[names.FUNCTION] = task.function
        self._pump.put(lambda: (span,))

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
                self._pump.put(lambda: (span,))


class _Inside:
    """Workers in the process of the owner: their code sees the span of its attempt, which says all of it already."""

    def __init__(self, telemetry: Telemetry) -> None:
        self._telemetry = telemetry

    def begin(self, task: StepTask, worker: str) -> None:
        """See `WorkObserver`."""
        del worker
        self._telemetry.enter(task, ids.parse(task.trace) if task.trace else None)

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


def _span_of(parent: Parent) -> otel.NonRecordingSpan:
    flags = otel.TraceFlags(parent.flags & ids.SAMPLED)
    return otel.NonRecordingSpan(otel.SpanContext(parent.trace, parent.span, True, flags))


def _work_span(task: StepTask, worker: str) -> int:
    return ids.span_id("work", task.key, task.key.purpose, task.sent_at_s, worker)  # a task may be delivered twice


__all__ = ["RequestSpan", "Telemetry"]
