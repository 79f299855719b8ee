"""Properties of expressions: random ones agree with Python, and random text never leaks another error."""

import math
from collections.abc import Callable
from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrator.errors import ExpressionError
from orchestrator.ids import JsonValue
from orchestrator.plan.expressions import Expression, bare, compile_value
from tests.plan.expression_cases import SCOPE

NAMES: dict[str, JsonValue] = {
    "n": 3,
    "f": 0.5,
    "s": "ab",
    "t": True,
    "l": [3, 1, 2],
    "w": ["b", "a"],
    "m": {"k": 4, "s": "q"},
    "z": None,
}


def _grown(kind: str, kinds: dict[str, st.SearchStrategy[str]]) -> st.SearchStrategy[str]:
    number, text, truth, numbers, texts = (kinds[name] for name in ("n", "s", "b", "l", "w"))
    match kind:
        case "n":
            return st.one_of(
                st.tuples(number, st.sampled_from(["+", "-", "*", "/", "//", "%"]), number).map(
                    lambda p: f"({p[0]} {p[1]} {p[2]})"
                ),
                number.map("-{}".format),
                st.tuples(number, truth, number).map(lambda p: f"({p[0]} if {p[1]} else {p[2]})"),
                numbers.map("len({})".format),
                text.map("len({})".format),
                st.tuples(number, number).map(lambda p: f"max({p[0]}, {p[1]})"),
                numbers.map(lambda each: f"min({each} + [1])"),
                numbers.map(lambda each: f"(sorted({each} + [2])[0])"),
            )
        case "s":
            return st.one_of(
                st.tuples(text, text).map(lambda p: f"({p[0]} + {p[1]})"),
                texts.map(lambda each: f"(sorted({each} + ['c'])[-1])"),
            )
        case "b":
            ordered = st.sampled_from(["<", "<=", ">", ">=", "==", "!="])
            return st.one_of(
                st.tuples(number, ordered, number, ordered, number).map(lambda p: f"({' '.join(p)})"),
                st.tuples(text, ordered, text).map(lambda p: f"({' '.join(p)})"),
                st.tuples(truth, st.sampled_from(["and", "or", "==", "!="]), truth).map(lambda p: f"({' '.join(p)})"),
                truth.map("(not {})".format),
                st.tuples(text, st.sampled_from(["in", "not in"]), st.one_of(text, texts)).map(
                    lambda p: f"({' '.join(p)})"
                ),
                st.tuples(number, st.sampled_from(["in", "not in"]), numbers).map(lambda p: f"({' '.join(p)})"),
                numbers.map("any({})".format),
                numbers.map("all({})".format),
            )
        case "l":
            return st.one_of(
                st.lists(number, max_size=3).map(lambda each: f"[{', '.join(each)}]"),
                st.tuples(numbers, numbers).map(lambda p: f"({p[0]} + {p[1]})"),
                numbers.map("sorted({})".format),
            )
        case _:
            return st.lists(text, max_size=3).map(lambda each: f"[{', '.join(each)}]")


LEAVES = {
    "n": st.one_of(st.integers(0, 50).map(str), st.sampled_from(["n", "f", "m.k", 'm["k"]', "l[0]", "l[-1]", "0.25"])),
    "s": st.one_of(
        st.text("abz é'\\", max_size=3).map(lambda text: '"' + text.replace("\\", "\\\\") + '"'),
        st.sampled_from(["s", "m.s", "w[1]"]),
    ),
    "b": st.sampled_from(["t", "true", "false", "(z == null)"]),
    "l": st.sampled_from(["l", "[]", "[1, 2]"]),
    "w": st.sampled_from(["w", "[]", "['ab']"]),
}


def _expressions() -> st.SearchStrategy[str]:
    kinds = dict(LEAVES)
    for _ in range(3):
        kinds = {kind: st.one_of(LEAVES[kind], _grown(kind, kinds)) for kind in kinds}
    return st.one_of(*kinds.values())


class Members(dict[str, JsonValue]):
    """Lets Python itself read `m.k`, as the reference."""

    __getattr__ = dict.__getitem__


REFERENCE = {**NAMES, "m": Members(NAMES["m"]), "true": True, "false": False, "null": None}  # type: ignore[arg-type]  # NAMES holds data of any shape


@given(_expressions())
@settings(max_examples=300, deadline=None)
def test_a_random_expression_gives_what_python_gives(text: str) -> None:
    try:
        expected = eval(text, {}, REFERENCE)
    except (ZeroDivisionError, OverflowError):
        with pytest.raises(ExpressionError):
            Expression(text).evaluate(NAMES)
        return
    if isinstance(expected, float) and not math.isfinite(expected):
        return
    try:
        found = Expression(text).evaluate(NAMES)
    except ExpressionError as error:
        if not error.reason.startswith(("more than", "nested deeper", "longer than", "the number has")):
            raise
        return
    assert (found, type(found)) == (expected, type(expected))


WORDS = [
    *"()[]{}.,:'\"\\+-*/%<>=!&|^~#@$;? \n\t0123456789abé",
    "and",
    "or",
    "not",
    "in",
    "if",
    "else",
    "is",
    "lambda",
    "for",
    "len",
    "sorted",
    "steps",
    "output",
    "null",
    "true",
    "${{",
    "}}",
    "__class__",
    "1e9",
    "f'",
    "\ud800",
    "\x00",
    "==",
    "**",
]


@given(
    st.one_of(
        st.text(max_size=60),
        st.lists(st.sampled_from(WORDS), max_size=25).map("".join),
        st.lists(st.sampled_from(WORDS), max_size=25).map(" ".join),
    )
)
@settings(max_examples=500, deadline=None)
def test_random_text_raises_nothing_but_expression_errors(text: str) -> None:
    reads: list[Callable[[], JsonValue]] = [
        lambda: Expression(text).evaluate(SCOPE),
        lambda: bare(text).evaluate(SCOPE),
        lambda: compile_value({"a": [text]}).resolve(SCOPE),
    ]
    for read in reads:
        with suppress(ExpressionError):
            read()
