"""Plan files: what is read, what is told of mistakes, which sub-plan files are taken, and that writing reads back."""

import gc
import os
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrator.errors import PlanError, PlanIssue
from orchestrator.plan.collecting import LARGE_CHARS, collector_held
from orchestrator.plan.files import dump_plan, load_plan, parse_plan, read_plan, read_plan_file
from orchestrator.plan.limits import PLAN_BYTES_MAX, STEPS_MAX
from orchestrator.plan.models import Plan
from tests.plan.test_yaml_text import large_plan, unit_s

STEP = "version: 1\nname: x\nsteps:\n  a:\n    pool: p\n    task: t\n"


def issues(text: str | bytes, base_dir: Path | None = None) -> tuple[PlanIssue, ...]:
    with pytest.raises(PlanError) as refused:
        parse_plan(text, "f", base_dir)
    return refused.value.issues


def told(text: str, base_dir: Path | None = None) -> list[tuple[int, int, str, str]]:
    return [(each.line, each.column, each.message, each.expected) for each in issues(text, base_dir)]


KINDS = "task, call, human, plan, goal"
CHECKS = "rule, grounded, call, agree, judge, human"
NAME = "a name: letters, digits, _ and -, beginning with a letter or _, at most 64"
MISTAKES: list[tuple[str, list[tuple[int, int, str, str]]]] = [
    ("    pol: x\n", [(7, 5, "unknown key pol", "did you mean pool or plan or goal?")]),
    ("    if_: x\n", [(7, 5, "unknown key if_", "did you mean if?")]),
    ("    with_: {}\n", [(7, 5, "unknown key with_", "did you mean with?")]),
    ("budgets: {}\n", [(7, 1, "unknown key budgets", "did you mean budget?")]),
    ("    timeout: {attempts: 1s}\n", [(7, 15, "unknown key attempts", "did you mean attempt?")]),
    (
        "    checks: [{judge: {rubrik: x}}]\n",
        [(7, 15, "the key rubric is missing", "rubric: …"), (7, 23, "unknown key rubrik", "did you mean rubric?")],
    ),
    ("    early: yes\n", [(7, 12, 'early is the text "yes"', "true or false")]),
    ("    early: 1\n", [(7, 12, "early is 1", "true or false")]),
    ("    join: al\n", [(7, 11, 'join is the text "al"', "all or any or a mapping; did you mean all?")]),
    ("    join: 3\n", [(7, 11, "join is 3", "all or any or a mapping")]),
    (
        "    join: {at_leas: 2}\n",
        [
            (7, 5, "the key at_least is missing", "at_least: …"),
            (7, 12, "unknown key at_leas", "did you mean at_least?"),
        ],
    ),
    ("    foreach: {over: 3}\n", [(7, 21, "over is 3", "a text or a list")]),
    ("    foreach: {}\n", [(7, 5, "foreach is an empty mapping", "exactly one of over, each")]),
    ("    if: {}\n", [(7, 9, "if is an empty mapping", "a text or true or false")]),
    (
        "    timeout: {attempt: 9x}\n",
        [(7, 24, 'attempt is the text "9x"', "a duration such as 90s, 6m or 24h (units: ms s m h d)")],
    ),
    ("    timeout: {attempt: 0}\n", [(7, 24, "attempt is 0", "a duration above zero and at most 366 days")]),
    ("    retry: {backoff: 1s}\n", [(7, 22, 'backoff is the text "1s"', "two durations such as 1s..30s")]),
    ("    on_fail: [gop]\n", [(7, 15, 'on_fail[0] is the text "gop"', "gap, fail, or a mapping such as {retry: 2}")]),
    ("    on_fail: [gap, {retry: 0}]\n", [(7, 28, "retry is 0", "at least 1")]),
    ('    on_fail: [{retry: "2"}]\n', [(7, 23, 'retry is the text "2"', "a whole number")]),
    ("    on_fail: [{retry: true}]\n", [(7, 23, "retry is true", "a whole number")]),
    (
        "    on_fail: [{retry: 1, gap: true}]\n",
        [(7, 15, "found retry and gap", "exactly one of retry, escalate, ask, replan, gap, fail")],
    ),
    ("    on_fail: 3\n", [(7, 14, "on_fail is 3", "a list")]),
    ("    checks: [{rule: x, call: y}]\n", [(7, 14, "found rule and call", f"exactly one of {CHECKS}")]),
    (
        "    checks: [{judge: {rubric: r, tier: stron}}]\n",
        [(7, 40, 'tier is the text "stron"', "cheap, standard or strong; did you mean strong?")],
    ),
    ("    call: f\n", [(4, 3, "found task and call", f"exactly one of {KINDS}")]),
    ("    with: {1a: 2}\n", [(7, 12, "1a is no name", NAME)]),
    ("    plan: {name: q, steps: {z: {pool: 1}}}\n", [(7, 39, "pool is 1", "a text")]),
    ("    plan: q.plan.yaml\n", [(7, 11, "a plan that is no file cannot name sub-plan files", "the sub-plan itself")]),
    ("  b: {}\n", [(7, 3, "found none", f"exactly one of {KINDS}")]),
    ("  b: {task: t}\n", [(7, 3, "a task step needs a pool", "")]),
    ("  b c: {pool: p, task: t}\n", [(7, 3, "b c is no name", NAME)]),
    (
        "budget: {usd: '4', steps: 0, on_limit: halt}\n",
        [
            (7, 15, 'usd is the text "4"', "a number"),
            (7, 27, "steps is 0", "at least 1"),
            (7, 40, 'on_limit is the text "halt"', "degrade, stop or ask"),
        ],
    ),
    (
        "constraints: [1, '']\n",
        [(7, 15, "constraints[0] is 1", "a text"), (7, 18, "constraints[1] is an empty text", "at least 1 character")],
    ),
    ("inputs: {a: 1}\n", [(7, 13, "a is 1", "a mapping")]),
]


