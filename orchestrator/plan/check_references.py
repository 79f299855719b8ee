"""Checks every reference and expression of a plan: names, kinds, and that what may be missing is guarded."""

import re
from collections.abc import Iterable

from orchestrator.plan.check_context import Checking, has_gap
from orchestrator.plan.expressions import Expression, Ref
from orchestrator.plan.issues import Issues
from orchestrator.plan.models import Step
from orchestrator.plan.plan_types import Scope
from orchestrator.plan.references import Use
from orchestrator.plan.schema_types import ANYTHING, Absent, Type, in_words
from orchestrator.plan.vocabulary import GUARDS

__all__ = ["check_references"]

_TESTS = re.compile(r"\b(?:and|or|not|if|null)\b")
_REMEDY = "a guard: `if` of this step, or `x if not steps.{0}.skipped else y`; see rule 16 of docs/plan-format.md"


def check_references(checking: Checking) -> None:
    """Report every wrong reference, clash of kinds and unguarded read."""
    for step_id, read in checking.uses.items():
        uses = [use for use in read if not _harmless(checking, step_id, use)]
        if not uses:
            continue
        step, issues = checking.plan.steps[step_id], checking.at(step_id)
        plain, in_check = Scope(checking.types, step_id), Scope(checking.types, step_id, in_check=True)
        before = Scope(checking.types, None)  # the list is worked out before there are items
        guarded = _asked(use.expression for use in uses if use.path == ("if",))
        for use in uses:
            over = use.path[:2] == ("foreach", "over")
            scope = in_check if use.in_check else before if over else plain
            _kinds(use, scope, _names(step_id, use, scope, issues), issues)
            _guards(checking, step, use, guarded, issues)
    for use in checking.result:
        scope = Scope(checking.types, None)
        _kinds(use, scope, _names("", use, scope, checking.issues), checking.issues)
        _guards(checking, None, use, frozenset(), checking.issues)


def _harmless(checking: Checking, step_id: str, use: Use) -> bool:
    """Whether this plainly hands on the whole output of another step, which is always there: most of a large plan."""
    ref = use.expression.plain
    if ref is None or ref.root != "steps" or len(ref.path) != 2 or ref.path[1] != "output" or use.path[0] != "with":
        return False
    source = checking.plan.steps.get(str(ref.path[0]))
    if source is None or ref.path[0] == step_id:
        return False
    return source.foreach is not None or (source.if_ is None and not source.on_fail)


def _names(step_id: str, use: Use, scope: Scope, issues: Issues) -> Type:
    """Report references to nothing; the type of the last one."""
    last = ANYTHING
    for ref in use.expression.refs:
        if ref.root == "steps" and ref.path and ref.path[0] == step_id:
            remedy = "`output`" if use.in_check else "another step, or `previous reasons`, which the worker is given"
            issues.error(use.path, f"the step refers to itself: `{_cut(ref)}`", remedy)
            continue
        found = scope.find(ref.root, ref.path)
        if isinstance(found, Absent):
            expected = issues.nearest(found.name, found.names) if found.name else ", ".join(found.names)
            issues.error(use.path, f"{found.reason} (`{_cut(ref)}`)", expected)
        else:
            last = found
    return last


def _cut(ref: Ref) -> str:
    text = str(ref)
    return text if len(text) <= 120 else text[:119] + "…"


def _kinds(use: Use, scope: Scope, plain: Type, issues: Issues) -> None:
    """Report operators on the wrong kinds; `plain` is the type when the expression is one reference."""

    def clash(what: str, expected: str) -> None:
        issues.error(use.path, what, expected)

    found = plain if use.expression.plain is not None else scope.type_of(use.expression, clash)
    condition = use.path in {("if",), ("replan_if",)} or (use.in_check and use.path[-1] == "rule")
    if condition and "boolean" not in found.kinds:
        issues.error(use.path, f"this gives {in_words(found.kinds)}", "true or false: a comparison, for example")
    if use.path == ("foreach", "over") and "array" not in found.kinds:
        issues.error(use.path, f"`over` needs a list, and this is {in_words(found.kinds)}", "an expression of a list")


def _asked(expressions: Iterable[Expression]) -> frozenset[str]:
    """The steps whose state or output these expressions ask about."""
    return frozenset(
        str(ref.path[0]) for expression in expressions for ref in expression.refs if ref.root == "steps" and _asks(ref)
    )


def _asks(ref: Ref) -> bool:
    return len(ref.path) >= 2 and (ref.path[1] in GUARDS or (ref.path[1] == "output" and len(ref.path) == 2))


def _guards(checking: Checking, reader: Step | None, use: Use, guarded: frozenset[str], issues: Issues) -> None:
    """Refuse reads of what may be missing (rule 16)."""
    for ref in use.expression.refs:
        if ref.root != "steps" or len(ref.path) < 2 or ref.path[1] != "output":
            continue
        step_id = str(ref.path[0])
        step = checking.plan.steps.get(step_id)
        if step is None or _tested(ref, use) or (use.path != ("if",) and step_id in guarded):
            continue
        why = _missing(checking, step_id, step, reader, ref)
        if why:
            issues.error(use.path, f"`{_cut(ref)}` may be null: {why}", _REMEDY.format(step_id))


def _missing(checking: Checking, step_id: str, step: Step, reader: Step | None, ref: Ref) -> str:
    """Why the reference may meet null; empty when it cannot, or may."""
    whole = len(ref.path) == 2
    tolerant = reader is not None and reader.join != "all"
    shown = reader is None or reader.finally_  # `result` and `finally` steps may read null, not its members
    if step.foreach is not None:  # a list always, and empty when the step was skipped
        branch = len(ref.path) > 3
        if branch and (has_gap(step) or checking.branched(step_id) or step.foreach.each is not None):
            return f"that branch of `{step_id}` may be a gap; `.passed` holds the good ones"
        return ""
    if not (whole and (tolerant or shown)):
        if step.if_ not in {None, True}:
            return f"the `if` of `{step_id}` may skip it"
        if has_gap(step):
            return f"the ladder of `{step_id}` may end in a gap"
    if not whole and (tolerant or (reader is not None and reader.finally_)):
        return f"`{step_id}` may have failed, and this step runs all the same"
    return ""


def _tested(ref: Ref, use: Use) -> bool:
    """Whether the expression itself asks first."""
    expression = use.expression
    if expression.plain is not None:
        return False
    if len(ref.path) == 2:
        return _TESTS.search(expression.text) is not None
    conditional = " if " in expression.text
    return any(
        other.root == "steps"
        and other.path[:1] == ref.path[:1]
        and _asks(other)
        and (conditional or other.column < ref.column)
        for other in expression.refs
    )
