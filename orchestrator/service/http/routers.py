"""The routers of the service, one line each, and what else it opens. What comes later in a list is asked later.

A router that needs something opened beside the engine (a store, a task of its own) adds an opener: `serve` enters it
with the service as it is by then and the engine, and puts what it gives into `Service.parts`, by name.
"""

from collections.abc import Callable, Mapping
from contextlib import AbstractAsyncContextManager
from typing import Final

from fastapi import APIRouter

from orchestrator.app import Engine
from orchestrator.service.http.approvals import router as approvals
from orchestrator.service.http.batches import opener as open_batches
from orchestrator.service.http.batches import router as batches
from orchestrator.service.http.costs import router as costs
from orchestrator.service.http.health import router as health
from orchestrator.service.http.metrics import opener as open_metrics
from orchestrator.service.http.metrics import router as metrics
from orchestrator.service.http.page import router as page
from orchestrator.service.http.parts import Service
from orchestrator.service.http.pools import router as pools
from orchestrator.service.http.runs import router as runs
from orchestrator.service.http.schedules import opener as open_schedules
from orchestrator.service.http.schedules import router as schedules
from orchestrator.service.http.sessions import opener as open_sessions
from orchestrator.service.http.sessions import router as sessions
from orchestrator.service.http.steps import router as steps
from orchestrator.service.http.streams import router as streams
from orchestrator.service.http.thumbs import router as thumbs
from orchestrator.service.http.webhooks import opener as open_webhooks
from orchestrator.service.http.webhooks import router as webhooks

ROUTERS: Final[tuple[APIRouter, ...]] = (
    health,
    metrics,
    runs,
    streams,
    steps,
    approvals,
    thumbs,
    sessions,
    pools,
    costs,
    batches,
    webhooks,
    schedules,
    page,
)

Opener = Callable[[Service, Engine], AbstractAsyncContextManager[Mapping[str, object]]]
OPENERS: Final[tuple[Opener, ...]] = (open_metrics, open_webhooks, open_schedules, open_sessions, open_batches)
