"""The OTLP exporter, from the extra `otlp`. It reads OTEL_EXPORTER_OTLP_* itself."""

from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.trace.export import SpanExporter


def otlp_exporter() -> SpanExporter:
    """Spans over HTTP to the endpoint that the environment names."""
    return OTLPSpanExporter()
