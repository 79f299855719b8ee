"""Routes of runs: submit, list, look, cancel, retry, fork."""

from typing import Annotated

from fastapi import APIRouter, Query, Response

from orchestrator.core.facts import RunAccepted
from orchestrator.core.run_facts import PlanFrozen, PlanPatched
from orchestrator.engine.handle import Run
from orchestrator.engine.operations import Operations
from orchestrator.engine.recovery import machine_of, read_all
from orchestrator.ids import JsonValue, RunId
from orchestrator.plan.parts import Budget
from orchestrator.ports.journal import RunQuery, RunRow
from orchestrator.ports.tasks import Lane
from orchestrator.service.control_args import CancelArgs
from orchestrator.service.http.access import Caller, Reader, Runner
from orchestrator.service.http.answers import LOCATION, AcceptedOut, CancelOut, PlanOut, RunOut, RunsOut, answer, told
from orchestrator.service.http.bodies import (
    NAME,
    RUN,
    CancelBody,
    Cursor,
    ForkBody,
    Key,
    Limit,
    RetryBody,
    RunName,
    Statuses,
    SubmitBody,
    Trace,
)
from orchestrator.service.http.limits import PAGE
from orchestrator.service.http.looking import find, row_document, run_document
from orchestrator.service.http.parts import Parts, Service
from orchestrator.service.http.problems import RESPONSES, Problem
from orchestrator.service.http.state import Keeps, Kept
from orchestrator.service.http.submitting import Begin, accepted, href

router = APIRouter(prefix="/v1/runs", tags=["runs"], responses=RESPONSES)
TAKEN = told(AcceptedOut, "The run exists, whatever happens to this process.", 202, headers=LOCATION)


@router.post("", status_code=202, responses=TAKEN, summary="Start a run")
async def submit(who: Runner, kept: Keeps, body: SubmitBody, key: Key = None, trace: Trace = "") -> Response:
    """Accept a plan by name, a whole plan, or a goal; answered as soon as it is in the journal."""
    return _accepted(await kept.submitting.submit(who, body, key, trace))


@router.get("", responses=told(RunsOut, "A page of runs, newest first."), summary="List runs")
async def runs(
    who: Reader,
    service: Parts,
    kept: Keeps,
    status: Statuses = [],  # noqa: B006  # never changed
    plan: Annotated[str | None, Query(pattern=NAME, max_length=64)] = None,
    lane: Annotated[Lane | None, Query()] = None,
    origin: Annotated[str | None, Query(pattern=RUN, max_length=512)] = None,
    parent: Annotated[str | None, Query(pattern=RUN, max_length=512, description="Sub-plans of this run.")] = None,
    limit: Limit = PAGE,
    cursor: Cursor = None,
) -> Response:
    """Runs of the caller's tenant, newest first, without sub-plans unless a parent is named."""
    if cursor is not None:
        await _must_be_there(service, who, cursor)
    query = RunQuery(
        tenant=who.tenant,
        status=tuple(status) or None,
        plan=plan,
        lane=lane,
        origin=RunId(origin) if origin is not None else None,
        parent=RunId(parent) if parent is not None else None,
        top_level=parent is None,
        before=RunId(cursor) if cursor is not None else None,
        limit=limit + 1,
    )
    rows = await service.journal.runs(query)
    shown = rows[:limit]
    documents = [await row_document(service, row, kept.tallies) for row in shown]
    return answer({"runs": documents, "next": shown[-1].run_id if len(rows) > limit else None})


async def _must_be_there(service: Service, who: Caller, cursor: str) -> None:
    if not await service.journal.runs(RunQuery(run_id=RunId(cursor), tenant=who.tenant, limit=1)):
        said = "the run that the cursor stands for is gone"
        raise Problem(422, "invalid", said, remedy="begin again without a cursor", errors=[("query.cursor", said)])


@router.get("/{run}", responses=told(RunOut, "The run."), summary="Look at a run")
async def run(who: Reader, service: Parts, kept: Keeps, run: RunName) -> Response:
    """The run with its steps, its result and what it asks."""
    return answer(await run_document(service, await find(service, who, run), kept.tallies))


