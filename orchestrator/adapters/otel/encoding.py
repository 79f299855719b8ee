"""Spans in the bytes of OTLP, written directly: the library's encoder builds a message object for every attribute.

The fields are those of `opentelemetry/proto/trace/v1/trace.proto`, in the order of their numbers, as the library writes
them; `tests/telemetry` holds both against each other byte by byte. Only what this product tells is written: plain
attributes, events, no links. Of spans that differ in ids, times and a number, the rest is written once.
"""

import struct
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Final

from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.sdk.resources import Resource

from orchestrator.adapters.otel import names
from orchestrator.adapters.otel.sink import readable
from orchestrator.adapters.otel.span import Branch, Ended, Outline, Passed, Span, Told, Work, Worked
from orchestrator.core.facts import WHOLE

REQUEST_BYTES_MAX: Final = 2 << 20  #: of one request, but for its last span; collectors take 4 MiB and more
KNOWN_CHARS_MAX: Final = 64  #: of a text that is kept encoded
KNOWN_NUMBERS: Final = 256  #: below it, a number is
FORMS_KEPT: Final = 4_096  #: of spans that differ in little
_NS: Final = 1_000_000_000
_KINDS: Final = {"internal": b"\x30\x01", "server": b"\x30\x02", "client": b"\x30\x03", "consumer": b"\x30\x05"}
#: No error, and where the parent is: known to be of this process, or of another.
_HERE: Final = b"\x7a\x00\x85\x01\x00\x01\x00\x00"
_AWAY: Final = b"\x7a\x00\x85\x01\x00\x03\x00\x00"
_INT64: Final = range(-(2**63), 2**63)
_fixed64 = struct.Struct("<Q").pack
_double = struct.Struct("<d").pack
_times = struct.Struct("<BQBQ").pack


class Encoder:
    """Writes requests of encoded spans that are all of one resource."""

    def __init__(self, resource: Resource) -> None:
        first = encode_spans([readable(Span(1, 1, 0, "", 1.0, 1.0), resource)]).resource_spans[0]
        self._resource = _field(0x0A, first.resource.SerializeToString())
        self._scope = _field(0x0A, first.scope_spans[0].scope.SerializeToString())

    def requests(self, encoded: Sequence[bytes]) -> Iterator[bytes]:
        """The bodies of as many requests as it takes for what `encode` made."""
        written, size = [b"", self._scope], len(self._scope)
        for one in encoded:
            written.append(one)
            size += len(one)
            if size > REQUEST_BYTES_MAX:
                yield self._request(written, size)
                written, size = [b"", self._scope], len(self._scope)
        if size > len(self._scope):
            yield self._request(written, size)

    def _request(self, written: list[bytes], size: int) -> bytes:
        """One join: a megabyte is not copied once for each message around it."""
        inner = self._resource + b"\x12" + _varint(size)
        written[0] = b"\x0a" + _varint(len(inner) + size) + inner
        return b"".join(written)


def encode(told: Told) -> bytes:
    """The fields of a request that hold the spans of what is told."""
    kind = type(told)
    if kind is Worked:
        return _worked(told)  # type: ignore[arg-type]  # by its kind
    if kind is Passed:
        return _passed(told)  # type: ignore[arg-type]  # by its kind
    if kind is Ended:
        return _ended(told)  # type: ignore[arg-type]  # by its kind
    return _field(0x12, _span(told))  # type: ignore[arg-type]  # by its kind


# ---- any span


