"""A small OTLP/HTTP collector, and spans in a form that tests can compare."""

import gzip
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.sdk.trace import ReadableSpan


@dataclass(frozen=True, slots=True)
class Seen:
    """One span as whoever collects spans sees it."""

    trace: int
    id: int
    parent: int
    name: str
    start_ns: int
    end_ns: int
    attributes: tuple[tuple[str, object], ...]
    service: str = ""

    @property
    def told(self) -> dict[str, object]:
        return dict(self.attributes)


def seen(span: ReadableSpan) -> Seen:
    """What an exporter of the SDK is given."""
    context, parent = span.get_span_context(), span.parent
    assert context is not None
    assert span.start_time is not None
    assert span.end_time is not None
    attributes = tuple(sorted((span.attributes or {}).items()))
    above = parent.span_id if parent is not None else 0
    return Seen(context.trace_id, context.span_id, above, span.name, span.start_time, span.end_time, attributes)


def tree(spans: Sequence[Seen]) -> list[str]:
    """Names, indented below their parents, in order of their beginning; every parent must be there."""
    known = {span.id for span in spans}
    assert len(known) == len(spans), "an id is used twice"
    orphans = [span.name for span in spans if span.parent and span.parent not in known]
    assert not orphans, f"spans without their parents: {orphans}"

    def below(parent: int, depth: int) -> Iterator[str]:
        for span in sorted(spans, key=lambda one: (one.start_ns, one.end_ns, one.name)):
            if span.parent == parent:
                yield "  " * depth + span.name
                yield from below(span.id, depth + 1)

    return list(below(0, 0))


class Collector:
    """Takes what exporters send."""

    def __init__(self) -> None:
        self.spans: list[Seen] = []
        #: the latest of each series: by name and labels its value, and of histograms its counts
        self.metrics: dict[str, dict[tuple[str, ...], tuple[float, tuple[int, ...]]]] = {}
        self._lock = threading.Lock()
        owner = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                if self.headers.get("Content-Encoding") == "gzip":
                    body = gzip.decompress(body)
                if self.path == "/v1/traces":
                    owner.take(ExportTraceServiceRequest.FromString(body))
                else:
                    assert self.path == "/v1/metrics"
                    owner.take_metrics(ExportMetricsServiceRequest.FromString(body))
                self.send_response(200)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"

    def take(self, request: ExportTraceServiceRequest) -> None:
        with self._lock:
            for resource in request.resource_spans:
                names = {one.key: one.value.string_value for one in resource.resource.attributes}
                for scope in resource.scope_spans:
                    for span in scope.spans:
                        told = {one.key: getattr(one.value, one.value.WhichOneof("value")) for one in span.attributes}
                        self.spans.append(
                            Seen(
                                int.from_bytes(span.trace_id),
                                int.from_bytes(span.span_id),
                                int.from_bytes(span.parent_span_id),
                                span.name,
                                span.start_time_unix_nano,
                                span.end_time_unix_nano,
                                tuple(sorted(told.items())),
                                names["service.name"],
                            )
                        )

    def take_metrics(self, request: ExportMetricsServiceRequest) -> None:
        with self._lock:
            for resource in request.resource_metrics:
                for metric in (one for scope in resource.scope_metrics for one in scope.metrics):
                    kind = metric.WhichOneof("data")
                    series = self.metrics.setdefault(metric.name, {})
                    for point in getattr(metric, kind).data_points:
                        labels = tuple(one.value.string_value for one in point.attributes)
                        spread = kind == "histogram"
                        value = point.sum if spread else point.as_double
                        series[labels] = (value, tuple(point.bucket_counts) if spread else ())

    @contextmanager
    def open(self) -> Iterator["Collector"]:
        thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        thread.start()
        try:
            yield self
        finally:
            self._server.shutdown()
            self._server.server_close()
            thread.join()
