"""A person's consent in front of a plan: a step that everything else waits for, and that fails without a yes."""

from collections.abc import Mapping

from orchestrator.ids import JsonValue
from orchestrator.plan.limits import ASK_EXPIRES_S
from orchestrator.plan.models import Plan
from orchestrator.plan.references import plan_graph

__all__ = ["CONSENT", "YES", "consent_step", "with_consent", "without_consent"]

CONSENT = "consent"  #: the step's name; with numbers behind it where the plan has one of that name
YES, NO = "run", "stop"
STEPS_MOST = 10_000_000  #: of a budget
_REFUSED = "nobody agreed to the plan"


def with_consent(plan: Plan, ask: str, show: JsonValue, *, expires_s: float = ASK_EXPIRES_S) -> Plan:
    """The plan with a question before its first steps. No answer in `expires_s` seconds is a no.

    A no fails the question's check, so that every step is skipped and the run fails, with that reason. Steps marked
    `finally` run all the same, as after any failure.
    """
    name = _free(plan)
    steps: dict[str, JsonValue] = {
        name: {
            "human": {"ask": ask, "show": show, "choices": [YES, NO], "expires": expires_s, "then": NO},
            "checks": [{"rule": f'output.choice == "{YES}"', "reason": _REFUSED}],
        }
    }
    data = plan.canonical()
    first = _first_steps(plan)
    for step_id, step in _steps(data).items():
        assert isinstance(step, dict)
        needs = step.get("needs") or []
        assert isinstance(needs, list)
        steps[step_id] = {**step, "needs": [*needs, name]} if step_id in first else step
    budget = data.get("budget", {})
    assert isinstance(budget, dict)
    return Plan.model_validate(
        {**data, "steps": steps, "budget": {**budget, "steps": min(plan.budget.steps + 1, STEPS_MOST)}}
    )


def without_consent(plan: Plan) -> Plan:
    """The plan as it was before `with_consent`; a plan without that question as it is."""
    name = consent_step(plan)
    if name is None:
        return plan
    data = plan.canonical()
    steps: dict[str, JsonValue] = {}
    for step_id, step in _steps(data).items():
        assert isinstance(step, dict)
        needs = step.get("needs")
        if step_id == name:
            continue
        if isinstance(needs, list) and name in needs:
            step = {key: value for key, value in step.items() if key != "needs"}  # noqa: PLW2901  # a changed copy
            if len(needs) > 1:
                step["needs"] = [one for one in needs if one != name]
        steps[step_id] = step
    budget = data.get("budget", {})
    assert isinstance(budget, dict)
    return Plan.model_validate({**data, "steps": steps, "budget": {**budget, "steps": plan.budget.steps - 1}})


def consent_step(plan: Plan) -> str | None:
    """The name of the question that `with_consent` put in front; None where there is none."""
    for step_id, step in plan.steps.items():
        if step.human is not None and any(check.reason == _REFUSED for check in step.checks):
            return step_id
    return None


def _steps(data: Mapping[str, JsonValue]) -> Mapping[str, JsonValue]:
    steps = data["steps"]
    assert isinstance(steps, dict)
    return steps


def _free(plan: Plan) -> str:
    number, name = 1, CONSENT
    while name in plan.steps:
        number += 1
        name = f"{CONSENT}{number}"
    return name


def _first_steps(plan: Plan) -> set[str]:
    """Steps that wait for no other: those of the plan that could start at once."""
    graph = plan_graph(plan)
    return {name for name, step in plan.steps.items() if not graph.into(name) and not step.finally_}
