"""The strict YAML reader: what it reads, where it says things stand, and what it refuses and how fast."""

import json
import time
import tracemalloc

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrator.errors import PlanError, PlanIssue
from orchestrator.ids import JsonValue
from orchestrator.plan import yaml_text
from orchestrator.plan.limits import PLAN_BYTES_MAX
from orchestrator.plan.yaml_text import DEPTH_MAX, ISSUES_MAX, NODES_MAX, SCALAR_CHARS_MAX, Place, path_text, read_yaml

REFUSED_WITHIN_S = 0.1
REFUSED_WITHIN_BYTES = 50_000_000

SCALARS: list[tuple[str, JsonValue]] = [
    # texts that YAML 1.1 takes for something else
    ("yes", "yes"),
    ("No", "No"),
    ("on", "on"),
    ("off", "off"),
    ("y", "y"),
    ("12:30", "12:30"),
    ("1:2:3", "1:2:3"),
    ("2024-01-01", "2024-01-01"),
    ("2024-01-01T00:00:00Z", "2024-01-01T00:00:00Z"),
    ("1_000", "1_000"),
    ("0b11", "0b11"),
    ("1.2.3", "1.2.3"),
    ("=", "="),
    ("tRUE", "tRUE"),
    ("nULL", "nULL"),
    ("+", "+"),
    ("-x", "-x"),
    (".", "."),
    ("e5", "e5"),
    ("1e", "1e"),
    ("nan", "nan"),
    ("inf", "inf"),
    ("infinity", "infinity"),
    ("0xg", "0xg"),
    ("1 2", "1 2"),
    ("٣", "٣"),
    ("90s", "90s"),
    ("1s..30s", "1s..30s"),
    ("${{ x }}", "${{ x }}"),
    # quoted is text
    ("'1'", "1"),
    ('"true"', "true"),
    ("''", ""),
    ('"a\\tb\\u00e9\\U0001F600"', "a\tbé😀"),
    ("'it''s'", "it's"),
    # constants
    ("~", None),
    ("null", None),
    ("Null", None),
    ("", None),
    ("true", True),
    ("FALSE", False),
    # numbers
    ("0", 0),
    ("-0", 0),
    ("+7", 7),
    ("-12", -12),
    ("9223372036854775807", 2**63 - 1),
    ("1.5", 1.5),
    ("-.5", -0.5),
    ("1.", 1.0),
    ("1e3", 1000.0),
    ("1E-2", 0.01),
    ("0.0", 0.0),
    ("0e9", 0.0),
    ("00.5", 0.5),
]


@pytest.mark.parametrize(("text", "value"), SCALARS)
def test_an_unquoted_scalar_is(text: str, value: JsonValue) -> None:
    found = read_yaml(f"{text}\n", "p").value if text else read_yaml("a:\n", "p").value["a"]  # type: ignore[index,call-overload]  # a mapping, by its text

    assert found == value
    assert type(found) is type(value)


PLAN = """\
# a comment
version: 1
name: "bré"
steps:
  a: {pool: p, call: f, with: {x: "${{ inputs.t }}"}}
  b:
    task: |
      Two
      lines
    checks:
    - rule: len(output) > 1
    - {grounded: {field: items.url}}
"""


def test_values_and_their_places() -> None:
    located = read_yaml(PLAN, "a.plan.yaml")

    assert located.value == {
        "version": 1,
        "name": "bré",
        "steps": {
            "a": {"pool": "p", "call": "f", "with": {"x": "${{ inputs.t }}"}},
            "b": {
                "task": "Two\nlines\n",
                "checks": [{"rule": "len(output) > 1"}, {"grounded": {"field": "items.url"}}],
            },
        },
    }
    places = {
        (): (2, 1),
        ("version",): (2, 10),
        ("steps",): (5, 3),
        ("steps", "a"): (5, 6),
        ("steps", "a", "with", "x"): (5, 35),
        ("steps", "b", "task"): (7, 11),
        ("steps", "b", "checks", 0): (11, 7),
        ("steps", "b", "checks", 0, "rule"): (11, 13),
        ("steps", "b", "checks", 1, "grounded", "field"): (12, 26),
        ("steps", "b", "checks", 5): (11, 5),
        ("steps", "nowhere", "x"): (5, 3),
        ("version", "x"): (2, 10),
    }
    assert {path: (located.place(path).line, located.place(path).column) for path in places} == places
    keys = {
        ("version",): (2, 1),
        ("steps", "b"): (6, 3),
        ("steps", "a", "with", "x"): (5, 32),
        ("steps", "b", "checks", 0, "rule"): (11, 7),
    }
    assert {path: (located.place(path, key=True).line, located.place(path, key=True).column) for path in keys} == keys
    assert located.place(("name",)) == Place("a.plan.yaml", 3, 7)
    assert (located.line(1), located.line(3), located.line(0), located.line(99)) == (
        "# a comment",
        'name: "bré"',
        "",
        "",
    )
    assert path_text(("steps", "b", "checks", 0, "rule")) == "steps.b.checks[0].rule"


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_line_ends_and_a_byte_order_mark_change_nothing(end: str) -> None:
    text = PLAN.replace("\n", end)
    for source in (text, "\ufeff" + text, text.encode(), b"\xef\xbb\xbf" + text.encode()):
        located = read_yaml(source, "p")
        assert located.value == read_yaml(PLAN, "p").value
        assert located.place(("steps", "b", "checks", 1, "grounded", "field")) == Place("p", 12, 26)
        assert located.line(3) == 'name: "bré"'


