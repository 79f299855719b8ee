"""Schedules of an open engine: the desk where they are looked after, and the hand that starts what is due."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

import anyio

from orchestrator.app import Engine
from orchestrator.app.schedules import open_schedules
from orchestrator.plan.models import Plan
from orchestrator.service.schedules.scheduler import Acting, Scheduler
from orchestrator.service.schedules.timetable import Timetable


@asynccontextmanager
async def scheduling(
    engine: Engine, plans: Mapping[str, Plan] | None = None, *, acting: Acting | None = None
) -> AsyncIterator[Timetable]:
    """`async with Engine(...) as engine, scheduling(engine) as table: await table.create(plan, cron="0 7 * * *")`.

    `plans` are those that schedules may name; `acting` is what starts their runs, where that is not the engine itself.
    What comes due while nobody has the store open was missed, and is treated as each schedule says.

    Raises:
        PromiseError: the journal keeps no schedules.
    """
    store = await open_schedules(engine.runs.journal)
    clock = engine.runs.clock
    known = plans or {}
    async with anyio.create_task_group() as group:
        group.start_soon(Scheduler(store, clock, engine, known, acting=acting).run, name="schedules")
        yield Timetable(store, clock, known)
        group.cancel_scope.cancel()
