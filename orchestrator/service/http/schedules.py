"""Routes of schedules: plans that start by the clock."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Annotated, Final, Self

from fastapi import APIRouter, Path, Response
from pydantic import AwareDatetime, Field, model_validator

from orchestrator.app import Engine
from orchestrator.ids import JsonValue
from orchestrator.plan.parts import Budget
from orchestrator.ports.schedules import Missed, Schedule, ScheduleState
from orchestrator.ports.tasks import Lane
from orchestrator.service.http.access import Manager, Reader
from orchestrator.service.http.answers import At, Count, Out, answer, told
from orchestrator.service.http.bodies import NAME as PLAN_NAME
from orchestrator.service.http.bodies import Body, SubmitBody
from orchestrator.service.http.parts import Parts, Service
from orchestrator.service.http.problems import RESPONSES, Problem
from orchestrator.service.http.scheduled import acting_for
from orchestrator.service.http.submitting import plan_of
from orchestrator.service.schedules.opening import scheduling
from orchestrator.service.schedules.ticks import CRON_CHARS_MAX
from orchestrator.service.schedules.timetable import MISSED_MAX, NAME_CHARS_MAX, Timetable

NAME: Final = "schedules"  #: of the part of a service
router = APIRouter(prefix="/v1/schedules", tags=["schedules"], responses=RESPONSES)
ScheduleName = Annotated[str, Path(pattern=r"^sc_[0-9a-f]+$", max_length=64, description="The schedule's id.")]


class ScheduleBody(Body):
    """A plan to start by the clock: exactly one of `cron` and `at`."""

    plan: Annotated[str, Field(pattern=PLAN_NAME, max_length=64)] | dict[str, JsonValue] = Field(
        description="A plan's name, looked up anew at each start, or a whole plan, which stays as it is."
    )
    inputs: dict[str, JsonValue] = Field(default={}, description="By the plan's `inputs`.")
    budget: Budget | None = None
    lane: Lane = "normal"
    name: Annotated[str, Field(max_length=NAME_CHARS_MAX)] = Field(default="", description="For people.")
    cron: Annotated[str, Field(min_length=1, max_length=CRON_CHARS_MAX)] | None = Field(
        default=None, description="Minute, hour, day of month, month, day of week, such as `0 7 * * MON-FRI`."
    )
    zone: Annotated[str, Field(min_length=1, max_length=100)] = Field(
        default="UTC", description="IANA time zone in which the five fields are read."
    )
    at: AwareDatetime | None = Field(default=None, description="Once, such as `2027-01-31T07:00:00+01:00`.")
    missed: Missed = Field(
        default="last",
        description="What is done about moments that came while no process was there: nothing, the newest alone, or "
        "the newest `missed_max`.",
    )
    missed_max: Annotated[int, Field(ge=1, le=MISSED_MAX)] = 10

    @model_validator(mode="after")
    def _one_of_two(self) -> Self:
        if (self.cron is None) == (self.at is None):
            raise ValueError("say exactly one of cron and at")
        return self


class ScheduleOut(Out):
    """A schedule."""

    id: str
    name: str
    plan: str = Field(description="The plan's name.")
    cron: str | None
    zone: str
    at: At | None
    lane: Lane
    missed: Missed
    missed_max: Count
    state: ScheduleState = Field(description="`done`: it was for one moment, which is over.")
    next: At | None = Field(description="The next moment; null: there is none.")
    last: At | None = Field(description="The newest moment that was started.")
    last_run: str | None = Field(description="Its run; null where it could not be started.")
    note: str = Field(description="Why the newest start failed.")
    created_at: At


class SchedulesOut(Out):
    """All schedules of the tenant, oldest first."""

    schedules: list[ScheduleOut]


@asynccontextmanager
async def opener(service: Service, engine: Engine) -> AsyncIterator[Mapping[str, object]]:
    """What the routes stand on."""
    acting = acting_for(service, engine)
    async with scheduling(engine, service.plans, acting=acting) as timetable:
        yield {NAME: timetable}


@router.post("", status_code=201, responses=told(ScheduleOut, "It starts from now on.", 201), summary="Make a schedule")
async def create(who: Manager, service: Parts, body: ScheduleBody) -> Response:
    """Start a plan by the clock. Each moment starts one run, whatever dies, over any number of processes."""
    plan = plan_of(SubmitBody(plan=body.plan), service)
    await service.vet(plan)
    at: datetime | None = body.at
    made = await _table(service).create(
        body.plan if isinstance(body.plan, str) else plan,
        body.inputs,
        cron=body.cron,
        at=at,
        zone=body.zone,
        name=body.name,
        tenant=who.tenant,
        budget=body.budget,
        lane=body.lane,
        missed=body.missed,
        missed_max=body.missed_max,
        by=who.key_id,
    )
    return answer(_document(service, made), 201)


@router.get("", responses=told(SchedulesOut, "All schedules."), summary="List schedules")
async def schedules(who: Reader, service: Parts) -> Response:
    """Schedules of the tenant, oldest first."""
    return answer({"schedules": [_document(service, one) for one in await _table(service).list(who.tenant)]})


@router.get("/{schedule}", responses=told(ScheduleOut, "The schedule."), summary="Look at a schedule")
async def schedule(who: Reader, service: Parts, schedule: ScheduleName) -> Response:
    """One schedule, with its next moment and its newest run."""
    return answer(_document(service, _there(await _table(service).get(schedule, who.tenant))))


@router.post("/{schedule}/pause", responses=told(ScheduleOut, "It starts nothing."), summary="Pause a schedule")
async def pause(who: Manager, service: Parts, schedule: ScheduleName) -> Response:
    """Start nothing more until it is resumed; safe to repeat."""
    return answer(_document(service, _there(await _table(service).pause(schedule, who.tenant))))


@router.post("/{schedule}/resume", responses=told(ScheduleOut, "It starts again."), summary="Resume a schedule")
async def resume(who: Manager, service: Parts, schedule: ScheduleName) -> Response:
    """Go on from now; what came during the pause is not made up for. Safe to repeat."""
    return answer(_document(service, _there(await _table(service).resume(schedule, who.tenant))))


@router.delete("/{schedule}", status_code=204, response_class=Response, summary="Delete a schedule")
async def delete(who: Manager, service: Parts, schedule: ScheduleName) -> Response:
    """Start nothing more. Runs that it has started go on."""
    if not await _table(service).remove(schedule, who.tenant):
        _there(None)
    return Response(status_code=204)


def _table(service: Service) -> Timetable:
    return service.part(NAME, Timetable)


def _there(found: Schedule | None) -> Schedule:
    if found is None:
        raise Problem(404, "not-found", "there is no such schedule", remedy="GET /v1/schedules lists yours")
    return found


def _document(service: Service, one: Schedule) -> dict[str, JsonValue]:
    plan = one.plan if isinstance(one.plan, str) else str(one.plan.get("name", ""))
    return {
        "id": one.id,
        "name": one.name,
        "plan": plan,
        "cron": one.cron,
        "zone": one.zone,
        "at": one.at_s,
        "lane": one.lane,
        "missed": one.missed,
        "missed_max": one.missed_max,
        "state": one.state,
        "next": _table(service).next_s(one),
        "last": one.last_at_s,
        "last_run": one.last_run or None,
        "note": one.note,
        "created_at": one.created_at_s,
    }


__all__ = ["opener", "router"]
