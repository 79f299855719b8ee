"""Spans as our encoder writes them are, byte for byte, what the library's encoder writes."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.sdk.resources import Resource

from orchestrator.adapters.otel import encoding
from orchestrator.adapters.otel.encoding import Encoder, encode
from orchestrator.adapters.otel.sink import readable
from orchestrator.adapters.otel.span import Branch, Ended, Outline, Passed, Span, Told, Work, Worked
from orchestrator.testing.facts import texts

RESOURCE = Resource({"service.name": "s" * 200, "n": 3})
times = st.floats(0, 9e9)
span_ids = st.integers(1, 2**64 - 1)
trace_ids = st.integers(1, 2**128 - 1)
values = st.one_of(
    texts(),
    st.text("ab", min_size=60, max_size=300),
    st.booleans(),
    st.integers(-(2**63), 2**63 - 1),
    st.integers(-2, 300),
    st.floats(),
)
attributes = st.dictionaries(st.text("abc.", min_size=1, max_size=200), values, max_size=6)
spans = st.builds(
    Span,
    trace_ids,
    span_ids,
    st.just(0) | span_ids,
    texts(),
    times,
    times,
    st.sampled_from(["internal", "client", "server", "consumer"]),
    st.booleans(),
    st.just("") | texts(),
    attributes=attributes,
    events=st.lists(st.tuples(texts(), times, attributes), max_size=3),
)
words = texts() | st.text("ab", min_size=60, max_size=200)
numbers = st.sampled_from([-1, 0, 9, 10, 99, 100, 127, 128, 999, 1_000, 16_383, 16_384, 2**31]) | st.integers(0, 10**6)
passed = st.builds(
    Passed,
    st.builds(Branch, trace_ids, span_ids, words, words, words, st.just("") | words),
    numbers,
    span_ids,
    span_ids,
    times,
    times,
    words,
    times,
)
worked = st.builds(
    Worked, st.builds(Work, trace_ids, words, words, st.integers(1, 300), words, words, words), span_ids, span_ids,
    times, times,
)  # fmt: skip
ended = st.builds(
    Ended, st.builds(Outline, words, words, words, words, words), trace_ids, words, span_ids, st.just(0) | span_ids,
    span_ids, times, times, times, st.floats(), st.integers(0, 2**40),
)  # fmt: skip


def whole(*told: Told) -> bytes:
    (body,) = Encoder(RESOURCE).requests([encode(one) for one in told])
    return body


@given(st.lists(spans, min_size=1, max_size=5))
def test_byte_by_byte_as_the_library(batch: list[Span]) -> None:
    assert whole(*batch) == encode_spans([readable(span, RESOURCE) for span in batch]).SerializeToString()


@given(passed | worked | ended)
def test_the_short_forms_are_written_as_their_spans_are(told: Passed | Worked | Ended) -> None:
    assert encode(told) == b"".join(map(encode, told.spans()))


def test_a_number_that_has_no_room_on_the_wire_is_told_as_text() -> None:
    read = ExportTraceServiceRequest.FromString(whole(Span(1, 1, 0, "x", 1.0, 2.0, attributes={"n": 2**70})))
    (attribute,) = read.resource_spans[0].scope_spans[0].spans[0].attributes
    assert attribute.value.string_value == str(2**70)


def test_one_request_is_not_larger_than_collectors_take(monkeypatch: pytest.MonkeyPatch) -> None:
    one = encode(Span(1, 1, 0, "x", 1.0, 2.0))
    monkeypatch.setattr(encoding, "REQUEST_BYTES_MAX", len(Encoder(RESOURCE)._scope) + 10 * len(one) - 1)
    bodies = list(Encoder(RESOURCE).requests([one] * 25))
    counts = [len(ExportTraceServiceRequest.FromString(body).resource_spans[0].scope_spans[0].spans) for body in bodies]
    assert counts == [10, 10, 5]
