"""Checks what a plan asks of pools and sub-plans: that they exist, and that they are given what they take."""

from collections.abc import Mapping
from typing import Final

from orchestrator.errors import PlanError
from orchestrator.ids import JsonValue
from orchestrator.plan.check_context import Checking
from orchestrator.plan.issues import Issues, Path
from orchestrator.plan.models import JsonSchema, Plan, Step
from orchestrator.plan.plan_types import Scope
from orchestrator.plan.references import Use
from orchestrator.plan.schema_types import ANYTHING, Type, in_words, kinds_of_value, of_kinds, type_of
from orchestrator.plan.schemas import compile_schema

__all__ = ["check_calls"]


def check_calls(checking: Checking) -> None:
    """Report unknown pools and functions, arguments that do not fit, and effects whose key branches would share."""
    for step_id, step in checking.plan.steps.items():
        issues = checking.at(step_id)
        if checking.pools is not None:
            _pool(checking, step, issues, step_id)
        _check_calls(checking, step_id, step, issues)
        _effect(checking, step_id, step, issues)
        _supervised(checking, step, issues)
        if step.plan is not None:
            _arguments(checking, step_id, step.with_, inputs_schema(step.plan), ("with",), issues, "the sub-plan")


def inputs_schema(plan: Plan) -> JsonSchema:
    """The inputs of a plan as one closed object; those without a default are required."""
    required: list[JsonValue] = [name for name, schema in plan.inputs.items() if "default" not in schema]
    properties: dict[str, JsonValue] = dict(plan.inputs)
    return {"type": "object", "properties": properties, "required": required, "additionalProperties": False}


def _pool(checking: Checking, step: Step, issues: Issues, step_id: str) -> None:
    assert checking.pools is not None
    if step.pool is not None:
        _ability(checking, step, step.pool, ("pool",), issues)
        contract = checking.functions(step.pool).get(step.call or "")
        if contract is not None:
            told = f"`{step.call}` of pool `{step.pool}`"
            _arguments(checking, step_id, step.with_, contract.input_schema, ("with",), issues, told)
            if step.effect is not None and step.effect.on_unknown == "retry" and not contract.effect_key:
                message = f"{told} does not declare that it honours an idempotency key, so an effect cannot be retried"
                issues.error(
                    ("effect", "on_unknown"), message, "ask or fail; or a worker registered with honours_key=True"
                )
    for at, rung in enumerate(step.on_fail):
        if rung.escalate is not None and rung.escalate.pool is not None:
            _ability(checking, step, rung.escalate.pool, ("on_fail", at, "escalate", "pool"), issues)


def _known(checking: Checking, pool: str, path: Path, issues: Issues) -> bool:
    assert checking.pools is not None
    names = checking.pools.pools()
    if pool in names:
        return True
    issues.error(path, f"there is no pool `{pool}`", issues.nearest(pool, names) or "a pool; see `orchestrator pools`")
    return False


def _function(checking: Checking, pool: str, name: str, path: Path, issues: Issues) -> None:
    functions = checking.functions(pool)
    if name not in functions:
        expected = issues.nearest(name, functions) or "a pool with functions"
        issues.error(path, f"pool `{pool}` has no function `{name}`", expected)


def _ability(checking: Checking, step: Step, pool: str, path: Path, issues: Issues) -> None:
    """Whether the pool can do this step."""
    if not _known(checking, pool, path, issues):
        return
    assert checking.pools is not None
    if step.call is not None:
        _function(checking, pool, step.call, ("call",) if path == ("pool",) else path, issues)
    elif step.task is not None and not checking.pools.has_agent(pool):
        issues.error(path, f"pool `{pool}` has no agent, so it cannot run a task", "a pool with an agent, or `call`")


def _check_calls(checking: Checking, step_id: str, step: Step, issues: Issues) -> None:
    for at, check in enumerate(step.checks):
        if check.call is None:
            continue
        pool = check.pool or step.pool
        if pool is None:
            told = f"a {step.kind} step has no pool, so the check must name one"
            issues.error(("checks", at, "pool"), told, "pool: the pool of the function")
        elif checking.pools is not None and _known(checking, pool, ("checks", at, "pool"), issues):
            _function(checking, pool, check.call, ("checks", at, "call"), issues)
            contract = checking.functions(pool).get(check.call)
            if contract is not None:
                given: dict[str, JsonValue] = {**(check.with_ or {}), "output": "${{ output }}"}
                path: Path = ("checks", at, "with")
                told = f"`{check.call}` of pool `{pool}`"
                _arguments(checking, step_id, given, contract.input_schema, path, issues, told, in_check=True)


def _effect(checking: Checking, step_id: str, step: Step, issues: Issues) -> None:
    if step.effect is None:
        return
    refs = [ref for use in checking.uses[step_id] if use.path == ("effect", "key") for ref in use.expression.refs]
    if step.foreach is not None and not any(ref.root in {step.foreach.as_, "index"} for ref in refs):
        told = "every branch would have the same key, so one effect would stand for all of them"
        issues.error(
            ("effect", "key"), told, f"a key that names the branch: ${{{{ {step.foreach.as_} }}}} or ${{{{ index }}}}"
        )
    elif not refs:
        told = "the key is the same in every run, so the second run would find the effect of the first"
        issues.warning(("effect", "key"), told, "a key with ${{ run.origin_id }} or an input, if that is not meant")


