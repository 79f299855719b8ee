"""What tenants do with schedules: make them, look at them, pause, resume and delete them."""

import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Final

from pydantic import ValidationError

from orchestrator.engine.submission import check_words, plain_inputs
from orchestrator.errors import ScheduleRefused
from orchestrator.ids import JsonValue, TenantId
from orchestrator.plan.inputs import validate_inputs
from orchestrator.plan.models import Plan
from orchestrator.plan.parts import Budget
from orchestrator.ports.clock import Clock
from orchestrator.ports.schedules import Missed, Schedule, Schedules
from orchestrator.service.schedules.ticks import YEARS, check_cron, next_s, woken, zone_of

SCHEDULES_MAX: Final = 1_000  #: of one tenant
MISSED_MAX: Final = 100  #: starts that `missed: all` may owe at once
NAME_CHARS_MAX: Final = 200
CHANGES_MAX: Final = 20  #: tries of a change that met another one
_YEAR_S: Final = 365.25 * 86_400


class Timetable:
    """The desk where schedules are looked after. What is not the tenant's own is not there: None or False."""

    def __init__(
        self,
        store: Schedules,
        clock: Clock,
        plans: Mapping[str, Plan],
        *,
        name: Callable[[], str] = lambda: secrets.token_hex(8),
    ) -> None:
        self.store, self._clock, self._plans, self._name = store, clock, plans, name

    async def create(
        self,
        plan: str | Plan,
        inputs: Mapping[str, JsonValue] | None = None,
        *,
        cron: str | None = None,
        at: datetime | float | None = None,
        zone: str = "UTC",
        name: str = "",
        tenant: TenantId = TenantId("default"),  # noqa: B008 # a name
        budget: Budget | None = None,
        lane: str = "normal",
        missed: Missed = "last",
        missed_max: int = 10,
        by: str = "",
    ) -> Schedule:
        """Start a plan by the clock: at the moments of `cron`, read in `zone`, or once `at` a moment.

        A plan that is named is looked up anew at each start; one that is handed over stays as it is. `at` is a datetime
        with a zone of its own, or seconds since the epoch; a moment that is over starts at once.

        Raises:
            ScheduleRefused: it could never start anything, or there are too many.
            PlanError, InputError: the inputs do not fit the plan.
        """
        now_s = self._clock.now_s()
        if (cron is None) == (at is None):
            raise ScheduleRefused(
                "a schedule is for a cron expression or for one moment", "say exactly one of cron and at"
            )
        if cron is not None:
            zone_of(zone)
            check_cron(cron, zone, now_s)
        if not 1 <= missed_max <= MISSED_MAX:
            raise ScheduleRefused(f"missed_max is {missed_max}", f"use 1 to {MISSED_MAX}")
        if len(name) > NAME_CHARS_MAX or not name.isprintable():
            raise ScheduleRefused("the name cannot be kept", f"use at most {NAME_CHARS_MAX} printable characters")
        check_words(lane, tenant, None)
        frozen = self._plans.get(plan) if isinstance(plan, str) else plan
        if frozen is None:
            raise ScheduleRefused(f"there is no plan {plan!r:.80}", "name one of this service, or hand one over whole")
        plain = plain_inputs(inputs or {})
        validate_inputs(frozen, plain)
        await self._make_room(tenant)
        at_s = _moment(at) if at is not None else None
        made = woken(
            Schedule(
                id=f"sc_{self._name()}",
                tenant=tenant,
                name=name or frozen.name,
                cron=cron,
                at_s=at_s,
                zone=zone,
                plan=plan if isinstance(plan, str) else frozen.data,
                inputs=plain,
                budget=budget.model_dump(mode="json", exclude_unset=True) if budget is not None else None,
                lane=lane,
                by=by,
                missed=missed,
                missed_max=missed_max,
                created_at_s=now_s,
                seen_s=now_s if at_s is None else min(now_s, at_s - 1.0),
            )
        )
        assert await self.store.save(made), "the id is new"
        return replace(made, version=1)

    async def _make_room(self, tenant: TenantId) -> None:
        held = await self.store.of_tenant(tenant)
        if len(held) < SCHEDULES_MAX:
            return
        done = next((one for one in held if one.state == "done"), None)
        if done is None:
            raise ScheduleRefused(f"the tenant has {SCHEDULES_MAX} schedules", "delete one")
        await self.store.remove(tenant, done.id)

    async def list(self, tenant: TenantId = TenantId("default")) -> Sequence[Schedule]:  # noqa: B008 # a name
        """Schedules of a tenant, oldest first."""
        return await self.store.of_tenant(tenant)

    async def get(self, schedule_id: str, tenant: TenantId = TenantId("default")) -> Schedule | None:  # noqa: B008 # a name
        """One schedule."""
        return await self.store.get(tenant, schedule_id)

    async def pause(self, schedule_id: str, tenant: TenantId = TenantId("default")) -> Schedule | None:  # noqa: B008 # a name
        """Start nothing more until it is resumed; what is owed already is started."""
        return await self._change(tenant, schedule_id, lambda one: replace(one, state="paused"), of="active")

    async def resume(self, schedule_id: str, tenant: TenantId = TenantId("default")) -> Schedule | None:  # noqa: B008 # a name
        """Go on from now: what came during the pause was not missed."""

        def change(one: Schedule) -> Schedule:
            seen_s = self._clock.now_s() if one.cron is not None else one.seen_s
            return replace(one, state="active", seen_s=max(one.seen_s, seen_s))

        return await self._change(tenant, schedule_id, change, of="paused")

    async def remove(self, schedule_id: str, tenant: TenantId = TenantId("default")) -> bool:  # noqa: B008 # a name
        """Delete a schedule. Runs it has started go on."""
        return await self.store.remove(tenant, schedule_id)

    def next_s(self, schedule: Schedule) -> float | None:
        """The next moment of a schedule."""
        return next_s(schedule, self._clock.now_s())

    async def _change(
        self, tenant: TenantId, schedule_id: str, change: Callable[[Schedule], Schedule], *, of: str
    ) -> Schedule | None:
        for _ in range(CHANGES_MAX):
            held = await self.store.get(tenant, schedule_id)
            if held is None or held.state != of:
                return held
            changed = woken(change(held))
            if await self.store.save(changed):
                return replace(changed, version=held.version + 1)
        raise ScheduleRefused(f"the schedule {schedule_id} keeps changing", "try again")


