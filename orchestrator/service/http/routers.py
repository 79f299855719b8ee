"""The routers of the service, one line each. What comes later in the list is asked later."""

from typing import Final

from fastapi import APIRouter

from orchestrator.service.http.approvals import router as approvals
from orchestrator.service.http.health import router as health
from orchestrator.service.http.pools import router as pools
from orchestrator.service.http.runs import router as runs
from orchestrator.service.http.steps import router as steps
from orchestrator.service.http.streams import router as streams

ROUTERS: Final[tuple[APIRouter, ...]] = (
    health,
    runs,
    streams,
    steps,
    approvals,
    pools,
)