def _span(span: Span) -> bytes:
    parts = [b"\x0a\x10", span.trace.to_bytes(16), b"\x12\x08", span.id.to_bytes(8)]
    if span.parent:
        parts += (b"\x22\x08", span.parent.to_bytes(8))
    if span.name:
        parts.append(_name(span.name) if len(span.name) <= KNOWN_CHARS_MAX else _text(0x2A, span.name))
    parts.append(_KINDS[span.kind])
    start_ns, end_ns = int(span.start_s * _NS), int(span.end_s * _NS)
    if start_ns:
        parts += (b"\x39", _fixed64(start_ns))
    if end_ns:
        parts += (b"\x41", _fixed64(end_ns))
    _attributes(parts, 0x4A, span.attributes)
    for name, at_s, attributes in span.events:
        parts.append(_field(0x5A, _event(name, int(at_s * _NS), attributes)))
    away = span.remote and span.parent
    if span.error:
        said = _field(0x7A, _text(0x12, span.error) + b"\x18\x02")
        parts += (said, _AWAY[2:] if away else _HERE[2:])
    else:
        parts.append(_AWAY if away else _HERE)
    return b"".join(parts)


def _event(name: str, at_ns: int, attributes: Mapping[str, object]) -> bytes:
    parts = [b"\x09", _fixed64(at_ns)] if at_ns else []
    if name:
        parts.append(_text(0x12, name))
    _attributes(parts, 0x1A, attributes)
    return b"".join(parts)


def _attributes(parts: list[bytes], tag: int, attributes: Mapping[str, object]) -> None:
    for key, value in attributes.items():
        kind = type(value)
        if kind is str and len(value) <= KNOWN_CHARS_MAX:  # type: ignore[arg-type]  # a text
            parts.append(_known_text(tag, key, value))
        elif kind is float:
            parts += (_before_float(tag, key), _double(value))
        elif kind is int and -1 <= value < KNOWN_NUMBERS:  # type: ignore[operator]  # a number
            parts.append(_known_number(tag, key, value))
        else:
            parts.append(_field(tag, _pair(key, value)))


@lru_cache(maxsize=1_024)
def _name(name: str) -> bytes:
    return _text(0x2A, name)


@lru_cache(maxsize=4_096)
def _known_text(tag: int, key: str, value: str) -> bytes:
    return _field(tag, _pair(key, value))


@lru_cache(maxsize=4_096)
def _known_number(tag: int, key: str, value: int) -> bytes:
    """Apart from texts and truths, as 1, 1.0 and True are one key."""
    return _field(tag, _pair(key, value))


@lru_cache(maxsize=256)
def _before_float(tag: int, key: str) -> bytes:
    """All of an attribute but its number, which has always the same length."""
    return _field(tag, _pair(key, 0.0))[:-8]


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


# ---- spans that differ in little


def _passed(told: Passed) -> bytes:
    """The attempt of a branch, and the branch."""
    branch, number, span, attempt, start_s, end_s, worker, wait_s = told
    start_ns, end_ns = int(start_s * _NS), int(end_s * _NS)
    if not start_ns or not end_ns:  # whose fields the wire leaves out
        return b"".join(_field(0x12, _span(one)) for one in told.spans())
    if number == WHOLE:
        return _passed_step(told, _times(0x39, start_ns, 0x41, end_ns))
    digits, attribute = b"%d" % number, _branch_attribute(number)
    a, b, c, d, e, f, g, h = _passed_form(branch, worker, len(digits), len(attribute))
    own, times = span.to_bytes(8), _times(0x39, start_ns, 0x41, end_ns)
    return b"".join((
        a, attempt.to_bytes(8), b"\x22\x08", own, b, times, c, attribute, d, _double(wait_s),
        e, own, f, digits, g, times, h, attribute, _PASSED,
    ))  # fmt: skip


def _passed_step(told: Passed, times: bytes) -> bytes:
    """The attempt of a whole step, and the step."""
    (trace_id, above, step, function, pool, tier), _, span, attempt, _, _, worker, wait_s = told
    a, b, c, d, e, f = _step_form(step, function, pool, tier, worker)
    trace, own = trace_id.to_bytes(16), span.to_bytes(8)
    return b"".join((
        a, trace, b"\x12\x08", attempt.to_bytes(8), b"\x22\x08", own, b, times, c, _double(wait_s),
        d, trace, b"\x12\x08", own, b"\x22\x08", above.to_bytes(8), e, times, f,
    ))  # fmt: skip


