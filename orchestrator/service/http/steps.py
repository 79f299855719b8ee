"""Routes that look into a run: steps, outputs by digest, the story, the costs."""

from typing import Annotated

from fastapi import APIRouter, Query, Response

from orchestrator.core import facts as f
from orchestrator.core.story import story
from orchestrator.core.summary import tally
from orchestrator.engine.recovery import read_all
from orchestrator.ids import JsonValue
from orchestrator.plan.models import canonical_json
from orchestrator.ports.journal import Recorded
from orchestrator.service.control_args import QuarantineArgs
from orchestrator.service.http.access import Approver, Reader
from orchestrator.service.http.answers import (
    ArtifactsOut,
    CostsOut,
    QuarantineOut,
    StepDetailOut,
    WhyOut,
    answer,
    told,
)
from orchestrator.service.http.attempts import Costs, StepStory
from orchestrator.service.http.bodies import STEP, Digested, QuarantineBody, RunName, StepName
from orchestrator.service.http.looking import find, records_of
from orchestrator.service.http.parts import Parts
from orchestrator.service.http.problems import RESPONSES, Problem

router = APIRouter(prefix="/v1/runs", tags=["steps"], responses=RESPONSES)
KEPT = "private, max-age=86400, immutable"  #: what a digest stands for never changes


@router.get("/{run}/steps/{step}", responses=told(StepDetailOut, "The step."), summary="Look at a step")
async def step(who: Reader, service: Parts, run: RunName, step: StepName) -> Response:
    """The step, or one branch of it, with every attempt."""
    row = await find(service, who, run)
    name, _, branch = step.partition("[")
    found = StepStory(name, int(branch[:-1]) if branch else None)
    async for record in records_of(service, row):
        found.add(record)
    document = found.document()
    if document is None:
        raise _no_step(row.run_id, step)
    return answer(document)


def _no_step(run: str, step: str) -> Problem:
    return Problem(404, "not-found", f"run {run} has no step {step!r}", remedy=f"GET /v1/runs/{run} names its steps")


@router.get("/{run}/artifacts", responses=told(ArtifactsOut, "Outputs by digest."), summary="List a run's outputs")
async def artifacts(who: Reader, service: Parts, run: RunName) -> Response:
    """Every output that a step of the run has produced or taken over."""
    row = await find(service, who, run)
    found: list[JsonValue] = []
    async for record in records_of(service, row):
        fact = record.fact
        if _holds_output(record) and isinstance(fact, f.StepProduced | f.StepReused):
            found.append({
                "digest": fact.digest,
                "step": fact.step,
                "branch": fact.branch if fact.branch >= 0 else None,
                "attempt": fact.attempt,
                "bytes": len(canonical_json(fact.output).encode()),
            })  # fmt: skip
    return answer({"artifacts": found})


@router.get(
    "/{run}/artifacts/{digest}",
    responses={200: {"description": "The output, as canonical JSON.", "content": {"application/json": {"schema": {}}}}},
    summary="Fetch an output",
)
async def artifact(who: Reader, service: Parts, run: RunName, digest: Digested) -> Response:
    """The output whose canonical JSON has this digest. Only what belongs to the run is found."""
    row = await find(service, who, run)
    async for record in records_of(service, row):
        fact = record.fact
        if _holds_output(record) and isinstance(fact, f.StepProduced | f.StepReused) and fact.digest == digest:
            headers = {"ETag": f'"{digest}"', "Cache-Control": KEPT}
            return Response(canonical_json(fact.output).encode(), 200, headers, "application/json")
    raise Problem(404, "not-found", f"run {row.run_id} has no output {digest}")


def _holds_output(record: Recorded) -> bool:
    return not record.forgotten


@router.get("/{run}/why", responses=told(WhyOut, "The story."), summary="Why a run or a step is where it is")
async def why(
    who: Reader,
    service: Parts,
    run: RunName,
    step: Annotated[str | None, Query(pattern=STEP, max_length=80, description="`draft`, or `draft[3]`.")] = None,
) -> Response:
    """What happened and what is waited for, in words."""
    row = await find(service, who, run)
    records = await read_all(service.journal, row.run_id)
    if step is not None and step.partition("[")[0] not in tally(records).steps:
        raise _no_step(row.run_id, step)
    lines: list[JsonValue] = [{"seq": one.seq, "at": one.at_s, "text": one.text} for one in story(records, step)]
    if row.parked and row.status == "open":
        lines.append({"seq": 0, "at": service.clock.now_s(), "text": f"the run is parked: {row.parked}"})
    return answer({"lines": lines})


@router.get("/{run}/costs", responses=told(CostsOut, "The costs."), summary="What a run cost")
async def costs(who: Reader, service: Parts, run: RunName) -> Response:
    """By step, model and pool, as of now."""
    found = Costs()
    async for record in records_of(service, await find(service, who, run)):
        found.add(record)
    return answer(found.document())


@router.post("/{run}/steps/{step}/quarantine", responses=told(QuarantineOut, "It was."), summary="Take a result back")
async def quarantine(who: Approver, service: Parts, run: RunName, step: StepName, body: QuarantineBody) -> Response:
    """Mark a passed result as wrong, with everything built on it. In an open run those steps fail."""
    row = await find(service, who, run)
    document = await service.desk.quarantine(
        QuarantineArgs(run=row.run_id, step=step, reason=body.reason, by=who.actor)
    )
    assert isinstance(document, dict), "as the desk says"
    return answer({"id": row.run_id, "step": step, "affected": document["affected"]})
