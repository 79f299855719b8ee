"""A thread that makes spans of what it is told and hands them to an exporter, so that nobody else waits for it.

The queue in front of it is bounded. What finds no room is dropped and counted: an engine is never held up, and a
collector that is away costs spans, not runs.
"""

import os
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable
from typing import Final

import structlog
from opentelemetry.context import _SUPPRESS_INSTRUMENTATION_KEY, attach, detach, set_value
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import Event, ReadableSpan
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import SpanContext, SpanKind, Status, StatusCode, TraceFlags

from orchestrator.adapters.otel import ids, names
from orchestrator.adapters.otel.span import Attribute, Span
from orchestrator.ports.redaction import Redactor

QUEUE_MAX: Final = 20_000  #: things told and not handled; OTEL_BSP_MAX_QUEUE_SIZE where it is set
BATCH_MAX: Final = 512  #: spans of one export; OTEL_BSP_MAX_EXPORT_BATCH_SIZE
DELAY_S: Final = 5.0  #: between two exports where fewer are there; OTEL_BSP_SCHEDULE_DELAY, in milliseconds
BREATH_WORKS: Final = 32  #: after so many the thread steps aside: an event loop waits for it meanwhile
BREATH_S: Final = 0.000_05
CLOSE_S: Final = 5.0  #: that closing waits for what is queued
SCOPE: Final = InstrumentationScope("hierarchical-orchestrator")
_SAMPLED: Final = TraceFlags(ids.SAMPLED)
_NS: Final = 1_000_000_000
_UNSET: Final = Status()
log = structlog.get_logger(__name__)
Work = Callable[[], Iterable[Span]]  #: makes the spans of one thing that was told


class _Resource(Resource):
    """A resource that knows its hash: the encoder asks for it at every span, and it is made by writing JSON."""

    def __init__(self, resource: Resource) -> None:
        super().__init__(resource.attributes, resource.schema_url)
        self._kept = super().__hash__()

    def __hash__(self) -> int:
        return self._kept

    def __eq__(self, other: object) -> bool:
        return self is other or super().__eq__(other)


class Pump:
    """Takes work from any thread; makes, redacts and exports spans in one of its own."""

    def __init__(self, exporter: SpanExporter, resource: Resource, redactor: Redactor) -> None:
        self._exporter, self._resource, self._redactor = exporter, _Resource(resource), redactor
        self._queue_max = _number("OTEL_BSP_MAX_QUEUE_SIZE", QUEUE_MAX)
        self._batch_max = min(_number("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", BATCH_MAX), self._queue_max)
        self._delay_s = _number("OTEL_BSP_SCHEDULE_DELAY", int(DELAY_S * 1000)) / 1000
        self._queue: deque[Work] = deque()
        self._ready: list[ReadableSpan] = []
        self._wake = threading.Event()
        self._closing = False
        self.exported = 0  #: spans that the exporter took
        self.failed = 0  #: spans that it did not take
        self.dropped = 0  #: things told that found no room
        self.broken = 0  #: things told of which no span could be made: our bug, logged once
        self._thread = threading.Thread(target=self._run, name="telemetry", daemon=True)
        self._thread.start()

    def put(self, work: Work) -> None:
        """Queue something. Never blocks and never raises."""
        queue = self._queue
        if self._closing or len(queue) >= self._queue_max:
            self.dropped += 1
            return
        queue.append(work)
        if len(queue) >= self._batch_max and not self._wake.is_set():
            self._wake.set()

    def close(self) -> None:
        """Export what is queued, for at most `CLOSE_S` seconds, and let go of the exporter."""
        self._closing = True
        self._wake.set()
        self._thread.join(CLOSE_S)
        self.dropped += len(self._queue)
        self._exporter.shutdown()

    def _run(self) -> None:
        token = attach(set_value(_SUPPRESS_INSTRUMENTATION_KEY, True))  # the exporter's own requests are no news
        try:
            while True:
                self._wake.wait(self._delay_s)
                self._wake.clear()
                self._drain()
                if self._closing and not self._queue:
                    return
        finally:
            detach(token)

    def _drain(self) -> None:
        queue, done = self._queue, 0
        while queue:
            work = queue.popleft()
            try:
                self._ready += [self._made(span) for span in work()]
            except Exception as error:  # noqa: BLE001  # one run's odd journal must not end the telling of all others
                self.broken += 1
                if self.broken == 1:
                    log.error("no span could be made; this is said once", error=f"{type(error).__name__}: {error}")
            done += 1
            if not done % BREATH_WORKS:
                time.sleep(BREATH_S)
            if len(self._ready) >= self._batch_max:
                self._export()
        self._export()

    def _export(self) -> None:
        ready, self._ready = self._ready, []
        if not ready:
            return
        try:
            well = self._exporter.export(ready) is SpanExportResult.SUCCESS
        except Exception as error:  # noqa: BLE001  # whatever an exporter raises, the next batch may go well
            log.error("an export of spans failed", error=f"{type(error).__name__}: {error}")
            well = False
        if well:
            self.exported += len(ready)
        else:
            self.failed += len(ready)

    def _made(self, span: Span) -> ReadableSpan:
        attributes = span.attributes
        if span.content:
            for name in names.CONTENT & attributes.keys():
                attributes[name] = self._redactor.text(str(attributes[name]))
        if span.error:
            attributes[names.ERROR] = span.error
        parent = SpanContext(span.trace, span.parent, span.remote, _SAMPLED) if span.parent else None
        return ReadableSpan(
            name=span.name,
            context=SpanContext(span.trace, span.id, False, _SAMPLED),
            parent=parent,
            resource=self._resource,
            attributes=attributes,
            events=[_event(*event) for event in span.events] if span.events else (),
            kind=_KINDS[span.kind],
            status=Status(StatusCode.ERROR, span.error) if span.error else _UNSET,
            start_time=int(span.start_s * _NS),
            end_time=int(span.end_s * _NS),
            instrumentation_scope=SCOPE,
        )


_KINDS: Final = {
    "internal": SpanKind.INTERNAL,
    "client": SpanKind.CLIENT,
    "server": SpanKind.SERVER,
    "consumer": SpanKind.CONSUMER,
}


def _event(name: str, at_s: float, attributes: dict[str, Attribute]) -> Event:
    return Event(name, attributes, int(at_s * _NS))


def _number(variable: str, default: int) -> int:
    text = os.environ.get(variable, "")
    return int(text) if text.isdigit() and int(text) > 0 else default
