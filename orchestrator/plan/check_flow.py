"""Checks the shape of a plan: cycles, joins that cannot be met, steps that can never run or pass, `finally`, names."""

from keyword import iskeyword

from orchestrator.errors import ExpressionError
from orchestrator.plan.check_context import Checking, has_gap
from orchestrator.plan.estimate import branch_bounds
from orchestrator.plan.expression_compiler import CONSTANTS
from orchestrator.plan.expression_values import FUNCTIONS
from orchestrator.plan.expressions import Expression
from orchestrator.plan.graph import Edge
from orchestrator.plan.issues import Issues
from orchestrator.plan.limits import BRANCHES_MAX
from orchestrator.plan.models import Step
from orchestrator.plan.parts import AtLeast
from orchestrator.plan.references import refs_to_steps
from orchestrator.plan.vocabulary import ITEM_NAMES_RESERVED

__all__ = ["check_flow", "check_plain_texts"]

_SHOWN = 12  #: steps of a cycle that are named
_WORDS = frozenset({*ITEM_NAMES_RESERVED, *FUNCTIONS, *CONSTANTS, "and", "or", "not", "in", "if", "else", "is"})


def check_flow(checking: Checking) -> None:
    """Report what the edges, joins and conditions of the plan make impossible."""
    ends = any(step.finally_ for step in checking.plan.steps.values())
    for step_id, step in checking.plan.steps.items():
        issues = checking.at(step_id)
        _needs(checking, step_id, step, issues)
        _foreach(step, issues)
        if ends:
            _finally(checking, step_id, step, issues)
        _join(checking, step_id, step, issues)
    for use, ref in refs_to_steps(checking.result):
        target = checking.plan.steps.get(str(ref.path[0])) if ref.path else None
        if target is not None and target.finally_:
            checking.issues.error(
                use.path,
                f"the result refers to `{ref.path[0]}`, which runs after it is known",
                "a step before `finally`",
            )
    for cycle in checking.graph.cycles:
        _cycle(checking, cycle)
    _never(checking)
    for at, text in enumerate(checking.plan.constraints):
        _plain_text(("constraints", at), text, checking.issues)


def _needs(checking: Checking, step_id: str, step: Step, issues: Issues) -> None:
    for at, name in enumerate(step.needs):
        if name == step_id:
            issues.error(("needs", at), "the step waits for itself", "another step")
        elif name not in checking.plan.steps:
            expected = issues.nearest(name, checking.plan.steps)
            issues.error(("needs", at), f"there is no step `{name}`", expected)
    each = step.foreach.each if step.foreach is not None else None
    if each is None:
        return
    if each == step_id:
        issues.error(("foreach", "each"), "the step follows its own branches", "another mapped step")
    elif each not in checking.plan.steps:
        expected = issues.nearest(each, checking.plan.steps)
        issues.error(("foreach", "each"), f"there is no step `{each}`", expected)
    elif checking.plan.steps[each].foreach is None:
        expected = f"a step with `foreach`; or `over: steps.{each}.output` for a list that a step gives"
        issues.error(("foreach", "each"), f"`{each}` is not mapped, so it has no branches", expected)


def _foreach(step: Step, issues: Issues) -> None:
    if step.foreach is not None and isinstance(step.foreach.over, list):
        count = len(step.foreach.over)
        if count > BRANCHES_MAX:
            issues.error(("foreach", "over"), f"the list has {count:,} items", f"at most {BRANCHES_MAX:,}")
        elif count == 0:
            issues.warning(
                ("foreach", "over"), "the list is empty: the step passes without running", "items, or no step"
            )
    name = step.foreach.as_ if step.foreach is not None else "item"
    if name in _WORDS or name.startswith("__") or not name.isidentifier() or iskeyword(name):
        issues.error(
            ("foreach", "as"), f"`{name}` cannot name an item: the language has another use for it", "another word"
        )


def _finally(checking: Checking, step_id: str, step: Step, issues: Issues) -> None:
    for use, ref in refs_to_steps(checking.uses[step_id]):
        _after(checking, step_id, step, use.path, str(ref.path[0]) if ref.path else "", issues)
    for at, name in enumerate(step.needs):
        _after(checking, step_id, step, ("needs", at), name, issues)
    if step.foreach is not None and step.foreach.each is not None:
        _after(checking, step_id, step, ("foreach", "each"), step.foreach.each, issues)
    if step.finally_ and step.join != "all":
        issues.error(("join",), "a `finally` step waits for everything, so it has no join", "no `join`", key=True)


