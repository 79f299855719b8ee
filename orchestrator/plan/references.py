"""Every expression of a step with the place it stands at, and the edges that follow from them."""

from collections.abc import Iterator
from typing import NamedTuple

from orchestrator.errors import ExpressionError
from orchestrator.ids import JsonValue
from orchestrator.plan.expressions import VALUE_DEPTH_MAX, Expression, Ref, bare, text_parts
from orchestrator.plan.graph import Edge, PlanGraph
from orchestrator.plan.issues import Issues, Path
from orchestrator.plan.models import Plan, Step

__all__ = ["Use", "edges_of", "graph_of", "plan_graph", "refs_to_steps", "result_uses", "uses_of"]


class Use(NamedTuple):
    """One expression at one place of a step, or of `result`."""

    path: Path  #: below the step; below the plan for `result`
    expression: Expression
    whole: bool  #: the value keeps its type; False: it is spliced into a text
    in_check: bool = False


def uses_of(step: Step, issues: Issues) -> list[Use]:
    """All expressions of a step; an unreadable one becomes an error of `issues`, which stands at the step."""
    uses: list[Use] = []
    if isinstance(step.if_, str):
        _one(("if",), step.if_, issues, uses)
    if step.foreach is not None:
        if isinstance(step.foreach.over, str):
            _one(("foreach", "over"), step.foreach.over, issues, uses)
        elif step.foreach.over is not None:
            _all(("foreach", "over"), step.foreach.over, issues, uses)
    if step.task is not None:
        _all(("task",), step.task, issues, uses)
    if step.with_:
        _all(("with",), dict(step.with_), issues, uses)
    if step.human is not None and step.human.show is not None:
        _all(("human", "show"), step.human.show, issues, uses)
    if step.effect is not None:
        _all(("effect", "key"), step.effect.key, issues, uses)
    for at, check in enumerate(step.checks):
        if check.rule is not None:
            _one(("checks", at, "rule"), check.rule, issues, uses, in_check=True)
        if check.with_:
            _all(("checks", at, "with"), dict(check.with_), issues, uses, in_check=True)
    if step.replan_if is not None:
        _one(("replan_if",), step.replan_if, issues, uses, in_check=True)
    return uses


def result_uses(plan: Plan, issues: Issues) -> list[Use]:
    """All expressions of `result`."""
    uses: list[Use] = []
    if plan.result is not None:
        _all(("result",), plan.result, issues, uses)
    return uses


def _one(path: Path, text: str, issues: Issues, uses: list[Use], *, in_check: bool = False) -> None:
    try:
        uses.append(Use(path, bare(text), whole=True, in_check=in_check))
    except ExpressionError as error:
        _unreadable(path, error, issues)


def _unreadable(path: Path, error: ExpressionError, issues: Issues) -> None:
    at = f" (character {error.column})" if error.column else ""
    issues.error(path, f"{error.reason} in `{error.text.strip()[:120]}`{at}", "an expression, see docs/plan-format.md")


def _all(path: Path, value: JsonValue, issues: Issues, uses: list[Use], *, in_check: bool = False) -> None:
    todo: list[tuple[Path, JsonValue, int]] = [(path, value, 0)]
    while todo:
        at, one, depth = todo.pop()
        if depth > VALUE_DEPTH_MAX:
            issues.error(path, f"the value is nested deeper than {VALUE_DEPTH_MAX}", "a flatter value")
            return
        if isinstance(one, str):
            if "${{" in one:
                _text(at, one, issues, uses, in_check=in_check)
        elif isinstance(one, list):
            todo.extend(((*at, index), item, depth + 1) for index, item in reversed(list(enumerate(one))))
        elif isinstance(one, dict):
            for key in one:
                if "${{" in key:
                    issues.error((*at, key), "a key cannot hold an expression", "a plain key", key=True)
            todo.extend(((*at, key), item, depth + 1) for key, item in reversed(one.items()))


def _text(path: Path, text: str, issues: Issues, uses: list[Use], *, in_check: bool) -> None:
    try:
        parts = text_parts(text)
    except ExpressionError as error:
        _unreadable(path, error, issues)
        return
    whole = isinstance(parts[0], Expression) and parts[1:] in ((), ("\n",))
    uses.extend(Use(path, part, whole=whole, in_check=in_check) for part in parts if isinstance(part, Expression))


def edges_of(step_id: str, step: Step, uses: list[Use]) -> Iterator[Edge]:
    """Why `step` waits for others, in the order of the format; the same source may come several times."""
    if step.foreach is not None and step.foreach.each is not None:
        yield Edge(step.foreach.each, step_id, "each", ("foreach", "each"))
    for use in uses:
        for ref in use.expression.refs:
            if ref.root == "steps" and ref.path:
                yield Edge(str(ref.path[0]), step_id, "reference", use.path, ref)
    for at, name in enumerate(step.needs):
        yield Edge(name, step_id, "needs", ("needs", at))


def graph_of(plan: Plan, uses: dict[str, list[Use]]) -> PlanGraph:
    """The graph of a plan whose expressions were read before."""
    return PlanGraph(
        plan.steps, (edge for step_id, step in plan.steps.items() for edge in edges_of(step_id, step, uses[step_id]))
    )


def plan_graph(plan: Plan) -> PlanGraph:
    """The graph of a plan. Unreadable expressions and unknown steps give no edges; `check_plan` reports them."""
    issues = Issues()
    return graph_of(plan, {step_id: uses_of(step, issues) for step_id, step in plan.steps.items()})


def refs_to_steps(uses: list[Use]) -> Iterator[tuple[Use, Ref]]:
    """Every reference to a step, with its use."""
    for use in uses:
        for ref in use.expression.refs:
            if ref.root == "steps":
                yield use, ref
