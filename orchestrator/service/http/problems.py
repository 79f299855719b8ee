"""All that can go wrong, as RFC 9457 problem documents: a stable type, what happened, and what to do about it."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

import structlog
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException
from starlette.routing import Match
from starlette.types import Receive, Scope, Send

from orchestrator import errors as e
from orchestrator.ids import JsonValue
from orchestrator.service.http.refusals import note_refusal

PREFIX: Final = "urn:hierarchical-orchestrator:"
MEDIA_TYPE: Final = "application/problem+json"
SCHEMA: Final = "#/components/schemas/ProblemOut"
TEXT_CHARS_MAX: Final = 4_000  #: of `detail`
ERRORS_MAX: Final = 50  #: places that one answer names
BUSY_S: Final = 1.0  #: advice where a server behind this one is away
log = structlog.get_logger(__name__)


class PlaceOut(BaseModel):
    """One place in a request that is wrong."""

    at: str = Field(description="Where, such as `body.inputs.topic` or `query.limit`; for plans `file:line:column`.")
    message: str


class ProblemOut(BaseModel):
    """An error, by RFC 9457."""

    type: str = Field(description="Stable name of the kind of problem, for programs.")
    title: str = Field(description="The same for people; equal for all problems of a type.")
    status: int
    detail: str = Field(description="What happened this time.")
    remedy: str = Field(default="", description="What to do about it.")
    errors: list[PlaceOut] = Field(default=[], description="Places in the request that are wrong.")


class Problem(Exception):
    """Raised by a route or a dependency; becomes the answer."""

    def __init__(
        self,
        status: int,
        kind: str,
        detail: str,
        *,
        remedy: str = "",
        errors: Sequence[tuple[str, str]] = (),
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(kind, detail)
        self.status, self.kind, self.detail, self.remedy = status, kind, detail, remedy
        self.errors, self.headers = tuple(errors), dict(headers or {})

    def document(self) -> dict[str, JsonValue]:
        """The body of the answer."""
        title = TITLES.get(self.kind, self.kind.replace("-", " ").capitalize())
        told: dict[str, JsonValue] = {
            "type": PREFIX + self.kind,
            "title": title,
            "status": self.status,
            "detail": plain(self.detail),
        }
        if self.remedy:
            told["remedy"] = plain(self.remedy)
        if self.errors:
            told["errors"] = [{"at": at, "message": plain(message)} for at, message in self.errors[:ERRORS_MAX]]
        return told

    def response(self) -> JSONResponse:
        """The answer."""
        return _Told(self.kind, self.document(), self.status, self.headers)


class _Told(JSONResponse):
    """A problem as it is sent: what was refused is counted when it goes out, whoever raised it."""

    def __init__(self, kind: str, document: Mapping[str, JsonValue], status: int, headers: Mapping[str, str]) -> None:
        super().__init__(document, status_code=status, headers=headers, media_type=MEDIA_TYPE)
        self._kind = kind

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        note_refusal(scope, self.status_code, self._kind)
        await super().__call__(scope, receive, send)


#: What each type is called for people. A type is never renamed once it was published.
TITLES: Final[Mapping[str, str]] = {
    "bad-request": "The request cannot be read",
    "unauthenticated": "No key, or one that is not valid",
    "forbidden": "The key does not allow this",
    "not-found": "There is nothing here",
    "method-not-allowed": "The place does not know this method",
    "not-acceptable": "There is no such form of the answer",
    "timeout": "The request took too long to arrive",
    "conflict": "Not in this state",
    "too-large": "The request is too large",
    "media-type": "The request is of another media type",
    "invalid": "The request is not valid",
    "plan-invalid": "The plan is not valid",
    "input-invalid": "The inputs do not fit the plan",
    "promise": "This service cannot keep what is asked",
    "idempotency-conflict": "The idempotency key belongs to another request",
    "session-busy": "The turn before is not answered yet",
    "session-changed": "The session is in another version",
    "session-full": "The session takes no more",
    "rate-limit": "Too many requests",
    "queue-full": "Too much is waiting",
    "overloaded": "The process is at its limit",
    "spend-cap": "The tenant's spending is at its cap",
    "headers-too-large": "The headers are too large",
    "internal": "Our bug",
    "not-implemented": "A part is not installed here",
    "unavailable": "Not possible at the moment",
    "storage-full": "No room left",
    "reader-too-slow": "The reader was too slow",
}


def plain(text: str) -> str:
    """A text without control characters, at most `TEXT_CHARS_MAX` of it."""
    cut = text[:TEXT_CHARS_MAX].encode("utf-8", "replace").decode()
    return "".join(char if char.isprintable() or char == "\n" else "�" for char in cut)


def retry_after(seconds: float) -> dict[str, str]:
    """The header that says when to come back, in whole seconds from 1."""
    return {"Retry-After": str(max(math.ceil(seconds), 1))}


@dataclass(frozen=True, slots=True)
class _Kind:
    """How a class of errors is answered."""

    status: int
    kind: str
    remedy: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)
    tell: Callable[[e.OrchestratorError], str] = str


def _no_run(error: e.OrchestratorError) -> str:
    return f"there is no run {error.args[0]!r:.200}"


_AWAY: Final = retry_after(BUSY_S)
_LATER: Final = "try again in a moment; nothing is half done"
#: The closest class of an error decides. Texts of internal errors are for the log alone.
KINDS: Final[Mapping[type[e.OrchestratorError], _Kind]] = {
    e.OrchestratorError: _Kind(500, "internal", tell=lambda _: "something went wrong here; the log knows more"),
    e.PlanError: _Kind(422, "plan-invalid", "mend the plan; `orchestrator plan check` says the same on your machine"),
    e.ExpressionError: _Kind(422, "plan-invalid"),
    e.InputError: _Kind(422, "input-invalid", "the plan's `inputs` say what fits"),
    e.PromiseError: _Kind(422, "promise"),
    e.StepError: _Kind(422, "promise"),
    e.AdmissionRefused: _Kind(429, "queue-full", "try again after the time that Retry-After names"),
    e.RunNotFound: _Kind(404, "not-found", "GET /v1/runs lists the runs of your tenant", tell=_no_run),
    e.WrongState: _Kind(409, "conflict"),
    e.IdempotencyConflict: _Kind(422, "idempotency-conflict", "use a key of its own for each request"),
    e.JournalError: _Kind(503, "unavailable", _LATER, _AWAY, lambda _: "the journal cannot be used now"),
    e.JournalConflict: _Kind(503, "unavailable", _LATER, _AWAY, lambda _: "the run is changing its owner"),
    e.JournalUnreachable: _Kind(503, "unavailable", _LATER, _AWAY, lambda _: "the journal cannot be reached"),
    e.JournalCorrupt: _Kind(500, "internal", tell=lambda _: "a record in the journal is damaged"),
    e.JournalFull: _Kind(507, "storage-full", "tell whoever runs the service", tell=lambda _: "the journal is full"),
    e.ValueRefused: _Kind(422, "invalid", "hand over plain JSON values: no NUL, no half characters, no NaN"),
    e.SessionError: _Kind(503, "unavailable", _LATER, _AWAY, lambda _: "the sessions cannot be used now"),
    e.SessionNotFound: _Kind(404, "not-found", "GET /v1/sessions lists the sessions of your tenant"),
    e.SessionBusy: _Kind(409, "session-busy", "ask again after the time that Retry-After names, or Prefer: wait=30"),
    e.SessionChanged: _Kind(412, "session-changed", "read it again, and decide anew"),
    e.SessionFull: _Kind(422, "session-full", "say it shorter, let go of facts, or begin another session"),
    e.SessionDamaged: _Kind(500, "internal", "tell whoever runs the service"),
    e.ArtifactMissing: _Kind(404, "not-found", tell=lambda _: "there is no such artifact"),
    e.EngineClosed: _Kind(503, "unavailable", _LATER, _AWAY, lambda _: "the service is being stopped"),
    e.TransportError: _Kind(503, "unavailable", _LATER, _AWAY, lambda _: "the transport cannot be used now"),
    e.PlanningFailed: _Kind(422, "plan-invalid"),
    e.OwnerUnreachable: _Kind(503, "unavailable", "ask again; what was asked may still be done", _AWAY),
    e.OwnerRefused: _Kind(409, "conflict"),
}


def problem_of(error: e.OrchestratorError) -> Problem:
    """The answer to an error of the product."""
    kind = next(KINDS[one] for one in type(error).__mro__ if one in KINDS)
    headers, remedy, detail, places = dict(kind.headers), kind.remedy, kind.tell(error), []
    match error:
        case e.PromiseError():
            detail, remedy = error.what, error.remedy
        case e.WrongState():
            detail, remedy = f"{error.what}: {error.state}", error.remedy
        case e.AdmissionRefused() | e.SessionBusy():
            headers = retry_after(error.retry_after_s)
        case e.PlanError():
            places = [(_place(issue), _said(issue)) for issue in error.issues]
            detail = f"{len(error.issues)} mistakes" if len(error.issues) != 1 else places[0][1]
        case e.InputError():
            places = [(f"inputs.{error.name}" if error.name else "inputs", error.reason)]
        case _:
            pass
    return Problem(kind.status, kind.kind, detail, remedy=remedy, errors=places, headers=headers)


def _place(issue: e.PlanIssue) -> str:
    where = f"{issue.file}:{issue.line}:{issue.column}" if issue.line else ""
    return " ".join(filter(None, (where, issue.path))) or "plan"


def _said(issue: e.PlanIssue) -> str:
    return f"{issue.message}; expected: {issue.expected}" if issue.expected else issue.message


_HTTP: Final[Mapping[int, str]] = {
    400: "bad-request",
    401: "unauthenticated",
    403: "forbidden",
    404: "not-found",
    405: "method-not-allowed",
    406: "not-acceptable",
    408: "timeout",
    413: "too-large",
    415: "media-type",
    422: "invalid",
    429: "rate-limit",
    431: "headers-too-large",
    503: "unavailable",
}


def install(app: FastAPI) -> None:
    """Have every error of an application answered as a problem."""

    async def ours(_: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, Problem), "registered for it"
        return error.response()

    async def product(request: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, e.OrchestratorError), "registered for it"
        problem = problem_of(error)
        if problem.status >= 500:
            _note(request, error)
        return problem.response()

    async def invalid(_: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, RequestValidationError), "registered for it"
        places = [(".".join(map(str, one["loc"])), str(one["msg"])) for one in error.errors()]
        unread = any(one["type"] == "json_invalid" for one in error.errors())
        if unread:
            return Problem(400, "bad-request", "the body is no JSON", errors=places, remedy="send JSON").response()
        told = f"{places[0][0]}: {places[0][1]}" if places else "the request is not valid"
        return Problem(422, "invalid", told, errors=places, remedy="see /v1/openapi.json").response()

    async def http(request: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, HTTPException), "registered for it"
        headers = dict(error.headers or {})
        if error.status_code == 405:  # the framework names the methods of the first route that fits, and there are more
            headers["Allow"] = ", ".join(methods_at(request))
        kind = _HTTP.get(error.status_code, "internal" if error.status_code >= 500 else "bad-request")
        detail = "there is nothing at this address" if error.status_code == 404 else str(error.detail)
        remedy = "GET /v1/openapi.json lists what there is" if error.status_code in {404, 405} else ""
        return Problem(error.status_code, kind, detail, remedy=remedy, headers=headers).response()

    async def bug(request: Request, error: Exception) -> JSONResponse:
        _note(request, error)
        return Problem(500, "internal", "something went wrong here; the log knows more").response()

    app.add_exception_handler(Problem, ours)
    app.add_exception_handler(e.OrchestratorError, product)
    app.add_exception_handler(RequestValidationError, invalid)
    app.add_exception_handler(HTTPException, http)
    app.add_exception_handler(Exception, bug)


def methods_at(request: Request) -> list[str]:
    """The methods that an address knows."""
    found: set[str] = set()
    for route in request.app.routes:
        if route.matches(request.scope)[0] is not Match.NONE:
            found |= getattr(route, "methods", None) or set()
    return sorted(found)


def _note(request: Request, error: Exception) -> None:
    route = request.scope.get("route")  # the form of the address, not what the caller wrote there
    log.error("a request failed", route=getattr(route, "path", ""), error=f"{type(error).__name__}: {error}"[:2_000])


#: For `responses=` of a router: what any route may answer.
RESPONSES: Final[dict[int | str, dict[str, object]]] = {
    status: {
        "description": text,
        "model": ProblemOut,
    }
    for status, text in {
        400: "The request cannot be read",
        401: "No key, or one that is not valid",
        403: "The key does not allow this",
        404: "There is nothing here, or it is another tenant's",
        409: "Not in this state",
        413: "The request is too large",
        415: "The request is of another media type",
        422: "The request is not valid",
        429: "Too many requests, or too much is waiting",
        503: "Not possible at the moment",
    }.items()
}
