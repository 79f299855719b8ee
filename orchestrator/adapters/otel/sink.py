"""Where spans go to: the exporter that writes their bytes itself, or any exporter of the library."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Final

from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import Event, ReadableSpan
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import SpanContext, SpanKind, Status, StatusCode, TraceFlags

from orchestrator.adapters.otel import ids
from orchestrator.adapters.otel.span import Span, Told

SCOPE: Final = InstrumentationScope("hierarchical-orchestrator")
_SAMPLED: Final = TraceFlags(ids.SAMPLED)
_NS: Final = 1_000_000_000
_UNSET: Final = Status()
_KINDS: Final = {
    "internal": SpanKind.INTERNAL,
    "client": SpanKind.CLIENT,
    "server": SpanKind.SERVER,
    "consumer": SpanKind.CONSUMER,
}
Formed = Told | bytes  #: something told, or the bytes of its spans


class Sink(ABC):
    """Takes what is told."""

    @abstractmethod
    def form(self, told: Told) -> Formed:
        """How something waits until it is sent; bytes are nothing to a garbage collector. Called from any thread."""

    @abstractmethod
    def send(self, formed: Sequence[Formed], resource: Resource) -> bool:
        """Hand a batch on; False: nobody took all of it. May raise; the next batch may go well. In one thread."""

    @abstractmethod
    def shutdown(self) -> None:
        """Nothing more will come."""


class LibrarySink(Sink):
    """Hands spans to an exporter of the library, in the form it asks for."""

    def __init__(self, exporter: SpanExporter) -> None:
        self._exporter = exporter

    def form(self, told: Told) -> Formed:
        """See `Sink`."""
        return told

    def send(self, formed: Sequence[Formed], resource: Resource) -> bool:
        """See `Sink`."""
        spans = [readable(span, resource) for one in formed if not isinstance(one, bytes) for span in one.spans()]
        return self._exporter.export(spans) is SpanExportResult.SUCCESS

    def shutdown(self) -> None:
        """See `Sink`."""
        self._exporter.shutdown()


def readable(span: Span, resource: Resource) -> ReadableSpan:
    """A span as exporters of the library want it."""
    parent = SpanContext(span.trace, span.parent, span.remote, _SAMPLED) if span.parent else None
    return ReadableSpan(
        name=span.name,
        context=SpanContext(span.trace, span.id, False, _SAMPLED),
        parent=parent,
        resource=resource,
        attributes=span.attributes,
        events=[Event(name, attributes, int(at_s * _NS)) for name, at_s, attributes in span.events],
        kind=_KINDS[span.kind],
        status=Status(StatusCode.ERROR, span.error) if span.error else _UNSET,
        start_time=int(span.start_s * _NS),
        end_time=int(span.end_s * _NS),
        instrumentation_scope=SCOPE,
    )


__all__ = ["SCOPE", "LibrarySink", "Sink", "readable"]