def _supervised(checking: Checking, step: Step, issues: Issues) -> None:
    """Whether what a goal's plan may use is there, and nothing is allowed that cannot be."""
    rules = step.supervisor
    if rules is None:
        return
    for at, named in enumerate(rules.effects):
        pool, dot, function = named.partition(".")
        path: Path = ("supervisor", "effects", at)
        if not dot or not pool or not function:
            issues.error(path, f"`{named}` names no function", "pool.function")
        elif rules.pools is not None and pool not in rules.pools:
            told = f"the plan may not use pool `{pool}`, so it cannot call `{named}`"
            issues.error(path, told, f"`{pool}` under `pools`, or no effect of it")
        elif checking.pools is not None and _known(checking, pool, path, issues):
            _function(checking, pool, function, path, issues)
    if checking.pools is None or rules.pools is None:
        return
    able = [_known(checking, pool, ("supervisor", "pools", at), issues) for at, pool in enumerate(rules.pools)]
    if all(able) and not any(checking.pools.has_agent(pool) or checking.functions(pool) for pool in rules.pools):
        issues.error(
            ("supervisor", "pools"), "none of these pools can do anything", "a pool with an agent or functions"
        )


def _arguments(
    checking: Checking,
    step_id: str,
    given: Mapping[str, JsonValue],
    schema: JsonSchema,
    path: Path,
    issues: Issues,
    who: str,
    *,
    in_check: bool = False,
) -> None:
    """Whether the values fit an object schema: names, and kinds or whole values as far as they are known."""
    properties = schema.get("properties")
    known = properties if isinstance(properties, dict) else {}
    required = schema.get("required")
    for name in required if isinstance(required, list) else []:
        if name not in given and not (in_check and name == "output"):
            issues.error(path, f"{who} needs `{name}`", f"`{name}` under `with`", key=True)
    scope = Scope(checking.types, step_id, in_check=in_check)
    texts = any(isinstance(value, str) and "${{" in value for value in given.values())
    uses = {use.path: use for use in checking.uses[step_id]} if texts else {}
    for name, value in given.items():
        wanted = known.get(name)
        if wanted is None:
            if schema.get("additionalProperties") is False and not (in_check and name == "output"):
                expected = issues.nearest(name, known) or "nothing"
                issues.error((*path, name), f"{who} takes no `{name}`", expected, key=True)
            continue
        _argument(name, value, wanted, schema, (*path, name), issues, who, scope, uses)


def _argument(
    name: str,
    value: JsonValue,
    wanted: JsonValue,
    root: JsonSchema,
    path: Path,
    issues: Issues,
    who: str,
    scope: Scope,
    uses: Mapping[Path, Use],
) -> None:
    found = _given_type(value, path, scope, uses)
    target = type_of(wanted, root)
    if found is None:
        wrong = _literal_wrong(value, wanted, root)
        if wrong:
            issues.error(path, f"{who} does not take this `{name}`: {wrong}", in_words(target.kinds))
    elif not (found.kinds - {"null"} or found.kinds) & target.kinds:
        told = f"{who} takes {in_words(target.kinds)} as `{name}`, and this is {in_words(found.kinds)}"
        issues.error(path, told, in_words(target.kinds))


def _given_type(value: JsonValue, path: Path, scope: Scope, uses: Mapping[Path, Use]) -> Type | None:
    """The type of a value with expressions in it; None for a constant."""
    if isinstance(value, str):
        if "${{" not in value:
            return None
        use = uses.get(path)
        if use is None:
            return ANYTHING  # it could not be read, which is reported
        return scope.type_of(use.expression, lambda what, expected: None) if use.whole else of_kinds("string")
    return of_kinds(kinds_of_value(value)) if _spliced(value) else None


def _spliced(value: JsonValue) -> bool:
    todo = [value]
    while todo:
        one = todo.pop()
        if isinstance(one, str) and "${{" in one:
            return True
        todo.extend(one if isinstance(one, list) else one.values() if isinstance(one, dict) else ())
    return False


#: Keywords of a schema that asks for a kind and nothing more; the others are annotations.
_KIND_ONLY: Final = frozenset({"type", "title", "description", "default"})
_PLAIN: Final[Mapping[str, type]] = {"string": str, "integer": int, "boolean": bool}


def _is_a(value: JsonValue, kind: object) -> bool:
    """Whether this is plainly a value of the kind; False where a closer look is needed."""
    return isinstance(kind, str) and type(value) is _PLAIN.get(kind)


def _literal_wrong(value: JsonValue, wanted: JsonValue, root: JsonSchema) -> str:
    if not isinstance(wanted, dict):
        return "" if wanted is not False else "nothing is allowed there"
    if wanted.keys() <= _KIND_ONLY and _is_a(value, wanted.get("type")):
        return ""
    schema: JsonSchema = {**wanted, **({"$defs": root["$defs"]} if "$defs" in root and "$defs" not in wanted else {})}
    try:
        wrong = compile_schema(schema)(value)
    except PlanError:  # a worker's own schema may hold what a plan may not; its kinds are compared all the same
        kinds = type_of(wanted, root).kinds
        return "" if kinds_of_value(value) in kinds else f"this is {in_words({kinds_of_value(value)})}"
    return wrong[0] if wrong else ""