@lru_cache(maxsize=FORMS_KEPT)
def _step_form(step: str, function: str, pool: str, tier: str, worker: str) -> tuple[bytes, ...]:
    """What stands between ids, times and the wait; of many runs, so that no id is in it."""
    (attempt, own) = Passed(Branch(1, 1, step, function, pool, tier), WHOLE, 1, 1, 1.0, 1.0, worker, 1.0).spans()
    called, owned = _span(attempt), _span(own)
    ids = 2 + 16 + 2 + 8 + 2 + 8
    named, titled = (_text(0x2A, one.name) + _KINDS["internal"] for one in (attempt, own))
    told = called[ids + len(named) + 18 : -len(_HERE) - 8]
    return (
        b"\x12" + _varint(len(called)) + called[:2], named, told,
        _HERE + b"\x12" + _varint(len(owned)) + owned[:2], titled, owned[ids + len(titled) + 18 :],
    )  # fmt: skip


@lru_cache(maxsize=FORMS_KEPT)
def _passed_form(branch: Branch, worker: str, digits: int, attribute: int) -> tuple[bytes, ...]:
    """What stands between ids, times and numbers, whose lengths are given."""
    trace, above, step, function, pool, tier = branch
    known = _known_text(0x4A, names.STEP, step)
    head = b"\x0a\x10" + trace.to_bytes(16) + b"\x12\x08"
    named = _text(0x2A, names.call(pool, function or step)) + _KINDS["internal"]
    counted = known + _known_number(0x4A, names.ATTEMPT, 1)
    last = _known_text(0x4A, names.POOL, pool) + (_known_text(0x4A, names.TIER, tier) if tier else b"")
    last += _known_text(0x4A, names.WORKER, worker) + _before_float(0x4A, names.WAIT_S)
    size = len(head) + 8 + 2 + 8 + len(named) + 18 + len(counted) + attribute + len(last) + 8 + len(_HERE)
    called = f"step {step}[".encode(errors="replace")
    title = b"\x22\x08" + above.to_bytes(8) + b"\x2a" + _varint(len(called) + digits + 1) + called
    closed = b"]" + _KINDS["internal"]
    further = len(head) + 8 + len(title) + digits + len(closed) + 18 + len(known) + attribute + len(_PASSED)
    between = _HERE + b"\x12" + _varint(further) + head
    return b"\x12" + _varint(size) + head, named, counted, last, between, title, closed, known


def _branch_attribute(number: int) -> bytes:
    if number < 0x80:
        return _SHORT_BRANCH + bytes((number,))
    if number < 0x4000:
        return _LONG_BRANCH + bytes((number & 0x7F | 0x80, number >> 7))
    return _field(0x4A, _pair(names.BRANCH, number))


def _worked(told: Worked) -> bytes:
    work, span, asked, start_s, end_s = told
    start_ns, end_ns = int(start_s * _NS), int(end_s * _NS)
    if not start_ns or not end_ns:
        return _field(0x12, _span(told.spans()[0]))
    trace, run_id, step, attempt, pool, function, worker = work
    run = run_id.encode(errors="replace")
    before, named, marked, after = _work_form(len(run), step, attempt, pool, function, worker)
    return b"".join((
        before, trace.to_bytes(16), b"\x12\x08", span.to_bytes(8), b"\x22\x08", asked.to_bytes(8), named,
        _times(0x39, start_ns, 0x41, end_ns), marked, run, after,
    ))  # fmt: skip


