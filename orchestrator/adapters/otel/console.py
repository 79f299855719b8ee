"""Spans as lines of JSON, for a look without a collector."""

from typing import TextIO

from opentelemetry.sdk.trace.export import ConsoleSpanExporter, SpanExporter


def console_exporter(out: TextIO) -> SpanExporter:
    """Spans to a stream, one line each."""
    return ConsoleSpanExporter(out=out, formatter=lambda span: f"{span.to_json(indent=None)}\n")
