"""The numbers of the whole process, over all tenants, for Prometheus; and the telemetry of the service's engine."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Annotated, Final

import anyio
from fastapi import APIRouter, Response

from orchestrator.app import Engine
from orchestrator.app.telemetry import open_metrics
from orchestrator.errors import PromiseError
from orchestrator.service.http.access import Caller, caller
from orchestrator.service.http.parts import Parts, Service
from orchestrator.service.http.problems import RESPONSES, Problem
from orchestrator.service.http.refusals import PART as REFUSALS
from orchestrator.service.http.refusals import Refusals
from orchestrator.service.http.tracing import PART
from orchestrator.service.metrics.kept import kept_beside
from orchestrator.service.metrics.seen import Surroundings
from orchestrator.service.metrics.station import Station

NAME: Final = "metrics"  #: of the part of a service
router = APIRouter(tags=["metrics"], responses=RESPONSES)
Scraper = Annotated[Caller, caller("metrics")]


@asynccontextmanager
async def opener(service: Service, engine: Engine) -> AsyncIterator[Mapping[str, object]]:
    """What the route stands on, and what every request is traced with."""
    here = {pool.name: pool.concurrency for pool in engine.registry}
    refusals = Refusals()
    surroundings = Surroundings(
        service.journal,
        fleet=service.fleet,
        transport=engine.runs.transport if service.fleet is None else None,
        local=here,
        telemetry=engine.telemetry,
        refused=refusals.counts,
    )
    now_s = service.clock.now_s
    path = kept_beside(service.settings)
    station = Station(service.journal, surroundings, path=path, now_s=now_s, clock=now_s)
    parts: dict[str, object] = {NAME: station, REFUSALS: refusals}
    if engine.telemetry is not None:
        parts[PART] = engine.telemetry
    sink = open_metrics()
    try:
        async with anyio.create_task_group() as group:
            if sink is not None:
                group.start_soon(station.push, sink, name="metrics")
            yield parts
            group.cancel_scope.cancel()
    finally:
        with anyio.CancelScope(shield=True):
            if sink is not None:
                sink.close()
            await station.close()


@router.get(
    "/metrics",
    response_class=Response,
    summary="Metrics in Prometheus' text format",
    responses={
        200: {"description": "All metrics.", "content": {"text/plain": {"schema": {"type": "string"}}}},
        501: {"description": "`prometheus-client` is not installed."},
    },
)
async def metrics(_: Scraper, service: Parts) -> Response:
    """Counted from the journal of all tenants, so that every process of a fleet tells the same: take one, not a sum."""
    try:
        text, kind = await service.part(NAME, Station).text()
    except PromiseError as error:
        raise Problem(501, "not-implemented", error.what, remedy=error.remedy) from error
    return Response(text, media_type=kind)


__all__ = ["NAME", "opener", "router"]