@pytest.mark.parametrize(("added", "expected"), MISTAKES)
def test_a_mistake_is_told_with_its_place_and_what_was_expected(
    added: str, expected: list[tuple[int, int, str, str]]
) -> None:
    assert told(STEP + added) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("version: 1\nname: x\n", [(1, 1, "the key steps is missing", "steps: …")]),
        ("version: 1\nname: x\nsteps: {}\n", [(3, 8, "steps is an empty mapping", "at least 1")]),
        ("version: 2\nname: x\nsteps: {a: {goal: g}}\n", [(1, 10, "version is 2", "1")]),
        ("- a\n", [(1, 1, "a plan is a mapping", "version, name, steps, …")]),
        ("text\n", [(1, 1, "a plan is a mapping", "version, name, steps, …")]),
        ("version: 1\nname:\nsteps: {a: {goal: g}}\n", [(2, 6, "name is nothing", "a text")]),
    ],
)
def test_a_mistake_at_the_top_is_told(text: str, expected: list[tuple[int, int, str, str]]) -> None:
    assert told(text) == expected


def test_an_issue_is_rendered_with_its_line() -> None:
    assert issues(STEP + "    pol: x\n")[0].render() == (
        "f:7:5: unknown key pol (at steps.a.pol)\n        pol: x\n        ^\n"
        "    expected: did you mean pool or plan or goal?"
    )


def test_all_mistakes_are_told_at_once_up_to_a_cap() -> None:
    found = issues(STEP + "".join(f"    key{number}: 1\n" for number in range(50)))

    assert len(found) == 21
    assert [each.message for each in found[:2]] == ["unknown key key0", "unknown key key1"]
    assert found[-1].message == "and 30 more"


def test_too_many_steps_are_refused_before_they_are_parsed() -> None:
    text = "version: 1\nname: x\nsteps:\n" + "".join(f"  s{n}: {{pool: p, task: t}}\n" for n in range(STEPS_MAX + 1))
    before_s, started_s = unit_s(), time.process_time()
    found = told(text + "result: 1\n")
    assert found == [(3, 1, "100,001 steps", "at most 100,000; one `foreach` step has as many branches")]
    used_s = time.process_time() - started_s
    assert used_s < 3 * max(before_s, unit_s())  # a hundred times, were it parsed


# ---- files -----------------------------------------------------------------------------------------------------------

SUB = "name: sub\nsteps:\n  z: {pool: p, task: t}\n"


def including(name: str) -> str:
    return f"version: 1\nname: x\nsteps:\n  a:\n    plan: {name}\n"


def test_a_sub_plan_file_reads_as_if_it_stood_there(tmp_path: Path) -> None:
    (tmp_path / "parts").mkdir()
    (tmp_path / "parts" / "sub.plan.yaml").write_text("name: sub\nsteps: {z: {plan: deep.plan.yaml}}\n")
    (tmp_path / "parts" / "deep.plan.yaml").write_text(SUB)
    main = tmp_path / "main.plan.yaml"
    main.write_text(including("parts/sub.plan.yaml"))
    inline = parse_plan(
        "version: 1\nname: x\nsteps: {a: {plan: {name: sub, steps: {z: {plan: "
        "{name: sub, steps: {z: {pool: p, task: t}}}}}}}}\n"
    )

    assert load_plan(main).digest == inline.digest
    assert parse_plan(main.read_text(), "main", tmp_path).digest == inline.digest


