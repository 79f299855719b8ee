"""Routes about what there is: plans with a name, pools with their work, and who asks."""

from collections.abc import Mapping

from fastapi import APIRouter, Response

from orchestrator.errors import OrchestratorError
from orchestrator.ids import JsonValue
from orchestrator.ports.tasks import Backlog
from orchestrator.service.http.access import AnyCaller, Caller, Reader
from orchestrator.service.http.answers import BacklogOut, MeOut, PlanOut, PlansOut, PoolsOut, answer, told
from orchestrator.service.http.bodies import PlanName, PoolId
from orchestrator.service.http.looking import work_of
from orchestrator.service.http.parts import Parts, Service
from orchestrator.service.http.problems import RESPONSES, Problem
from orchestrator.service.http.state import Keeps, Kept
from orchestrator.service.work_seen import WorkSeen

router = APIRouter(prefix="/v1", tags=["pools and plans"], responses=RESPONSES)


@router.get("/pools", responses=told(PoolsOut, "All pools."), summary="List pools")
async def pools(who: Reader, service: Parts, kept: Keeps) -> Response:
    """The pools that plans may name, with what they can do and what they have to do.

    That is the work of the key's tenant. A key that has the scope `metrics` too is told of all tenants.
    """
    work, known = await work_seen(who, service, kept), service.desk.pools_known
    rows: list[JsonValue] = []
    for name in sorted(known.pools()):
        functions: list[JsonValue] = [*known.functions(name)]
        rows.append({**work.of(name), "functions": functions, "agent": known.has_agent(name)})
    return answer({"pools": rows})


@router.get("/pools/{pool}/backlog", responses=told(BacklogOut, "Its backlog."), summary="The signal for scalers")
async def backlog(who: Reader, service: Parts, kept: Keeps, pool: PoolId) -> Response:
    """How much a pool has to do for the key's tenant.

    A key that has the scope `metrics` too is told of all tenants: waiting + delayed + running, which scalers go by.
    """
    if pool not in service.desk.pools_known.pools():
        raise Problem(404, "not-found", f"there is no pool {pool!r}", remedy="GET /v1/pools lists them")
    return answer((await work_seen(who, service, kept)).of(pool))


async def work_seen(who: Caller, service: Service, kept: Kept) -> WorkSeen:
    """The work of the caller's tenant, or of all for whoever has the scope `metrics`: the numbers of the whole process.

    Raises:
        OrchestratorError: the transport cannot be asked.
    """
    if "metrics" in who.scopes:
        return WorkSeen(everybody=await _backlogs(service))
    return WorkSeen(own=await work_of(service, kept.tallies, who.tenant))


async def _backlogs(service: Service) -> Mapping[str, Backlog]:
    """Work by pool: of the fleet, or of this process.

    Raises:
        OrchestratorError: the transport cannot be asked.
    """
    if service.fleet is not None:
        found = await service.fleet.backlog()
    elif service.desk.engine is not None:
        found = await service.desk.engine.transport.backlog()
    else:
        raise OrchestratorError("nobody here knows of work")
    return {str(one.pool): one for one in found}


@router.get("/plans", responses=told(PlansOut, "All plans."), summary="List plans that have a name")
async def plans(_: Reader, service: Parts) -> Response:
    """Plans of `serve --plans`, which a submission may name."""
    rows: list[JsonValue] = [
        {
            "name": name,
            "digest": plan.digest,
            "description": plan.description,
            "steps": len(plan.steps),
            "inputs": {given: dict(schema) for given, schema in plan.inputs.items()},
        }
        for name, plan in sorted(service.plans.items())
    ]
    return answer({"plans": rows})


@router.get("/plans/{name}", responses=told(PlanOut, "The plan."), summary="Look at a plan")
async def plan(_: Reader, service: Parts, name: PlanName) -> Response:
    """A plan that has a name, in its canonical form."""
    found = service.plans.get(name)
    if found is None:
        raise Problem(404, "not-found", f"there is no plan {name!r}", remedy="GET /v1/plans lists them")
    return answer({"name": found.name, "digest": found.digest, "plan": found.data})


@router.get("/me", responses=told(MeOut, "Whoever asks."), summary="Who asks, and what they may do")
async def me(who: AnyCaller) -> Response:
    """The tenant and the scopes of the key."""
    scopes: list[JsonValue] = [*sorted(who.scopes)]
    return answer({"tenant": who.tenant, "scopes": scopes, "name": who.name, "key": who.key_id})
