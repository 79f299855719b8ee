"""`plan check`: everything that can be known to be wrong with a plan before anything runs."""

from collections.abc import Iterator
from typing import Final
from weakref import ReferenceType, ref

from orchestrator.errors import PlanError
from orchestrator.plan import limits
from orchestrator.plan.catalogue import PoolCatalogue
from orchestrator.plan.check_calls import check_calls
from orchestrator.plan.check_context import Checking
from orchestrator.plan.check_flow import check_flow, check_plain_texts
from orchestrator.plan.check_references import check_references
from orchestrator.plan.check_schemas import check_schemas
from orchestrator.plan.collecting import undisturbed
from orchestrator.plan.compiled import finally_dispatches
from orchestrator.plan.durations import format_duration
from orchestrator.plan.estimate import estimate_along, step_worst_s
from orchestrator.plan.graph import PlanGraph
from orchestrator.plan.issues import Issues, PlaceLookup
from orchestrator.plan.models import Plan, Step
from orchestrator.plan.parts import Budget, Part, Supervision
from orchestrator.plan.plan_types import PlanTypes
from orchestrator.plan.references import Use, graph_of, result_uses, uses_of
from orchestrator.plan.report import InForce, Report

__all__ = ["check_plan", "limits_in_force", "refuse_errors"]


def check_plan(plan: Plan, pools: PoolCatalogue | None = None, places: PlaceLookup | None = None) -> Report:
    """Check a plan whole, sub-plans included: linear in its steps and edges. Nothing is started or fetched.

    With `pools`, pools, functions and their arguments are checked too; with `places`, issues say where they stand.
    """
    with undisturbed():
        return _report(plan, pools, Issues(places))


def refuse_errors(plan: Plan, pools: PoolCatalogue | None = None) -> None:
    """`check_plan(plan, pools).raise_if_errors()` for a plan that is about to run, without a report for people.

    A plan that was found in order without pools, as by the builder, is only held against the pools.

    Raises:
        PlanError: everything that is wrong with the plan.
    """
    with undisturbed():
        issues = Issues()
        if pools is not None and plan.digest in _sound and not _asks_contracts(plan):
            _check_pools(plan, pools, issues, depth=1)
        else:
            _check(plan, pools, issues, depth=1)
        if issues.errors:
            raise PlanError(issues.errors)
        _remember(_sound, plan.digest)


_SOUND_MAX: Final = 1_024
_sound: dict[str, None] = {}  #: digests of plans without errors, of which at least the pools are not known


def _remember(known: dict[str, None], digest: str) -> None:
    """Add a digest; the oldest makes room."""
    if len(known) >= _SOUND_MAX:
        known.pop(next(iter(known)), None)
    known[digest] = None


def _uses(plan: Plan, issues: Issues) -> dict[str, list[Use]]:
    return {step_id: uses_of(step, issues.below(("steps", step_id))) for step_id, step in plan.steps.items()}


class _LastRead:
    """The expressions of the plan that was checked last: a builder's plan is held against pools right after."""

    def __init__(self) -> None:
        self._held: tuple[ReferenceType[Plan], dict[str, list[Use]]] | None = None

    def keep(self, plan: Plan, uses: dict[str, list[Use]]) -> None:
        """Hold the expressions of one plan, for as long as that plan lives."""
        self._held = ref(plan, self._gone), uses

    def take(self, plan: Plan) -> dict[str, list[Use]] | None:
        """The expressions of this very plan, once."""
        held = self._held
        if held is None or held[0]() is not plan:
            return None
        self._held = None
        return held[1]

    def _gone(self, dead: ReferenceType[Plan]) -> None:
        held = self._held
        if held is not None and held[0] is dead:
            self._held = None


_read = _LastRead()


def _asks_contracts(plan: Plan) -> bool:
    """Whether the types of some references follow from the contracts of pools."""
    return any(
        (step.call is not None and step.output is None) or (step.plan is not None and _asks_contracts(step.plan))
        for step in plan.steps.values()
    )


def _check_pools(plan: Plan, pools: PoolCatalogue, issues: Issues, depth: int) -> None:
    """The part of `_check` that asks the pools."""
    uses = _read.take(plan) or _uses(plan, issues)
    checking = Checking(
        plan=plan,
        issues=issues,
        pools=pools,
        uses=uses,
        result=[],
        graph=PlanGraph((), ()),
        types=PlanTypes(plan, pools),
    )
    check_calls(checking)
    for step_id, step in plan.steps.items():
        if step.plan is not None and depth <= limits.SUBPLAN_DEPTH_MAX:
            _check_pools(step.plan, pools, checking.at(step_id).below(("plan",)), depth + 1)


def _report(plan: Plan, pools: PoolCatalogue | None, issues: Issues) -> Report:
    checking = _check(plan, pools, issues, depth=1)
    weights = {step_id: step_worst_s(plan, step) for step_id, step in plan.steps.items()}
    path, seconds = checking.graph.critical_path(weights)
    return Report(
        errors=issues.errors,
        warnings=issues.warnings,
        in_force=tuple(limits_in_force(plan)),
        edges=tuple(checking.graph.edges.values()),
        critical_path=path,
        critical_path_s=seconds,
        estimate=estimate_along(plan, path, seconds, pools),
        generations=tuple(len(generation) for generation in checking.graph.generations),
    )