def _moment(at: datetime | float) -> float:
    if isinstance(at, datetime):
        if at.tzinfo is None:
            raise ScheduleRefused(f"{at.isoformat()} has no time zone", "write such as 2027-01-31T07:00:00+01:00")
        at_s = at.timestamp()
    else:
        at_s = float(at)
    if not YEARS[0] <= 1970 + at_s / _YEAR_S < YEARS[1]:
        raise ScheduleRefused("the moment lies outside of every calendar", "use seconds since 1970, or a date")
    return at_s


def plan_of(schedule: Schedule, plans: Mapping[str, Plan]) -> Plan:
    """The plan that a schedule starts.

    Raises:
        ScheduleRefused: no plan has the name any more, or what was kept is no plan of this release.
    """
    if isinstance(schedule.plan, str):
        found = plans.get(schedule.plan)
        if found is None:
            raise ScheduleRefused(
                f"there is no plan {schedule.plan!r:.80} any more", "put it back, or delete the schedule"
            )
        return found
    try:
        return Plan.model_validate(schedule.plan, by_alias=True, by_name=False)
    except ValidationError as error:
        raise ScheduleRefused(
            f"the plan that was kept is none of this release: {error.errors()[0]['msg']}", "make the schedule anew"
        ) from None


def key_of(schedule: Schedule, at_s: float) -> str:
    """The idempotency key of one start: the same for whoever starts it, which makes it one run."""
    return f"schedule/{schedule.id}/{datetime.fromtimestamp(at_s, UTC).strftime('%Y-%m-%dT%H:%M:%SZ')}"
