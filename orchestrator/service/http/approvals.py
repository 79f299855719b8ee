"""Routes of questions that wait for a person: what is asked, and the answer, with who and why."""

from fastapi import APIRouter, Response

from orchestrator.core.facts import ApprovalAnswered, ApprovalExpired
from orchestrator.errors import WrongState
from orchestrator.ports.journal import RunRow
from orchestrator.service.control_args import ApproveArgs
from orchestrator.service.http.access import Approver, Reader
from orchestrator.service.http.answers import AnswerOut, QuestionsOut, answer, told
from orchestrator.service.http.bodies import AnswerBody, RunName, StepName
from orchestrator.service.http.looking import find, questions_of, records_of
from orchestrator.service.http.parts import Parts, Service
from orchestrator.service.http.problems import RESPONSES
from orchestrator.service.http.state import Keeps

router = APIRouter(prefix="/v1", tags=["approvals"], responses=RESPONSES)


@router.get("/approvals", responses=told(QuestionsOut, "Open questions."), summary="What waits for a person")
async def approvals(who: Reader, service: Parts, kept: Keeps) -> Response:
    """Every open question of the tenant's runs and their sub-plans, the nearest deadline first."""
    return answer({"approvals": await questions_of(service, kept.tallies, who.tenant)})


@router.post(
    "/runs/{run}/approvals/{step}", responses=told(AnswerOut, "The answer counts."), summary="Answer a question"
)
async def approve(who: Approver, service: Parts, run: RunName, step: StepName, body: AnswerBody) -> Response:
    """Answer an open question; answered once it is in the journal. The same answer again changes nothing."""
    row = await find(service, who, run)
    args = ApproveArgs(run=row.run_id, step=step, choice=body.choice, reason=body.reason, by=who.actor)
    try:
        await service.desk.approve(args)
    except WrongState:
        settled = await last_answer(service, row, step)
        if settled is None or settled[0] != body.choice or settled[1] != who.actor:
            raise _told(row, step, settled) from None
    return answer({"id": row.run_id, "step": step, "choice": body.choice})


def _told(row: RunRow, step: str, settled: tuple[str, str] | None) -> WrongState:
    if settled is None:
        return WrongState(f"{row.run_id} {step}", "no such question is open", "GET /v1/approvals lists what is")
    choice, actor = settled
    said = f"answered already: {choice}, by {actor}" if actor else f"nobody answered in time; taken: {choice or 'fail'}"
    return WrongState(f"{row.run_id} {step}", said, "GET /v1/approvals lists what is still open")


async def last_answer(service: Service, row: RunRow, step: str) -> tuple[str, str] | None:
    """What was last chosen for a question of a run, and by whom; empty where the deadline chose."""
    name, _, rest = step.partition("[")
    branch = int(rest[:-1]) if rest else -1
    found: tuple[str, str] | None = None
    async for record in records_of(service, row):
        fact = record.fact
        if not isinstance(fact, ApprovalAnswered | ApprovalExpired):
            continue
        if (fact.step or "budget", fact.branch) == (name, branch):
            found = (fact.choice or "", fact.actor if isinstance(fact, ApprovalAnswered) else "")
    return found
