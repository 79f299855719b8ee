"""JSON Schemas (2020-12) of plans: refused when they are not safe to run, compiled once, asked for errors with paths.

Patterns run on an engine that is linear in the text by construction; look-around and back-references do not exist
there, so a pattern that holds them is refused. Nothing is fetched: a `$ref` stays inside its schema.
"""

from collections.abc import Callable, Iterator
from functools import lru_cache
from typing import Final

from orchestrator.errors import PlanError, PlanIssue
from orchestrator.ids import JsonValue
from orchestrator.plan import limits
from orchestrator.plan.models import JsonSchema, canonical_json
from orchestrator.plan.schema_growth import depth_of, growth

__all__ = [
    "RECURSION_LOOKS_MAX",
    "SCHEMA_BYTES_MAX",
    "SCHEMA_DEPTH_MAX",
    "SCHEMA_ERRORS_MAX",
    "SCHEMA_WORK_MAX",
    "SchemaCheck",
    "compile_schema",
    "schema_fault",
    "subschemas",
]

SCHEMA_BYTES_MAX: Final = 256 * 1024  #: one schema, as JSON
SCHEMA_DEPTH_MAX: Final = 64  #: nesting of one schema
SCHEMA_WORK_MAX: Final = 10_000  #: subschemas that one value may meet at one place, `$ref`s followed
RECURSION_LOOKS_MAX: Final = 1_000  #: looks that unions inside a recursive schema may multiply to, over a whole value
SCHEMA_ERRORS_MAX: Final = 20  #: errors told of one value
PATTERN_BYTES_MAX: Final = 1024 * 1024  #: one compiled pattern
_ERROR_CHARS_MAX: Final = 300
_COMPILED: Final = 512  #: compiled schemas kept

SchemaCheck = Callable[[JsonValue], tuple[str, ...]]  #: what is wrong with a value, with paths; empty when nothing is
Path = tuple[str | int, ...]

_ONE: Final = frozenset(
    {"additionalProperties", "contains", "else", "if", "items", "not", "propertyNames", "then"}
    | {"unevaluatedItems", "unevaluatedProperties", "contentSchema"}
)
_MANY: Final = frozenset({"allOf", "anyOf", "oneOf", "prefixItems"})
_NAMED: Final = frozenset({"$defs", "definitions", "dependentSchemas", "patternProperties", "properties"})
_SAME_PLACE: Final = frozenset({"allOf", "anyOf", "oneOf", "not", "if", "then", "else", "dependentSchemas"})
_DRAFT: Final = "https://json-schema.org/draft/2020-12/schema"


def subschemas(schema: JsonValue, path: Path = ()) -> Iterator[tuple[Path, JsonSchema]]:
    """Every schema in a schema with its path, itself first; what stands in `const`, `enum` or `default` is data."""
    todo: list[tuple[Path, JsonValue]] = [(path, schema)]
    while todo:
        at, one = todo.pop()
        if not isinstance(one, dict):
            continue
        yield at, one
        for key, value in one.items():
            if key in _ONE:
                todo.append(((*at, key), value))
            elif key in _MANY and isinstance(value, list):
                todo.extend(((*at, key, index), item) for index, item in enumerate(value))
            elif key in _NAMED and isinstance(value, dict):
                todo.extend(((*at, key, name), item) for name, item in value.items())


def schema_fault(schema: JsonSchema) -> tuple[Path, str] | None:
    """Where and why a schema is refused; None when it may be used."""
    if _is_plain_type(schema):
        return None
    fault = _too_large(schema)
    if fault is not None:
        return fault
    return _fault_of(canonical_json(schema), schema)


def compile_schema(schema: JsonSchema) -> SchemaCheck:
    """What tells a value's errors against `schema`, at most `SCHEMA_ERRORS_MAX`. Equal schemas compile once.

    Raises:
        PlanError: the schema is invalid, too large, refers outside itself, or has a pattern that is not linear-time.
    """
    if _is_plain_type(schema):
        return _compiled(f'{{"type":"{schema["type"]}"}}')
    fault = _too_large(schema)
    if fault is None:
        text = canonical_json(schema)
        fault = _fault_of(text, schema)
        if fault is None:
            return _compiled(text)
    path, reason = fault
    raise PlanError((PlanIssue(message=f"the JSON Schema is refused: {reason}", path=render_path(path)),))


def render_path(path: Path) -> str:
    """`items[0].url` of a path."""
    return "".join(f"[{key}]" if isinstance(key, int) else f".{key}" for key in path).removeprefix(".")


def _is_plain_type(schema: JsonSchema) -> bool:
    """`{type: integer}` and the like: what most steps of a large plan have, and nothing can be wrong with."""
    return len(schema) == 1 and schema.get("type") in _TYPES


def _too_large(schema: JsonSchema) -> tuple[Path, str] | None:
    """Size and depth, before anything recursive looks at the schema."""
    room = SCHEMA_BYTES_MAX
    todo: list[tuple[int, JsonValue]] = [(0, schema)]
    while todo:
        depth, value = todo.pop()
        room -= 2
        if isinstance(value, str):
            room -= len(value)
        elif isinstance(value, int) and not isinstance(value, bool) and abs(value) >= 1 << 256:
            return (), "a number has more than 256 bits"
        elif isinstance(value, dict | list):
            if depth >= SCHEMA_DEPTH_MAX:
                return (), f"nested deeper than {SCHEMA_DEPTH_MAX}"
            if isinstance(value, dict):
                room -= sum(map(len, value))
            todo.extend((depth + 1, item) for item in (value.values() if isinstance(value, dict) else value))
        if room < 0:
            return (), f"larger than {SCHEMA_BYTES_MAX:,} bytes"
    return None


