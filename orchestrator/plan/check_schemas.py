"""Checks the JSON Schemas of a plan, the defaults of its inputs, and the paths that checks look at."""

import re
from difflib import get_close_matches

from orchestrator.ids import JsonValue
from orchestrator.plan.check_context import Checking
from orchestrator.plan.issues import Issues, Path
from orchestrator.plan.models import JsonSchema
from orchestrator.plan.schema_types import Absent, Type, in_words, items_of, member
from orchestrator.plan.schemas import compile_schema, schema_fault, subschemas

__all__ = ["check_schemas"]

_KEYWORDS = frozenset(
    [
        "$anchor",
        "$comment",
        "$defs",
        "$dynamicAnchor",
        "$dynamicRef",
        "$id",
        "$ref",
        "$schema",
        "$vocabulary",
        "additionalProperties",
        "allOf",
        "anyOf",
        "const",
        "contains",
        "contentEncoding",
        "contentMediaType",
        "contentSchema",
        "default",
        "definitions",
        "dependentRequired",
        "dependentSchemas",
        "deprecated",
        "description",
        "discriminator",
        "else",
        "enum",
        "example",
        "examples",
        "exclusiveMaximum",
        "exclusiveMinimum",
        "format",
        "if",
        "items",
        "maxContains",
        "maxItems",
        "maxLength",
        "maxProperties",
        "maximum",
        "minContains",
        "minItems",
        "minLength",
        "minProperties",
        "minimum",
        "multipleOf",
        "not",
        "oneOf",
        "pattern",
        "patternProperties",
        "prefixItems",
        "properties",
        "propertyNames",
        "readOnly",
        "required",
        "then",
        "title",
        "type",
        "unevaluatedItems",
        "unevaluatedProperties",
        "uniqueItems",
        "writeOnly",
    ]
)
_FIELD = re.compile(r"[^.\[\]\s]+(?:\.[^.\[\]\s]+)*")


def check_schemas(checking: Checking) -> None:
    """Report schemas that are not safe to run, defaults that do not fit, and paths into nothing."""
    for name, schema in checking.plan.inputs.items():
        if _schema(("inputs", name), schema, checking.issues) and "default" in schema:
            wrong = compile_schema(schema)(schema["default"])
            if wrong:
                told = f"the default does not fit its own schema: {wrong[0]}"
                checking.issues.error(("inputs", name, "default"), told, "a value that the schema allows")
    for step_id, step in checking.plan.steps.items():
        if step.output is not None:
            _schema(("output",), step.output, checking.at(step_id))
        for at, check in enumerate(step.checks):
            if check.grounded is not None:
                path: Path = ("checks", at, "grounded", "field")
                _field(path, check.grounded.field, checking.types.output(step_id), checking.at(step_id))
            if check.agree is not None and check.agree.field is not None:
                _field(
                    ("checks", at, "agree", "field"),
                    check.agree.field,
                    checking.types.output(step_id),
                    checking.at(step_id),
                )


def _schema(path: Path, schema: JsonSchema, issues: Issues) -> bool:
    fault = schema_fault(schema)
    if fault is not None:
        issues.error((*path, *fault[0]), f"the JSON Schema is refused: {fault[1]}", "JSON Schema 2020-12")
        return False
    for at, part in subschemas(schema):
        for key in part:
            if key not in _KEYWORDS and not key.startswith("x-"):
                close = get_close_matches(key[:40], _KEYWORDS, n=1, cutoff=0.8)
                if close:
                    told = f"`{key}` is no keyword of JSON Schema and checks nothing"
                    issues.warning((*path, *at, key), told, f"did you mean {close[0]}?", key=True)
        _required(path + at, part, issues)
    return True


def _required(path: Path, schema: dict[str, JsonValue], issues: Issues) -> None:
    """A closed object that requires what it does not allow can never be."""
    required, properties = schema.get("required"), schema.get("properties", {})
    closed = schema.get("additionalProperties") is False and "patternProperties" not in schema
    if closed and isinstance(required, list) and isinstance(properties, dict):
        for at, name in enumerate(required):
            if name not in properties:
                told = f"`{name}` is required, and the closed schema does not allow it: no object can pass"
                issues.error((*path, "required", at), told, "a name under `properties`")


def _field(path: Path, field: str, output: Type, issues: Issues) -> None:
    if not _FIELD.fullmatch(field):
        issues.error(path, f"`{field[:80]}` is no path into the output", "a path such as items.url")
        return
    found = output
    for name in field.split("."):
        while found.kinds - {"null"} == {"array"}:
            found = items_of(found)  # a list on the way means each of its items
        inner = member(found, name)
        if isinstance(inner, Absent):
            expected = issues.nearest(inner.name, inner.names) if inner.name else in_words(found.kinds)
            issues.error(path, f"the output has no `{field[:80]}`: {inner.reason}", expected)
            return
        found = inner
