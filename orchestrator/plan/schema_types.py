"""What a JSON Schema tells of a value: its kinds, and the type of its members. Says nothing where the schema is open.

Wrong answers must never refuse a good plan, so whatever is not understood counts as anything.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final

from orchestrator.ids import JsonValue
from orchestrator.plan.schemas import target_of
from orchestrator.plan.vocabulary import ALL_KINDS, Kinds

__all__ = ["ANYTHING", "Absent", "Type", "in_words", "kinds_of_value", "list_of", "of_kinds", "type_of"]

_HOPS_MAX: Final = 16  #: `$ref`s followed in a row, and unions looked into
_KIND: Final[dict[str, str]] = {"integer": "number"}
_WORDS: Final[dict[str, str]] = {
    "null": "null",
    "boolean": "true or false",
    "number": "a number",
    "string": "a text",
    "array": "a list",
    "object": "a mapping",
}


@dataclass(frozen=True, slots=True)
class Type:
    """What is known of a value."""

    kinds: Kinds
    schema: JsonValue = True
    root: JsonValue = True  #: what `$ref` in `schema` starts from
    item: "Type | None" = None  #: of a list that the plan makes: the type of its items

    def or_null(self) -> "Type":
        """The same, or null."""
        return Type(self.kinds | {"null"}, self.schema, self.root, self.item)

    def literals(self) -> tuple[JsonValue, ...] | None:
        """The only values it can have, from `enum` or `const`; None when they are open."""
        schema = _followed(self.schema, self.root)
        if isinstance(schema, dict):
            if "const" in schema:
                return (schema["const"],)
            values = schema.get("enum")
            if isinstance(values, list):
                return tuple(values)
        return None


@dataclass(frozen=True, slots=True)
class Absent:
    """Why there is no such member."""

    reason: str
    name: str = ""  #: the missing name; empty when the value can have no such member at all
    names: tuple[str, ...] = ()  #: what there is


ANYTHING: Final = Type(ALL_KINDS)


def of_kinds(*kinds: str) -> Type:
    """A value of which the kinds alone are known."""
    return Type(frozenset(kinds))


def list_of(item: Type) -> Type:
    """A list with items of one type."""
    return Type(frozenset({"array"}), item=item)


def type_of(schema: JsonValue, root: JsonValue = None) -> Type:
    """The type that a schema describes."""
    whole = schema if root is None else root
    return Type(_kinds(schema, whole, 0), schema, whole)


def kinds_of_value(value: JsonValue) -> str:
    """The kind of one JSON value."""
    match value:
        case None:
            return "null"
        case bool():
            return "boolean"
        case int() | float():
            return "number"
        case str():
            return "string"
        case list():
            return "array"
        case _:
            return "object"


def in_words(kinds: Iterable[str]) -> str:
    """`a text or null`, for messages."""
    return " or ".join(_WORDS[kind] for kind in _WORDS if kind in set(kinds)) or "nothing"


def _followed(schema: JsonValue, root: JsonValue) -> JsonValue:
    for _ in range(_HOPS_MAX):
        if not isinstance(schema, dict) or not isinstance(schema.get("$ref"), str):
            return schema
        schema = target_of(root, str(schema["$ref"]))
    return True


_ONE_KIND: Final = {"integer": frozenset({"number"}), **{kind: frozenset({kind}) for kind in ALL_KINDS}}
_NARROWING: Final = frozenset({"const", "enum", "anyOf", "oneOf", "allOf"})


def _kinds(schema: JsonValue, root: JsonValue, depth: int) -> Kinds:
    schema = _followed(schema, root)
    if schema is False:
        return frozenset()
    if not isinstance(schema, dict) or depth > _HOPS_MAX:
        return ALL_KINDS
    kinds = ALL_KINDS
    declared = schema.get("type")
    if isinstance(declared, str):
        kinds = _ONE_KIND.get(declared, ALL_KINDS)
        if _NARROWING.isdisjoint(schema):
            return kinds  # the usual case
    elif isinstance(declared, list):
        kinds &= {_KIND.get(str(one), str(one)) for one in declared}
    if "const" in schema:
        kinds &= {kinds_of_value(schema["const"])}
    values = schema.get("enum")
    if isinstance(values, list):
        kinds &= {kinds_of_value(value) for value in values}
    for key in ("anyOf", "oneOf"):
        parts = schema.get(key)
        if isinstance(parts, list):
            kinds &= frozenset().union(*(_kinds(part, root, depth + 1) for part in parts))
    parts = schema.get("allOf")
    if isinstance(parts, list):
        for part in parts:
            kinds &= _kinds(part, root, depth + 1)
    return kinds


def member(type_: Type, key: str | int) -> Type | Absent:
    """The type of `value.key` or `value[key]`; a value that may be null is taken not to be."""
    wanted = "object" if isinstance(key, str) else "array"
    if wanted not in type_.kinds:
        return Absent(f"{in_words(type_.kinds - {'null'})} has no {_shown(key)}")
    if isinstance(key, int):
        return type_.item if type_.item is not None else _item(type_.schema, type_.root, key, 0)
    return _property(type_.schema, type_.root, key, 0)


def items_of(type_: Type) -> Type:
    """The type of any one item of a list."""
    if type_.item is not None:
        return type_.item
    schema = _followed(type_.schema, type_.root)
    if isinstance(schema, dict) and isinstance(schema.get("items"), dict) and "prefixItems" not in schema:
        return type_of(schema["items"], type_.root)
    return ANYTHING


def _shown(key: str | int) -> str:
    return f"`{key[:64]}`" if isinstance(key, str) else f"item {key}"


def _item(schema: JsonValue, root: JsonValue, key: int, depth: int) -> Type | Absent:
    schema = _followed(schema, root)
    if not isinstance(schema, dict) or depth > _HOPS_MAX:
        return ANYTHING
    prefix = schema.get("prefixItems")
    if isinstance(prefix, list) and 0 <= key < len(prefix):
        return type_of(prefix[key], root)
    most = schema.get("maxItems")
    if isinstance(most, int) and key >= most >= 0:
        return Absent(f"the list has at most {most} items")
    if "items" in schema:
        if schema["items"] is False:
            return Absent(f"there is no item {key}")
        return type_of(schema["items"], root)
    return _in_union(schema, root, depth, lambda part: _item(part, root, key, depth + 1))


def _property(schema: JsonValue, root: JsonValue, key: str, depth: int) -> Type | Absent:
    schema = _followed(schema, root)
    if not isinstance(schema, dict) or depth > _HOPS_MAX:
        return ANYTHING
    properties = schema.get("properties")
    if isinstance(properties, dict) and key in properties:
        return type_of(properties[key], root)
    union = _in_union(schema, root, depth, lambda part: _property(part, root, key, depth + 1))
    if union is not ANYTHING and not isinstance(union, Absent):
        return union
    closed = schema.get("additionalProperties") is False or schema.get("unevaluatedProperties") is False
    if closed and "patternProperties" not in schema and not any(one in schema for one in _UNIONS):
        names = tuple(properties) if isinstance(properties, dict) else ()
        return Absent(f"there is no {_shown(key)}: the schema is closed", key, names)
    more = schema.get("additionalProperties")
    if isinstance(more, dict) and "patternProperties" not in schema and union is ANYTHING:
        return type_of(more, root)
    return union


_UNIONS: Final = ("anyOf", "oneOf", "allOf", "if", "then", "else", "dependentSchemas", "$dynamicRef")


def _in_union(
    schema: dict[str, JsonValue], root: JsonValue, depth: int, ask: Callable[[JsonValue], Type | Absent]
) -> Type | Absent:
    """What a union says of a member: absent when it is so in every part that could have members."""
    for key in ("anyOf", "oneOf"):
        parts = schema.get(key)
        if isinstance(parts, list) and depth <= _HOPS_MAX:
            able = [part for part in parts if _kinds(part, root, depth + 1) & {"object", "array"}]
            found = [ask(part) for part in able]
            present = [one for one in found if not isinstance(one, Absent)]
            if found and not present:
                return found[0]
            return present[0] if len(found) == 1 else ANYTHING
    parts = schema.get("allOf")
    if isinstance(parts, list) and depth <= _HOPS_MAX:
        for one in (ask(part) for part in parts):
            if one is not ANYTHING:
                return one
    return ANYTHING
