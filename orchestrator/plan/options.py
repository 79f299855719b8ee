"""Turns the options of a step, as users give them in Python, into the keys of the plan format."""

from collections.abc import Iterable, Mapping
from typing import Final, Literal, TypedDict, cast

from orchestrator.errors import ExpressionError
from orchestrator.ids import JsonValue
from orchestrator.plan.expressions import bare
from orchestrator.plan.parts import AtLeast, Budget, Check, Effect, Join, ModelUse, Retry, Rung, StepTier, Timeout
from orchestrator.plan.refs import Expr, Ref, StepRef, expr, shape_of, text_of
from orchestrator.plan.shapes import nearest, refusal, schema_of
from orchestrator.plan.values import plain, references
from orchestrator.plan.vocabulary import ITEM_NAMES_RESERVED

__all__ = ["StepOptions", "all_", "any_", "at_least", "check_roots", "foreach_of", "keys_of"]

all_: Final = "all"  #: join: start when every dependency is well
any_: Final = "any"  #: join: start at the first pass, and cancel the rest


def at_least(n: int) -> AtLeast:
    """Join: be content with `n` passes, at least 1.

    Raises:
        PlanError: `n` is below 1.
    """
    if type(n) is not int or n < 1:
        raise refusal(
            f"at_least({n}) would wait for nothing",
            path="join",
            expected="at_least(1) or more; finally_=True to run anyway",
        )
    return AtLeast(at_least=n)


class StepOptions(TypedDict, total=False):
    """What every kind of step may be given, beside its own parameters."""

    description: str  #: for people
    needs: Iterable[StepRef | str]  #: pure ordering; references make edges of their own
    when: Expr | str | bool | None  #: the condition; otherwise the step is skipped
    join: Join  #: `all_`, `any_` or `at_least(n)`
    early: bool  #: with `at_least`: start at the n-th pass and cancel the rest
    finally_: bool  #: runs whatever happened
    checks: Iterable[Check]
    on_fail: Iterable[Rung | Literal["gap", "fail"]]  #: the ladder, lowest rung first
    replan_if: Expr | str | None  #: on the passed output: the supervisor may change what comes after it
    output: object  #: a pydantic model, a type, or a JSON Schema
    timeout: Timeout | Mapping[str, object] | None
    retry: Retry | Mapping[str, object] | None
    model: ModelUse | StepTier | Mapping[str, object] | None
    effect: Effect | Expr | str | Mapping[str, object] | None  #: a text or reference is the key
    budget: Budget | Mapping[str, object] | None  #: the share of a sub-plan or goal
    over: object  #: one branch per item: a reference to a list, or a list
    each: StepRef | str | None  #: one branch per branch of a mapped step
    as_: str  #: what `p.item_as(…)` calls the item
    max_parallel: int | None  #: branches that run at the same time


def keys_of(options: StepOptions, path: str, owner: object) -> dict[str, object]:
    """The options that were given as keys of a step; `output` and the `foreach` ones are left to others.

    Raises:
        PlanError: a reference of another plan, a text that is no expression, or an option of the wrong kind.
    """
    keys: dict[str, object] = {}
    for name in ("description", "join", "early", "finally_", "timeout", "retry", "budget"):
        given = options.get(name)
        if given is not None:
            keys[name.removesuffix("_")] = given
    if needs := tuple(options.get("needs", ())):
        keys["needs"] = [_step_id(each, f"{path}.needs", owner) for each in needs]
    when = options.get("when")
    if when is not None:
        keys["if"] = when if isinstance(when, bool) else _condition(when, f"{path}.if", owner)
    checks = list(options.get("checks", ()))
    for at, check in enumerate(checks):
        if not isinstance(check, Check):
            raise refusal(f"{check!r} is no check", path=f"{path}.checks[{at}]", expected="checks.rule(…) and the like")
    rungs = list(options.get("on_fail", ()))
    for at, rung in enumerate(rungs):
        if not isinstance(rung, Rung) and rung not in ("gap", "fail"):
            raise refusal(f"{rung!r} is no rung", path=f"{path}.on_fail[{at}]", expected="ladder.retry(…) and the like")
    keys |= {name: found for name, found in (("checks", checks), ("on_fail", rungs)) if found}
    news = options.get("replan_if")
    if news is not None:
        keys["replan_if"] = _condition(news, f"{path}.replan_if", owner)
    model = options.get("model")
    if model is not None:
        keys["model"] = {"tier": model} if isinstance(model, str) else model
    effect = options.get("effect")
    if effect is not None:
        keys["effect"] = _effect(effect, f"{path}.effect", owner)
    return keys


def _condition(when: Expr | str, path: str, owner: object) -> str:
    found = when if isinstance(when, Expr) else expr(when)
    plain(found, path, owner)  # refuses a reference of another plan
    return text_of(found)


def _effect(effect: Effect | Expr | str | Mapping[str, object], path: str, owner: object) -> object:
    if isinstance(effect, Effect):
        return effect
    if isinstance(effect, Expr | str):
        return {"key": plain(effect, path, owner)}
    return plain(effect, path, owner)


def _step_id(step: StepRef | str, path: str, owner: object) -> str:
    if isinstance(step, str):
        return step
    if not isinstance(step, StepRef):
        raise refusal(f"{step!r} is no step", path=path, expected="what p.step(…) or p.map(…) gave, or a step's id")
    plain(step, path, owner)  # refuses a step of another plan
    return step.step_id


