"""A contract's digest covers what callers depend on, and compatibility is decided on the safe side."""

from collections.abc import Callable
from typing import Annotated, Any, Literal

import jsonschema_rs
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, Field, TypeAdapter

from orchestrator.ids import JsonValue
from orchestrator.plan.catalogue import FunctionContract
from workers import Pool, compatible
from workers.contracts import accepts, contract_of

Schema = dict[str, JsonValue]
NOTES = ("title", "description", "default", "examples", "deprecated", "$comment")


def contract(function: Callable[..., object]) -> FunctionContract:
    pool = Pool("p")
    return pool.worker(name="f")(function).__worker__.contract  # type: ignore[attr-defined]  # set by the decorator


def made(input_schema: Schema, output_schema: Schema) -> FunctionContract:
    return contract_of("f", input_schema, output_schema, effect_key=False)


def object_of(properties: dict[str, Schema], required: list[str], closed: bool = True) -> Schema:
    schema: dict[str, Any] = {"type": "object", "properties": properties, "required": required}
    return {**schema, "additionalProperties": False} if closed else schema


scalars = st.sampled_from(
    [{"type": "string"}, {"type": "integer"}, {"type": "number"}, {"type": "boolean"}, {"type": "null"}]
) | st.builds(lambda n: {"type": "integer", "minimum": n}, st.integers(-3, 3))
schemas = st.recursive(
    scalars
    | st.just({})
    | st.builds(
        lambda v: {"enum": v},
        st.lists(st.integers(0, 4) | st.text("ab", max_size=2), min_size=1, max_size=3, unique_by=str),
    ),
    lambda inner: (
        st.builds(lambda item: {"type": "array", "items": item}, inner)
        | st.builds(lambda parts: {"anyOf": parts}, st.lists(inner, min_size=1, max_size=3))
        | st.builds(
            lambda props, need, closed: object_of(props, sorted(set(need) & set(props)), closed),
            st.dictionaries(st.sampled_from(["a", "b", "title", "default"]), inner, max_size=3),
            st.lists(st.sampled_from(["a", "b", "title"]), max_size=2),
            st.booleans(),
        )
    ),
    max_leaves=6,
)
values = st.recursive(
    st.none() | st.booleans() | st.integers(-4, 5) | st.floats(-3, 3) | st.text("ab", max_size=2),
    lambda inner: (
        st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from(["a", "b", "title", "c"]), inner, max_size=3)
    ),
    max_leaves=5,
)


def noted(schema: JsonValue, draw: Callable[[st.SearchStrategy[Any]], Any], names: bool = False) -> JsonValue:
    """The same schema with other notes and another order of keys."""
    if isinstance(schema, list):
        return [noted(item, draw) for item in schema]
    if not isinstance(schema, dict):
        return schema
    items = [
        (key, value if key in {"enum", "required"} else noted(value, draw, key == "properties"))
        for key, value in schema.items()
    ]
    if not names:
        items += [
            (note, draw(st.text("xy", max_size=3))) for note in draw(st.lists(st.sampled_from(NOTES), unique=True))
        ]
    return dict(draw(st.permutations(items)))


@given(schemas, schemas, st.data())
def test_notes_and_order_do_not_change_the_digest(given_in: Schema, given_out: Schema, data: st.DataObject) -> None:
    renamed = made(noted(given_in, data.draw), noted(given_out, data.draw))  # type: ignore[arg-type]  # dicts stay dicts

    assert renamed.digest == made(given_in, given_out).digest


@given(schemas, scalars, scalars)
def test_another_type_anywhere_changes_the_digest(around: Schema, before: Schema, after: Schema) -> None:
    def wrap(inner: Schema) -> Schema:
        return object_of({"x": inner, "y": around}, ["x"])

    same = before == after
    assert (made(wrap(before), around).digest == made(wrap(after), around).digest) is same
    assert (made(around, wrap(before)).digest == made(around, wrap(after)).digest) is same


