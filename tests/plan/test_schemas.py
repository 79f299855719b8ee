"""JSON Schemas are refused when they are not safe to run, and tell errors with paths."""

import pytest

from orchestrator.errors import InputError, PlanError
from orchestrator.ids import JsonValue
from orchestrator.plan.inputs import validate_inputs
from orchestrator.plan.models import JsonSchema
from orchestrator.plan.schema_growth import depth_of, growth
from orchestrator.plan.schemas import SCHEMA_ERRORS_MAX, _same_place, compile_schema, schema_fault, subschemas
from tests.plan.checking import plan_of


def deep(levels: int) -> JsonSchema:
    schema: JsonSchema = {}
    for _ in range(levels):
        schema = {"not": schema}
    return schema


BLOWN: JsonSchema = {
    "$ref": "#/$defs/d0",
    "$defs": {
        **{f"d{n}": {"allOf": [{"$ref": f"#/$defs/d{n + 1}"}, {"$ref": f"#/$defs/d{n + 1}"}]} for n in range(20)},
        "d20": {"type": "string"},
    },
}
LINEAR = "; patterns are linear-time: no look-around, no back-references, no huge counts"


@pytest.mark.parametrize(
    ("schema", "path", "reason"),
    [
        ({"type": "text"}, ("type",), "\"text\" is not valid under any of the schemas listed in the 'anyOf' keyword"),
        ({"pattern": "(?=a)b"}, ("pattern",), '"(?=a)b" is not a "regex"' + LINEAR),
        ({"pattern": r"(a)\1"}, ("pattern",), r'"(a)\\1" is not a "regex"' + LINEAR),
        ({"pattern": "(a{1000}){1000}"}, ("pattern",), '"(a{1000}){1000}" is not a "regex"' + LINEAR),
        ({"patternProperties": {"(?!a)": {}}}, ("patternProperties", "(?!a)"), '"(?!a)" is not a "regex"' + LINEAR),
        (
            {"properties": {"a": {"$ref": "other.json"}}},
            ("properties", "a", "$ref"),
            "$ref must stay inside the schema (`#/$defs/name`): nothing is fetched",
        ),
        ({"$ref": "#/$defs/a"}, (), "Pointer '/$defs/a' does not exist"),
        ({"$ref": "#"}, (), "a $ref leads back to itself without going into the value"),
        (BLOWN, (), "unions and $ref give more than 10,000 subschemas at one place"),
        (deep(100), (), "nested deeper than 64"),
        ({"enum": ["x" * 300_000]}, (), "larger than 262,144 bytes"),
        ({"minimum": 10**400}, (), "a number has more than 256 bits"),
        (
            {"$schema": "http://json-schema.org/draft-07/schema#"},
            ("$schema",),
            "only https://json-schema.org/draft/2020-12/schema is read",
        ),
    ],
)
def test_an_unsafe_schema_is_refused(schema: JsonSchema, path: tuple[str | int, ...], reason: str) -> None:
    assert schema_fault(schema) == (path, reason)
    with pytest.raises(PlanError) as caught:
        compile_schema(schema)
    assert caught.value.issues[0].message == f"the JSON Schema is refused: {reason}"


def test_errors_tell_where_and_are_capped() -> None:
    check = compile_schema({"properties": {"items": {"items": {"properties": {"url": {"minLength": 3}}}}}})
    assert check({"items": [{"url": "abc"}, {"url": "x"}]}) == ('items[1].url: "x" is shorter than 3 characters',)
    assert check({"items": []}) == ()
    many = compile_schema({"items": {"type": "null"}})(list(range(100)))
    assert len(many) == SCHEMA_ERRORS_MAX + 1
    assert many[-1] == f"and more; the first {SCHEMA_ERRORS_MAX} are told"


def test_a_recursive_schema_may_describe_a_tree() -> None:
    check = compile_schema({"type": "object", "properties": {"left": {"$ref": "#"}, "right": {"$ref": "#"}}})
    assert check({"left": {"right": {}}}) == ()
    assert check({"left": {"right": 1}}) == ('left.right: 1 is not of type "object"',)


def test_equal_schemas_are_compiled_once() -> None:
    assert compile_schema({"type": "string", "minLength": 7}) is compile_schema({"minLength": 7, "type": "string"})


def nested_lists(depth: int) -> JsonValue:
    value: JsonValue = 1
    for _ in range(depth):
        value = [value]
    return value


def test_a_value_is_refused_before_unions_in_recursion_multiply() -> None:
    ways: list[JsonValue] = [{"type": "array", "items": {"$ref": "#"}, "minItems": least} for least in (1, 2)]
    check = compile_schema({"anyOf": [*ways, {"type": "string"}]})
    assert check(nested_lists(9))[0].endswith("is not valid under any of the schemas listed in the 'anyOf' keyword")
    assert check(nested_lists(40)) == ("is nested too deep for a schema whose unions lead back to it 2 times",)


@pytest.mark.parametrize(
    ("schema", "factor"),
    [
        ({"properties": {"left": {"$ref": "#"}, "right": {"$ref": "#"}}}, 1),
        ({"anyOf": [{"items": {"$ref": "#"}}, {"additionalProperties": {"$ref": "#"}}, {"type": "null"}]}, 1),
        ({"anyOf": [{"items": {"$ref": "#"}}, {"contains": {"$ref": "#"}}]}, 2),
        ({"allOf": [{"properties": {"a": {"$ref": "#"}}}, {"patternProperties": {"a": {"$ref": "#"}}}]}, 2),
        ({"anyOf": [{"prefixItems": [{}, {"type": "string"}]}, {"items": {"anyOf": [{}, {}]}}]}, 1),
    ],
)
def test_growth_counts_the_ways_back(schema: JsonSchema, factor: int) -> None:
    parts = [part for _, part in subschemas(schema)]
    assert growth(parts, lambda one: _same_place(schema, one)) == factor


def test_depth_is_counted_without_recursion() -> None:
    values: list[JsonValue] = [1, [], {"a": [1]}, nested_lists(5_000)]
    assert [depth_of(value) for value in values] == [0, 0, 2, 5_000]


INPUTS: JsonValue = {
    "topic": {"type": "string", "minLength": 3},
    "regions": {"type": "array", "items": {"type": "string"}, "default": ["EU"]},
}


def test_inputs_are_filled_in_the_order_of_the_plan() -> None:
    filled = validate_inputs(plan_of({"a": {}}, inputs=INPUTS), {"topic": "heat"})
    assert list(filled.items()) == [("topic", "heat"), ("regions", ["EU"])]


@pytest.mark.parametrize(
    ("given", "name", "reason"),
    [
        ({"topics": "heat"}, "topics", "is unknown; did you mean topic?"),
        ({"x": 1}, "x", "is unknown; the plan takes topic, regions"),
        ({}, "topic", "is missing and has no default"),
        ({"topic": "h"}, "topic", '"h" is shorter than 3 characters'),
        ({"topic": "heat", "regions": [1]}, "regions", '[0]: 1 is not of type "string"'),
    ],
)
def test_inputs_that_do_not_fit_are_refused(given: dict[str, JsonValue], name: str, reason: str) -> None:
    with pytest.raises(InputError) as caught:
        validate_inputs(plan_of({"a": {}}, inputs=INPUTS), given)
    assert (caught.value.name, caught.value.reason) == (name, reason)