#: a tuple: what is looked up may be a list, which has no hash
_TYPES: Final = ("string", "integer", "number", "boolean", "object", "array", "null")
_faults: dict[str, tuple[Path, str] | None] = {}


def _fault_of(text: str, schema: JsonSchema) -> tuple[Path, str] | None:
    if text not in _faults:
        fault = _reference_fault(schema) or _compile_fault(text)
        if len(_faults) >= _COMPILED:
            _faults.pop(next(iter(_faults)), None)
        _faults[text] = fault
    return _faults[text]


def _reference_fault(schema: JsonSchema) -> tuple[Path, str] | None:
    for path, one in subschemas(schema):
        draft = one.get("$schema", _DRAFT)
        if not isinstance(draft, str) or draft.rstrip("#") != _DRAFT:
            return (*path, "$schema"), f"only {_DRAFT} is read"
        for key in ("$ref", "$dynamicRef"):
            target = one.get(key, "#")
            if not isinstance(target, str) or not target.startswith("#"):
                return (*path, key), f"{key} must stay inside the schema (`#/$defs/name`): nothing is fetched"
    return _work_fault(schema)


def target_of(schema: JsonValue, reference: str) -> JsonValue:
    """What `#/$defs/name` points at; None when there is nothing, or the reference is an anchor."""
    found: JsonValue = schema
    for raw in reference.removeprefix("#").split("/")[1:]:
        key = raw.replace("~1", "/").replace("~0", "~")
        if isinstance(found, dict) and key in found:
            found = found[key]
        elif isinstance(found, list) and key.isdecimal() and int(key) < len(found):
            found = found[int(key)]
        else:
            return None
    return found if reference.startswith("#/") or reference == "#" else None


def _work_fault(schema: JsonSchema) -> tuple[Path, str] | None:
    """Refuses references that loop without going into the value, and unions that multiply through references."""
    weights: dict[int, int] = {}
    open_: set[int] = set()
    for path, start in subschemas(schema):
        todo: list[tuple[JsonSchema, bool]] = [(start, False)]
        while todo:
            one, leaving = todo.pop()
            if leaving:
                open_.discard(id(one))
                weights[id(one)] = 1 + sum(weights[id(part)] for part in _same_place(schema, one))
                if weights[id(one)] > SCHEMA_WORK_MAX:
                    return path, f"unions and $ref give more than {SCHEMA_WORK_MAX:,} subschemas at one place"
                continue
            if id(one) in weights:
                continue
            if id(one) in open_:
                return path, "a $ref leads back to itself without going into the value"
            open_.add(id(one))
            todo.append((one, True))
            for part in _same_place(schema, one):
                if id(part) in open_:
                    return path, "a $ref leads back to itself without going into the value"
                todo.append((part, False))
    return None


def _same_place(schema: JsonSchema, one: JsonSchema) -> list[JsonSchema]:
    """The schemas that a value meets at the same place, `$ref` followed."""
    found: list[JsonValue] = []
    for key, value in one.items():
        if key in ("$ref", "$dynamicRef") and isinstance(value, str):
            found.append(target_of(schema, value))
        elif key in _SAME_PLACE:
            if isinstance(value, list):
                found.extend(value)
            else:
                found.extend(value.values() if key == "dependentSchemas" and isinstance(value, dict) else [value])
    return [part for part in found if isinstance(part, dict)]


def _compile_fault(text: str) -> tuple[Path, str] | None:
    import jsonschema_rs

    try:
        _compiled(text)
    except jsonschema_rs.ValidationError as error:
        path = tuple(error.instance_path)
        reason = error.message
        if path and isinstance(path[-1], str) and ("pattern" in path[-1] or "patternProperties" in path):
            reason += "; patterns are linear-time: no look-around, no back-references, no huge counts"
        return path, reason[:_ERROR_CHARS_MAX]
    except ValueError as error:
        return (), str(error)[:_ERROR_CHARS_MAX]
    return None


@lru_cache(maxsize=_COMPILED)
def _compiled(text: str) -> SchemaCheck:
    import json

    import jsonschema_rs

    options = jsonschema_rs.RegexOptions(size_limit=PATTERN_BYTES_MAX, dfa_size_limit=2 * PATTERN_BYTES_MAX)
    schema: JsonSchema = json.loads(text)
    validator = jsonschema_rs.Draft202012Validator(schema, offline=True, pattern_options=options)
    factor = 1
    if "$ref" in text or "$dynamicRef" in text:
        factor = growth([part for _, part in subschemas(schema)], lambda one: _same_place(schema, one))

    def check(value: JsonValue) -> tuple[str, ...]:
        if factor > 1 and factor ** min(depth_of(value), 64) > RECURSION_LOOKS_MAX:
            return (f"is nested too deep for a schema whose unions lead back to it {factor} times",)
        try:
            if validator.is_valid(value):
                return ()
            return tuple(_told(validator.iter_errors(value)))
        except ValueError as error:
            return (f"is no JSON value: {error}"[:_ERROR_CHARS_MAX],)

    def _told(errors: Iterator[jsonschema_rs.ValidationError]) -> Iterator[str]:
        for told, error in enumerate(errors):
            if told == SCHEMA_ERRORS_MAX:
                yield f"and more; the first {SCHEMA_ERRORS_MAX} are told"
                return
            where = render_path(tuple(error.instance_path))
            text = error.message if len(error.message) <= _ERROR_CHARS_MAX else error.message[:_ERROR_CHARS_MAX] + "…"
            yield f"{where}: {text}" if where else text

    return check


# A value may be as deep as an output; a schema that describes one must be allowed to be.
assert SCHEMA_DEPTH_MAX >= limits.OUTPUT_DEPTH_MAX