@lru_cache(maxsize=FORMS_KEPT)
def _work_form(run: int, step: str, attempt: int, pool: str, function: str, worker: str) -> tuple[bytes, ...]:
    """What stands between ids, times and the name of the run, whose length is given."""
    (span,) = Worked(Work(1, "r" * run, step, attempt, pool, function, worker), 1, 1, 1.0, 1.0).spans()
    whole, named = _span(span), _text(0x2A, span.name) + _KINDS[span.kind]
    marked = _field(0x4A, _pair(names.RUN, "r" * run))
    begun = 2 + 16 + 2 + 8 + 2 + 8 + len(named) + 18
    return b"\x12" + _varint(len(whole)) + whole[:2], named, marked[: len(marked) - run], whole[begun + len(marked) :]


def _ended(told: Ended) -> bytes:
    """The plan of a run, and the run."""
    outline, trace_id, run_id, span, asked, frozen, start_s, frozen_s, end_s, usd, tokens = told
    start_ns, frozen_ns, end_ns = int(start_s * _NS), int(frozen_s * _NS), int(end_s * _NS)
    if not start_ns or not frozen_ns or not end_ns:
        return b"".join(_field(0x12, _span(one)) for one in told.spans())
    run, counted = run_id.encode(errors="replace"), _field(0x4A, _pair(names.TOKENS, tokens))
    a, b, c, d, e, f, g = _ended_form(outline, len(run), len(counted), bool(asked))
    trace, own = trace_id.to_bytes(16), span.to_bytes(8)
    return b"".join((
        a, trace, b"\x12\x08", frozen.to_bytes(8), b"\x22\x08", own, b, _times(0x39, frozen_ns, 0x41, end_ns), c, run,
        d, trace, b"\x12\x08", own, b"\x22\x08" + asked.to_bytes(8) if asked else b"", e,
        _times(0x39, start_ns, 0x41, end_ns), f, run, g, _double(usd), counted, _AWAY if asked else _HERE,
    ))  # fmt: skip


@lru_cache(maxsize=FORMS_KEPT)
def _ended_form(outline: Outline, run: int, counted: int, asked: bool) -> tuple[bytes, ...]:
    """What stands between ids, times, the name of the run and its cost; the lengths of name and tokens are given."""
    plan, own = Ended(outline, 1, "r" * run, 1, int(asked), 1, 1.0, 1.0, 1.0, 1.0, 0).spans()
    frozen, called = _span(plan), _span(own)
    titled, named = (_text(0x2A, one.name) + _KINDS["internal"] for one in (plan, own))
    marked = _field(0x4A, _pair(names.RUN, "r" * run))
    before = marked[: len(marked) - run]
    ids, above = 2 + 16 + 2 + 8, 2 + 8
    last = len(_field(0x4A, _pair(names.TOKENS, 0))) + len(_HERE)
    size = len(called) - last + counted + len(_HERE)
    said = frozen[ids + above + len(titled) + 18 + len(marked) :]
    begun = ids + (above if asked else 0) + len(named) + 18 + len(marked)
    return (
        b"\x12" + _varint(len(frozen)) + frozen[:2], titled, before, said + b"\x12" + _varint(size) + called[:2],
        named, before, called[begun : len(called) - last - 8],
    )  # fmt: skip


# ---- fields


def _text(tag: int, text: str) -> bytes:
    return _field(tag, text.encode(errors="replace"))


def _field(tag: int, body: bytes) -> bytes:
    size = len(body)
    if size < 0x80:
        return bytes((tag, size)) + body
    if size < 0x4000:
        return bytes((tag, size & 0x7F | 0x80, size >> 7)) + body
    return bytes((tag,)) + _varint(size) + body


def _varint(number: int) -> bytes:
    if number < 0x80:
        return bytes((number,))
    out = bytearray()
    while number >= 0x80:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)


_PASSED: Final = _field(0x4A, _pair(names.STATUS, "passed")) + _HERE
_SHORT_BRANCH: Final = _field(0x4A, _pair(names.BRANCH, 0))[:-1]
_LONG_BRANCH: Final = _field(0x4A, _pair(names.BRANCH, 0x80))[:-2]

__all__ = ["Encoder", "encode"]
