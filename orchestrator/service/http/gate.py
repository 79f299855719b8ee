"""What stands before every route: a body's size, depth, pace and kind, and a seat for the request.

Pure ASGI, so that streams pass through untouched. A body is read whole before its route is asked: then nothing is
half done when it is too long, too slow, or no JSON.
"""

import re
from collections.abc import Iterable
from typing import Final

import anyio
from pydantic_core import from_json
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from orchestrator.service.http.limits import HEAD_BYTES_MAX, Limits
from orchestrator.service.http.problems import Problem
from orchestrator.service.http.refusals import KEY as REFUSALS
from orchestrator.service.http.refusals import Refusals
from orchestrator.service.http.seats import KEY, Seat, Seats, must_be_seated

WITH_BODY: Final = frozenset({"POST", "PUT", "PATCH"})
#: Nothing here may be framed, sniffed, cached or told to other sites. Pages set a policy of their own.
HEADERS: Final = (
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"x-frame-options", b"DENY"),
    (b"cache-control", b"no-store"),
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"),
)
LOCAL_NAMES: Final = frozenset({"localhost", "127.0.0.1", "[::1]"})
_STRING: Final = re.compile(rb'"(?:[^"\\]|\\.)*"', re.DOTALL)
_BRACKET: Final = re.compile(rb"[\[\]{}]")


class Gate:
    """Middleware around the application."""

    def __init__(
        self, app: ASGIApp, limits: Limits, *, local_alone: bool = False, refusals: Refusals | None = None
    ) -> None:
        self._app, self._limits, self._local_alone, self._refusals = app, limits, local_alone, refusals
        self._seats = Seats(limits.requests_at_once)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        guarded = _with_headers(send)
        if self._refusals is not None:
            scope[REFUSALS] = self._refusals
        try:
            _must_be_plain(scope)
            if self._local_alone:
                _must_be_local(scope)
            if scope["method"] in WITH_BODY:
                receive = await self._whole(scope, receive)
            seat = self._seats.take() if must_be_seated(scope) else None
        except Problem as problem:
            await problem.response()(scope, receive, guarded)
            return
        except _Gone:
            return
        if seat is None:
            await self._app(scope, receive, guarded)
            return
        try:
            scope[KEY] = seat  # in place: whoever stands outside reads the route from the same scope
            await self._app(scope, receive, _leaving(seat, guarded))
        finally:
            seat.leave()

    async def _whole(self, scope: Scope, receive: Receive) -> Receive:
        """A `receive` that gives the whole body at once.

        Raises:
            Problem: it is too long, too slow, too deep, of another type, or no JSON.
        """
        headers = dict(scope["headers"])
        most = self._limits.body_bytes_max
        told = headers.get(b"content-length", b"0")
        if not told.isdigit() or int(told) > most:
            raise _too_large(most)
        parts: list[bytes] = []
        size, more = 0, True
        with anyio.move_on_after(self._limits.body_s) as patience:
            while more:
                message = await receive()
                if message["type"] == "http.disconnect":
                    raise _Gone
                parts.append(message.get("body", b""))
                size += len(parts[-1])
                more = message.get("more_body", False)
                if size > most:
                    raise _too_large(most)
        if patience.cancelled_caught:
            said = f"the body did not arrive within {self._limits.body_s:g} s"
            raise Problem(408, "timeout", said, headers={"Connection": "close"})
        body = b"".join(parts)
        if body:
            check_body(body, headers.get(b"content-type", b""), self._limits.body_depth_max)
        return _replay(body, receive)


class _Gone(Exception):
    """Whoever asked has left before the request was complete."""


def check_body(body: bytes, content_type: bytes, depth_max: int) -> None:
    """Refuse what is no JSON document of bearable depth.

    Raises:
        Problem: with the place and the remedy.
    """
    kind = content_type.split(b";")[0].strip().lower()
    if kind != b"application/json":
        told = kind.decode("latin-1")[:100] or "of no type"
        raise Problem(415, "media-type", f"the body is {told}", remedy="send Content-Type: application/json")
    if depth_of(body) > depth_max:
        raise Problem(422, "invalid", f"the body is nested more than {depth_max} levels deep", remedy="send it flatter")
    try:
        from_json(body, allow_inf_nan=False)
    except ValueError as error:
        raise Problem(400, "bad-request", f"the body is no JSON: {error}", remedy="send a JSON object") from None


def depth_of(body: bytes) -> int:
    """How deep arrays and objects of a JSON text are nested, without parsing it; of other texts some number."""
    depth = deepest = 0
    for bracket in _BRACKET.finditer(_STRING.sub(b"", body)):
        depth += 1 if bracket[0] in b"[{" else -1
        deepest = max(deepest, depth)
    return deepest


def _too_large(most: int) -> Problem:
    said = f"a body may have {most:,} bytes"
    return Problem(413, "too-large", said, remedy="send less", headers={"Connection": "close"})


def _must_be_plain(scope: Scope) -> None:
    """Refuse heads that are too large, and addresses that some store or log behind this would choke on."""
    size = len(scope["query_string"]) + sum(len(name) + len(value) for name, value in scope["headers"])
    if size > HEAD_BYTES_MAX:  # what comes in one piece is not measured below
        raise Problem(431, "headers-too-large", f"a head may have {HEAD_BYTES_MAX:,} bytes", remedy="send less")
    path: str = scope["path"]
    if "\0" in path or b"%00" in scope["query_string"]:
        raise Problem(400, "bad-request", "the address holds a NUL character", remedy="leave it out")
    try:
        path.encode()
        scope["query_string"].decode("ascii")
    except UnicodeError:
        raise Problem(400, "bad-request", "the address is not encoded properly", remedy="use UTF-8") from None


def _must_be_local(scope: Scope) -> None:
    """Refuse a request that was made to another name: a page of another site may have let that name point here."""
    host = dict(scope["headers"]).get(b"host", b"").decode("latin-1")
    name = host[: host.find("]") + 1] if host.startswith("[") else host.partition(":")[0]
    if name.lower() not in LOCAL_NAMES:
        said = f"this service without keys answers to {', '.join(sorted(LOCAL_NAMES))}, not to {name!r:.100}"
        raise Problem(403, "forbidden", said, remedy="use one of these names, or keys")


def _replay(body: bytes, receive: Receive) -> Receive:
    first: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def again() -> Message:
        return first.pop() if first else await receive()

    return again


def _leaving(seat: Seat, send: Send) -> Send:
    async def leaving(message: Message) -> None:
        if message["type"] == "http.response.start":
            seat.leave()  # how long the rest takes is for its reader to say
        await send(message)

    return leaving


def _with_headers(send: Send) -> Send:
    async def guarded(message: Message) -> None:
        if message["type"] == "http.response.start":
            given: Iterable[tuple[bytes, bytes]] = message.get("headers", [])
            have = {name.lower() for name, _ in given}
            message["headers"] = [*given, *((name, value) for name, value in HEADERS if name not in have)]
        await send(message)

    return guarded
