"""Thumbs up and down: what people think of what a run came to. Each is a record of the run's journal."""

from typing import Annotated, Literal

from fastapi import APIRouter, Query, Response
from pydantic import Field

from orchestrator.engine.rating import rate
from orchestrator.service.http.access import Caller, Reader, Runner
from orchestrator.service.http.answers import Count, Out, answer, told
from orchestrator.service.http.bodies import Body, RunName
from orchestrator.service.http.looking import find
from orchestrator.service.http.parts import Parts
from orchestrator.service.http.problems import RESPONSES
from orchestrator.service.http.state import Keeps

REASON_CHARS_MAX = 2_000
BY_CHARS_MAX = 200
router = APIRouter(prefix="/v1", tags=["runs"], responses=RESPONSES)


class ThumbBody(Body):
    """What somebody thinks of a run's result."""

    value: Literal["up", "down"]
    reason: Annotated[str, Field(max_length=REASON_CHARS_MAX)] = Field(default="", description="Why, for people.")
    by: Annotated[str, Field(max_length=BY_CHARS_MAX)] = Field(
        default="", description="Who of those behind the key; each of them has a thumb of their own."
    )


class ThumbOut(Out):
    """A thumb that counts."""

    id: str
    value: Literal["up", "down"]
    new: bool = Field(description="False: the same person had said the same before, and nothing was recorded.")


class ThumbsOut(Out):
    """What people think of a run's result."""

    id: str
    value: Literal["up", "down"] | None = Field(description="Of whoever asks; null: they have not said.")
    reason: str = Field(description="Theirs.")
    up: Count = Field(description="People whose last word was up.")
    down: Count


@router.get("/runs/{run}/thumbs", responses=told(ThumbsOut, "How it was rated."), summary="Look at a run's ratings")
async def given(
    who: Reader,
    service: Parts,
    kept: Keeps,
    run: RunName,
    by: Annotated[str, Query(max_length=BY_CHARS_MAX, description="Who of those behind the key asks.")] = "",
) -> Response:
    """The last word of whoever asks, and how many think what. Of a run that is open nobody has said anything."""
    row = await find(service, who, run)
    thumbs = (await kept.tallies.of(row)).thumbs
    mine = thumbs.get(_person(who, by))
    words = [_word(one.score) for one in thumbs.values()]
    said = None if mine is None else _word(mine.score)
    reason = "" if mine is None else mine.reason or ""
    return answer(
        {"id": row.run_id, "value": said, "reason": reason, **{word: words.count(word) for word in ("up", "down")}}
    )


@router.post("/runs/{run}/thumbs", responses=told(ThumbOut, "It counts."), summary="Rate a run that has ended")
async def thumbs(who: Runner, service: Parts, run: RunName, body: ThumbBody) -> Response:
    """Say whether the result was good. A person may change their mind; every word of it stays in the journal."""
    row = await find(service, who, run)
    new = await rate(
        service.journal,
        row.run_id,
        source="thumb",
        score=1.0 if body.value == "up" else 0.0,
        by=_person(who, body.by),
        now_s=service.clock.now_s(),
        reason=body.reason,
    )
    return answer({"id": row.run_id, "value": body.value, "new": new})


def _person(who: Caller, by: str) -> str:
    """How the journal names one of those behind a key."""
    return f"{by} via {who.actor}" if by else who.actor


def _word(score: float) -> str:
    return "up" if score > 0 else "down"


__all__ = ["router"]