def issue(text: str | bytes) -> PlanIssue:
    with pytest.raises(PlanError) as refused:
        read_yaml(text, "p")
    assert len(refused.value.issues) == 1
    return refused.value.issues[0]


REFUSED: list[tuple[str | bytes, int, int, str]] = [
    ("", 1, 1, "the file is empty"),
    ("# only\n", 2, 1, "the file is empty"),
    ("a: 1\nb: 2\na: 3\n", 3, 1, "the key a stands here a second time"),
    ("a: {b: 1, 'b': 2}\n", 1, 11, "the key b stands here a second time"),
    ("a: &x 1\n", 1, 4, "the anchor &x is not read"),
    ("&x a: 1\n", 1, 1, "the anchor &x is not read"),
    ("a: &x [1]\n", 1, 4, "the anchor &x is not read"),
    ("a: *x\n", 1, 4, "the alias *x is not read"),
    ("*x : 1\n", 1, 1, "the alias *x is not read"),
    (
        "a: !!python/object/apply:os.system ['id']\n",
        1,
        4,
        "the tag tag:yaml.org,2002:python/object/apply:os.system is not read",
    ),
    ("a: !!str 1\n", 1, 4, "the tag tag:yaml.org,2002:str is not read"),
    ("a: !x {}\n", 1, 4, "the tag !x is not read"),
    ("a: ! 1\n", 1, 4, "the tag ! is not read"),
    ("!!binary a: 1\n", 1, 1, "the tag tag:yaml.org,2002:binary is not read"),
    ("<<: {a: 1}\n", 1, 1, "merge keys are not read"),
    ("a: 1\n---\nb: 2\n", 2, 1, "a second document begins here"),
    ("%YAML 1.1\n---\na: 1\n", 1, 1, "directives are not read"),
    ("%TAG !e! tag:e,2000:\n---\na: 1\n", 1, 1, "directives are not read"),
    ("1: a\n", 1, 1, "the key 1 is no text"),
    ("true: a\n", 1, 1, "the key true is no text"),
    ("null: a\n", 1, 1, "the key null is no text"),
    ("?\n: a\n", 1, 2, "a key is empty"),
    ("0x1: a\n", 1, 1, "0x1 is not decimal"),
    ("[a]: b\n", 1, 1, "a key is a collection"),
    ("? {a: b}\n: c\n", 1, 3, "a key is a collection"),
    ("a: {{ x }}\n", 1, 5, "a key is a collection"),
    ("a: 012\n", 1, 4, "012 begins with a zero, which some readers take for octal"),
    ("a: -00\n", 1, 4, "-00 begins with a zero, which some readers take for octal"),
    ("a: 0o17\n", 1, 4, "0o17 is not decimal"),
    ("a: 0x1F\n", 1, 4, "0x1F is not decimal"),
    ("a: .inf\n", 1, 4, ".inf is no JSON number"),
    ("a: -.INF\n", 1, 4, "-.INF is no JSON number"),
    ("a: .NaN\n", 1, 4, ".NaN is no JSON number"),
    ("a: 9223372036854775808\n", 1, 4, "the integer 9223372036854775808 is too large"),
    ("a: -9999999999999999999999\n", 1, 4, "the integer -9999999999999999999999 is too large"),
    (f"a: {'9' * 200_000}\n", 1, 4, f"the integer {'9' * 39}… is too large"),
    ("a: 1e309\n", 1, 4, "the number 1e309 is too large"),
    ("a: 1e999999999\n", 1, 4, "the number 1e999999999 is too large"),
    ("a: 1e-400\n", 1, 4, "the number 1e-400 is too small"),
    ('a: "\\0"\n', 1, 4, "the text holds the character U+0000"),
    ('"\\0": 1\n', 1, 1, "the text holds the character U+0000"),
    ('a: "\\ud800"\n', 1, 7, "while parsing a quoted scalar: found invalid Unicode character escape code"),
    ('a: "\\q"\n', 1, 5, "while parsing a quoted scalar: found unknown escape character"),
    ("a: b\x00c\n", 1, 5, "the character U+0000 cannot stand in a plan"),
    ("a: \x1b[2J\n", 1, 4, "the character U+001B cannot stand in a plan"),
    ("a: x\ud800\n", 1, 5, "the character U+D800 cannot stand in a plan"),
    ("a:\n  b: \udfff\n", 2, 6, "the character U+DFFF cannot stand in a plan"),
    ("a: x\u2028y\n", 1, 5, "the character U+2028 cannot stand in a plan"),
    ("a: x\x85y\n", 1, 5, "the character U+0085 cannot stand in a plan"),
    ("a: x\ufeffy\n", 1, 5, "the character U+FEFF cannot stand in a plan"),
    ("\ufeff\ufeffa: x\n", 1, 1, "the character U+FEFF cannot stand in a plan"),
    ("a: \ufffe\n", 1, 4, "the character U+FFFE cannot stand in a plan"),
    (b"a: 1\nb: \xff\n", 2, 4, "byte 0xff is not UTF-8"),
    (b"a: \xed\xa0\x80\n", 1, 4, "byte 0xed is not UTF-8"),
    (b"a: \xc0\xaf\n", 1, 4, "byte 0xc0 is not UTF-8"),
    ("a: b\n".encode("utf-16"), 1, 1, "the file is UTF-16 or UTF-32"),
    ("a: b\n".encode("utf-16-le"), 1, 2, "the character U+0000 cannot stand in a plan"),
    ("a:\n\t- b\n", 2, 1, "a tab where the line is indented"),
    ("\ta: b\n", 1, 1, "a tab where the line is indented"),
    ("a: {b: ${{ x }}}\n", 1, 9, "an expression is not quoted"),
    ("a: [1, ${{ x }}]\n", 1, 9, "an expression is not quoted"),
    ("a: {b: On ${{ x }}}\n", 1, 12, "an expression is not quoted"),
    ('a: ${{ b["c: d"] }}\n', 1, 12, "a colon and a blank stand in an unquoted expression"),
    ("a: b: c\n", 1, 5, "a second `: ` on one line"),
    ("a: @b\n", 1, 4, "an unquoted text cannot begin with @"),
    ("a: `b`\n", 1, 4, "an unquoted text cannot begin with `"),
    ("a: 'b\n", 2, 1, "while scanning a quoted scalar: found unexpected end of stream"),
    ("a: [b\n", 2, 1, "while parsing a flow sequence: did not find expected ',' or ']'"),
    ("- a\nb: c\n", 2, 1, "while parsing a block collection: did not find expected '-' indicator"),
]


