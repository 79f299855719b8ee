"""Arguments are checked and rebuilt, outputs become plain JSON, and neither side can reach into the other's objects."""

import dataclasses
import enum
import math
import time
from collections.abc import Callable
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, Field

from orchestrator.errors import PromiseError
from orchestrator.ids import JsonValue
from orchestrator.plan.limits import OUTPUT_BYTES_MAX, OUTPUT_DEPTH_MAX
from workers import Pool, WorkerSpec
from workers.plain import NotPlain, plain_copy
from workers.signature import BadArguments


def spec(function: Callable[..., object]) -> WorkerSpec:
    pool = Pool("p", isolation="thread")
    found = pool.worker(function).__worker__  # type: ignore[attr-defined]  # set by the decorator
    assert isinstance(found, WorkerSpec)
    return found


def arguments(function: Callable[..., object], **args: Any) -> dict[str, object]:
    return spec(function).signature.arguments(args)


class Colour(enum.Enum):
    RED = "red"


class Size(BaseModel):
    name: str
    bytes: int = 0
    more: Any = None


@dataclasses.dataclass
class Point:
    x: float
    y: float = 0.0


def test_json_becomes_the_annotated_types() -> None:
    def f(  # type: ignore[no-untyped-def]  # a context may be bare
        ctx, n: int, when: datetime, colour: Colour, size: Size, point: Point, pair: tuple[int, str], path: Path
    ) -> None: ...

    given = arguments(
        f,
        n=1,
        when="2026-01-02T03:04:05Z",
        colour="red",
        size={"name": "a"},
        point={"x": 1},
        pair=[1, "b"],
        path="a/b",
    )

    assert given == {
        "n": 1,
        "when": datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC),
        "colour": Colour.RED,
        "size": Size(name="a"),
        "point": Point(1.0),
        "pair": (1, "b"),
        "path": Path("a/b"),
    }


def test_what_is_left_out_takes_the_functions_default() -> None:
    def f(a: int, b: int = 5, *, c: str = "x") -> None: ...

    assert arguments(f, a=1) == {"a": 1}
    assert arguments(f, a=1, c="y") == {"a": 1, "c": "y"}


@pytest.mark.parametrize(
    ("args", "message"),
    [
        ({}, "argument a: Field required"),
        ({"a": "1"}, "argument a: Input should be a valid integer, got '1'"),
        ({"a": True}, "argument a: Input should be a valid integer, got True"),
        ({"a": 1, "z": 2}, "argument z: Extra inputs are not permitted, got 2"),
        ({"a": 1, "b": [1, "x"]}, "argument b[1]: Input should be a valid integer, got 'x'"),
        ({"a": -1}, "argument a: Input should be greater than or equal to 0, got -1"),
        ({"a": None, "b": [None]}, "argument a: Input should be a valid integer, got None (and 1 more)"),
    ],
)
def test_arguments_that_do_not_fit_are_refused_with_their_place(args: dict[str, Any], message: str) -> None:
    def f(a: Annotated[int, Field(ge=0)], b: list[int] | None = None) -> None: ...

    with pytest.raises(BadArguments) as caught:
        arguments(f, **args)

    assert str(caught.value).startswith(message.split(" (and", maxsplit=1)[0])


def test_arguments_for_models_are_strict_too() -> None:
    def f(size: Size) -> None: ...

    with pytest.raises(BadArguments, match=r"argument size\.bytes: Input should be a valid integer, got '3'"):
        arguments(f, size={"name": "a", "bytes": "3"})
    with pytest.raises(BadArguments, match="surrogates not allowed"):
        arguments(f, size={"name": "\ud800"})


TEXTS = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=6)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=8,
)


def containers(value: object) -> set[int]:
    if isinstance(value, dict):
        return {id(value)}.union(*(containers(item) for item in value.values()))
    if isinstance(value, list):
        return {id(value)}.union(*(containers(item) for item in value))
    return set()


def untyped(x, y=None):  # type: ignore[no-untyped-def]  # that is its point
    return x


def free(x: JsonValue) -> JsonValue:
    return x


def anything(x: Any) -> Any:
    return x


def bare(x: dict | list) -> dict | list:  # type: ignore[type-arg]  # that is its point
    return x


def inside(x: list[Any]) -> list[Any]:
    return x


@pytest.mark.parametrize("function", [untyped, free, anything])
@given(value=json_values)
def test_any_json_passes_and_nothing_is_shared(function: Callable[..., object], value: JsonValue) -> None:
    args, output = spec_of[function].signature.arguments, spec_of[function].signature.output

    received = args({"x": value})["x"]
    returned = output(value)

    assert received == value
    assert returned == value
    assert not containers(received) & containers(value)
    assert not containers(returned) & containers(value)


spec_of = {function: spec(function) for function in (untyped, free, anything)}


@pytest.mark.parametrize("function", [bare, inside])
def test_loosely_typed_containers_share_nothing_either(function: Callable[..., object]) -> None:
    value: list[Any] = [{"a": [1]}, [2]]

    received = arguments(function, x=value)["x"]
    returned = spec(function).signature.output(value)

    assert received == returned == value
    assert not containers(received) & containers(value)
    assert not containers(returned) & containers(value)


