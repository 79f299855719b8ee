"""Routes about money over all runs of a tenant: what they cost, what was spared and by what, and alarms."""

from typing import Annotated, Final

import anyio
from fastapi import APIRouter, Query, Response
from pydantic import Field

from orchestrator.core.costs import Side
from orchestrator.service.costing import costs_of, document_of
from orchestrator.service.http.access import Reader
from orchestrator.service.http.answers import Count, Out, Usd, answer, told
from orchestrator.service.http.parts import Parts
from orchestrator.service.http.problems import RESPONSES

router = APIRouter(prefix="/v1", tags=["costs"], responses=RESPONSES)
RUNS_READ_MAX: Final = 2_000  #: the newest, for one request
READING_MAX: Final = 2  #: requests that read at once; others wait for their turn
_turn = anyio.Semaphore(READING_MAX)

By = Annotated[Side, Query(description="What a row is.")]
Since = Annotated[float, Query(ge=0, le=1e11, description="Runs accepted from then on, seconds since the epoch.")]


class SparedOut(Out):
    """USD that each part has spared, against what the same calls would have cost without it."""

    cache: Usd
    routing: Usd
    compression: Usd
    batch: Usd


class SpentOut(Out):
    """Money and tokens."""

    usd: Usd
    tokens: Count
    tokens_cached: Count = Field(description="Of `tokens`: read from the providers' own prompt caches.")
    calls: Count
    served: Count = Field(description="Answers that needed no call of a model.")
    saved_usd: SparedOut
    without_usd: Usd = Field(description="What this would have cost.")


class RowOut(SpentOut):
    """One row."""

    name: str


class AlarmOut(Out):
    """Today's spending is far above the habit."""

    tenant: str
    day: str
    usd: Usd
    habit_usd: Usd = Field(description="The median of the days with spending before.")
    times: Annotated[float, Field(ge=0)]


class AllCostsOut(Out):
    """What the tenant's runs cost."""

    by: Side
    runs: Count
    whole: bool = Field(description="False: only the newest runs were read.")
    total: SpentOut
    saved: SparedOut
    rows: list[RowOut]
    alarms: list[AlarmOut]


@router.get("/costs", responses=told(AllCostsOut, "The costs."), summary="What the tenant's runs cost")
async def costs(who: Reader, service: Parts, by: By = "plan", since: Since = 0.0) -> Response:
    """By plan, run, step, model, pool or day; the dearest first, days in order."""
    async with _turn:
        found = await costs_of(service.desk.journal, since_s=since, tenant=who.tenant, runs_max=RUNS_READ_MAX)
    return answer(document_of(found, by, service.clock.now_s()))
