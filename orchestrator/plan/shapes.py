"""What is known of a value before it exists: its JSON Schema, made out of Python types and walked by references."""

from collections.abc import Mapping
from difflib import get_close_matches
from typing import Final, cast

from pydantic import BaseModel, TypeAdapter
from pydantic_core import PydanticUndefined, to_jsonable_python

from orchestrator.errors import PlanError, PlanIssue
from orchestrator.ids import JsonValue
from orchestrator.plan.models import JsonSchema
from orchestrator.plan.schemas import subschemas

_MAPS: Final = ("properties", "$defs", "patternProperties", "dependentSchemas")  #: name -> schema
_LISTS: Final = ("anyOf", "oneOf", "allOf", "prefixItems")
_SINGLE: Final = ("items", "additionalProperties", "not", "if", "then", "else", "contains", "propertyNames")
_UNIONS: Final = ("anyOf", "oneOf", "allOf")
_REF: Final = "#/$defs/"
_HOPS_MAX: Final = 32  #: references followed in a row; a longer chain is a circle


def refusal(message: str, *, path: str = "", expected: str = "") -> PlanError:
    """A `PlanError` with one issue, for mistakes that are found while a plan is being written in Python."""
    return PlanError((PlanIssue(message=message, file="<python>", path=path, expected=expected),))


def nearest(name: str, known: list[str]) -> str:
    """What to offer instead of an unknown name: the closest ones, or else what there is."""
    close = get_close_matches(name, known, n=3, cutoff=0.5)
    if close:
        return " or ".join(close)
    return "one of " + ", ".join(sorted(known)[:12]) if known else ""


def schema_of(source: object, path: str) -> JsonSchema:
    """The JSON Schema of a pydantic model or any type that pydantic knows; a schema given as a mapping stays as it is.

    Titles that pydantic makes out of names are left out, so that a plan written in YAML has the same digest.
    `path` is for messages.

    Raises:
        PlanError: there is no JSON Schema for it.
    """
    if isinstance(source, Mapping):
        return cast(JsonSchema, dict(source))
    try:
        made = TypeAdapter[object](cast(type[object], source)).json_schema()
    except Exception as error:  # pydantic raises several kinds, and all say: not a type with a schema
        raise refusal(
            f"{source!r} has no JSON Schema", path=path, expected="a pydantic model, a type of JSON data, or a schema"
        ) from error
    return without_titles(made)


def inputs_of(source: object) -> dict[str, JsonSchema]:
    """One schema per input: out of a pydantic model's fields, or of a mapping from names to schemas or types.

    Raises:
        PlanError: neither, or a default that is not the same value each time it is made.
    """
    if source is None:
        return {}
    if isinstance(source, Mapping):
        return {str(name): schema_of(each, f"inputs.{name}") for name, each in source.items()}
    if not (isinstance(source, type) and issubclass(source, BaseModel)):
        raise refusal(
            f"{source!r} does not describe inputs",
            path="inputs",
            expected="a pydantic model, or a dict of names and schemas",
        )
    whole = schema_of(source, "inputs")
    while "properties" not in whole and isinstance(ref := whole.get("$ref"), str):  # a model that refers to itself
        defs = cast(dict[str, JsonSchema], whole["$defs"])
        whole = {**defs[ref.removeprefix(_REF)], "$defs": cast(JsonValue, defs)}
    properties = cast(dict[str, JsonSchema], whole.get("properties", {}))
    made_defaults = _made_defaults(source)
    found: dict[str, JsonSchema] = {}
    for name, schema in properties.items():
        own = dict(schema)
        if "default" not in own and name in made_defaults:
            own["default"] = made_defaults[name]
        defs = _used_defs(own, cast(dict[str, JsonSchema], whole.get("$defs", {})))
        found[name] = {**own, "$defs": cast(JsonValue, defs)} if defs else own
    return found


def _made_defaults(model: type[BaseModel]) -> dict[str, JsonValue]:
    """Defaults that a factory makes: pydantic leaves them out of the schema, but the input is optional all the same."""
    found: dict[str, JsonValue] = {}
    for name, info in model.model_fields.items():
        if info.default_factory is None or info.default_factory_takes_validated_data:
            continue
        first, second = (to_jsonable_python(info.get_default(call_default_factory=True)) for _ in range(2))
        if first is PydanticUndefined or first != second:
            raise refusal(
                f"the default of input {name!r} is another value each time it is made, and a plan has one digest",
                path=f"inputs.{name}",
                expected="a constant default, or none",
            )
        found[info.validation_alias if isinstance(info.validation_alias, str) else info.alias or name] = first
    return found


