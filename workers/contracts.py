"""What a function promises: input and output schema, their digest, and whether a newer version keeps the promise."""

from collections.abc import Callable, Mapping
from typing import Final

from orchestrator.ids import JsonValue
from orchestrator.plan.catalogue import FunctionContract
from orchestrator.plan.models import digest_of

Schema = dict[str, JsonValue]

_NOTES: Final = frozenset(
    {"title", "description", "default", "examples", "deprecated", "$comment", "readOnly", "writeOnly"}
)
_NAMED: Final = frozenset({"properties", "patternProperties", "dependentSchemas"})  #: keyed by names, not by keywords
_DATA: Final = frozenset({"const", "enum", "required", "type", "discriminator"})  #: hold data, not schemas
_ORDERLESS: Final = frozenset({"enum", "required", "anyOf", "oneOf", "allOf"})


def contract_of(name: str, input_schema: Schema, output_schema: Schema, *, effect_key: bool) -> FunctionContract:
    """The contract of a function; the digest covers both schemas in their normal form and nothing else."""
    digest = digest_of({"input": normalised(input_schema), "output": normalised(output_schema)})
    return FunctionContract(
        name=name, input_schema=input_schema, output_schema=output_schema, digest=digest, effect_key=effect_key
    )


def compatible(old: FunctionContract, new: FunctionContract) -> bool:
    """Whether whoever was written against `old` is served by `new`: the input widened, the output narrowed, or equal.

    Decided from the schemas alone and on the safe side: what cannot be shown to be compatible is not.
    """
    return old.digest == new.digest or (
        accepts(new.input_schema, old.input_schema) and accepts(old.output_schema, new.output_schema)
    )


def normalised(schema: Schema) -> JsonValue:
    """The schema without titles, descriptions, defaults and other notes; names of definitions become numbers."""
    numbers: dict[str, int] = {}
    definitions: list[JsonValue] = []

    def place(pointer: str) -> str:
        if pointer not in numbers:
            numbers[pointer] = len(definitions)
            definitions.append(None)
            definitions[numbers[pointer]] = walk(_target(schema, pointer))
        return f"#{numbers[pointer]}"

    def walk(node: JsonValue) -> JsonValue:
        if isinstance(node, list):
            return [walk(item) for item in node]
        if not isinstance(node, dict):
            return node
        plain: Schema = {}
        for key, value in sorted(node.items()):
            if key in _NOTES or key in {"$defs", "discriminator"}:
                continue
            if key == "$ref" and isinstance(value, str):
                plain[key] = place(value)
            elif key in _NAMED and isinstance(value, dict):
                plain[key] = {name: walk(value[name]) for name in sorted(value)}
            else:
                plain[key] = value if key in _DATA else walk(value)
            if key in _ORDERLESS and isinstance(value, list):
                plain[key] = sorted(plain[key], key=_order)  # type: ignore[arg-type]  # a list as `value` is
        return plain

    return {"schema": walk(schema), "definitions": definitions}


def _order(value: JsonValue) -> str:
    return digest_of(value)


def _target(root: Schema, pointer: str) -> Schema:
    node: JsonValue = root
    for part in pointer.removeprefix("#").strip("/").split("/"):
        if part:
            assert isinstance(node, dict), "pydantic writes pointers into its own definitions"
            node = node[part.replace("~1", "/").replace("~0", "~")]
    assert isinstance(node, dict)
    return node


# ---- is every value of one schema a value of the other?


def accepts(wide: Schema, narrow: Schema) -> bool:
    """Whether every value that fits `narrow` certainly fits `wide`. False also where that cannot be shown."""
    return _Comparison(wide, narrow).holds(wide, narrow)


_LOWER: Final = ("minimum", "exclusiveMinimum", "minLength", "minItems", "minProperties")
_UPPER: Final = ("maximum", "exclusiveMaximum", "maxLength", "maxItems", "maxProperties")
_HANDLED: Final = frozenset(
    {
        "$ref",
        "$defs",
        "type",
        "enum",
        "const",
        "anyOf",
        "oneOf",
        "properties",
        "required",
        "additionalProperties",
        "items",
    }
    | {*_LOWER, *_UPPER}
    | _NOTES
)


