"""What people ask of a run that another process drives: left in the store, done by the owner, answered once."""

import json
import uuid
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Final, cast

import anyio
import structlog

from orchestrator.core import facts as f
from orchestrator.core.fact import WHOLE
from orchestrator.engine.recovery import read_all
from orchestrator.errors import OrchestratorError, OwnerUnreachable, PromiseError
from orchestrator.ids import JsonValue, RunId
from orchestrator.plan.patch import Patch
from orchestrator.ports.error_data import error_document, error_of
from orchestrator.ports.ownership import Petition, Petitions, Verb

if TYPE_CHECKING:
    from orchestrator.engine.engine import RunEngine

ANSWER_S: Final = 30.0  #: an owner answers within this, or whoever asked takes the petition back
READ_BACK_S: Final = 20.0  #: for a run that was taken over to be read back, before what is asked of it is refused
ARGS_BYTES_MAX: Final = 1 << 20
log = structlog.get_logger(__name__)


class Petitioner:
    """Leaves petitions, and waits for their answers."""

    def __init__(
        self,
        petitions: Petitions,
        change: Callable[[], Awaitable[None]],
        *,
        answer_s: float = ANSWER_S,
    ) -> None:
        self._petitions, self._change, self._answer_s = petitions, change, answer_s

    async def ask(self, run_id: RunId, verb: Verb, args: dict[str, JsonValue]) -> JsonValue:
        """The owner's answer.

        Raises:
            OwnerUnreachable: nobody answered in time; the text says whether it may still be done.
            OrchestratorError: what the owner says is wrong.
        """
        text = json.dumps(args)
        if len(text) > ARGS_BYTES_MAX:
            raise PromiseError(f"a request of {len(text):,} bytes", f"send at most {ARGS_BYTES_MAX:,}")
        name = uuid.uuid4().hex
        await self._petitions.ask(Petition(id=name, run_id=run_id, verb=verb, args=text))
        with anyio.move_on_after(self._answer_s):
            while True:
                answer = await self._petitions.answered(name)
                if answer is not None:
                    return _told(answer)
                await self._change()
        with anyio.CancelScope(shield=True):
            if await self._petitions.withdraw(name):
                raise OwnerUnreachable(run_id, 0, f"has not answered for {self._answer_s:g} s; nothing was changed")
            answer = await self._petitions.answered(name)
        if answer is not None:
            return _told(answer)
        raise OwnerUnreachable(run_id, 0, f"has not answered for {self._answer_s:g} s, and may still do it")


def _told(answer: str) -> JsonValue:
    document = json.loads(answer)
    if "error" in document:
        raise error_of(document["error"])
    return cast(JsonValue, document["value"])


async def serve(engine: "RunEngine", petitions: Petitions, petition: Petition) -> None:
    """Do what is asked, once, and answer."""
    told: dict[str, JsonValue]
    try:
        args = json.loads(petition.args)
        await _read_back(engine, petition.run_id)
        value = await _done_before(engine, petition, args) if petition.retaken else None
        told = {"value": value if value is not None else await _do(engine, petition, args)}
    except (OrchestratorError, ValueError, KeyError, TypeError) as error:
        told = {"error": cast(JsonValue, error_document(error))}
    except Exception as error:  # noqa: BLE001 # a petition must not be able to end the owner of the runs
        log.error("a petition failed", petition=petition.id, error=f"{type(error).__name__}: {error}")
        told = {"error": cast(JsonValue, error_document(error))}
    try:
        await petitions.answer(petition.id, engine.owner, json.dumps(told))
    except OrchestratorError as error:
        log.error("a petition could not be answered", petition=petition.id, error=str(error))


async def _read_back(engine: "RunEngine", run_id: RunId) -> None:
    """A run that was taken over a moment ago is owned here, and may not have been read yet: wait for that."""
    owning = engine.owning
    if owning is None:
        return
    with anyio.move_on_after(READ_BACK_S):
        while engine.driver(run_id) is None and not engine.parked_here(run_id) and await engine.ended(run_id) is None:
            await owning.change()


async def _do(engine: "RunEngine", petition: Petition, args: dict[str, str]) -> JsonValue:
    from orchestrator.engine.operations import Operations  # it asks petitioners itself

    here, run_id = Operations(engine, forward=False), petition.run_id
    match petition.verb:
        case "approve":
            await here.approve(run_id, args["step"], args["choice"], reason=args["reason"], by=args["by"])
            return {}
        case "cancel":
            await here.cancel(run_id, reason=args["reason"], by=args["by"])
            return {}
        case "quarantine":
            affected = await here.quarantine(run_id, args["step"], reason=args["reason"], by=args["by"])
            return {"affected": [*affected]}
        case "patch":
            digest = await here.patch(run_id, Patch.model_validate(args["patch"]), by=args["by"])
            return {"digest": digest}


async def _done_before(engine: "RunEngine", petition: Petition, args: dict[str, str]) -> JsonValue:
    """What an owner that has ended had done of this already, by the journal; None: nothing."""
    for record in await read_all(engine.journal, petition.run_id, after=petition.as_of_seq):
        fact = record.fact
        if petition.verb != "patch" and fact.actor != args["by"]:
            continue
        match petition.verb:
            case "approve" if isinstance(fact, f.ApprovalAnswered):
                step = fact.step or "budget"
                name = step if fact.branch == WHOLE else f"{step}[{fact.branch}]"
                if name == args["step"] and (fact.choice, fact.reason) == (args["choice"], args["reason"]):
                    return {}
            case "quarantine" if isinstance(fact, f.StepQuarantined):
                if (fact.step, fact.reason) == (args["step"], args["reason"]):
                    return {"affected": [*fact.affected]}
            case "patch" if isinstance(fact, f.PlanPatched):
                patch = Patch.model_validate(args["patch"])
                if fact.base == patch.base:
                    return {"digest": fact.digest}
            case _:
                continue
    return None