def test_places_lead_into_sub_plan_files(tmp_path: Path) -> None:
    (tmp_path / "sub.plan.yaml").write_text(SUB)
    main = tmp_path / "main.plan.yaml"
    main.write_text(including("sub.plan.yaml"))
    sources = read_plan_file(main).sources

    inside = sources.issue("m", ("steps", "a", "plan", "steps", "z", "pool"))
    assert (inside.file, inside.line, inside.column) == (str(tmp_path / "sub.plan.yaml"), 3, 13)
    assert inside.path == "steps.a.plan.steps.z.pool"
    key = sources.issue("m", ("steps", "a", "plan"), key=True)
    assert (key.file, key.line, key.column) == (str(main), 5, 5)
    (tmp_path / "sub.plan.yaml").write_text(SUB.replace("task", "tusk"))
    with pytest.raises(PlanError) as refused:
        load_plan(main)
    assert [(each.file, each.line, each.message) for each in refused.value.issues] == [
        (str(tmp_path / "sub.plan.yaml"), 3, "unknown key tusk"),
    ]


@pytest.mark.parametrize(
    "name",
    [
        "/etc/passwd",
        "/etc/x.plan.yaml",
        "../x.plan.yaml",
        "a/../../x.plan.yaml",
        "x.yaml",
        "secrets.txt",
        '"a\\\\x.plan.yaml"',
        f"{'a' * 600}.plan.yaml",
        '"a\\ex.plan.yaml"',
    ],
)
def test_a_sub_plan_file_lies_below_its_plan_and_is_called_one(tmp_path: Path, name: str) -> None:
    found = issues(including(name), tmp_path)
    assert found[0].message == "this is no sub-plan file"
    assert (found[0].line, found[0].column) == (5, 11)


def test_a_link_out_of_the_folder_is_refused(tmp_path: Path) -> None:
    inside = tmp_path / "in"
    inside.mkdir()
    (tmp_path / "out.plan.yaml").write_text(SUB)
    (inside / "link.plan.yaml").symlink_to(tmp_path / "out.plan.yaml")
    (inside / "folder").symlink_to(tmp_path)
    for name in ("link.plan.yaml", "folder/out.plan.yaml"):
        assert issues(including(name), inside)[0].message == "a link leads out of the folder of the plan"


def test_plans_that_contain_themselves_are_refused(tmp_path: Path) -> None:
    (tmp_path / "main.plan.yaml").write_text(including("main.plan.yaml"))
    with pytest.raises(PlanError, match=r"main\.plan\.yaml contains itself"):
        load_plan(tmp_path / "main.plan.yaml")
    (tmp_path / "one.plan.yaml").write_text(including("two.plan.yaml"))
    (tmp_path / "two.plan.yaml").write_text(including("one.plan.yaml"))
    with pytest.raises(PlanError, match=r"one\.plan\.yaml contains itself"):
        load_plan(tmp_path / "one.plan.yaml")


def test_depth_and_size_of_sub_plans_are_capped(tmp_path: Path) -> None:
    for number in range(12):
        (tmp_path / f"p{number}.plan.yaml").write_text(including(f"p{number + 1}.plan.yaml"))
    with pytest.raises(PlanError, match="plans inside plans, 9 deep"):
        load_plan(tmp_path / "p0.plan.yaml")
    # Each level names the next one twenty times: 20**7 plans, were they read.
    for number in range(7):
        steps = "".join(f"  s{at}: {{plan: w{number + 1}.plan.yaml}}\n" for at in range(20))
        (tmp_path / f"w{number}.plan.yaml").write_text(f"name: x\nsteps:\n{steps}")
    (tmp_path / "w7.plan.yaml").write_text(SUB + "#" * 200_000)
    before_s, started_s = unit_s(), time.process_time()
    with pytest.raises(PlanError, match="the plan with its sub-plans is too large"):
        load_plan(tmp_path / "w0.plan.yaml")
    used_s = time.process_time() - started_s
    assert used_s < 20 * max(before_s, unit_s())


