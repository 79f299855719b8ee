"""Runs that a schedule starts, within the caps of the key that made it; a key that is revoked starts nothing more."""

from collections.abc import Mapping
from dataclasses import dataclass

from orchestrator.app import Engine
from orchestrator.engine.handle import Run
from orchestrator.engine.submission import budget_over
from orchestrator.errors import AdmissionRefused, ScheduleRefused
from orchestrator.ids import JsonValue, RunId, TenantId
from orchestrator.plan.models import Plan
from orchestrator.plan.parts import Budget
from orchestrator.ports.schedules import Schedule
from orchestrator.service.http.access import LOCAL, Caller
from orchestrator.service.http.key_text import is_in_force
from orchestrator.service.http.limits import RETRY_AFTER_S
from orchestrator.service.http.parts import Service
from orchestrator.service.http.problems import Problem
from orchestrator.service.http.submitting import Submitting
from orchestrator.service.schedules.scheduler import Acting

NOT_NOW = 429  #: there is no room for the tenant at the moment, or its spending is at its cap


@dataclass(frozen=True, slots=True, kw_only=True)
class Begun:
    """A run that was accepted."""

    id: str


def acting_for(service: Service, engine: Engine) -> Acting:
    """What starts the runs of each schedule."""
    submitting = Submitting(service)
    return lambda schedule: _Acting(service, engine, submitting, schedule)


class _Acting:
    """Starts runs as the key that made a schedule would."""

    def __init__(self, service: Service, engine: Engine, submitting: Submitting, schedule: Schedule) -> None:
        self._service, self._engine, self._submitting, self._schedule = service, engine, submitting, schedule

    async def submit(
        self,
        plan: Plan,
        inputs: Mapping[str, JsonValue] | None = None,
        *,
        budget: Budget | None = None,
        lane: str = "normal",
        idempotency_key: str | None = None,
        tenant: str = "default",
    ) -> Begun:
        """As `Engine.submit`.

        Raises:
            AdmissionRefused: the tenant has no room, or no money, at the moment.
            ScheduleRefused: the key is not in force any more, or may not do this.
        """
        who = await self._caller(TenantId(tenant))

        async def begin(run_id: RunId) -> Run:
            await self._service.vet(plan)
            return await self._engine.runs.submit(
                plan,
                inputs,
                budget=budget,
                lane=lane,
                idempotency_key=idempotency_key,
                tenant=tenant,
                run_id=run_id,
                by=f"{who.actor}, by schedule {self._schedule.id}",
            )

        usd = budget_over(plan, budget).usd
        try:
            row = await self._submitting.enter(who, lane, usd, idempotency_key, begin)
        except Problem as problem:
            if problem.status == NOT_NOW:
                raise AdmissionRefused(0, 0, RETRY_AFTER_S) from problem
            raise ScheduleRefused(problem.detail, problem.remedy or "make the schedule anew") from problem
        return Begun(id=row.run_id)

    async def _caller(self, tenant: TenantId) -> Caller:
        if self._service.keys is None:
            return LOCAL
        found = await self._service.keys.get(self._schedule.by) if self._schedule.by else None
        if found is None or found.tenant != tenant or not is_in_force(found, self._service.clock.now_s()):
            raise ScheduleRefused(
                "the key that made this schedule is not in force any more", "make the schedule anew with another key"
            )
        return Caller(tenant=tenant, scopes=frozenset(found.scopes), key_id=found.id, name=found.name, caps=found.caps)
