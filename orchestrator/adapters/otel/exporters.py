"""The OTLP exporter, from the extra `otlp`. It reads OTEL_EXPORTER_OTLP_* itself."""

from collections.abc import Sequence

from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult

from orchestrator.adapters.otel.encoding import Encoder
from orchestrator.errors import PromiseError


class _Direct(OTLPSpanExporter):
    """The library's exporter in everything but the encoding, which is most of what spans cost a busy process.

    Raises:
        PromiseError: the library has no client of the known form inside; it promises none.
    """

    def __init__(self) -> None:
        super().__init__()
        if not callable(getattr(getattr(self, "_client", None), "export", None)):
            raise PromiseError(
                "the installed OTLP exporter sends in a way that is not known here",
                "install hierarchical-orchestrator[otlp] with the versions of its lock",
            )
        self._encoder = Encoder()

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """See `SpanExporter`."""
        sent = self._client.export(self._encoder.request(spans))
        return SpanExportResult.SUCCESS if sent.success else SpanExportResult.FAILURE


def otlp_exporter() -> SpanExporter:
    """Spans over HTTP to the endpoint that the environment names."""
    return _Direct()