class _Comparison:
    """One question of `accepts`; remembers the pairs under way, so that recursive types end."""

    def __init__(self, wide_root: Schema, narrow_root: Schema) -> None:
        self.wide_root, self.narrow_root = wide_root, narrow_root
        self.under_way: set[tuple[str, str]] = set()

    def holds(self, wide: JsonValue, narrow: JsonValue) -> bool:
        if wide is True or narrow is False:
            return True
        if wide is False:
            return False
        narrow = {} if narrow is True else narrow
        if not isinstance(wide, dict) or not isinstance(narrow, dict):
            return False
        pair = (str(wide.get("$ref", "")), str(narrow.get("$ref", "")))
        if pair != ("", ""):
            key = (pair[0] or digest_of(wide), pair[1] or digest_of(narrow))
            if key in self.under_way:
                return True
            self.under_way.add(key)
            wide = _target(self.wide_root, pair[0]) if pair[0] else wide
            narrow = _target(self.narrow_root, pair[1]) if pair[1] else narrow
            return self.holds(wide, narrow)
        return self._members(wide, narrow)

    def _members(self, wide: Schema, narrow: Schema) -> bool:
        for word in ("anyOf", "oneOf"):
            if isinstance(choices := narrow.get(word), list):
                rest = {key: value for key, value in narrow.items() if key != word}
                return all(self.holds(wide, _joined(rest, choice)) for choice in choices)
        if isinstance(choices := wide.get("anyOf"), list):
            rest = {key: value for key, value in wide.items() if key != "anyOf"}
            return any(self.holds(_joined(rest, choice), narrow) for choice in choices)
        kinds = narrow.get("type")
        if isinstance(kinds, list):
            return all(self.holds(wide, {**narrow, "type": kind}) for kind in kinds)
        return (
            all(narrow.get(key) == value for key, value in wide.items() if key not in _HANDLED)
            and _values_fit(wide, narrow)
            and _types_fit(wide, narrow)
            and _bounds_fit(wide, narrow, _LOWER, lambda mine, other: other >= mine)
            and _bounds_fit(wide, narrow, _UPPER, lambda mine, other: other <= mine)
            and self._items_fit(wide, narrow)
            and self._properties_fit(wide, narrow)
        )

    def _items_fit(self, wide: Schema, narrow: Schema) -> bool:
        return "items" not in wide or _never(narrow, "array") or self.holds(wide["items"], narrow.get("items", True))

    def _properties_fit(self, wide: Schema, narrow: Schema) -> bool:
        if _never(narrow, "object"):
            return True
        mine, others = _mapping(wide, "properties"), _mapping(narrow, "properties")
        further, others_further = wide.get("additionalProperties", True), narrow.get("additionalProperties", True)
        needed, given = wide.get("required", []), narrow.get("required", [])
        assert isinstance(needed, list)
        assert isinstance(given, list)
        return (
            all(name in given for name in needed)
            and all(self.holds(schema, others.get(name, others_further)) for name, schema in mine.items())
            and all(name in mine or self.holds(further, schema) for name, schema in others.items())
            and self.holds(further, others_further)
        )


def _joined(rest: Schema, choice: JsonValue) -> JsonValue:
    """A schema that asks for `rest` and `choice`; a clash of keywords leaves an unknown one, which nothing accepts."""
    if not isinstance(choice, dict) or not (set(rest) - _NOTES - {"$defs"}):
        return choice
    return {"allOf": [rest, choice]} if set(rest) & set(choice) - _NOTES else {**rest, **choice}


def _mapping(schema: Schema, key: str) -> Mapping[str, JsonValue]:
    value = schema.get(key, {})
    assert isinstance(value, dict)
    return value


def _never(schema: Schema, kind: str) -> bool:
    """Whether no value of the schema has this type."""
    if "type" in schema:
        return schema["type"] != kind
    return _allowed(schema) is not None and all(_type_of(value) != kind for value in _allowed(schema) or ())


def _allowed(schema: Schema) -> list[JsonValue] | None:
    if "const" in schema:
        return [schema["const"]]
    values = schema.get("enum")
    return values if isinstance(values, list) else None


def _values_fit(wide: Schema, narrow: Schema) -> bool:
    mine, others = _allowed(wide), _allowed(narrow)
    if mine is None:
        return True
    kept = {digest_of(value) for value in mine}
    return others is not None and all(digest_of(value) in kept for value in others)


def _types_fit(wide: Schema, narrow: Schema) -> bool:
    mine = wide.get("type")
    if mine is None:
        return True
    allowed = {str(kind) for kind in mine} if isinstance(mine, list) else {str(mine)}
    allowed |= {"integer"} if "number" in allowed else set()
    if "type" in narrow:
        return narrow["type"] in allowed
    values = _allowed(narrow)
    return values is not None and all(_type_of(value) in allowed for value in values)


def _type_of(value: JsonValue) -> str:
    names = {bool: "boolean", int: "integer", float: "number", str: "string", list: "array", dict: "object"}
    return names.get(type(value), "null")


def _bounds_fit(wide: Schema, narrow: Schema, words: tuple[str, ...], within: Callable[[float, float], bool]) -> bool:
    for word in words:
        if word in wide:
            mine, other = wide[word], narrow.get(word)
            numbers = isinstance(mine, int | float) and isinstance(other, int | float)
            if not (numbers and within(mine, other)):  # type: ignore[arg-type]  # both are numbers
                return False
    return True
