"""Spans as our encoder writes them are, byte for byte, what the library's encoder writes."""

from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import Event, ReadableSpan
from opentelemetry.trace import SpanContext, SpanKind, Status, StatusCode, TraceFlags

from orchestrator.adapters.otel import encoding
from orchestrator.adapters.otel.encoding import Encoder
from orchestrator.adapters.otel.pump import SCOPE
from orchestrator.testing.facts import texts

SAMPLED = TraceFlags(1)
RESOURCE = Resource({"service.name": "s" * 200, "n": 3})
times = st.integers(0, 2**63 - 1)
contexts = st.builds(
    SpanContext, st.integers(1, 2**128 - 1), st.integers(1, 2**64 - 1), st.booleans(), st.just(SAMPLED)
)
values = st.one_of(
    texts(),
    st.text("ab", min_size=60, max_size=300),
    st.booleans(),
    st.integers(-(2**63), 2**63 - 1),
    st.floats(),
)
told = st.dictionaries(st.text("abc.", min_size=1, max_size=200), values, max_size=6)
spans = st.builds(
    ReadableSpan,
    name=texts(),
    context=contexts,
    parent=st.none() | contexts,
    resource=st.just(RESOURCE),
    attributes=told,
    events=st.lists(st.builds(Event, texts(), told, times), max_size=3),
    kind=st.sampled_from(SpanKind),
    status=st.just(Status()) | st.builds(Status, st.just(StatusCode.ERROR), st.none() | texts()),
    start_time=times,
    end_time=times,
    instrumentation_scope=st.just(SCOPE),
)


@given(st.lists(spans, min_size=1, max_size=5))
def test_byte_by_byte_as_the_library(batch: list[ReadableSpan]) -> None:
    assert Encoder().request(batch) == encode_spans(batch).SerializeToString()


def test_a_number_that_has_no_room_on_the_wire_is_told_as_text() -> None:
    span = ReadableSpan(
        name="x", context=SpanContext(1, 1, False), resource=RESOURCE, attributes={"n": 2**70},
        instrumentation_scope=SCOPE,
    )  # fmt: skip
    read = ExportTraceServiceRequest.FromString(Encoder().request([span]))
    (attribute,) = read.resource_spans[0].scope_spans[0].spans[0].attributes
    assert attribute.value.string_value == str(2**70)


def test_the_thread_steps_aside_between_spans(monkeypatch) -> None:
    steps = []
    monkeypatch.setattr(encoding.time, "sleep", steps.append)
    span = ReadableSpan(name="x", context=SpanContext(1, 1, False), resource=RESOURCE, instrumentation_scope=SCOPE)
    Encoder().request([span] * 100)
    assert len(steps) == 100 // encoding.BREATH_SPANS
