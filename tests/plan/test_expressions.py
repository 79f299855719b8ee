"""The expression language: what it gives, what it refuses, and that a refusal is quick."""

import pickle
from collections.abc import Iterator, Mapping
from functools import partial

import pytest

from orchestrator.errors import ExpressionError
from orchestrator.ids import JsonValue
from orchestrator.plan.expressions import (
    COST_MAX,
    ITEMS_MAX,
    NESTING_MAX,
    NODES_MAX,
    SOURCE_CHARS_MAX,
    TEXT_RESULT_CHARS_MAX,
    VALUE_DEPTH_MAX,
    Expression,
    Ref,
    bare,
    compile_value,
    parse,
    text_parts,
)
from tests.plan.expression_cases import ATTACKS, BIG, SCOPE, VALUES, refused_at_once


@pytest.mark.parametrize(("text", "value"), VALUES)
def test_an_expression_gives(text: str, value: JsonValue) -> None:
    given_value = parse(text).evaluate(SCOPE)

    assert given_value == value
    assert type(given_value) is type(value)


@pytest.mark.parametrize("text", ATTACKS)
def test_an_attack_is_refused_at_once(text: str) -> None:
    refused = refused_at_once(lambda: Expression(text).evaluate(BIG))

    assert refused.text == text
    assert refused.reason
    assert 1 <= refused.column <= len(text) + 1
    assert len(refused.reason) < 400


def test_there_are_enough_attacks() -> None:
    assert len(set(ATTACKS)) >= 60


@pytest.mark.parametrize(
    ("text", "column", "reason"),
    [
        ("steps.sizing.otput.low", 1, "there is no 'otput'; did you mean output?"),
        ("1 + stps.x", 5, "there is no 'stps'; did you mean steps? (known here: inputs, none, output, run, steps)"),
        ("steps.fetch.output", 1, "there is no 'fetch'; a name with a hyphen is written [\"fetch-data\"]"),
        ("output.empty.x", 1, "there is no 'x'; the mapping is empty"),
        ("'größe' == 1 + 1", 1, "a text cannot be compared with a number"),
        ("'größe' and 1 < 'a'", 13, "< needs two numbers or two texts, not a number and a text"),
        ("steps.late.output.low", 1, "null has no 'low'; guard it with `if` or `x and x.y`"),
        ("output.items[9]", 1, "there is no item 9: the list has 3"),
        ("inputs.n = 3", 10, "`=` cannot stand here: write `==` to compare; nothing can be assigned"),
        ("(1, 2)", 1, "write a list: [a, b]"),
        ("[1, 2", 6, "a bracket is not closed"),
        ("x is null", 1, "there is no `is`; write == or !="),
        ("upper(x)", 1, "the functions are len, any, all, min, max, sum, sorted"),
        ("long + long", 1, "the text is longer than 100,000 characters"),
        (
            "sorted(many + [1])[0] + sum(many) + sum(many) + sum(sorted(many))",
            53,
            f"costs more than the {COST_MAX:,} units one evaluation may use",
        ),
        ("huge * 2", 1, "the number has more than 256 bits"),
    ],
)
def test_a_refusal_says_where_and_why(text: str, column: int, reason: str) -> None:
    scope = SCOPE if "stps" in text else BIG
    with pytest.raises(ExpressionError) as refused:
        parse(text).evaluate(scope)

    assert (refused.value.column, refused.value.reason) == (column, reason)


