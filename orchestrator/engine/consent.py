"""Plans for goals that may cost more than somebody allowed begin with a question to a person."""

from dataclasses import replace

from orchestrator.ids import JsonValue
from orchestrator.plan.consent import with_consent
from orchestrator.plan.models import Plan, Step
from orchestrator.ports.planner import GoalPlanner, GoalRequest, Planned


class Consenting:
    """A goal planner that keeps `supervisor.approve_above`. The question is part of the plan, so it survives a crash,
    is answered with `orchestrator approve`, and nobody runs the plan around it."""

    def __init__(self, planner: GoalPlanner) -> None:
        self._planner = planner

    def refusal(self, step: Step) -> str:
        """See `GoalPlanner`."""
        return self._planner.refusal(step)

    async def plan(self, request: GoalRequest) -> Planned:
        """See `GoalPlanner`; the same errors."""
        planned = await self._planner.plan(request)
        limit_usd = request.supervision.approve_above
        if limit_usd is None or (limit_usd > 0 and planned.usd_estimate <= limit_usd):
            return planned
        ask = f"Run this plan? Its estimate is {planned.usd_estimate:.2f} USD; above {limit_usd:.2f} USD you are asked."
        return replace(planned, plan=with_consent(planned.plan, ask, outline(planned.plan)))


def outline(plan: Plan) -> JsonValue:
    """What a person needs to know of a plan to agree: each step, where it runs, and what it does."""
    return {name: " · ".join(filter(None, (step.pool or step.kind, _what(step)))) for name, step in plan.steps.items()}


def _what(step: Step) -> str:
    return step.task or step.call or step.goal or (step.human.ask if step.human is not None else "") or step.description
