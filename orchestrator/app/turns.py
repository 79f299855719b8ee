"""What is asked in a turn, made ready before it takes its place; and how the end of a run reads as an answer."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, TypeAlias

from orchestrator.app.safety import passed_text
from orchestrator.core.results import Cancelled, Degraded, Failed, RunResult, Stopped, Succeeded
from orchestrator.engine.promises import speaks_of_session
from orchestrator.engine.submission import Freezable, check_words, plain_inputs
from orchestrator.errors import PromiseError
from orchestrator.ids import Digest, JsonValue
from orchestrator.plan.inputs import validate_inputs
from orchestrator.plan.models import Plan, digest_of
from orchestrator.plan.parts import Budget
from orchestrator.ports.sessions import TurnStatus
from orchestrator.sessions.changes import Answer

if TYPE_CHECKING:
    from orchestrator.app.engine import Engine

TEXT_INPUT: Final = "text"  #: the input of a plan that takes what was said
#: What a goal is told of its conversation, beside its own words.
CONVERSATION: Final = {"conversation": "${{ session.turns }}", "earlier": "${{ session.summary }}"}
Askable: TypeAlias = Plan | Freezable | str


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """A turn that is in order: its plan fits the engine, its inputs fit the plan."""

    plan: Plan
    text: str
    inputs: dict[str, JsonValue]
    budget: Budget | None
    lane: str
    request: Digest  #: what an idempotency key stands for


def asked_for(
    engine: "Engine",
    what: Askable,
    text: str | None,
    inputs: Mapping[str, JsonValue] | None,
    budget: Budget | None,
    lane: str,
) -> Asked:
    """Check what is asked in a turn, and strike what the settings strike from inputs. Nothing is written.

    Raises:
        PlanError, PromiseError, InputError: as of `Engine.submit`; or the plan could not see what was said.
    """
    check_words(lane, "default", None)
    safety = engine.settings.safety
    text = None if text is None else passed_text(safety, TEXT_INPUT, text)
    if isinstance(what, str):
        goal = passed_text(safety, "goal", what)
        plan, said = goal_plan(engine, goal), goal if text is None else text
    else:
        plan, said = (what if isinstance(what, Plan) else what.freeze()), text or ""
        if text is None:
            raise PromiseError("a turn without words", "say what was said: session.ask(plan, text)")
    plan = with_conversation(plan)
    given = plain_inputs(inputs or {})
    if TEXT_INPUT in plan.inputs:
        given.setdefault(TEXT_INPUT, said)
    elif not speaks_of_session(plan):
        raise PromiseError(
            f"plan {plan.name} cannot see what was said",
            f"give it an input `{TEXT_INPUT}`, or let a step refer to session.turns",
        )
    engine.runs.prepare(plan, True)
    whole = validate_inputs(plan, given)
    limits: JsonValue = budget.model_dump(mode="json", exclude_unset=True) if budget is not None else None
    return Asked(
        plan=plan,
        text=said,
        inputs=given,
        budget=budget,
        lane=lane,
        request=digest_of({"plan": plan.digest, "inputs": whole, "budget": limits, "text": said}),
    )


def goal_plan(engine: "Engine", goal: str) -> Plan:
    """The plan around a goal, by the rules of the engine's supervisor."""
    from orchestrator.supervisor.rules import Supervisor

    return (engine.supervisor or Supervisor()).goal(goal).freeze()


def with_conversation(plan: Plan) -> Plan:
    """The plan with its goal told of the conversation, where it is one goal and does not speak of it itself."""
    if len(plan.steps) != 1 or speaks_of_session(plan):
        return plan
    ((name, step),) = plan.steps.items()
    if step.goal is None or set(CONVERSATION) & set(step.with_ or ()):
        return plan
    told = step.model_copy(update={"with_": {**(step.with_ or {}), **CONVERSATION}})
    return Plan.model_validate({**_parts(plan), "steps": {name: told}})


def _parts(plan: Plan) -> dict[str, object]:
    return {name: getattr(plan, name) for name in plan.model_fields_set if name != "steps"}


def text_of(result: RunResult) -> str:
    """What a run answered, as a turn keeps it: its output, as JSON where it is no text; empty where there is none."""
    match result:
        case Succeeded(output=output) | Degraded(output=output):
            return output if isinstance(output, str) else json.dumps(output, ensure_ascii=False)
        case Stopped(partial=partial):
            return json.dumps(partial, ensure_ascii=False) if partial else ""
        case Failed() | Cancelled():
            return ""


def answer_of(result: RunResult, at_s: float) -> Answer:
    """The end of a run as the answer of its turn."""
    return Answer(
        run_id=result.run_id,
        content=text_of(result),
        status=_STATUS[type(result)],
        at_s=at_s,
        tokens=result.usage.tokens,
        usd=result.usage.usd,
    )


_STATUS: Final[Mapping[type[RunResult], TurnStatus]] = {
    Succeeded: "succeeded",
    Degraded: "degraded",
    Stopped: "stopped",
    Failed: "failed",
    Cancelled: "cancelled",
}