def test_the_caps_are_met_exactly() -> None:
    assert parse("+".join(["1"] * (NODES_MAX // 2))).evaluate({}) == NODES_MAX // 2
    with pytest.raises(ExpressionError, match="more than 200 parts"):
        parse("+".join(["1"] * (NODES_MAX // 2 + 1)))
    assert parse("not " * NESTING_MAX + "true").evaluate({}) is True
    with pytest.raises(ExpressionError, match="nested deeper than 20"):
        parse("not " * (NESTING_MAX + 1) + "true")
    assert parse(f"'{'x' * (SOURCE_CHARS_MAX - 2)}'").evaluate({}) == "x" * (SOURCE_CHARS_MAX - 2)
    with pytest.raises(ExpressionError, match="longer than 2,000 characters"):
        parse(f"'{'x' * (SOURCE_CHARS_MAX - 1)}'")
    half = "x" * (TEXT_RESULT_CHARS_MAX // 2)
    assert parse("a + a").evaluate({"a": half}) == half + half
    with pytest.raises(ExpressionError, match="longer than 100,000 characters"):
        parse("a + a + 'x'").evaluate({"a": half})
    items: JsonValue = [0] * (ITEMS_MAX - 1)
    assert parse("a + [1]").evaluate({"a": items}) == [0] * (ITEMS_MAX - 1) + [1]
    with pytest.raises(ExpressionError, match="longer than 100,000 items"):
        parse("a + [1, 2]").evaluate({"a": items})


def test_references_are_the_static_prefixes_in_order_each_once() -> None:
    text = (
        'steps.sizing.output.low + steps["a b"].output[0][run.n].x'
        " + min(steps.sizing.output.low, (inputs.x or {}).y) + steps[inputs.k].z"
    )

    assert parse(text).refs == (
        Ref("steps", ("sizing", "output", "low")),
        Ref("steps", ("a b", "output", 0)),
        Ref("run", ("n",)),
        Ref("inputs", ("x",)),
        Ref("steps", ()),
        Ref("inputs", ("k",)),
    )
    assert [ref.column for ref in parse("1 + a.b + 'é' + c.in").refs] == [5, 17]
    assert parse(" steps.a.output[0] ").plain == Ref("steps", ("a", "output", 0))
    assert parse("steps.a.output == 1").plain is None
    assert str(Ref("steps", ("a", "output", 0, "x"))) == "steps.a.output[0].x"


class Lazy(Mapping[str, object]):
    """A view that computes its members, as the engine passes for `steps`."""

    def __init__(self, members: dict[str, object]) -> None:
        self.members, self.read = members, list[str]()

    def __getitem__(self, key: str) -> object:
        self.read.append(key)
        return self.members[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self.members)

    def __len__(self) -> int:
        return len(self.members)


def test_lazy_mappings_are_read_member_by_member() -> None:
    steps = Lazy({"a": Lazy({"output": 1, "skipped": False}), "b": Lazy({})})
    scope = {"steps": steps}

    assert parse("steps.a.output + steps['a'].output").evaluate(scope) == 2
    assert parse("'a' in steps and len(steps) == 2 and not steps.b").evaluate(scope) is True
    assert steps.read == ["a", "a", "a", "b"]
    with pytest.raises(ExpressionError, match="did you mean output"):
        parse("steps.a.outptu").evaluate(scope)
    with pytest.raises(ExpressionError, match="a view of several values, which is no JSON value"):
        parse("steps.a").evaluate(scope)
    with pytest.raises(ExpressionError, match="set is no JSON value"):
        parse("x.y").evaluate({"x": {1}})


def test_an_expression_is_a_value() -> None:
    one = parse("a.b + 1")

    assert parse("a.b + 1") is one
    assert Expression("a.b + 1") == one
    assert len({one, Expression("a.b + 1"), parse("a")}) == 2
    assert pickle.loads(pickle.dumps(one)).evaluate({"a": {"b": 1}}) == 2
    assert repr(one) == "parse('a.b + 1')"


@pytest.mark.parametrize("text", ["run.id", "${{ run.id }}", " ${{run.id}}\n"])
def test_bare_expressions_may_have_braces(text: str) -> None:
    assert bare(text).evaluate(SCOPE) == "r1"


@pytest.mark.parametrize("text", ["${{ run.id", "${{ run.id }} == 'r1'", "${{ }}", "", "run.id }}", "a == ${{ b }}"])
def test_bare_refuses_braces_that_do_not_stand_around_the_whole(text: str) -> None:
    with pytest.raises(ExpressionError):
        bare(text)


def test_a_template_keeps_types_and_splices_text() -> None:
    source: dict[str, JsonValue] = {
        "whole": "${{ output.items }}",
        "block": "${{ output.n }}\n",
        "text": "On ${{ inputs.topic }}: ${{ output.n }}/${{ 1.5 }} ${{ true }} ${{ null }} ${{ output.rows }}",
        "blank": " ${{ output.n }}",
        "two": "${{ output.n }}${{ output.n }}",
        "braces": '${{ "${{ }}" }}',
        "nested": [1, ["${{ none }}"], {"plain": [2]}],
        "constant": {"a": ["{{ not ours }} }}", None]},
    }
    template = compile_value(source)

    assert template.resolve(SCOPE) == {
        "whole": [3, 1, 2],
        "block": 3,
        "text": 'On heat pumps: 3/1.5 true null [{"id":"a"},{"id":"b"}]',
        "blank": " 3",
        "two": "33",
        "braces": "${{ }}",
        "nested": [1, [None], {"plain": [2]}],
        "constant": {"a": ["{{ not ours }} }}", None]},
    }
    assert template.refs == (
        Ref("output", ("items",)),
        Ref("output", ("n",)),
        Ref("inputs", ("topic",)),
        Ref("output", ("rows",)),
        Ref("none", ()),
    )
    assert not template.constant
    assert source["whole"] == "${{ output.items }}"


def test_a_constant_template_is_returned_as_it_is() -> None:
    source: JsonValue = {"a": [1, {"b": "text"}], "c": None}
    template = compile_value(source)

    assert template.constant
    assert template.refs == ()
    assert template.resolve({}) is source
    assert pickle.loads(pickle.dumps(template)).resolve({}) == source


def test_a_text_falls_into_pieces() -> None:
    assert text_parts("a ${{ x }}${{ y }} b") == ("a ", parse(" x "), parse(" y "), " b")
    assert text_parts("plain }}") == ("plain }}",)
    assert text_parts("") == ()


def _nested(depth: int) -> JsonValue:
    value: JsonValue = "${{ x }}"
    for _ in range(depth):
        value = [value]
    return value


BAD_TEMPLATES: list[JsonValue] = [
    "${{ x",
    "${{ }}",
    "${{}}",
    "a ${{ x }} ${{",
    "${{ '}} }}",
    "${{ x }",
    "${{ ${{ x }} }}",
    "${{ x ${{ y }} }}",
    "${{" * 20_000,
    "${{ x }}" * 3 + "${{",
    "${{ '" + "x" * 200_000,
    "${{ " + "x" * 5_000 + " }}",
    {"${{ x }}": 1},
    [{"a": {"b ${{ x }}": 1}}],
    ["${{ a b }}"],
    _nested(VALUE_DEPTH_MAX + 1),
    _nested(900),
    '${{ "' * 60_000,
    "${{" + "}" * 60_000,
    "${{ {'a': {'b': 1}} }}",
]


@pytest.mark.parametrize("number", range(len(BAD_TEMPLATES)))
def test_a_template_with_bad_braces_is_refused_at_once(number: int) -> None:
    refused_at_once(lambda: compile_value(BAD_TEMPLATES[number]))


def test_a_spliced_text_is_capped_before_it_is_built() -> None:
    large: JsonValue = [["x" * 100] * 1000] * 1000
    deep: JsonValue = []
    for _ in range(50_000):
        deep = [deep]
    for value in (large, "x" * (TEXT_RESULT_CHARS_MAX + 1), {"x" * TEXT_RESULT_CHARS_MAX: 1}, deep):
        refused_at_once(partial(compile_value("it is ${{ a }}").resolve, {"a": value}))
    whole = "x" * (TEXT_RESULT_CHARS_MAX + 1)
    assert compile_value("${{ a }}").resolve({"a": whole}) is whole
