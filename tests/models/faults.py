"""What an endpoint can do wrong, and what must come of it."""

import asyncio
import json
from dataclasses import dataclass
from typing import Literal

from orchestrator.ports.model_errors import (
    ModelBadOutput,
    ModelBadReply,
    ModelBadRequest,
    ModelContextTooLong,
    ModelError,
    ModelFiltered,
    ModelInterrupted,
    ModelNotFound,
    ModelRateLimited,
    ModelRefused,
    ModelReplyTooLarge,
    ModelTimeout,
    ModelTruncated,
    ModelUnauthorised,
    ModelUnavailable,
    ModelUnknownTool,
)
from tests.models.faulty_endpoint import Exchange, Fault, http_date, packed

GOOD = json.dumps({"title": "Heat", "score": 7})
REPLY_BYTES_MAX = 262_144

Asked = Literal["text", "schema", "tools"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One kind of fault. `outcome` None: an answer comes all the same; `requests` is how many reach the endpoint."""

    name: str
    fault: Fault
    outcome: type[ModelError] | None
    asked: Asked = "text"
    requests: int | tuple[int, int] = 1
    deadline_s: float = 20.0


TRIES = 3  #: of the gateway under test
SHORT_S = 0.25  #: deadline of the cases that run into it


async def ok(x: Exchange) -> None:
    await x.answer(GOOD)


async def hang(x: Exchange) -> None:
    x.charge(x.bill_for("x" * 40), told="hidden")
    await asyncio.sleep(3600)


async def slow_headers(x: Exchange) -> None:
    x.charge(x.bill_for("x" * 40), told="hidden")
    for byte in b"HTTP/1.1 200 OK\r\nX-Slow: " + b"x" * 10_000:
        await x.raw(bytes([byte]))
        await asyncio.sleep(0.02)


async def trickle(x: Exchange) -> None:
    """A byte at a time, each sooner than any timeout between bytes."""
    x.charge(x.bill_for("x" * 40), told="hidden")
    if x.stream:
        await x.open_stream()
        while True:
            await x.event(x.chunk({"content": "a"}))
            await asyncio.sleep(0.01)
    await x.head(200, Content_Length="100000")
    while True:
        await x.raw(b" ")
        await asyncio.sleep(0.01)


async def cut(x: Exchange) -> None:
    """The connection ends somewhere inside the answer."""
    x.charge(x.bill_for(GOOD), told="hidden")
    if x.stream:
        await x.open_stream()
        for piece in x.pieces(GOOD)[: x.chance.randint(0, 3)]:
            await x.event(x.chunk({"content": piece}))
    else:
        await x.head(200, Content_Length="500")
        await x.raw(b'{"choices": [' + b" " * x.chance.randrange(400))
    x.hang_up(reset=x.chance.random() < 0.5)


async def no_final_chunk(x: Exchange) -> None:
    """A stream that ends in good order, but for the chunk that says that the answer is whole."""
    x.charge(x.bill_for(GOOD), told="hidden")
    await x.open_stream()
    for piece in x.pieces(GOOD):
        await x.event(x.chunk({"content": piece}))
    if x.chance.random() < 0.5:
        await x.close_stream()
    else:
        await x.raw(b"0\r\n\r\n")


async def error_inside(x: Exchange) -> None:
    x.charge(x.bill_for("x" * 40), told="hidden")
    await x.open_stream()
    for _ in range(x.chance.randint(0, 3)):
        await x.event(x.chunk({"content": "a"}))
    await x.event({"error": {"message": "overloaded", "type": "overloaded_error", "code": "overloaded"}})
    await x.close_stream()


async def bad_event(x: Exchange) -> None:
    x.charge(x.bill_for("x" * 40), told="hidden")
    await x.open_stream()
    await x.event(x.chunk({"content": "a"}))
    await x.event(
        x.chance.choice([b"{not json", b"[1, 2", b'"text"', b"17", b"[" * 50_000, b'{"choices": 5}', b"\xff\xfe"])
    )
    await x.close_stream()


async def goes_on(x: Exchange) -> None:
    """Text after the end of the answer: which of the two is the answer?"""
    x.charge(x.bill_for("x" * 40), told="hidden")
    await x.open_stream()
    await x.event(x.chunk({"content": "yes"}, "stop"))
    await x.event(x.chunk({"content": " and no"}))
    await x.close_stream()


async def duplicates(x: Exchange) -> None:
    """The last chunks twice, as some proxies send them."""
    bill = x.bill_for(GOOD)
    x.charge(bill)
    await x.open_stream()
    for piece in x.pieces(GOOD):
        await x.event(x.chunk({"content": piece}))
    for _ in range(2):
        await x.event(x.chunk({}, "stop"))
    for _ in range(2):
        await x.event(x.chunk({}) | {"choices": [], "usage": bill.as_json()})
    await x.close_stream()


async def wild_shapes(x: Exchange) -> None:
    """JSON that is no chat completion."""
    x.charge(x.bill_for("x" * 40), told="hidden")
    message = {"role": "assistant", "content": "a"}
    values = [
        [],
        {},
        {"choices": None},
        {"choices": 3},
        {"choices": [7]},
        {"choices": [{"index": 0, "message": "hello", "finish_reason": "stop"}]},
        {"choices": [{"index": 0, "message": {**message, "content": 7}, "finish_reason": "stop"}]},
        {"choices": [{"index": 0, "message": message, "finish_reason": "because"}]},
        {"choices": [{"index": 0, "message": {**message, "tool_calls": 5}, "finish_reason": "tool_calls"}]},
        {"choices": [{"index": 0, "message": message, "finish_reason": "tool_calls"}]},
    ]
    value = x.chance.choice(values)
    if not x.stream:
        await x.whole(json.dumps(value).encode())
        return
    await x.open_stream()
    await x.event(json.loads(json.dumps(value).replace('"message"', '"delta"')) or {"choices": "none"})
    await x.close_stream()


async def empty_choices(x: Exchange) -> None:
    x.charge(x.bill_for("x" * 40), told="hidden")
    await x.whole(json.dumps({"id": "c", "object": "chat.completion", "choices": []}).encode())


async def other_content_type(x: Exchange) -> None:
    x.charge(x.bill_for("x" * 40), told="hidden")
    kind = x.chance.choice(["text/plain", "application/octet-stream", "image/png", ""])
    await x.whole(b'{"choices": []}', kind=kind)


async def html_page(x: Exchange) -> None:
    """A captive portal, or a proxy's login page."""
    x.entry.told = "hidden"
    await x.whole(b"<!doctype html><title>Sign in</title>", kind="text/html")


async def html_gateway_error(x: Exchange) -> None:
    x.entry.told = "hidden"
    await x.whole(b"<html>Bad gateway</html>", x.chance.choice([502, 504]), "text/html")


async def huge(x: Exchange) -> None:
    """More than anybody asked for, without an end."""
    x.charge(x.bill_for("x" * 40), told="hidden")
    if x.stream:
        await x.open_stream()
        while True:
            await x.event(x.chunk({"content": "x" * 1_000}))
    await x.head(200, Content_Length=str(1 << 40))
    while True:
        await x.raw(b" " * 8_192)


async def compressed(x: Exchange) -> None:
    x.charge(x.bill_for("x" * 40), told="hidden")
    data = packed(b" " * 10_000_000)
    kind = "text/event-stream" if x.stream else "application/json"
    await x.whole(data, kind=kind, Content_Encoding="gzip")


async def reset_before(x: Exchange) -> None:
    x.charge(x.bill_for("x" * 40), told="hidden")
    x.hang_up(reset=x.chance.random() < 0.5)


async def no_http(x: Exchange) -> None:
    x.charge(x.bill_for("x" * 40), told="hidden")
    await x.raw(b"220 mail.example ESMTP\r\n")
    x.hang_up()


async def redirect(x: Exchange) -> None:
    await x.whole(b"", x.chance.choice([301, 302, 307, 308]), Location="http://127.0.0.1:9/stolen")


def status(*codes: int, code: str = "", message: str = "no", **headers: str) -> Fault:
    async def fault(x: Exchange) -> None:
        await x.error(x.chance.choice(codes), code, message, **headers)

    return fault


def once(fault: Fault, times: int = 1) -> Fault:
    """The fault, then good answers."""

    async def then_ok(x: Exchange) -> None:
        await (fault if x.number <= times else ok)(x)

    return then_ok


def says(text: str = "", **more: object) -> Fault:
    async def fault(x: Exchange) -> None:
        await x.answer(text, **more)  # type: ignore[arg-type]  # handed on as they came

    return fault


def one_of(*texts: str) -> Fault:
    async def fault(x: Exchange) -> None:
        await x.answer(x.chance.choice(texts))

    return fault


async def dated(x: Exchange) -> None:
    """Retry-After as a date, on a server whose clock is years off."""
    now_s = 1_000_000_000.0
    if x.number > 1:
        await ok(x)
        return
    await x.error(429, Date=http_date(now_s), Retry_After=http_date(now_s + x.chance.choice([-60, 0, 0])))


async def limited_long(x: Exchange) -> None:
    await x.error(429, Retry_After=x.chance.choice(["600", "1e9", "86400"]))


async def odd_retry_after(x: Exchange) -> None:
    if x.number > 1:
        await ok(x)
        return
    wait = x.chance.choice(["0", "-5", "0.05", "0.1"])
    await x.error(429, Retry_After=wait)


async def unread_retry_after(x: Exchange) -> None:
    """A Retry-After that nobody can read is as good as none: the endpoint rests for the default."""
    await (ok(x) if x.number > 1 else x.error(429, Retry_After=x.chance.choice(["soon", "nan", "", "1 2"])))


async def tricked_usage(x: Exchange) -> None:
    """Numbers that cannot be: each costs what was reserved."""
    lies: list[object] = [
        {"prompt_tokens": -5, "completion_tokens": 3, "total_tokens": -2},
        {"prompt_tokens": 5, "completion_tokens": -3, "total_tokens": 2},
        {"prompt_tokens": 10**12, "completion_tokens": 3, "total_tokens": 10**12},
        {"prompt_tokens": 5, "completion_tokens": 10**12, "total_tokens": 10**12},
        {"prompt_tokens": "many", "completion_tokens": None, "total_tokens": 1},
        {"prompt_tokens": 5, "completion_tokens": 3, "prompt_tokens_details": {"cached_tokens": 50}},
        {"prompt_tokens": 5, "completion_tokens": 3, "prompt_tokens_details": {"cached_tokens": -1}},
        {"prompt_tokens": True, "completion_tokens": 1.5},
        {},
    ]
    await x.answer(GOOD, usage=x.chance.choice(lies), told="hidden")


BAD_JSON = (
    "",
    "no JSON at all",
    '{"title": "Heat"',
    '{"title": NaN, "score": 1}',
    "[" * 2_000,
    "```json\n{\n```",
    " " * 300,
)
BAD_SHAPE = ("[]", "{}", '{"title": 5, "score": 7}', '{"title": "Heat"}', '{"title": "Heat", "score": 70}', "null")
KNOWN_CALL = [("look", '{"q": "heat"}')]
OTHER_CALL = [("erase", '{"all": true}')]

CASES = (
    Case(name="none", fault=ok, outcome=None),
    Case(name="none, schema", fault=ok, outcome=None, asked="schema"),
    Case(name="none, tools", fault=says(tools=KNOWN_CALL, finish="tool_calls"), outcome=None, asked="tools"),
    Case(name="tool calls that end with stop", fault=says(tools=KNOWN_CALL * 2), outcome=None, asked="tools"),
    # time
    Case(name="silence", fault=hang, outcome=ModelTimeout, deadline_s=SHORT_S),
    Case(name="slow headers", fault=slow_headers, outcome=ModelTimeout, deadline_s=SHORT_S),
    Case(name="trickle", fault=trickle, outcome=ModelTimeout, deadline_s=SHORT_S),
    # broken answers
    Case(name="cut", fault=cut, outcome=ModelInterrupted, requests=TRIES),
    Case(name="cut once", fault=once(cut), outcome=None, requests=2),
    Case(name="no final chunk", fault=no_final_chunk, outcome=ModelInterrupted, requests=TRIES),
    Case(name="error inside the stream", fault=error_inside, outcome=ModelInterrupted, requests=TRIES),
    Case(name="bad event", fault=bad_event, outcome=ModelBadReply, requests=TRIES),
    Case(name="text after the end", fault=goes_on, outcome=ModelBadReply, requests=TRIES),
    Case(name="duplicate chunks", fault=duplicates, outcome=None),
    Case(name="wild shapes", fault=wild_shapes, outcome=ModelBadReply, requests=TRIES),
    Case(name="empty choices", fault=empty_choices, outcome=ModelBadReply, requests=TRIES),
    Case(name="other content type", fault=other_content_type, outcome=ModelBadReply, requests=TRIES),
    Case(name="HTML page", fault=html_page, outcome=ModelBadReply, requests=TRIES),
    Case(name="HTML gateway error", fault=html_gateway_error, outcome=ModelUnavailable, requests=TRIES),
    Case(name="huge", fault=huge, outcome=ModelReplyTooLarge),
    Case(name="compressed", fault=compressed, outcome=ModelBadReply, requests=TRIES),
    # what models say
    Case(name="length", fault=says("half", finish="length"), outcome=ModelTruncated),
    Case(name="length, schema", fault=says('{"title": "He', finish="length"), outcome=ModelTruncated, asked="schema"),
    Case(name="refusal", fault=says(refusal="I will not"), outcome=ModelRefused),
    Case(name="content filter", fault=says("he", finish="content_filter"), outcome=ModelFiltered),
    Case(name="bad JSON", fault=one_of(*BAD_JSON), outcome=ModelBadOutput, asked="schema", requests=2),
    Case(name="bad JSON once", fault=once(one_of(*BAD_JSON)), outcome=None, asked="schema", requests=2),
    Case(name="bad shape", fault=one_of(*BAD_SHAPE), outcome=ModelBadOutput, asked="schema", requests=2),
    Case(name="bad shape once", fault=once(one_of(*BAD_SHAPE)), outcome=None, asked="schema", requests=2),
    Case(name="fenced JSON", fault=says(f"```json\n{GOOD}\n```"), outcome=None, asked="schema"),
    Case(name="unknown tool", fault=says(tools=OTHER_CALL), outcome=ModelUnknownTool, asked="tools", requests=2),
    Case(
        name="unknown tool once",
        fault=once(says(tools=[*KNOWN_CALL, *OTHER_CALL])),
        outcome=None,
        asked="tools",
        requests=2,
    ),
    # statuses
    Case(name="400", fault=status(400, 422, 418), outcome=ModelBadRequest),
    Case(name="400 content filter", fault=status(400, code="content_filter"), outcome=ModelFiltered),
    Case(
        name="400 context length",
        fault=status(400, code="context_length_exceeded"),
        outcome=ModelContextTooLong,
    ),
    Case(
        name="400 context length in words",
        fault=status(400, message="the request exceeds the available context size"),
        outcome=ModelContextTooLong,
    ),
    Case(name="401", fault=status(401, 402, 403), outcome=ModelUnauthorised),
    Case(name="404", fault=status(404, 410, code="model_not_found"), outcome=ModelNotFound),
    Case(name="408", fault=status(408, 409, 425), outcome=ModelUnavailable, requests=TRIES),
    Case(name="413", fault=status(413), outcome=ModelContextTooLong),
    Case(name="429 without a word", fault=once(status(429)), outcome=None, requests=2),
    Case(name="429 for a moment", fault=odd_retry_after, outcome=None, requests=2),
    Case(name="429 until a date", fault=dated, outcome=None, requests=2),
    Case(name="429 unreadable", fault=unread_retry_after, outcome=None, requests=2),
    Case(name="429 beyond the deadline", fault=limited_long, outcome=ModelRateLimited),
    Case(name="429 no credit", fault=status(429, code="insufficient_quota"), outcome=ModelUnauthorised),
    Case(name="500", fault=status(500, 503, 529), outcome=ModelUnavailable, requests=TRIES),
    Case(name="500 once", fault=once(status(500, 503, 529)), outcome=None, requests=2),
    Case(name="503 beyond the deadline", fault=status(503, Retry_After="900"), outcome=ModelUnavailable),
    Case(name="redirect", fault=redirect, outcome=ModelBadReply, requests=TRIES),
    # connections
    Case(name="reset before the answer", fault=reset_before, outcome=ModelInterrupted, requests=TRIES),
    Case(name="no HTTP", fault=no_http, outcome=ModelInterrupted, requests=TRIES),
    # usage
    Case(name="no usage", fault=says(GOOD, usage=None, told="silent"), outcome=None),
    Case(name="tricked usage", fault=tricked_usage, outcome=None),
)
#: Faults that exist in one of the two forms of a reply only.
STREAMED = frozenset(
    {"no final chunk", "error inside the stream", "bad event", "text after the end", "duplicate chunks"}
)
AT_ONCE = frozenset({"empty choices"})
