"""Routes of sessions: say something and get a run for it, look at a conversation, pin facts, export, delete."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Annotated, Final, Literal

import anyio
from fastapi import APIRouter, Query, Response
from fastapi.responses import StreamingResponse
from pydantic_core import to_json

from orchestrator.app import Engine
from orchestrator.app.sessions import Conversations, Session, Started
from orchestrator.app.turns import Asked, asked_for, text_of
from orchestrator.core.results import RunResult
from orchestrator.engine.handle import Run
from orchestrator.engine.submission import budget_over
from orchestrator.errors import SessionBusy, SessionNotFound
from orchestrator.ids import JsonValue, RunId, TenantId
from orchestrator.plan.facts_kept import FACT_CHARS_MAX
from orchestrator.ports.sessions import SessionHead, Turn
from orchestrator.service.http.access import Caller, Reader, Runner
from orchestrator.service.http.answers import answer, told
from orchestrator.service.http.bodies import Key, Limit, SubmitBody, Trace
from orchestrator.service.http.limits import PAGE
from orchestrator.service.http.parts import Parts, Service
from orchestrator.service.http.problems import RESPONSES
from orchestrator.service.http.seats import Seat, Sits
from orchestrator.service.http.session_forms import (
    ETAG,
    AfterSession,
    DeletedOut,
    ExportOut,
    FactBody,
    Match,
    Prefer,
    SessionName,
    SessionOut,
    SessionsOut,
    TurnAcceptedOut,
    TurnBody,
    TurnsOut,
)
from orchestrator.service.http.state import Keeps
from orchestrator.service.http.submitting import href, plan_of

PART: Final = "sessions"  #: of a service
WAIT_MAX_S: Final = 30.0  #: a longer `Prefer: wait` waits no longer
router = APIRouter(
    prefix="/v1/sessions",
    tags=["sessions"],
    responses=RESPONSES | {412: {**RESPONSES[409], "description": "The session is in another version"}},
)


@router.get("", responses=told(SessionsOut, "A page of sessions, by id."), summary="List sessions")
async def sessions(who: Reader, service: Parts, after: AfterSession | None = None, limit: Limit = PAGE) -> Response:
    """Sessions of the caller's tenant."""
    rows = await _home(service).desk.page(TenantId(who.tenant), after or "", limit + 1)
    documents = [head_document(head) for head in rows[:limit]]
    return answer({"sessions": documents, "next": rows[limit - 1].key.id if len(rows) > limit else None})


@router.post(
    "/{session}/turns",
    status_code=202,
    responses=told(TurnAcceptedOut, "The turn stands in the session; its run goes on, whatever happens here.", 202)
    | told(TurnAcceptedOut, "With `Prefer: wait`: its answer has come."),
    summary="Say something",
)
async def turn(
    who: Runner,
    service: Parts,
    kept: Keeps,
    seat: Sits,
    session: SessionName,
    body: TurnBody,
    key: Key = None,
    match: Match = None,
    prefer: Prefer = None,
    trace: Trace = "",
) -> Response:
    """Give what is said its place in the session, and start the run that answers it.

    Turns have one order: while one is not answered another is refused with 409, or waits as long as `Prefer` says.
    """
    home, wait_s = _home(service), _wait_s(prefer)
    talk = home.session(session, who.tenant)
    asked = _asked(home.engine, service, body)
    began_s = anyio.current_time()
    started = await talk.asked_before(asked, key)
    if started is None:
        started = await _begin(who, kept, seat, talk, asked, key=key, match=match, wait_s=wait_s, trace=trace)
    with seat.aside():
        result = await _result(started.run, wait_s - (anyio.current_time() - began_s))
    if result is not None:
        await talk.settle(started.run.id)
    document: dict[str, JsonValue] = {
        "session": session,
        "turn": started.number,
        "run": started.run.id,
        "href": href(started.run.id),
        "status": "open" if result is None else type(result).__name__.lower(),
        "answer": None if result is None else text_of(result),
    }
    headers = {"Location": href(started.run.id)}
    if prefer is not None and wait_s:
        headers["Preference-Applied"] = f"wait={wait_s:g}"
    return answer(document, 202 if result is None else 200, headers)