@pytest.mark.parametrize(("text", "line", "column", "message"), REFUSED)
def test_what_is_not_strict_yaml_is_refused_with_its_place(
    text: str | bytes, line: int, column: int, message: str
) -> None:
    found = issue(text)

    assert (found.line, found.column, found.message, found.file) == (line, column, message, "p")
    assert found.expected


def test_an_issue_shows_the_line_and_says_what_was_expected() -> None:
    assert issue("name: x\nwith: {b: ${{ x }}}\n").render() == (
        "p:2:12: an expression is not quoted\n"
        "    with: {b: ${{ x }}}\n"
        "               ^\n"
        '    expected: in flow style, between { } or [ ], an expression in quotes: "${{ … }}"'
    )
    assert issue("a: 1\n\nb:\n  c: 1\na: 2\n").render() == (
        "p:5:1: the key a stands here a second time\n    a: 2\n    ^\n    expected: once; it is on line 1"
    )


def test_a_long_line_is_shown_around_the_place_and_cannot_steer_a_terminal() -> None:
    long = issue(f"a: [{'x, ' * 500}{'y' * 200}, *b, {'z, ' * 500}]\n").render().split("\n")
    assert [len(line) for line in long[1:3]] == [4 + 120, 4 + 81]
    assert long[1][84:86] == "*b"
    hostile = issue('"\\e[2J": 1\n"\\e[2J": 2\n').render()
    assert hostile.split("\n")[0] == "p:2:1: the key �[2J stands here a second time"