@pytest.mark.parametrize(
    ("returns", "value", "expected"),
    [
        (int, 3, 3),
        (float, 1, 1.0),
        (str, "ä", "ä"),
        (None, None, None),
        (int | None, None, None),
        (Size, Size(name="a"), {"name": "a", "bytes": 0, "more": None}),
        (list[Size], [Size(name="a", bytes=1, more=[1])], [{"name": "a", "bytes": 1, "more": [1]}]),
        (Point, Point(1.5), {"x": 1.5, "y": 0.0}),
        (dict[str, int], {"a": 1}, {"a": 1}),
        (tuple[int, ...], (1, 2), [1, 2]),
        (date, date(2026, 1, 2), "2026-01-02"),
        (Decimal, Decimal("1.50"), "1.50"),
        (Literal["a", "b"], "b", "b"),
        (
            Any,
            {"when": date(2026, 1, 2), "size": Size(name="a")},
            {"when": "2026-01-02", "size": {"name": "a", "bytes": 0, "more": None}},
        ),
        (int, 2**80, 2**80),
    ],
)
def test_outputs_become_plain_json(returns: Any, value: object, expected: JsonValue) -> None:
    assert written(returns, value) == expected


def written(returns: Any, value: object) -> JsonValue:
    def f() -> None: ...

    f.__annotations__["return"] = returns
    return spec(f).signature.output(value)


def nested(depth: int) -> JsonValue:
    value: JsonValue = 1
    for _ in range(depth):
        value = [value]
    return value


@pytest.mark.parametrize(
    ("returns", "value", "message"),
    [
        (int, "3", "output: Input should be a valid integer, got '3'"),
        (int, None, "output: Input should be a valid integer, got None"),
        (Size, {"name": 1}, "output"),
        (Any, math.nan, "output: nan is not a number JSON can hold"),
        (Any, {"items": [1, math.inf]}, "output.items[1]: inf is not a number JSON can hold"),
        (float, -math.inf, "output: -inf is not a number JSON can hold"),
        (list[float], [math.nan], "output[0]: nan is not a number JSON can hold"),
        (Size, Size(name="a", more={"x": [math.nan]}), "output: nan is not a number JSON can hold"),
        (Any, {"x": {"\ud800": 1}}, "output.x.\\ud800: a lone surrogate at character 0 is no Unicode text"),
        (str, "ab\udfff", "output: a lone surrogate at character 2 is no Unicode text"),
        (Size, Size(name="\ud800"), "output"),
        (Any, {1: "x", "y": {2, 3}, "z": object()}, "output: Unable to serialize unknown type: <class 'object'>"),
        (Any, lambda: None, "output: Unable to serialize unknown type: <class 'function'>"),
        (Any, nested(OUTPUT_DEPTH_MAX + 1), f"nested deeper than {OUTPUT_DEPTH_MAX}"),
        (Any, nested(100_000), f"nested deeper than {OUTPUT_DEPTH_MAX}"),
        (list[Any], nested(100_000), "output"),
        (Any, 10**5000, "output: an integer of more than 1023 bits"),
        (Any, {"n": [-(2**1024)]}, "output.n[0]: an integer of more than 1023 bits"),
        (str, "a\0b", "output: the character NUL at 1 cannot be kept by every store"),
        (Any, {"a\0": 1}, "output.a\\x00: the character NUL at 1 cannot be kept by every store"),
        (str, "x" * 100_000_000, f"output: larger than {OUTPUT_BYTES_MAX} bytes as JSON"),
        (list[int], [1] * 20_000_000, f": larger than {OUTPUT_BYTES_MAX} bytes as JSON"),
        (Any, "\x01" * (OUTPUT_BYTES_MAX // 5), f"output: larger than {OUTPUT_BYTES_MAX} bytes as JSON"),
        (Size, Size(name="x" * (OUTPUT_BYTES_MAX + 1)), f"output.name: larger than {OUTPUT_BYTES_MAX} bytes as JSON"),
    ],
    ids=range(24),
)
def test_bad_outputs_are_refused_with_their_place(returns: Any, value: object, message: str) -> None:
    begun_s = time.process_time()  # of this process: others may be busy
    with pytest.raises(NotPlain) as caught:
        written(returns, value)

    assert message in caught.value.at("output")
    assert len(caught.value.at("output")) < 3_000
    assert time.process_time() - begun_s < 10.0


@pytest.mark.parametrize(
    "value",
    ["x" * (OUTPUT_BYTES_MAX - 2), nested(OUTPUT_DEPTH_MAX), "\x01" * (OUTPUT_BYTES_MAX // 6 - 2)],
    ids=range(3),
)
def test_outputs_at_the_limits_pass(value: JsonValue) -> None:
    assert plain_copy(value) == value


def test_a_cycle_is_refused() -> None:
    ring: list[object] = []
    ring.append(ring)

    for returns in (Any, list[Any]):
        with pytest.raises(NotPlain):
            written(returns, ring)


def test_signatures_that_cannot_be_called_by_name_are_refused() -> None:
    def star(*items: int) -> None: ...
    def open_names(**items: int) -> None: ...
    def positional(a: int, /) -> None: ...
    def no_json(a: Callable[[], int]) -> None: ...
    def no_json_back() -> object: ...

    for function in (star, open_names, positional):
        with pytest.raises(PromiseError, match="cannot be filled by name"):
            spec(function)
    with pytest.raises(PromiseError, match="has no JSON form"):
        spec(no_json)
    spec(no_json_back)  # `object` says nothing, and the value is judged when it comes


def test_annotations_written_as_text_find_local_classes_and_unknown_ones_are_refused() -> None:
    class Local(BaseModel):
        x: int

    pool = Pool("p")

    @pool.worker
    async def f(a: "Local") -> "Local":
        return a

    assert f.__worker__.signature.arguments({"a": {"x": 1}}) == {"a": Local(x=1)}  # type: ignore[attr-defined]  # decorated
    with pytest.raises(PromiseError, match="cannot be resolved"):

        @pool.worker
        async def g(a: "Nowhere") -> None: ...  # type: ignore[name-defined] # noqa: F821
