"""How many steps, how long and how dear a run can be, before any call; what is not known is said, not guessed."""

from dataclasses import dataclass

from orchestrator.plan.catalogue import PoolCatalogue
from orchestrator.plan.durations import format_duration
from orchestrator.plan.limits import SUBPLAN_DEPTH_MAX
from orchestrator.plan.models import Plan, Step
from orchestrator.plan.references import plan_graph

__all__ = ["Estimate", "branch_bounds", "estimate", "step_worst_s"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """A range. The upper ends are what the limits allow, not what is likely."""

    steps_least: int  #: first dispatches of a run that passes, with lists as short and conditions as false as can be
    steps_most: int | None  #: first dispatches at most, sub-plans included; None: a list's length is open
    wall_least_s: float  #: 0: no step declares a least duration, so nothing shorter can be excluded
    wall_most_s: float  #: along the critical path by `timeout.total`, or the budget and people's time when that is less
    critical_path: tuple[str, ...]
    usd_least: float
    usd_most: float  #: the budget: reserved before every call, so a run cannot spend more
    unknown: tuple[str, ...]  #: what would have to be known for a narrower range

    def render(self) -> str:
        """A few lines for people."""
        most = "open" if self.steps_most is None else f"{self.steps_most:,}"
        lines = [
            f"steps: {self.steps_least:,} to {most}",
            f"wall: at most {format_duration(self.wall_most_s)} along {' > '.join(_short(self.critical_path))}",
            f"price: {self.usd_least:.2f} to {self.usd_most:.2f} USD",
        ]
        return "\n".join([*lines, *(f"unknown: {reason}" for reason in self.unknown)])


def _short(path: tuple[str, ...]) -> tuple[str, ...]:
    return path if len(path) <= 12 else (*path[:6], f"({len(path) - 12:,} more)", *path[-6:])


def branch_bounds(plan: Plan, step_id: str) -> tuple[int, int | None]:
    """Least and most branches of a step; (1, 1) when it is not mapped, None where the list's length is open."""
    seen: set[str] = set()
    step: Step | None = plan.steps.get(step_id)
    while step is not None and step.foreach is not None and step.foreach.each is not None and step_id not in seen:
        seen.add(step_id)
        step_id = step.foreach.each
        step = plan.steps.get(step_id)
    if step is None or step.foreach is None or step_id in seen:
        return (1, 1) if not seen else (0, None)
    over = step.foreach.over
    if isinstance(over, list):
        return len(over), len(over)
    name = (over or "").strip().removeprefix("${{").removesuffix("}}").strip().removeprefix("inputs.")
    schema = plan.inputs.get(name, {})
    least, most = schema.get("minItems", 0), schema.get("maxItems")
    return (least if isinstance(least, int) else 0), (most if isinstance(most, int) else None)


def step_worst_s(plan: Plan, step: Step) -> float:
    """Seconds that a step can take at most by its own limits: attempts and waits, or the time a person has."""
    if step.human is not None:
        return step.human.expires
    if step.plan is not None:
        return (step.budget or step.plan.budget).wall
    if step.goal is not None and step.budget is not None:
        return step.budget.wall
    batch = step.model.batch if step.model is not None else None
    return (step.timeout or plan.defaults.timeout).total + (batch.deadline if batch is not None else 0.0)


def estimate(plan: Plan, catalogue: PoolCatalogue | None = None) -> Estimate:
    """The range of a plan. Functions declare no prices, so `catalogue` tells only which pools have an agent."""
    weights = {name: step_worst_s(plan, step) for name, step in plan.steps.items()}
    path, seconds = plan_graph(plan).critical_path(weights)
    return estimate_along(plan, path, seconds, catalogue)


def estimate_along(
    plan: Plan, path: tuple[str, ...], seconds: float, catalogue: PoolCatalogue | None = None
) -> Estimate:
    """`estimate` for a plan whose critical path is known."""
    least, most = _steps(plan)
    unknown: list[str] = []
    if most is None:
        opened = next(name for name in plan.steps if _open(plan, name))
        unknown.append(f"the length of the list of `{opened}`; budget.steps ({plan.budget.steps:,}) holds all the same")
    models = [name for name, step in plan.steps.items() if _may_call_models(step, catalogue)]
    if models:
        unknown.append(
            f"what the models of {len(models):,} steps cost (first: `{models[0]}`); workers declare no prices"
        )
    people_s = sum(human.expires for name in path if (human := plan.steps[name].human) is not None)
    unknown.append("how long steps take; workers declare no durations")
    return Estimate(
        steps_least=least,
        steps_most=None if most is None else min(most, max(plan.budget.steps, least)),
        wall_least_s=0.0,
        wall_most_s=min(seconds, plan.budget.wall + people_s),
        critical_path=path,
        usd_least=0.0,
        usd_most=plan.budget.usd,
        unknown=tuple(unknown),
    )


def _steps(plan: Plan, depth: int = 1) -> tuple[int, int | None]:
    least, most = 0, 0
    is_open = False
    for name, step in plan.steps.items():
        low, high = branch_bounds(plan, name)
        inner_low, inner_high = (
            _steps(step.plan, depth + 1) if step.plan is not None and depth <= SUBPLAN_DEPTH_MAX else (0, 0)
        )
        if step.if_ is None or step.if_ is True:
            least += low * (1 + inner_low)
        if high is None or inner_high is None:
            is_open = True
        else:
            most += high * (1 + inner_high)
        is_open = is_open or step.goal is not None
    return least, None if is_open else most


def _open(plan: Plan, name: str) -> bool:
    step = plan.steps[name]
    return (
        step.goal is not None
        or branch_bounds(plan, name)[1] is None
        or (step.plan is not None and _steps(step.plan)[1] is None)
    )


def _may_call_models(step: Step, catalogue: PoolCatalogue | None) -> bool:
    if step.task is not None or step.goal is not None or any(check.judge is not None for check in step.checks):
        return True
    return step.call is not None and (catalogue is None or catalogue.has_agent(step.pool or ""))
