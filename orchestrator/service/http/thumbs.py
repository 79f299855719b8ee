"""Thumbs up and down: what people think of what a run came to. Each is a record of the run's journal."""

from typing import Annotated, Literal

from fastapi import APIRouter, Response
from pydantic import Field

from orchestrator.engine.rating import rate
from orchestrator.service.http.access import Runner
from orchestrator.service.http.answers import Out, answer, told
from orchestrator.service.http.bodies import Body, RunName
from orchestrator.service.http.looking import find
from orchestrator.service.http.parts import Parts
from orchestrator.service.http.problems import RESPONSES

REASON_CHARS_MAX = 2_000
router = APIRouter(prefix="/v1", tags=["runs"], responses=RESPONSES)


class ThumbBody(Body):
    """What somebody thinks of a run's result."""

    value: Literal["up", "down"]
    reason: Annotated[str, Field(max_length=REASON_CHARS_MAX)] = Field(default="", description="Why, for people.")
    by: Annotated[str, Field(max_length=200)] = Field(
        default="", description="Who of those behind the key; each of them has a thumb of their own."
    )


class ThumbOut(Out):
    """A thumb that counts."""

    id: str
    value: Literal["up", "down"]
    new: bool = Field(description="False: the same person had said the same before, and nothing was recorded.")


@router.post("/runs/{run}/thumbs", responses=told(ThumbOut, "It counts."), summary="Rate a run that has ended")
async def thumbs(who: Runner, service: Parts, run: RunName, body: ThumbBody) -> Response:
    """Say whether the result was good. A person may change their mind; every word of it stays in the journal."""
    row = await find(service, who, run)
    by = f"{body.by} via {who.actor}" if body.by else who.actor
    new = await rate(
        service.journal,
        row.run_id,
        source="thumb",
        score=1.0 if body.value == "up" else 0.0,
        by=by,
        now_s=service.clock.now_s(),
        reason=body.reason,
    )
    return answer({"id": row.run_id, "value": body.value, "new": new})


__all__ = ["router"]