def test_what_is_no_regular_file_is_not_opened(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.plan.yaml")
    for path, reason in (
        (tmp_path / "pipe.plan.yaml", "no regular file"),
        (tmp_path, "no regular file"),
        (tmp_path / "missing.plan.yaml", "there is no such file"),
    ):
        with pytest.raises(PlanError) as refused:
            load_plan(path)
        assert refused.value.issues[0].message == f"cannot be read: {reason}"
        assert refused.value.issues[0].file == str(path)
    (tmp_path / "large.plan.yaml").write_bytes(b"#" * (PLAN_BYTES_MAX + 1))
    with pytest.raises(PlanError, match="4,194,305 bytes or more"):
        load_plan(tmp_path / "large.plan.yaml")
    assert issues(including("pipe.plan.yaml"), tmp_path)[0].message == "pipe.plan.yaml cannot be read: no regular file"


# ---- writing ---------------------------------------------------------------------------------------------------------

FULL = """\
version: 1
name: full
description: |
  two
  lines
inputs: {topic: {type: string, default: "yes"}, n: {type: number, default: 1.5e+20}}
constraints: ["12:30", "012", "1e3", "~", "null", "- x", "a: b", " padded ", "0o17", ".inf", "${{ not }}"]
budget: {usd: 4, wall: 20m, on_limit: ask}
steps:
  a:
    pool: p
    foreach: {over: ["on", "1_000", "2024-01-01"], as: one, max_parallel: 4}
    task: On ${{ inputs.topic }}
    with: {x: "${{ inputs.n }}", y: [1, 2.0, null, true, "", "é😀\\u2028\\x07"]}
    retry: {attempts: 2, backoff: 250ms..1h30m}
    checks: [{rule: len(output) > 0, reason: "no"}]
    on_fail: [{retry: 2}, gap]
  b:
    human: {ask: "Go?", choices: ["yes", "no"], expires: 24h, then: "no"}
    if: not steps.a.skipped
result: ${{ steps.a.output }}
"""


def test_a_written_plan_reads_back_to_an_equal_digest() -> None:
    plan = parse_plan(FULL)
    text = dump_plan(plan)

    assert parse_plan(text).digest == plan.digest
    assert parse_plan(text).canonical() == plan.canonical()
    assert "on_fail:\n    - retry: 2\n    - gap: true\n" in text
    assert "description: |\n  two\n  lines\n" in text


TEXTS = st.one_of(
    st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"), min_size=1, max_size=20),
    st.sampled_from(
        [
            "0o1",
            "0x1",
            "1e5",
            "1.",
            ".5",
            "+1",
            "NULL",
            "True",
            "<<",
            "=",
            "a\n",
            "\na",
            " a\n b",
            "a \nb",
            "# a",
            "a #b",
            "-",
            "?",
            "|",
            "\t",
            "\r",
            "\x85",
        ]
    ),
)


LEAVES = st.one_of(
    TEXTS,
    st.integers(-(2**63) + 1, 2**63 - 1),
    st.floats(allow_nan=False, allow_infinity=False, allow_subnormal=False),
    st.none(),
    st.booleans(),
)
VALUES = st.recursive(
    LEAVES,
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(TEXTS, inner, max_size=3)),
    max_leaves=8,
)


@given(TEXTS, VALUES)
@settings(max_examples=150, deadline=None)
def test_any_text_and_value_survives_being_written(text: str, value: object) -> None:
    plan = Plan.model_validate(
        {"name": "x", "constraints": [text], "steps": {"a": {"goal": text, "with": {"v": value}}}}
    )

    assert parse_plan(dump_plan(plan)).digest == plan.digest


@pytest.mark.parametrize("value", ["a\x00b", 2**70, -(2**64)])
def test_what_no_file_can_hold_is_refused_when_writing(value: object) -> None:
    plan = Plan.model_validate({"name": "x", "steps": {"a": {"goal": "g", "with": {"v": value}}}})
    with pytest.raises(PlanError):
        dump_plan(plan)


# ---- large plans -----------------------------------------------------------------------------------------------------


def test_a_plan_of_ten_thousand_steps_is_read_and_validated_in_time() -> None:
    text, before_s = large_plan(10_000), unit_s()
    started_s = time.process_time()
    plan = parse_plan(text)
    used_s = time.process_time() - started_s

    assert len(plan.steps) == 10_000
    assert used_s < 60 * max(before_s, unit_s())  # validated too, of ten times the size


def test_the_collector_is_held_for_large_texts_only_and_put_back() -> None:
    assert gc.isenabled()
    with collector_held(LARGE_CHARS - 1):
        assert gc.isenabled()
    with collector_held(LARGE_CHARS):
        assert not gc.isenabled()
        with collector_held(LARGE_CHARS):
            assert not gc.isenabled()
        assert not gc.isenabled()
    assert gc.isenabled()
    with pytest.raises(PlanError):
        parse_plan("#" * LARGE_CHARS)
    assert gc.isenabled()


def test_a_source_knows_its_plan_and_places() -> None:
    source = read_plan(STEP, "f")

    assert source.plan == parse_plan(STEP)
    assert source.sources.issue("m", ("steps", "a", "task")) == PlanIssue(
        message="m", file="f", line=6, column=11, path="steps.a.task", source_line="    task: t"
    )