def _check(plan: Plan, pools: PoolCatalogue | None, issues: Issues, depth: int) -> Checking:
    uses = _uses(plan, issues)
    if depth == 1 and pools is None:
        _read.keep(plan, uses)
    checking = Checking(
        plan=plan,
        issues=issues,
        pools=pools,
        uses=uses,
        result=result_uses(plan, issues),
        graph=graph_of(plan, uses),
        types=PlanTypes(plan, pools),
    )
    check_schemas(checking)
    check_flow(checking)
    check_references(checking)
    check_calls(checking)
    _check_limits(checking)
    for step_id, step in plan.steps.items():
        check_plain_texts(step, checking.at(step_id))
        if step.plan is None:
            continue
        if depth > limits.SUBPLAN_DEPTH_MAX:
            told = f"plans lie more than {limits.SUBPLAN_DEPTH_MAX} deep inside plans"
            checking.at(step_id).error(("plan",), told, "a flatter plan")
        else:
            _check(step.plan, pools, checking.at(step_id).below(("plan",)), depth + 1)
    return checking


def _check_limits(checking: Checking) -> None:
    plan, issues = checking.plan, checking.issues
    needed = sum(step.foreach is None for step in plan.steps.values())
    if needed > plan.budget.steps:
        told = f"budget.steps is {plan.budget.steps:,}, and {needed:,} steps are not even mapped: the run cannot finish"
        issues.warning(("budget", "steps"), told, f"steps: {needed:,} or more, under `budget`")
    held = sum(finally_dispatches(step) for step in plan.steps.values())
    if held > plan.budget.steps:
        told = f"budget.steps is {plan.budget.steps:,}, and the `finally` steps alone need {held:,}, whatever happens"
        issues.error(("budget", "steps"), told, f"steps: {held + 1:,} or more, under `budget`")
    for step_id, step in plan.steps.items():
        at = checking.at(step_id)
        timeout = step.timeout
        if timeout is not None and timeout.attempt > timeout.total:
            told = (
                f"one attempt may take {format_duration(timeout.attempt)}, all of them {format_duration(timeout.total)}"
            )
            at.warning(("timeout", "attempt"), told, "an attempt shorter than the total")
        share = step.budget if step.budget is not None else step.plan.budget if step.plan is not None else None
        if share is not None:
            _check_share(step, share, plan.budget, at)


def _check_share(step: Step, share: Budget, whole: Budget, issues: Issues) -> None:
    path = ("budget",) if step.budget is not None else ("plan",)
    for name in ("usd", "tokens", "steps", "calls"):
        part, most = getattr(share, name), getattr(whole, name)
        if part is not None and most is not None and part > most:
            told = f"the share reserves {part:,g} {name} of a run that has {most:,g}"
            issues.warning(path, told, f"{name}: {most:,g} or less, under `budget` of the step")


def limits_in_force(plan: Plan) -> Iterator[InForce]:
    """Every limit that holds for a run of the plan; defaults are marked."""
    for name, part in (
        ("budget", plan.budget),
        ("defaults.timeout", plan.defaults.timeout),
        ("defaults.retry", plan.defaults.retry),
    ):
        yield from _written(name, part, everything=True)
    for step_id, step in plan.steps.items():
        for name, own in (("timeout", step.timeout), ("retry", step.retry), ("budget", step.budget)):
            if own is not None:
                yield from _written(f"steps.{step_id}.{name}", own, everything=False)
    yield InForce(path="foreach.max_parallel", value=str(limits.MAX_PARALLEL), default=True)
    yield InForce(path="human.expires", value=format_duration(limits.ASK_EXPIRES_S), default=True)
    for name in ("BRANCHES_MAX", "OUTPUT_BYTES_MAX", "OUTPUT_DEPTH_MAX", "SUBPLAN_DEPTH_MAX"):
        yield InForce(path=name.lower(), value=f"{getattr(limits, name):,}", default=True)
    if any(step.goal is not None and step.supervisor is None for step in plan.steps.values()):
        for field, info in Supervision.model_fields.items():
            if isinstance(info.default, int | float) and not isinstance(info.default, bool):
                yield InForce(path=f"supervisor.{field}", value=f"{info.default:g}", default=True)
    for name in ("LEASE_LOSSES_MAX", "CHECK_BROKEN_MAX", "REPLANS_MAX"):
        yield InForce(path=name.lower(), value=f"{getattr(limits, name):,}", default=True)


def _written(prefix: str, part: Part, *, everything: bool) -> Iterator[InForce]:
    dumped = part.model_dump(mode="json", by_alias=True)
    for field, info in type(part).model_fields.items():
        given = field in part.model_fields_set
        value = getattr(part, field)
        if value is None or not (given or everything):
            continue
        shown = dumped[info.alias or field]
        if isinstance(value, int | float) and not isinstance(shown, str):
            shown = f"{value:,g}" if isinstance(value, float) else f"{value:,}"
        elif isinstance(value, tuple):
            shown = ", ".join(value)
        yield InForce(path=f"{prefix}.{field}", value=str(shown), default=not given)