def foreach_of(options: StepOptions, path: str, owner: object) -> dict[str, object] | None:
    """The key `foreach`, or None when the step is not mapped.

    Raises:
        PlanError: both or neither of over and each where one is needed; `over` is no list; `each` is not mapped.
    """
    over, each = options.get("over"), options.get("each")
    item, parallel = options.get("as_", "item"), options.get("max_parallel")
    if over is None and each is None:
        if item != "item" or parallel is not None:
            raise refusal("as_ and max_parallel are for a step with branches", path=path, expected="over=… or each=…")
        return None
    if over is not None and each is not None:
        raise refusal("a step has over or each, not both", path=f"{path}.foreach", expected="one of them")
    if item in ITEM_NAMES_RESERVED:
        raise refusal(f"an item cannot be called {item!r}: it stands for something else", path=f"{path}.foreach.as")
    found: dict[str, object] = {"as": item}
    if parallel is not None:
        found["max_parallel"] = parallel
    if each is not None:
        if isinstance(each, StepRef) and not each.mapped:
            raise refusal(
                f"step {each.step_id!r} has no branches to follow",
                path=f"{path}.foreach.each",
                expected="over=…, or a step made by p.map",
            )
        return {"each": _step_id(each, f"{path}.foreach.each", owner), **found}
    return {"over": _over(over, f"{path}.foreach.over", owner), **found}


def _over(over: object, path: str, owner: object) -> JsonValue:
    kind = shape_of(over).kind() if isinstance(over, Ref) else ""
    if kind not in {"", "array"}:
        raise refusal(
            f"{over!r} is of type {kind}, and only a list has items", path=path, expected="a reference to a list"
        )
    found = plain(over, path, owner)
    if not isinstance(found, str | list):
        raise refusal(f"{over!r} is no list", path=path, expected="a reference to a list, or a list")
    return found


_EVERYWHERE: Final = ("inputs", "steps", "run", "session")
_PLAIN_CALL: Final = frozenset({"pool", "call", "with", "output", "description", "join", "early", "finally"})


_CONDITIONS: Final = frozenset({"if", "replan_if", "rule"})  #: where the braces may be left out


def check_roots(keys: Mapping[str, object], path: str) -> None:
    """Refuse a reference whose first name means nothing in this step.

    Raises:
        PlanError: `item` in a step without branches, or a name that is none.
    """
    foreach = keys.get("foreach")
    items = [str(foreach["as"]), "index"] if isinstance(foreach, dict) else []
    known = [*_EVERYWHERE, *items]
    if keys.keys() <= _PLAIN_CALL:  # most steps of a large plan
        for ref in references(cast(JsonValue, keys.get("with")), f"{path}.with"):
            if ref.root not in _EVERYWHERE:
                raise _unknown_root(ref.root, items, known, f"{path}.with")
        return
    human, effect, over = (
        keys.get("human"),
        keys.get("effect"),
        foreach.get("over") if isinstance(foreach, dict) else None,
    )
    key = effect.key if isinstance(effect, Effect) else effect.get("key") if isinstance(effect, dict) else None
    places: list[tuple[str, object, list[str]]] = [
        ("task", keys.get("task"), known),
        ("with", keys.get("with"), known),
        ("effect.key", key, known),
        ("human.show", human.get("show") if isinstance(human, dict) else None, known),
        ("foreach.over", over, known[:4]),
    ]
    checks = keys.get("checks")
    for at, check in enumerate(checks if isinstance(checks, list) else ()):
        places.append((f"checks[{at}].with", dict(check.with_ or {}), [*known, "output", "args"]))
        places.append((f"checks[{at}].rule", check.rule, [*known, "output", "args"]))
    places.append(("if", keys.get("if"), known))
    places.append(("replan_if", keys.get("replan_if"), [*known, "output", "args"]))
    for where, value, roots in places:
        if not value:
            continue
        for root in _roots(value, f"{path}.{where}", whole=where.rpartition(".")[2] in _CONDITIONS):
            if root not in roots:
                raise _unknown_root(root, items, roots, f"{path}.{where}")


def _roots(value: object, path: str, *, whole: bool) -> set[str]:
    if whole and isinstance(value, str):
        try:
            return {ref.root for ref in bare(value).refs}
        except ExpressionError as error:
            raise refusal(str(error), path=path) from error
    return {ref.root for ref in references(value, path)} if isinstance(value, str | list | dict) else set()


def _unknown_root(root: str, items: list[str], roots: list[str], path: str) -> Exception:
    if root in {"item", "index"} and not items:
        return refusal(f"this step has no {root}", path=path, expected="p.map(fn, over=…), or over=… in this step")
    if root == "item":
        return refusal(f"the item of this step is called {items[0]!r}", path=path, expected=f"p.item_as({items[0]!r})")
    return refusal(f"there is no {root!r} to refer to", path=path, expected=nearest(root, roots))


def output_of(output: object, path: str) -> JsonValue:
    """The key `output`: the JSON Schema of a type, or the one that was given.

    Raises:
        PlanError: there is no schema for it.
    """
    return plain(schema_of(output, f"{path}.output"), f"{path}.output")
