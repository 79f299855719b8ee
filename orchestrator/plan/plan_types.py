"""What is known of every value an expression of a plan may name: inputs, outputs of steps, items, the run."""

from orchestrator.ids import JsonValue
from orchestrator.plan.catalogue import PoolCatalogue
from orchestrator.plan.expression_types import Clash, expression_type
from orchestrator.plan.expressions import Expression, ExpressionError, bare, text_parts
from orchestrator.plan.limits import SUBPLAN_DEPTH_MAX
from orchestrator.plan.models import Plan, Step
from orchestrator.plan.schema_types import (
    ANYTHING,
    Absent,
    Type,
    items_of,
    kinds_of_value,
    list_of,
    member,
    of_kinds,
    type_of,
)
from orchestrator.plan.vocabulary import RUN_MEMBERS, SESSION_MEMBERS, STEP_MEMBERS, Member

__all__ = ["PlanTypes", "Scope"]

_STATUSES: Type = type_of(
    {
        "enum": [
            *("pending", "running", "checking", "backoff", "waiting"),
            *("passed", "failed", "skipped", "gap", "cancelled"),
        ]
    }
)
_LANES: Type = type_of({"enum": ["high", "normal", "low", "batch"]})
_GAPS: Type = list_of(
    type_of({"type": "object", "properties": {"index": {"type": ["integer", "null"]}, "reason": {"type": "string"}}})
)
_ENUM_MAX = 50  #: items of a written list that are compared one by one
Path = tuple[str | int, ...]


class Scope:
    """What the expressions of one step can name; of `result` when `step_id` is None."""

    __slots__ = ("_in_check", "_item", "_step", "_step_id", "_types")

    def __init__(self, types: "PlanTypes", step_id: str | None, *, in_check: bool = False) -> None:
        self._types, self._step_id, self._in_check = types, step_id, in_check
        self._step = types.plan.steps[step_id] if step_id is not None else None
        mapped = self._step is not None and self._step.foreach is not None
        self._item = self._step.foreach.as_ if mapped and self._step is not None and self._step.foreach else None

    def roots(self) -> list[str]:
        """The names an expression may begin with."""
        names = ["inputs", "steps", "run", "session"]
        if self._in_check:
            names += ["output", "args"]
        if self._item is not None:
            names += [self._item, "index"]
        return names

    def look(self, root: str, path: Path) -> Type:
        """The type of a reference; anything when it is wrong, which `find` tells."""
        found = self.find(root, path)
        return ANYTHING if isinstance(found, Absent) else found

    def find(self, root: str, path: Path) -> Type | Absent:
        """The type of a reference, or what is wrong with it."""
        if root == "inputs":
            return self._types.inputs(path)
        if root == "steps":
            return self._types.steps(path)
        if root == "run":
            return _listed(root, RUN_MEMBERS, path, {"lane": _LANES})
        if root == "session":
            return _listed(root, SESSION_MEMBERS, path, {})
        if self._step_id is not None and self._step is not None:
            if root == "output" and self._in_check:
                return _walk(self._types.output(self._step_id), path)
            if root == "args" and self._in_check:
                return _walk(_closed(list(self._step.with_)), path)
            if root == "index" and self._item is not None:
                return _walk(of_kinds("number"), path)
            if root == self._item:
                return _walk(self._types.item(self._step_id), path)
        return Absent(f"there is no `{root[:64]}` here", root, tuple(self.roots()))

    def type_of(self, expression: Expression, clash: Clash) -> Type:
        """The type of an expression; `clash` hears of kinds that do not fit."""
        if expression.plain is not None:
            return self.look(expression.plain.root, expression.plain.path)
        return expression_type(expression, self.look, clash)


def _closed(names: list[str]) -> Type:
    properties: dict[str, JsonValue] = dict.fromkeys(names, True)
    return type_of({"type": "object", "properties": properties, "additionalProperties": False})


def _listed(root: str, members: dict[str, Member], path: Path, special: dict[str, Type]) -> Type | Absent:
    if not path:
        return Absent(f"`{root}` alone is no value", "", ())
    if path[0] not in members:
        return Absent(f"`{root}` has no `{str(path[0])[:64]}`", str(path[0]), tuple(members))
    name = str(path[0])
    return _walk(special.get(name) or Type(members[name].kinds), path[1:])


def _walk(found: Type, path: Path) -> Type | Absent:
    for key in path:
        inner = member(found, key)
        if isinstance(inner, Absent):
            return inner
        found = inner
    return found