@given(schemas, schemas, values)
def test_what_is_accepted_holds_for_every_value(wide: Schema, narrow: Schema, value: JsonValue) -> None:
    if accepts(wide, narrow) and jsonschema_rs.is_valid(narrow, value):
        assert jsonschema_rs.is_valid(wide, value)


@given(schemas)
def test_every_schema_accepts_itself_and_the_open_one_accepts_all(schema: Schema) -> None:
    assert accepts(schema, schema)
    assert accepts({}, schema)


class Size(BaseModel):
    """Docs are no part of the contract."""

    name: str
    bytes: int = 0


class Renamed(BaseModel):
    name: str = Field(title="Another title", description="and text")
    bytes: int = 7


class Tree(BaseModel):
    value: int
    below: list["Tree"] = []


class Wood(BaseModel):
    value: int
    below: list["Wood"] = []


def renamed(cls: type[BaseModel], to: str) -> type[BaseModel]:
    return type(to, (cls,), {"__module__": __name__})


def test_names_of_classes_and_defaults_are_no_part_of_the_contract() -> None:
    async def old(size: Size, n: int = 1) -> Tree: ...
    async def new(size: Renamed, n: int = 2) -> Wood: ...

    assert contract(old).digest == contract(new).digest


async def base(a: int, b: str = "") -> int | None: ...
async def more_optional(a: int, b: str = "", c: float = 1.0) -> int | None: ...
async def wider_type(a: float, b: str | None = None) -> int | None: ...
async def surer_output(a: int, b: str = "") -> int: ...
async def bounded_output(a: int, b: str = "") -> Annotated[int, Field(ge=0)]: ...
async def more_required(a: int, c: int, b: str = "") -> int | None: ...
async def now_required(a: int, b: str) -> int | None: ...
async def renamed_parameter(a: int, d: str = "") -> int | None: ...
async def fewer(a: int) -> int | None: ...
async def narrower_type(a: Annotated[int, Field(ge=0)], b: str = "") -> int | None: ...
async def other_type(a: str, b: str = "") -> int | None: ...
async def wider_output(a: int, b: str = "") -> int | str | None: ...
async def untyped_output(a: int, b: str = ""): ...  # type: ignore[no-untyped-def] # what a caller loses


@pytest.mark.parametrize("new", [base, more_optional, wider_type, surer_output, bounded_output])
def test_a_widened_input_or_a_narrowed_output_is_compatible(new: Callable[..., object]) -> None:
    assert compatible(contract(base), contract(new))


@pytest.mark.parametrize(
    "new",
    [more_required, now_required, renamed_parameter, fewer, narrower_type, other_type, wider_output, untyped_output],
)
def test_anything_else_is_not(new: Callable[..., object]) -> None:
    assert not compatible(contract(base), contract(new))


def schema(kind: object) -> Schema:
    return TypeAdapter(kind).json_schema()


@pytest.mark.parametrize(
    ("wide", "narrow", "expected"),
    [
        (Tree, Wood, True),
        (Tree, Size, False),
        (list[Tree], list[Wood], True),
        (Literal["a", "b"], Literal["a"], True),
        (Literal["a"], Literal["a", "b"], False),
        (str, Literal["a"], True),
        (Annotated[str, Field(max_length=5)], Annotated[str, Field(max_length=4, min_length=1)], True),
        (Annotated[str, Field(max_length=5)], str, False),
        (Annotated[str, Field(pattern="^a$")], Annotated[str, Field(pattern="^a$")], True),
        (Annotated[str, Field(pattern="^a$")], str, False),
        (str, Annotated[str, Field(pattern="^a$")], True),
        (dict[str, int], dict[str, bool], False),
        (dict[str, float], dict[str, int], True),
        (int | str | list[int], int | list[int], True),
        (tuple[int, str], tuple[int, str], True),
        (tuple[int, str], tuple[str, int], False),
    ],
)
def test_accepts_knows_the_schemas_that_types_give(wide: object, narrow: object, expected: bool) -> None:
    assert accepts(schema(wide), schema(narrow)) is expected
