"""The clock's hand: decides which moments are to be started, and starts them. Any number of processes may do so.

A decision is kept by compare-and-set before anything is started; every start goes by an idempotency key that names
schedule and moment. So a moment is decided on once and starts one run, whatever clocks say and whoever dies between.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Final, Protocol

import anyio
import structlog

from orchestrator.errors import (
    AdmissionRefused,
    EngineClosed,
    IdempotencyConflict,
    JournalError,
    OrchestratorError,
    TransportError,
)
from orchestrator.ids import JsonValue
from orchestrator.plan.models import Plan
from orchestrator.plan.parts import Budget
from orchestrator.ports.clock import Clock
from orchestrator.ports.schedules import NOTE_CHARS_MAX, Schedule, Schedules
from orchestrator.service.schedules.ticks import due, next_s, woken
from orchestrator.service.schedules.timetable import key_of, plan_of

PAGE: Final = 200  #: schedules looked at in one go
POLL_S: Final = 0.5  #: between two looks
PASSING: Final = (AdmissionRefused, EngineClosed, JournalError, TransportError)  #: tried again at the next look
log = structlog.get_logger(__name__)


class Started(Protocol):
    """A run."""

    @property
    def id(self) -> str:
        """Its name."""
        ...


class Starts(Protocol):
    """What starts runs; an engine."""

    async def submit(
        self,
        plan: Plan,
        inputs: Mapping[str, JsonValue] | None = None,
        *,
        budget: Budget | None = None,
        lane: str = "normal",
        idempotency_key: str | None = None,
        tenant: str = "default",
    ) -> Started:
        """Accept a run, or give the one of this key."""
        ...


Acting = Callable[[Schedule], Starts]  #: what starts the runs of a schedule, within the caps of whoever made it


class Scheduler:
    """Looks at all schedules and starts what is due, until it is cancelled."""

    def __init__(
        self,
        store: Schedules,
        clock: Clock,
        engine: Starts,
        plans: Mapping[str, Plan],
        *,
        acting: Acting | None = None,
        poll_s: float = POLL_S,
    ) -> None:
        self._store, self._clock, self._plans, self._poll_s = store, clock, plans, poll_s
        self._acting: Acting = acting or (lambda _: engine)

    async def run(self) -> None:
        """Start what is due, for ever."""
        while True:
            more = False
            try:
                more = await self.look()
            except JournalError as error:
                log.error("schedules cannot be looked up", error=type(error).__name__)
            await anyio.sleep(0.0 if more else self._poll_s)

    async def look(self) -> bool:
        """Decide and start what is due now; whether there may be more."""
        page = await self._store.due(self._clock.now_s(), PAGE)
        settled = [await self._serve(schedule) for schedule in page]
        return len(page) == PAGE and any(settled)

    async def _serve(self, schedule: Schedule) -> bool:
        """One schedule; False: not now, or somebody else is at it."""
        decided = await self._decide(schedule, self._clock.now_s())
        if decided is None:
            return False
        for at_s in decided.owed:
            started = await self._start(decided, at_s)
            if started is None:
                return False
            decided = started
        return True

    async def _decide(self, schedule: Schedule, now_s: float) -> Schedule | None:
        """Keep which moments are owed, and that all up to now were decided on; None: the schedule has changed."""
        coming_s = next_s(schedule, schedule.seen_s)
        if coming_s is None or coming_s > now_s:
            return schedule
        return await self._save(
            replace(
                schedule,
                seen_s=now_s,
                owed=tuple(sorted({*schedule.owed, *due(schedule, now_s)})),
                state="done" if schedule.at_s is not None else schedule.state,
            )
        )

    async def _save(self, schedule: Schedule) -> Schedule | None:
        """Keep a change; None: somebody else was faster."""
        changed = woken(schedule)
        return replace(changed, version=changed.version + 1) if await self._store.save(changed) else None

    async def _start(self, schedule: Schedule, at_s: float) -> Schedule | None:
        """Start one moment and strike it off; None: not now, or somebody else has changed the schedule."""
        run, note = "", ""
        try:
            budget = Budget.model_validate(schedule.budget) if schedule.budget is not None else None
            started = await self._acting(schedule).submit(
                plan_of(schedule, self._plans),
                schedule.inputs,
                budget=budget,
                lane=schedule.lane,
                idempotency_key=key_of(schedule, at_s),
                tenant=schedule.tenant,
            )
            run = started.id
        except IdempotencyConflict as conflict:  # started before the plan of this name was changed
            run = conflict.run_id
        except PASSING as error:
            log.warning("a scheduled run has to wait", schedule=schedule.id, error=type(error).__name__)
            return None
        except OrchestratorError as error:
            note = f"{type(error).__name__}: {error}".replace("\0", "\ufffd")[:NOTE_CHARS_MAX]
            log.error("a scheduled run cannot be started", schedule=schedule.id, error=type(error).__name__)
        newest = schedule.last_at_s is None or at_s >= schedule.last_at_s
        return await self._save(
            replace(
                schedule,
                owed=tuple(one for one in schedule.owed if one != at_s),
                last_at_s=at_s if newest else schedule.last_at_s,
                last_run=run if newest else schedule.last_run,
                note=note if newest else schedule.note,
            )
        )