def _used_defs(schema: JsonSchema, defs: dict[str, JsonSchema]) -> dict[str, JsonSchema]:
    used: dict[str, JsonSchema] = {}
    todo = [schema]
    while todo:
        for _, each in subschemas(todo.pop()):
            ref = each.get("$ref")
            name = ref.removeprefix(_REF) if isinstance(ref, str) else ""
            if name in defs and name not in used:
                used[name] = defs[name]
                todo.append(defs[name])
    return used


def without_titles(schema: Mapping[str, JsonValue]) -> JsonSchema:
    """A copy without the `title` of any schema in it; a property that is called `title` stays."""

    def copied(key: str, value: JsonValue) -> JsonValue:
        if key in _MAPS and isinstance(value, dict):
            return {name: without_titles(each) if isinstance(each, dict) else each for name, each in value.items()}
        if key in _LISTS and isinstance(value, list):
            return [without_titles(each) if isinstance(each, dict) else each for each in value]
        return without_titles(value) if key in _SINGLE and isinstance(value, dict) else value

    return {key: copied(key, value) for key, value in schema.items() if key != "title"}


class Shape:
    """What a schema says of one value and of those inside it. Immutable; knows nothing when the schema is None."""

    __slots__ = ("_root", "_schema")

    def __init__(self, schema: Mapping[str, JsonValue] | None, root: Mapping[str, JsonValue] | None = None) -> None:
        self._schema = schema
        self._root = schema if root is None else root

    def _choices(self) -> list[JsonSchema] | None:
        """The schemas one of which holds, null left out; None when anything may be there."""
        found: list[JsonSchema] = []
        todo = [dict(self._schema)] if self._schema else []
        hops = 0
        while todo:
            each = todo.pop()
            hops += 1
            ref = each.get("$ref")
            if isinstance(ref, str):
                defs = (self._root or {}).get("$defs")
                target = defs.get(ref.removeprefix(_REF)) if isinstance(defs, dict) and ref.startswith(_REF) else None
                if not isinstance(target, dict) or hops > _HOPS_MAX:
                    return None
                todo.append(target)
                continue
            unions = [option for key in _UNIONS if isinstance(options := each.get(key), list) for option in options]
            if unions:
                if "properties" in each or not all(isinstance(option, dict) for option in unions):
                    return None
                todo += [option for option in unions if isinstance(option, dict)]
            elif each.get("type") != "null":
                found.append(each)
        return found or None

    def kind(self) -> str:
        """`array`, `object`, `string`, …; empty when not known or one of several."""
        kinds = {str(each.get("type", "")) for each in self._choices() or ()}
        return kinds.pop() if len(kinds) == 1 else ""

    def fields(self) -> list[str] | None:
        """The names of an object's fields; None when there may be others."""
        names: dict[str, None] = {}
        choices = self._choices()
        for each in choices or ():
            properties = each.get("properties")
            if not isinstance(properties, dict) or each.get("additionalProperties") or each.get("patternProperties"):
                return None
            names |= dict.fromkeys(properties)
        return list(names) if choices else None

    def field(self, name: str) -> "Shape":
        """The shape of a field; one that knows nothing when the schema does not tell."""
        for each in self._choices() or ():
            properties = each.get("properties")
            found = properties.get(name) if isinstance(properties, dict) else None
            if isinstance(found, dict):
                return Shape(found, self._root)
        return ANYTHING

    def item(self) -> "Shape":
        """The shape of a list's items."""
        for each in self._choices() or ():
            found = each.get("items")
            if isinstance(found, dict):
                return Shape(found, self._root)
        return ANYTHING

    def listed(self) -> "Shape":
        """The shape of a list of such values."""
        if self._schema is None:
            return Shape({"type": "array"})
        return Shape({"type": "array", "items": dict(self._schema)}, self._root)


class Record(Shape):
    """An object whose fields have schemas of their own, each with its own definitions."""

    __slots__ = ("_members",)

    def __init__(self, members: Mapping[str, Mapping[str, JsonValue] | None]) -> None:
        super().__init__({"type": "object", "properties": {name: dict(each or {}) for name, each in members.items()}})
        self._members = members

    def field(self, name: str) -> Shape:
        """The shape of a field."""
        return Shape(self._members.get(name))


ANYTHING: Final = Shape(None)
