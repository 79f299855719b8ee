"""A plan made ready to run: indices instead of names, expressions parsed, edges inferred. Made once per plan.

Knows nothing of runs: the same compiled plan serves every run that is pinned to its digest.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache

from orchestrator.errors import PlanError, PlanIssue
from orchestrator.ids import JsonValue, StepId
from orchestrator.plan.expressions import Expression, Ref, ValueTemplate, bare, compile_value, text_parts
from orchestrator.plan.models import Plan, Step, canonical_json
from orchestrator.plan.parts import AtLeast, Check, Retry, Rung, Timeout
from orchestrator.plan.schemas import SchemaCheck, compile_schema


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class CompiledCheck:
    """One written check, ready to be asked."""

    position: int  #: from 1; 0 is the schema
    kind: str
    spec: Check
    rule: Expression | None = None
    args: ValueTemplate | None = None


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Instruction:
    """The text of a `task`: literal inputs are spliced in, everything else becomes a labelled data block."""

    parts: tuple[str | Expression, ...]  #: an expression here is spliced
    blocks: tuple[tuple[str, Expression], ...]  #: label and value, handed over beside the text

    def render(self, scope: Mapping[str, object], *, trusted: bool = True) -> tuple[str, dict[str, JsonValue]]:
        """The instruction and its data blocks for one branch.

        Without `trusted` nothing is spliced: the inputs of a sub-plan may be outputs of its parent's steps.
        """
        blocks = {label: value.evaluate(scope) for label, value in self.blocks}
        texts: list[str] = []
        for part in self.parts:
            if isinstance(part, str):
                texts.append(part)
            elif trusted or not part.refs:
                texts.append(as_text(part.evaluate(scope)))
            else:
                blocks[part.text.strip()] = part.evaluate(scope)
                texts.append(_label(part))
        return "".join(texts), blocks


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class CompiledStep:
    """One step with its edges and its parsed parts."""

    index: int
    id: StepId
    step: Step
    kind: str
    pool: str
    needs: tuple[int, ...]  #: steps it waits for, without repeats; empty for a `finally` step
    each: int  #: the mapped step whose branches it follows; -1 for none
    mapped: bool
    when: Expression | None
    when_per_branch: bool  #: the condition speaks of the item
    over: ValueTemplate | None
    item: str
    max_parallel: int
    join_at_least: int  #: 0: all must be well
    early: bool  #: starts at the n-th pass
    args: ValueTemplate
    instruction: Instruction | None
    schema: SchemaCheck | None
    checks: tuple[CompiledCheck, ...]
    agree: int  #: position of the agree check; 0 for none
    samples: int
    ladder: tuple[Rung, ...]
    news: Expression | None  #: `replan_if`
    timeout: Timeout
    retry: Retry
    effect_key: ValueTemplate | None
    show: ValueTemplate | None
    tier: str | None
    finally_: bool
    held: int  #: dispatches kept back for it from the start; 0 unless it is a `finally` step
    dependents: tuple[int, ...] = ()  #: these three are set while compiling, and not changed afterwards
    each_dependents: tuple[int, ...] = ()
    early_dependents: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class CompiledPlan:
    """A plan, its steps in the order they are written, and what its result refers to."""

    plan: Plan
    digest: str
    steps: tuple[CompiledStep, ...]
    by_id: dict[str, int]
    result: ValueTemplate | None
    result_steps: tuple[int, ...]  #: every step when `result` is not written
    finally_count: int


def as_text(value: JsonValue) -> str:
    """A value as it stands in a text: a text as it is, anything else as JSON."""
    return value if isinstance(value, str) else canonical_json(value)


def _label(expression: Expression) -> str:
    return f"[data: {expression.text.strip()}]"


def step_refs(refs: Iterable[Ref]) -> list[str]:
    """The ids of the steps that references name, in order, without repeats."""
    return list(dict.fromkeys(str(ref.path[0]) for ref in refs if ref.root == "steps" and ref.path))


def _instruction(step: Step, literal_roots: frozenset[str]) -> Instruction | None:
    if step.task is None:
        return None
    parts: list[str | Expression] = []
    blocks: dict[str, Expression] = {}
    for part in text_parts(step.task):
        if isinstance(part, str) or all(ref.root in literal_roots for ref in part.refs):
            parts.append(part)
        else:
            blocks[part.text.strip()] = part
            parts.append(_label(part))
    return Instruction(parts=tuple(parts), blocks=tuple(blocks.items()))


def _literal_roots(step: Step, over: ValueTemplate | None) -> frozenset[str]:
    """Roots whose values came from the caller: the inputs, and an item taken straight from them."""
    roots = {"inputs"}
    if step.foreach is not None and over is not None and all(ref.root == "inputs" for ref in over.refs):
        roots |= {step.foreach.as_, "index"}
    return frozenset(roots)


def _check(position: int, check: Check) -> CompiledCheck:
    rule = bare(check.rule) if check.rule is not None else None
    args = compile_value(dict(check.with_ or {})) if check.call is not None else None
    return CompiledCheck(position=position, kind=check.kind, spec=check, rule=rule, args=args)


def _compile_step(plan: Plan, index: int, step_id: str, by_id: Mapping[str, int]) -> CompiledStep:
    step = plan.steps[step_id]
    foreach = step.foreach
    over = compile_value(_over(foreach.over)) if foreach is not None and foreach.over is not None else None
    when = bare("true" if step.if_ else "false") if isinstance(step.if_, bool) else bare(step.if_) if step.if_ else None
    args = compile_value(step.with_)
    instruction = _instruction(step, _literal_roots(step, over))
    checks = tuple(_check(position, check) for position, check in enumerate(step.checks, start=1))
    effect_key = compile_value(step.effect.key) if step.effect is not None else None
    show = compile_value(step.human.show) if step.human is not None else None
    refs: list[Ref] = [*args.refs]
    for expression in (when, over, effect_key, show):
        refs += expression.refs if expression is not None else ()
    if instruction is not None:
        for part in (*instruction.parts, *(value for _, value in instruction.blocks)):
            refs += part.refs if not isinstance(part, str) else ()
    for check in checks:
        refs += check.rule.refs if check.rule is not None else ()
        refs += check.args.refs if check.args is not None else ()
    each = by_id[foreach.each] if foreach is not None and foreach.each is not None else -1
    named = dict.fromkeys([*step_refs(refs), *step.needs])
    needs = dict.fromkeys(by_id[name] for name in named)
    if each >= 0:
        needs[each] = None
    item_roots = {foreach.as_, "index"} if foreach is not None else set()
    join = step.join
    at_least = join.at_least if isinstance(join, AtLeast) else 1 if join == "any" else 0
    news = bare(step.replan_if) if step.replan_if is not None else None
    refs += news.refs if news is not None else ()
    agree = next((check.position for check in checks if check.kind == "agree"), 0)
    return CompiledStep(
        index=index,
        id=StepId(step_id),
        step=step,
        kind=step.kind,
        pool=step.pool or "",
        needs=() if step.finally_ else tuple(needs),
        each=each,
        mapped=foreach is not None,
        when=when,
        when_per_branch=when is not None and any(ref.root in item_roots for ref in when.refs),
        over=over,
        item=foreach.as_ if foreach is not None else "",
        max_parallel=foreach.max_parallel if foreach is not None else 1,
        join_at_least=at_least,
        early=step.early or join == "any",
        args=args,
        instruction=instruction,
        schema=compile_schema(step.output) if step.output is not None else None,
        checks=checks,
        agree=agree,
        samples=step.checks[agree - 1].agree.runs if agree else 1,  # type: ignore[union-attr]  # position of an agree check
        ladder=step.on_fail,
        news=news,
        timeout=_timeout(step, plan),
        retry=step.retry or plan.defaults.retry,
        effect_key=effect_key,
        show=show,
        tier=step.model.tier if step.model is not None else None,
        finally_=step.finally_,
        held=finally_dispatches(step),
    )


def _timeout(step: Step, plan: Plan) -> Timeout:
    """The limits of a step; the time that its prompts may wait for the batch service comes on top."""
    timeout = step.timeout or plan.defaults.timeout
    batch = step.model.batch if step.model is not None else None
    if batch is None:
        return timeout
    return Timeout(attempt=timeout.attempt + batch.deadline, total=timeout.total + batch.deadline)


def finally_dispatches(step: Step) -> int:
    """First dispatches that a `finally` step needs, its sub-plan's included; 0 for any other step.

    A list that comes about at run time counts as one item: its length is not known.
    """
    return _fewest(step) if step.finally_ else 0


def _fewest(step: Step) -> int:
    over = step.foreach.over if step.foreach is not None else None
    branches = len(over) if isinstance(over, list) else 1
    inside = sum(map(_fewest, step.plan.steps.values())) if step.plan is not None else 0
    return branches * (1 + inside)


def _over(over: str | list[JsonValue] | None) -> JsonValue:
    """`over` may leave the braces out."""
    return "${{ " + over + " }}" if isinstance(over, str) and "${{" not in over else over


def compile_plan(plan: Plan) -> CompiledPlan:
    """Make a checked plan ready to run. Cached by digest.

    Raises:
        PlanError: a step is named that does not exist; `check_plan` says it better and says more.
        ExpressionError: an expression cannot be read.
    """
    return _compile(plan.digest, _ByDigest(plan))


@dataclass(frozen=True, slots=True)
class _ByDigest:
    """A plan that compares by its digest alone, so that the cache need not compare plans."""

    plan: Plan = field(compare=False)

    def __hash__(self) -> int:
        return 0


@lru_cache(maxsize=256)
def _compile(digest: str, boxed: _ByDigest) -> CompiledPlan:
    plan = boxed.plan
    by_id = {step_id: index for index, step_id in enumerate(plan.steps)}
    try:
        steps = tuple(_compile_step(plan, index, step_id, by_id) for step_id, index in by_id.items())
        result = compile_value(plan.result) if plan.result is not None else None
        named = [by_id[name] for name in step_refs(result.refs)] if result is not None else list(range(len(steps)))
    except KeyError as error:
        raise PlanError((PlanIssue(message=f"there is no step {error.args[0]!r}"),)) from None
    _set_dependents(steps)
    return CompiledPlan(
        plan=plan,
        digest=digest,
        steps=steps,
        by_id=by_id,
        result=result,
        result_steps=tuple(index for index in named if not steps[index].finally_),
        finally_count=sum(step.finally_ for step in steps),
    )


def _set_dependents(steps: Sequence[CompiledStep]) -> None:
    found: dict[str, dict[int, list[int]]] = {"dependents": {}, "each_dependents": {}, "early_dependents": {}}
    for step in steps:
        for need in step.needs:
            found["dependents"].setdefault(need, []).append(step.index)
            if step.early:
                found["early_dependents"].setdefault(need, []).append(step.index)
        if step.each >= 0:
            found["each_dependents"].setdefault(step.each, []).append(step.index)
    for name, by_step in found.items():
        for index, followers in by_step.items():
            object.__setattr__(steps[index], name, tuple(followers))  # frozen for everybody else


__all__ = [
    "CompiledCheck",
    "CompiledPlan",
    "CompiledStep",
    "Instruction",
    "as_text",
    "compile_plan",
    "finally_dispatches",
    "step_refs",
]
