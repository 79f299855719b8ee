"""Which plans leave the choice of a model's tier open."""

from orchestrator.plan.models import Plan
from orchestrator.plan.parts import AUTO


def leaves_tiers(plan: Plan) -> bool:
    """Whether a step of the plan, or of a sub-plan, says `tier: auto`."""
    return any(
        (step.model is not None and step.model.tier == AUTO) or (step.plan is not None and leaves_tiers(step.plan))
        for step in plan.steps.values()
    )