@router.get("/{run}/plan", responses=told(PlanOut, "The plan, patches included."), summary="The plan of a run")
async def plan(who: Reader, service: Parts, run: RunName) -> Response:
    """The plan as it is now: what was frozen, with every patch that was applied since."""
    row = await find(service, who, run)
    engine = service.desk.engine
    driver = engine.driver(row.run_id) if engine is not None else None
    if driver is not None:
        now = driver.machine.state.plan.plan
        return answer({"name": now.name, "digest": now.digest, "plan": now.data})
    records = await read_all(service.journal, row.run_id)
    frozen = next((one for one in records if isinstance(one.fact, PlanFrozen)), None)
    if frozen is None or frozen.forgotten or not isinstance(frozen.fact, PlanFrozen):
        raise Problem(404, "not-found", "the plan of this run was forgotten")
    if any(isinstance(one.fact, PlanPatched) for one in records):
        patched = machine_of(records).state.plan.plan
        return answer({"name": patched.name, "digest": patched.digest, "plan": patched.data})
    return answer({"name": row.plan, "digest": frozen.fact.digest, "plan": frozen.fact.plan})


@router.post("/{run}/cancel", responses=told(CancelOut, "Nothing new is started."), summary="Cancel a run")
async def cancel(who: Runner, service: Parts, run: RunName, body: CancelBody | None = None) -> Response:
    """Cancel a run; safe to repeat. Steps marked `finally` still run."""
    row = await find(service, who, run)
    args = CancelArgs(run=row.run_id, reason=body.reason if body is not None else "", by=who.actor)
    document = await service.desk.cancel(args)
    assert isinstance(document, dict), "as the desk says"
    return answer({"id": row.run_id, "status": document["status"], "over": document["over"]})


@router.post("/{run}/retry", status_code=202, responses=TAKEN, summary="Run again what did not pass")
async def retry(
    who: Runner,
    service: Parts,
    kept: Keeps,
    run: RunName,
    body: RetryBody | None = None,
    key: Key = None,
    trace: Trace = "",
) -> Response:
    """Start a new run of an ended one. What passed is taken over and not paid for again."""
    row = await find(service, who, run)
    asked = body or RetryBody()

    async def begin(_: RunId) -> Run:
        return await Operations(service.engine).retry(
            row.run_id, step=asked.step, budget=asked.budget, idempotency_key=key, trace=trace, by=who.actor
        )

    return _accepted(await _again(who, service, kept, row, asked.budget, key, begin))


@router.post("/{run}/fork", status_code=202, responses=TAKEN, summary="Run again from a step, with other inputs")
async def fork(
    who: Runner, service: Parts, kept: Keeps, run: RunName, body: ForkBody, key: Key = None, trace: Trace = ""
) -> Response:
    """Start a new run from a step of an ended one. What is not below the step is taken over."""
    row = await find(service, who, run)

    async def begin(_: RunId) -> Run:
        return await Operations(service.engine).fork(
            row.run_id,
            step=body.step,
            inputs=body.inputs,
            budget=body.budget,
            idempotency_key=key,
            trace=trace,
            by=who.actor,
        )

    return _accepted(await _again(who, service, kept, row, body.budget, key, begin))


async def _again(
    who: Caller,
    service: Service,
    kept: Kept,
    row: RunRow,
    budget: Budget | None,
    key: str | None,
    begin: Begin,
) -> RunRow:
    """Begin a run of an ended one, with the budget that one had where nothing else is said."""
    first = await service.journal.read(row.run_id, limit=1)
    fact = first[0].fact if first else None
    had = fact.usd if isinstance(fact, RunAccepted) else 0.0
    usd = budget.usd if budget is not None and "usd" in budget.model_fields_set else had
    return await kept.submitting.enter(who, row.lane, usd, key, begin)


def _accepted(row: RunRow) -> Response:
    document: dict[str, JsonValue] = accepted(row)
    return answer(document, 202, {"Location": href(row.run_id)})
