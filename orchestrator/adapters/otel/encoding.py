"""Spans in the bytes of OTLP, written directly: the library's encoder builds a message object for every attribute.

The fields are those of `opentelemetry/proto/trace/v1/trace.proto`, in the order of their numbers, as the library writes
them; `tests/telemetry` holds both against each other byte by byte. Only what this product tells is written: plain
attributes, events, no links.
"""

import struct
import time
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Final

from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import Event, ReadableSpan
from opentelemetry.trace import SpanContext, Status

BREATH_SPANS: Final = (
    16  #: after so many the thread steps aside, or an event loop waits for it as long as Python lets it
)
BREATH_S: Final = 0.000_05
KNOWN_CHARS_MAX: Final = 64  #: of a text that is kept encoded
KNOWN_NUMBERS: Final = 256  #: below it, a number is
_IS_REMOTE_KNOWN: Final = 0x100
_IS_REMOTE: Final = 0x200
_INT64: Final = range(-(2**63), 2**63)
_fixed64 = struct.Struct("<Q").pack
_fixed32 = struct.Struct("<I").pack
_double = struct.Struct("<d").pack


class Encoder:
    """Writes requests of spans that are all of one resource."""

    def __init__(self) -> None:
        self._heads: tuple[Resource, bytes, bytes] | None = None

    def request(self, spans: Sequence[ReadableSpan]) -> bytes:
        """The body of one request; `spans` holds at least one."""
        heads = self._heads
        if heads is None or heads[0] is not spans[0].resource:
            first = encode_spans(spans[:1]).resource_spans[0]
            resource, scope = first.resource.SerializeToString(), first.scope_spans[0].scope.SerializeToString()
            heads = self._heads = spans[0].resource, _field(0x0A, resource), _field(0x0A, scope)
        written = [heads[2]]
        for number, span in enumerate(spans, 1):
            written.append(_field(0x12, _span(span)))
            if not number % BREATH_SPANS:
                time.sleep(BREATH_S)
        return _field(0x0A, heads[1] + _field(0x12, b"".join(written)))


def _span(span: ReadableSpan) -> bytes:
    own, parent = span.get_span_context(), span.parent
    assert own is not None, "made with one"
    assert span.kind is not None
    parts = [b"\x0a\x10", own.trace_id.to_bytes(16), b"\x12\x08", own.span_id.to_bytes(8)]
    if parent is not None:
        parts += (b"\x22\x08", parent.span_id.to_bytes(8))
    if span.name:
        parts.append(_text(0x2A, span.name))
    parts += (b"\x30", _varint(span.kind.value + 1))  # the wire counts from 1, the library from 0
    if span.start_time:
        parts += (b"\x39", _fixed64(span.start_time))
    if span.end_time:
        parts += (b"\x41", _fixed64(span.end_time))
    _attributes(parts, 0x4A, span.attributes)
    parts += [_field(0x5A, _event(event)) for event in span.events]
    parts += (_status(span.status), b"\x85\x01", _fixed32(_flags(parent)))
    return b"".join(parts)


def _status(status: Status) -> bytes:
    code = status.status_code.value
    if not code and not status.description:
        return b"\x7a\x00"
    said = _text(0x12, status.description) if status.description else b""
    return _field(0x7A, said + (b"\x18" + _varint(code) if code else b""))


def _event(event: Event) -> bytes:
    parts = [b"\x09", _fixed64(event.timestamp)] if event.timestamp else []
    if event.name:
        parts.append(_text(0x12, event.name))
    _attributes(parts, 0x1A, event.attributes)
    return b"".join(parts)


def _flags(parent: SpanContext | None) -> int:
    return _IS_REMOTE_KNOWN | (_IS_REMOTE if parent is not None and parent.is_remote else 0)


def _attributes(parts: list[bytes], tag: int, attributes: Mapping[str, object] | None) -> None:
    for key, value in (attributes or {}).items():
        kind = type(value)
        if kind is str and len(value) <= KNOWN_CHARS_MAX:  # type: ignore[arg-type]  # a text
            parts.append(_known_text(tag, key, value))
        elif kind is int and -1 <= value < KNOWN_NUMBERS:  # type: ignore[operator]  # a number
            parts.append(_known_number(tag, key, value))
        else:
            parts.append(_field(tag, _pair(key, value)))


@lru_cache(maxsize=4_096)
def _known_text(tag: int, key: str, value: str) -> bytes:
    return _field(tag, _pair(key, value))


@lru_cache(maxsize=4_096)
def _known_number(tag: int, key: str, value: int) -> bytes:
    """Apart from texts and truths, as 1, 1.0 and True are one key."""
    return _field(tag, _pair(key, value))


def _pair(key: str, value: object) -> bytes:
    match value:
        case bool():
            said = b"\x10\x01" if value else b"\x10\x00"
        case int() if value in _INT64:
            said = b"\x18" + _varint(value & 0xFFFF_FFFF_FFFF_FFFF)
        case float():
            said = b"\x21" + _double(value)
        case _:
            said = _text(0x0A, str(value))
    return (_text(0x0A, key) if key else b"") + _field(0x12, said)


def _text(tag: int, text: str) -> bytes:
    return _field(tag, text.encode(errors="replace"))


def _field(tag: int, body: bytes) -> bytes:
    size = len(body)
    return bytes((tag, size)) + body if size < 0x80 else bytes((tag,)) + _varint(size) + body


def _varint(number: int) -> bytes:
    if number < 0x80:
        return bytes((number,))
    out = bytearray()
    while number >= 0x80:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)


__all__ = ["Encoder"]
