"""Is the process alive, can it take work: for probes, hence without keys."""

from typing import Annotated

from fastapi import APIRouter, Depends, Response
from fastapi.responses import PlainTextResponse

from orchestrator.service.http.parts import Service, service_of

router = APIRouter(tags=["health"])


@router.get("/healthz", response_class=PlainTextResponse, summary="Whether the process answers")
async def healthz() -> str:
    """Always `alive`: whoever can answer is."""
    return "alive\n"


@router.get(
    "/readyz",
    response_class=PlainTextResponse,
    summary="Whether new work is taken",
    responses={503: {"description": "Not now; the text says why", "content": {"text/plain": {}}}},
)
async def readyz(service: Annotated[Service, Depends(service_of)]) -> Response:
    """`ready`, or 503 with the reason."""
    why = service.ready()
    return PlainTextResponse(f"{why}\n", 503) if why else PlainTextResponse("ready\n")
