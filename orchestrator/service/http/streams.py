"""Routes of events: as a stream that can be gone on with, and page by page."""

from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Annotated, Final

import anyio
from fastapi import APIRouter, Query, Response
from starlette.types import Receive, Scope, Send

from orchestrator.core.event import canonical_event
from orchestrator.service.http.access import Reader
from orchestrator.service.http.answers import EventsOut, answer, told
from orchestrator.service.http.bodies import After, LastEvent, Limit, RunName
from orchestrator.service.http.feeds import READERS_MAX
from orchestrator.service.http.limits import PAGE, RETRY_AFTER_S
from orchestrator.service.http.looking import find
from orchestrator.service.http.parts import Parts
from orchestrator.service.http.problems import RESPONSES, Problem, retry_after
from orchestrator.service.http.state import Keeps

SEND_S: Final = 30.0  #: for a reader to take what was written, before its connection is dropped
STREAM: Final = "text/event-stream"
MESSAGE: Final = {
    "type": "object",
    "required": ["event", "data"],
    "additionalProperties": False,
    "properties": {
        "id": {
            "type": "string",
            "pattern": "^[0-9]+$",
            "description": "Sequence number in the journal, of facts alone.",
        },
        "event": {"enum": ["fact", "said", "end"]},
        "data": {"type": "string", "contentMediaType": "application/json"},
    },
}
router = APIRouter(prefix="/v1/runs", tags=["events"], responses=RESPONSES)


class Stream(Response):
    """A response without an end of its own: sent until the source ends, the reader goes, or takes nothing for long."""

    media_type = STREAM

    def __init__(self, source: AsyncIterator[bytes]) -> None:
        super().__init__(headers={"X-Accel-Buffering": "no"})
        self._source = source
        del self.headers["content-length"]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send it all."""
        async with anyio.create_task_group() as group:

            async def gone() -> None:
                while (await receive())["type"] != "http.disconnect":
                    pass
                group.cancel_scope.cancel()

            group.start_soon(gone)
            await self._send_all(send)
            group.cancel_scope.cancel()

    async def _send_all(self, send: Send) -> None:
        async with aclosing(self._source) as chunks:  # type: ignore[type-var]  # generators, as the routes make them
            await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
            async for chunk in chunks:
                with anyio.move_on_after(SEND_S) as patience:
                    await send({"type": "http.response.body", "body": chunk, "more_body": True})
                if patience.cancelled_caught:
                    return  # it is cut: the reader comes back with the last id it has seen
        await send({"type": "http.response.body", "body": b"", "more_body": False})


@router.get(
    "/{run}/events",
    summary="Follow a run",
    status_code=200,
    response_class=Stream,
    responses={200: {"description": "Server-sent events.", "content": {STREAM: {"schema": MESSAGE}}}},
)
async def events(
    who: Reader,
    service: Parts,
    kept: Keeps,
    run: RunName,
    after: After = 0,
    said: Annotated[bool, Query(description="Also what workers say on their way, which is not kept.")] = True,
    last: LastEvent = None,
) -> Response:
    """Every fact of the journal from there on, as it is written, until the run is over."""
    row = await find(service, who, run)
    if kept.feeds is None:
        raise Problem(503, "unavailable", "this service follows no runs", remedy="read /history instead")
    if kept.feeds.reading >= READERS_MAX:
        said_ = f"{READERS_MAX:,} readers are being served"
        raise Problem(429, "rate-limit", said_, remedy="come back later", headers=retry_after(RETRY_AFTER_S))
    start = after if last is None else last
    return Stream(kept.feeds.read(row.run_id, start, row.last_seq, said=said))


@router.get("/{run}/history", responses=told(EventsOut, "A page of events."), summary="Read a run's events")
async def history(who: Reader, service: Parts, run: RunName, after: After = 0, limit: Limit = PAGE) -> Response:
    """The same events, page by page, for a run of any age."""
    row = await find(service, who, run)
    records = await service.journal.read(row.run_id, after=after, limit=limit)
    more = records[-1].seq if len(records) == limit else None
    return answer({"events": [canonical_event(record) for record in records], "next": more})