class PlanTypes:
    """The types of one plan; each is worked out when it is first asked for."""

    def __init__(self, plan: Plan, catalogue: PoolCatalogue | None, depth: int = 1) -> None:
        self.plan, self._catalogue, self._depth = plan, catalogue, depth
        self._inputs: dict[str, Type] = {name: type_of(schema) for name, schema in plan.inputs.items()}
        self._outputs: dict[str, Type] = {}
        self._items: dict[str, Type] = {}
        self._open: set[str] = set()

    def inputs(self, path: Path) -> Type | Absent:
        """`inputs.NAME…`; `inputs` alone is a mapping."""
        if not path:
            return of_kinds("object")
        found = self._inputs.get(str(path[0]))
        if found is None:
            return Absent(f"the plan has no input `{str(path[0])[:64]}`", str(path[0]), tuple(self._inputs))
        return _walk(found, path[1:])

    def steps(self, path: Path) -> Type | Absent:
        """`steps.ID.MEMBER…`."""
        if not path:
            return Absent("`steps` alone is no value", "", ())
        step_id = str(path[0])
        step = self.plan.steps.get(step_id)
        if step is None:
            return Absent(f"there is no step `{step_id[:64]}`", step_id, tuple(self.plan.steps))
        if len(path) == 1:
            return Absent(f"`steps.{step_id}` alone is no value", "", tuple(STEP_MEMBERS))
        name = str(path[1])
        if name not in STEP_MEMBERS:
            return Absent(f"a step has no `{name[:64]}`", name, tuple(STEP_MEMBERS))
        return _walk(self._member(step_id, step, name), path[2:])

    def _member(self, step_id: str, step: Step, name: str) -> Type:
        mapped = step.foreach is not None
        if name == "output":
            return list_of(self.output(step_id).or_null()) if mapped else self.output(step_id)
        if name == "passed":
            return list_of(self.output(step_id))
        if name == "gaps":
            return _GAPS
        return _STATUSES if name == "status" else Type(STEP_MEMBERS[name].kinds)

    def output(self, step_id: str) -> Type:
        """What a step, or one branch of it, gives."""
        if step_id not in self._outputs:
            if step_id in self._open:
                return ANYTHING  # a cycle, reported elsewhere
            self._open.add(step_id)
            self._outputs[step_id] = self._output(self.plan.steps[step_id])
            self._open.discard(step_id)
        return self._outputs[step_id]

    def _output(self, step: Step) -> Type:
        if step.output is not None:
            return type_of(step.output)
        if step.human is not None:
            choices: list[JsonValue] = list(step.human.choices)
            return type_of(
                {"type": "object", "properties": {"choice": {"enum": choices}, "reason": {"type": "string"}}}
            )
        if step.plan is not None:
            if self._depth > SUBPLAN_DEPTH_MAX:
                return ANYTHING  # too deep, which is reported
            return PlanTypes(step.plan, self._catalogue, self._depth + 1).result()
        if step.call is not None and self._catalogue is not None:
            contract = self._catalogue.functions(step.pool or "").get(step.call)
            return type_of(contract.output_schema) if contract is not None else ANYTHING
        return ANYTHING

    def result(self) -> Type:
        """What a run of the plan gives."""
        result = self.plan.result
        if result is None:
            return _closed([name for name, step in self.plan.steps.items() if not step.finally_])
        if isinstance(result, str) and "${{" in result:
            try:
                parts = text_parts(result)
            except ExpressionError:
                return ANYTHING
            if isinstance(parts[0], Expression) and parts[1:] in {(), ("\n",)}:
                return Scope(self, None).type_of(parts[0], lambda what, expected: None)
        return of_kinds(kinds_of_value(result))

    def item(self, step_id: str) -> Type:
        """What the item of a mapped step is."""
        if step_id not in self._items:
            self._items[step_id] = ANYTHING  # while it is being worked out: an item cannot name itself
            self._items[step_id] = self._item(step_id)
        return self._items[step_id]

    def _item(self, step_id: str) -> Type:
        foreach = self.plan.steps[step_id].foreach
        if foreach is None:
            return ANYTHING
        if foreach.each is not None:
            return self.output(foreach.each) if foreach.each in self.plan.steps else ANYTHING
        if isinstance(foreach.over, str):
            try:
                over = bare(foreach.over)
            except ExpressionError:
                return ANYTHING
            return items_of(Scope(self, None).type_of(over, lambda what, expected: None))
        items = foreach.over or []
        if any(isinstance(item, list | dict) or (isinstance(item, str) and "${{" in item) for item in items):
            return ANYTHING
        kinds = frozenset(kinds_of_value(item) for item in items)
        return type_of({"enum": items}) if 0 < len(items) <= _ENUM_MAX else Type(kinds) if kinds else ANYTHING
