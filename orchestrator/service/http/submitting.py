"""From a request's body to a run: the plan it names, the room it needs, the answer it gets."""

from collections.abc import Awaitable, Callable
from typing import Final

from pydantic import ValidationError

from orchestrator.app.safety import passed_text
from orchestrator.engine.handle import Run
from orchestrator.engine.run_ids import new_run_id
from orchestrator.engine.submission import budget_over
from orchestrator.errors import IdempotencyConflict
from orchestrator.ids import JsonValue, RunId
from orchestrator.plan.models import Plan
from orchestrator.ports.journal import RunQuery, RunRow
from orchestrator.service.http.access import Caller
from orchestrator.service.http.admission import Admission
from orchestrator.service.http.bodies import SubmitBody
from orchestrator.service.http.limits import RETRY_AFTER_S
from orchestrator.service.http.parts import Service
from orchestrator.service.http.problems import Problem, retry_after
from orchestrator.service.http.spending import Spending
from orchestrator.service.webhooks.receivers import Receivers
from orchestrator.supervisor.rules import Supervisor

Begin = Callable[[RunId], Awaitable[Run]]  #: starts a run, under this id where it can be chosen
NAMED_MAX: Final = 20  #: plans that an error names


class Submitting:
    """Takes submissions for one service."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._admission, self._spending = Admission(service), Spending(service)

    async def submit(self, who: Caller, body: SubmitBody, key: str | None, trace: str) -> RunRow:
        """Accept a run, or give the one that the key names.

        Raises:
            Problem, OrchestratorError: nothing was created.
        """
        plan = plan_of(body, self._service)
        receivers = self._service.part("webhooks", Receivers) if body.callback_url is not None else None
        if receivers is not None and body.callback_url is not None:
            await receivers.vet(who.tenant, body.callback_url)

        async def begin(run_id: RunId) -> Run:
            await self._service.vet(plan)
            return await self._service.engine.submit(
                plan,
                body.inputs,
                budget=body.budget,
                lane=body.lane,
                idempotency_key=key,
                tenant=who.tenant,
                run_id=run_id,
                trace=trace,
                by=who.actor,
            )

        row = await self.enter(who, body.lane, budget_over(plan, body.budget).usd, key, begin)
        if receivers is not None and body.callback_url is not None:
            await receivers.call_back(who.tenant, row.run_id, body.callback_url)
        return row

    async def enter(self, who: Caller, lane: str, usd: float, key: str | None, begin: Begin) -> RunRow:
        """Begin a run that may spend `usd`, where there is room for it; one that the key names already needs none.

        Raises:
            Problem: there is no room, or the key belongs to another lane's run.
            OrchestratorError: as `begin`.
        """
        why = self._service.ready()
        if why:
            said = f"nothing new is taken: the service is {why}"
            raise Problem(503, "unavailable", said, remedy="ask again", headers=retry_after(RETRY_AFTER_S))
        run_id = new_run_id(self._service.clock.now_s())
        known = await self._known(who, key) if key is not None else None
        if known is None:
            await self._admission.look(who, lane)
            if who.caps.usd_per_day is not None:
                await self._spending.reserve(who.tenant, run_id, usd, who.caps.usd_per_day)
            try:
                with self._admission.place(who, lane, run_id):
                    run = await begin(run_id)
            except BaseException:
                self._spending.drop(who.tenant, run_id)
                raise
            if run.id != run_id:  # a retry has an id of its own; or a request with this key was a moment faster
                self._admission.rename(run_id, run.id)
                self._spending.rename(who.tenant, run_id, run.id)
        else:
            run = await begin(run_id)
        (row,) = await self._service.journal.runs(RunQuery(run_id=run.id, tenant=who.tenant, limit=1))
        if row.lane != lane and key is not None:
            raise IdempotencyConflict(key, row.run_id)
        return row

    async def _known(self, who: Caller, key: str) -> RunRow | None:
        rows = await self._service.journal.runs(RunQuery(tenant=who.tenant, idempotency_key=key, limit=1))
        return rows[0] if rows else None


def plan_of(body: SubmitBody, service: Service) -> Plan:
    """The plan that a submission speaks of.

    Raises:
        Problem: no plan has this name, or what was sent is no plan.
        InputError: the goal holds people's data, and the settings refuse that.
    """
    if body.goal is not None:
        rules = service.supervisor or Supervisor()
        said = passed_text(service.settings.safety, "goal", body.goal)
        goal = rules.goal(said, output=body.output, constraints=body.constraints, budget=body.budget)
        return _read(goal.freeze)
    if isinstance(body.plan, str):
        found = service.plans.get(body.plan)
        if found is None:
            names = ", ".join([*service.plans][:NAMED_MAX]) or "none"
            raise Problem(422, "plan-invalid", f"there is no plan {body.plan!r}", remedy=f"plans with a name: {names}")
        return found
    return _read(lambda: Plan.model_validate(body.plan, by_alias=True, by_name=False))


def _read(make: Callable[[], Plan]) -> Plan:
    try:
        return make()
    except ValidationError as error:
        places = [(".".join(("plan", *map(str, one["loc"]))), one["msg"]) for one in error.errors()]
        said = f"{places[0][0]}: {places[0][1]}" if len(places) == 1 else f"{len(places)} mistakes"
        raise Problem(
            422, "plan-invalid", said, errors=places, remedy="docs/plan-format.md lists every key of a plan"
        ) from None


def accepted(row: RunRow) -> dict[str, JsonValue]:
    """The answer to a submission: equal for every repetition."""
    return {
        "id": row.run_id,
        "plan": row.plan,
        "lane": row.lane,
        "origin": row.origin,
        "accepted_at": row.accepted_at_s,
        "href": href(row.run_id),
    }


def href(run_id: str) -> str:
    """Where a run is."""
    return f"/v1/runs/{run_id.replace('#', '%23').replace('[', '%5B').replace(']', '%5D')}"