@router.get("/{session}", responses=told(SessionOut, "The session.", headers=ETAG), summary="Look at a session")
async def look(who: Reader, service: Parts, session: SessionName) -> Response:
    """The session as it is now: what runs would see of it, its summary, its facts, its version."""
    home = _home(service)
    return await _shown(home, await home.session(session, who.tenant).head())


@router.get("/{session}/turns", responses=told(TurnsOut, "A page of turns."), summary="The turns of a session")
async def turns(
    who: Reader,
    service: Parts,
    session: SessionName,
    after: Annotated[int, Query(ge=0, le=1 << 31, description="Only turns with a higher number.")] = 0,
    limit: Limit = PAGE,
) -> Response:
    """Turns, oldest first; one that is not answered yet is the last."""
    rows = await _home(service).session(session, who.tenant).turns(after, limit)
    following = rows[-1].number if len(rows) == limit else None
    return answer({"turns": [turn_document(one) for one in rows], "next": following})


@router.get(
    "/{session}/export",
    responses=told(ExportOut, "All that is kept of the session.", headers=ETAG),
    summary="Take a session along",
)
async def export(who: Reader, service: Parts, session: SessionName) -> Response:
    """Everything that is kept of a session, as one document, written page by page."""
    talk = _home(service).session(session, who.tenant)
    head = await talk.head()
    return StreamingResponse(_pieces(talk, head), media_type="application/json", headers=_etag(head))


@router.post("/{session}/facts", responses=told(SessionOut, "The fact is pinned.", headers=ETAG), summary="Pin a fact")
async def pin(who: Runner, service: Parts, session: SessionName, body: FactBody, match: Match = None) -> Response:
    """Pin a fact, which begins the session where there is none. A summary that loses it is not accepted."""
    home = _home(service)
    head = await home.session(session, who.tenant).pin(body.text, *body.literals, if_match=_match(match))
    return await _shown(home, head)


@router.delete(
    "/{session}/facts", responses=told(SessionOut, "The fact is gone.", headers=ETAG), summary="Let go of a fact"
)
async def unpin(
    who: Runner,
    service: Parts,
    session: SessionName,
    text: Annotated[str, Query(min_length=1, max_length=FACT_CHARS_MAX, description="The fact, word for word.")],
    match: Match = None,
) -> Response:
    """Let go of a pinned fact; one that is not pinned changes nothing."""
    home = _home(service)
    head = await home.session(session, who.tenant).unpin(text, if_match=_match(match))
    return await _shown(home, head)


@router.delete("/{session}", responses=told(DeletedOut, "The session is gone."), summary="Delete a session")
async def delete(
    who: Runner,
    service: Parts,
    session: SessionName,
    match: Match = None,
    runs: Annotated[
        Literal["keep", "forget"], Query(description="`forget`: also what its ended runs said and saw.")
    ] = "keep",
) -> Response:
    """Delete a session with all its turns. The journal keeps what its runs saw, unless they are to be forgotten."""
    talk = _home(service).session(session, who.tenant)
    if not await talk.delete(forget_runs=runs == "forget", if_match=_match(match)):
        raise SessionNotFound(session)
    return answer({"id": session, "runs_forgotten": runs == "forget"})


class _Again(Exception):
    """The turn was asked before: the room that was made for its run is given back."""

    def __init__(self, started: Started) -> None:
        super().__init__(started)
        self.started = started