def test_all_issues_are_reported_at_once_up_to_a_cap() -> None:
    with pytest.raises(PlanError) as refused:
        read_yaml("a: 1\na: 2\nb: *x\nc: !t 012\n1: d\ne: [\n", "p")
    assert [(each.line, each.message) for each in refused.value.issues] == [
        (2, "the key a stands here a second time"),
        (3, "the alias *x is not read"),
        (4, "the tag !t is not read"),
        (4, "012 begins with a zero, which some readers take for octal"),
        (5, "the key 1 is no text"),
        (7, "while parsing a flow node: did not find expected node content"),
    ]
    with pytest.raises(PlanError) as capped:
        read_yaml("a: *a\n" * 1000, "p")
    assert len(capped.value.issues) == ISSUES_MAX


def test_the_caps_are_met_exactly() -> None:
    nested = "[" * DEPTH_MAX + "]" * DEPTH_MAX
    assert json.dumps(read_yaml(nested, "p").value) == nested
    assert issue(f"[{nested}]").message == "nested deeper than 40"
    assert len(str(read_yaml("a" * SCALAR_CHARS_MAX, "p").value)) == SCALAR_CHARS_MAX
    assert issue("a" * (SCALAR_CHARS_MAX + 1)).message == "a text of 262,145 characters"
    assert read_yaml("a" + " " * (PLAN_BYTES_MAX - 1), "p").value == "a"
    assert issue("a" + " " * PLAN_BYTES_MAX).message == "the file has 4,194,305 bytes or more"
    assert issue("é" * (PLAN_BYTES_MAX // 2 + 1)).message == "the text is too large"


def test_the_cap_of_parts_is_met_exactly(monkeypatch: pytest.MonkeyPatch) -> None:
    assert NODES_MAX >= 400_000
    monkeypatch.setattr(yaml_text, "NODES_MAX", 5)
    assert read_yaml("[a, {b: c}]", "p").value == ["a", {"b": "c"}]
    assert issue("[a, {b: c}, d]").message == "the file has too many parts"
    assert issue("a\n\n\n\n\n\n\n").message == "the file has too many parts"


BOMBS: list[str | bytes] = [
    "a: &a [x]\n"
    + "".join(f"{chr(98 + n)}: &{chr(98 + n)} [{', '.join([f'*{chr(97 + n)}'] * 9)}]\n" for n in range(24)),
    "&a [*a]",
    "a: &a {b: *a}",
    "[" * 1_000_000,
    "{" * 1_000_000,
    "{a: " * 1_000_000,
    "- " * 2_000_000,
    "? " * 2_000_000,
    "a:\n" + "".join(" " * n + "a:\n" for n in range(1, 2000)),
    "[a," * 500_000,
    "[" + "a," * 2_000_000,
    "a\n" * 2_000_000,
    "*a " * 1_000_000,
    "&a " * 1_000_000,
    "!a " * 1_000_000,
    "!" * 4_000_000,
    "a: " * 1_000_000,
    "---\n" * 500_000,
    "%YAML 1.2\n" * 300_000,
    "a: '" + "x" * 4_000_000,
    'a: "' + "\\x41" * 1_000_000 + '"',
    "a: |\n" + "  x\n" * 500_000,
    "a: >\n" + "  x\n" * 500_000,
    "#" * 4_000_000,
    " " * 4_000_000,
    "a:\n" * 500_000,
    "a: 1\n" * 500_000,
    "1" * 4_000_000,
    "a: " + "1" * 262_000,
    "a: 1e" + "9" * 262_000,
    "a: -" + "." * 300_000,
    "\x00" * 4_000_000,
    b"\xff" * 4_000_000,
    "\ud800" * 1_000_000,
    "'" * 1_000_001,
    "x" * (PLAN_BYTES_MAX + 1),
    b"x" * (PLAN_BYTES_MAX * 4),
]


@pytest.mark.parametrize("number", range(len(BOMBS)))
def test_a_bomb_is_refused_in_time_and_memory(number: int) -> None:
    used_s = []
    for _ in range(3):  # a collection of garbage may fall into one
        started_s = time.process_time()
        with pytest.raises(PlanError):
            read_yaml(BOMBS[number], "p")
        used_s.append(time.process_time() - started_s)
        if used_s[-1] < REFUSED_WITHIN_S:
            break
    tracemalloc.start()
    try:
        with pytest.raises(PlanError):
            read_yaml(BOMBS[number], "p")
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()

    assert min(used_s) < max(REFUSED_WITHIN_S, unit_s())  # which is more where the machine is slow now
    assert peak < REFUSED_WITHIN_BYTES


def unit_s() -> float:
    """Processor seconds that a plan of 1,000 steps takes to be read at this moment, on this machine.

    What takes time is held against that and not against a clock, for other tenants may halve a machine's speed from one
    minute to the next: ask before and after.
    """
    text, started_s = large_plan(1_000), time.process_time()
    read_yaml(text, "p")
    return time.process_time() - started_s


def large_plan(steps: int) -> str:
    return "version: 1\nname: large\nsteps:\n" + "".join(
        f"""\
  s{number}:
    pool: research
    task: Collect what is known of ${{{{ inputs.topic }}}}, part {number}
    with: {{before: "${{{{ steps.s{max(number - 1, 0)}.output }}}}", part: {number}}}
    checks: [{{rule: "len(output) > 0"}}]
    on_fail: [{{retry: 2}}, gap]
"""
        for number in range(steps)
    )


def test_a_large_plan_takes_as_much_longer_as_it_is_larger() -> None:
    text, small_s = large_plan(10_000), unit_s()
    started_s = time.process_time()
    located = read_yaml(text, "p")
    used_s = time.process_time() - started_s

    assert isinstance(located.value, dict)
    assert isinstance(located.value["steps"], dict)
    assert len(located.value["steps"]) == 10_000
    assert used_s < 40 * max(small_s, unit_s())  # ten times the size; a hundred times if cost were quadratic


def test_the_python_parser_reads_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    fast = read_yaml(PLAN, "p")
    monkeypatch.setattr(yaml_text, "_LOADER", yaml.SafeLoader)
    slow = read_yaml(PLAN, "p")

    assert slow.value == fast.value
    assert slow.place(("steps", "a", "with", "x")) == fast.place(("steps", "a", "with", "x"))
    assert issue("a: {b: ${{ x }}}\n").line == 1


JSON = st.recursive(
    st.one_of(
        st.none(),
        st.booleans(),
        st.integers(-(2**63) + 1, 2**63 - 1),
        st.floats(allow_nan=False, allow_infinity=False).filter(lambda number: number == 0 or abs(number) > 1e-300),
        st.text(
            st.characters(exclude_categories=["Cs", "Cc"], exclude_characters="\u2028\u2029\ufeff\ufffe\uffff"),
            max_size=8,
        ),
    ),
    lambda inner: st.one_of(
        st.lists(inner, max_size=4), st.dictionaries(st.text("abc<é 1", max_size=4), inner, max_size=4)
    ),
    max_leaves=20,
)


@given(JSON)
@settings(max_examples=150, deadline=None)
def test_json_reads_as_itself(value: JsonValue) -> None:
    found = read_yaml(json.dumps(value, ensure_ascii=False), "p").value

    assert json.dumps(found) == json.dumps(value)


PIECES = [
    "a",
    "b",
    ": ",
    "- ",
    "\n",
    "  ",
    "\t",
    "{",
    "}",
    "[",
    "]",
    ",",
    "&x ",
    "*x",
    "!t ",
    "|",
    ">",
    "'",
    '"',
    "#",
    "%",
    "---",
    "...",
    "? ",
    "<<",
    "${{",
    "}}",
    "1",
    "0x",
    ".inf",
    "\\",
    "é",
    "\x00",
    "\ud800",
    "\ufeff",
    "\r",
    "~",
    "@",
    "`",
]


@given(
    st.one_of(st.text(max_size=40), st.binary(max_size=40), st.lists(st.sampled_from(PIECES), max_size=30).map("".join))
)
@settings(max_examples=400, deadline=None)
def test_random_text_gives_json_or_a_plan_error_with_a_place(text: str | bytes) -> None:
    try:
        located = read_yaml(text, "p")
    except PlanError as error:
        refused = error
    else:
        assert json.loads(json.dumps(located.value, allow_nan=False)) == located.value
        return
    assert [each for each in refused.issues if each.line < 1 or each.column < 1 or not each.message] == []
    assert str(refused)