def _after(
    checking: Checking, step_id: str, step: Step, path: tuple[str | int, ...], name: str, issues: Issues
) -> None:
    target = checking.plan.steps.get(name)
    if target is None or not target.finally_ or name == step_id:
        return
    if step.finally_:
        issues.error(path, f"`{name}` is a `finally` step too, and those run side by side", "a step before `finally`")
    else:
        issues.error(path, f"`{name}` is a `finally` step: it runs when this one is over", "a step before `finally`")


def _join(checking: Checking, step_id: str, step: Step, issues: Issues) -> None:
    if step.join == "all" or step.finally_:
        return
    wanted = step.join.at_least if isinstance(step.join, AtLeast) else 1
    sources = [edge.source for edge in checking.graph.into(step_id)]
    if not sources:
        issues.error(("join",), "there is nothing to join: the step waits for no other", "a reference or `needs`")
        return
    mapped = [source for source in sources if checking.plan.steps[source].foreach is not None]
    if not mapped and wanted > len(sources):
        told = f"at_least: {wanted} can never be met by {len(sources)} dependencies"
        issues.error(("join",), told, f"at most {len(sources)}")
    for source in mapped:
        most = branch_bounds(checking.plan, source)[1]
        if most is not None and most < wanted:
            told = f"at_least: {wanted} can never be met by `{source}`, which has at most {most} branches"
            issues.error(("join",), told, f"at most {most}")


def _cycle(checking: Checking, cycle: tuple[Edge, ...]) -> None:
    names = [edge.source for edge in cycle]
    if len(names) > _SHOWN:
        names = [*names[: _SHOWN - 1], f"({len(names) - _SHOWN + 1:,} more)"]
    path = " > ".join([*names, cycle[0].source])
    first = cycle[-1]  # the edge into the step that is written first closes the circle
    why = "; ".join(f"{edge.target} waits for {edge.source} at {edge.origin}" for edge in cycle[:_SHOWN])
    checking.issues.error(
        ("steps", first.target), f"the steps wait for each other: {path}", f"no cycle; {why}", key=True
    )


def _constant(expression: Expression) -> bool | None:
    """The truth of an expression without references; None for any other, or one that has no value."""
    if expression.refs:
        return None
    try:
        return bool(expression.evaluate({}))
    except ExpressionError:
        return None


def _never(checking: Checking) -> None:
    """Steps that can never run, or can run and never pass."""
    hopeless: dict[str, str] = {}
    for step_id, step in checking.plan.steps.items():
        issues = checking.at(step_id)
        for use in checking.uses[step_id]:
            if use.path == ("if",) and _constant(use.expression) is False:
                issues.error(("if",), "the condition is never true: the step can never run", "a condition, or no step")
            elif use.path[-1] == "rule" and use.in_check and _constant(use.expression) is False:
                issues.error(use.path, "the rule never holds: no output can pass", "a rule about `output`")
                if not has_gap(step):
                    hopeless[step_id] = step_id
        if step.if_ is False:
            issues.error(("if",), "the condition is never true: the step can never run", "a condition, or no step")
        if step.output == {"not": {}}:
            issues.error(("output",), "the schema allows no value: no output can pass", "a schema of the output")
            hopeless[step_id] = step_id
    for generation in checking.graph.generations if hopeless else ():
        for step_id in generation:
            step = checking.plan.steps[step_id]
            source = next((edge.source for edge in checking.graph.into(step_id) if edge.source in hopeless), None)
            if source is not None and step.join == "all" and not step.finally_ and step_id not in hopeless:
                hopeless[step_id] = hopeless[source]
                told = f"the step can never run: `{hopeless[source]}`, which it waits for, can never pass"
                checking.at(step_id).error((), told, f"a `{source}` that can pass, or a tolerant join", key=True)


def _plain_text(path: tuple[str | int, ...], text: str, issues: Issues) -> None:
    if "${{" in text:
        issues.error(path, "expressions are not read here: the text is taken as it is", "plain text")


def check_plain_texts(step: Step, issues: Issues) -> None:
    """Refuse expressions in texts that are not templates: they would be shown, not replaced."""
    if step.goal is not None:
        _plain_text(("goal",), step.goal, issues)
    if step.human is not None:
        _plain_text(("human", "ask"), step.human.ask, issues)
    for at, check in enumerate(step.checks):
        if check.reason is not None:
            _plain_text(("checks", at, "reason"), check.reason, issues)
        if check.judge is not None:
            _plain_text(("checks", at, "judge", "rubric"), check.judge.rubric, issues)
        if check.human is not None:
            _plain_text(("checks", at, "human", "ask"), check.human.ask, issues)