async def _begin(
    who: Caller,
    kept: Keeps,
    seat: Seat,
    talk: Session,
    asked: Asked,
    *,
    key: str | None,
    match: str | None,
    wait_s: float,
    trace: str,
) -> Started:
    """Begin a turn, where there is room for its run."""
    found: list[Started] = []

    async def begin(run_id: RunId) -> Run:
        async def ask(patience_s: float) -> Started:
            return await talk.begin_asked(
                asked,
                idempotency_key=key,
                if_match=_match(match),
                wait_s=patience_s,
                run_id=run_id,
                trace=trace,
                by=who.actor,
            )

        try:
            started = await ask(0.0)
        except SessionBusy:
            if not wait_s:
                raise
            with seat.aside():
                started = await ask(wait_s)
        if started.run.id != run_id:
            raise _Again(started)
        found.append(started)
        return started.run

    try:
        await kept.submitting.enter(who, asked.lane, budget_over(asked.plan, asked.budget).usd, None, begin)
    except _Again as again:
        return again.started
    return found[0]


async def _result(run: Run, wait_s: float) -> RunResult | None:
    """How a run has ended, if it does in so many seconds."""
    if wait_s <= 0:
        return None
    with anyio.move_on_after(wait_s):
        return await run.result()
    return None


def _asked(engine: Engine, service: Service, body: TurnBody) -> Asked:
    """What is asked, in order.

    Raises:
        Problem, PlanError, PromiseError, InputError: it is not; nothing was written.
    """
    plan = plan_of(SubmitBody(plan=body.plan, goal=body.goal, budget=body.budget), service)
    text = body.text if body.text is not None else body.goal
    return asked_for(engine, plan, text, body.inputs, body.budget, body.lane)


def _home(service: Service) -> Conversations:
    return service.part(PART, Conversations)


def _wait_s(prefer: str | None) -> float:
    """Seconds that a client prefers to wait; what cannot be read is no preference, by RFC 7240."""
    for part in (prefer or "").split(","):
        name, _, value = part.partition("=")
        if name.strip().lower() == "wait" and value.strip().isascii() and value.strip().isdigit():
            return min(float(value), WAIT_MAX_S)
    return 0.0


def _match(match: str | None) -> str | None:
    return match.strip('"') if match is not None else None


def _etag(head: SessionHead) -> dict[str, str]:
    return {"ETag": f'"{head.etag}"'}


async def _shown(home: Conversations, head: SessionHead) -> Response:
    view = await home.desk.view(head)
    waiting = head.open.content if head.open is not None else None
    return answer({**head_document(head), "window": view.document(head.key.id, waiting)}, headers=_etag(head))


def head_document(head: SessionHead) -> dict[str, JsonValue]:
    """A session without its turns, as clients read it."""
    summary, waiting = head.summary, head.open
    return {
        "id": head.key.id,
        "version": head.version,
        "etag": head.etag,
        "created_at": head.created_at_s,
        "updated_at": head.updated_at_s,
        "expires_at": head.expires_at_s,
        "turns_answered": head.turns,
        "usd": head.usd,
        "tokens": head.tokens,
        "facts": [{"text": fact.text, "literals": list(fact.literals)} for fact in head.facts],
        "summary": {
            "text": summary.text,
            "version": summary.version,
            "upto": summary.upto,
            "missed": summary.missed,
            "tried_upto": summary.tried_upto,
            "refused": summary.refused,
            "at": summary.at_s,
            "usd": summary.usd,
            "tokens": summary.tokens,
        },
        "waits_for": {"run": waiting.run_id, "content": waiting.content} if waiting is not None else None,
    }


def turn_document(one: Turn) -> dict[str, JsonValue]:
    """A turn as clients read it."""
    return {
        "number": one.number,
        "role": one.role,
        "content": one.content,
        "run": one.run_id,
        "at": one.at_s,
        "tokens": one.tokens,
        "usd": one.usd,
        "status": one.status,
    }


async def _pieces(talk: Session, head: SessionHead) -> AsyncIterator[bytes]:
    yield to_json(head_document(head))[:-1] + b',"turns":['
    comma = b""
    async for one in talk.all_turns(head):
        yield comma + to_json(turn_document(one))
        comma = b","
    yield b"]}"


@asynccontextmanager
async def opener(service: Service, engine: Engine) -> AsyncIterator[Mapping[str, object]]:
    """The sessions of the engine, for the routes."""
    yield {PART: engine.conversations}
