"""What changed between two plans."""

import json
from pathlib import Path

import pytest

from orchestrator.ids import JsonValue
from orchestrator.plan.diff import Change, diff, render
from orchestrator.plan.files import load_plan
from orchestrator.plan.models import Plan
from orchestrator.plan.schema_file import plan_schema, plan_schema_text
from orchestrator.plan.schemas import compile_schema
from tests.plan.checking import plan_of

ROOT = Path(__file__).resolve().parents[2]


def test_changes_are_told_with_key_paths() -> None:
    before = plan_of(
        {"a": {}, "b": {"with": {"x": {"y": 1}}, "model": {"tier": "cheap"}, "on_fail": [{"retry": 1}, "gap"]}},
        budget={"usd": 2},
    )
    after = plan_of(
        {"b": {"with": {"x": {"y": 2}}, "model": {"tier": "strong"}, "on_fail": [{"retry": 2}, "gap"]}, "c": {}},
        description="new",
    )
    changes = diff(before, after)
    assert changes == [
        Change(kind="dropped", path="budget", before={"usd": 2.0}),
        Change(kind="dropped", path="steps.a", before={"pool": "p", "call": "f"}, step="a"),
        Change(kind="changed", path="steps.b.with.x", before={"y": 1}, after={"y": 2}, step="b"),
        Change(kind="changed", path="steps.b.on_fail[0].retry", before=1, after=2, step="b"),
        Change(kind="changed", path="steps.b.model.tier", before="cheap", after="strong", step="b"),
        Change(kind="added", path="steps.c", after={"pool": "p", "call": "f"}, step="c"),
        Change(kind="added", path="description", after="new"),
    ]
    assert render(changes).splitlines()[:3] == [
        '- budget: {"usd":2.0}',
        '- steps.a: {"call":"f","pool":"p"}',
        '~ steps.b.with.x: {"y":1} -> {"y":2}',
    ]


def test_written_defaults_and_another_order_are_no_difference() -> None:
    one = plan_of({"a": {"join": "all"}, "b": {}}, budget={"usd": 1.0})
    other = plan_of({"b": {}, "a": {}})
    assert one.digest == other.digest
    assert diff(one, other) == []
    assert render([]) == ""


def test_true_and_one_differ() -> None:
    changes = diff(plan_of({"a": {"with": {"x": True}}}), plan_of({"a": {"with": {"x": 1}}}))
    assert [(change.path, change.before, change.after) for change in changes] == [("steps.a.with.x", True, 1)]


def test_the_committed_schema_is_the_one_the_models_give() -> None:
    assert (ROOT / "plans" / "plan.schema.json").read_text() == plan_schema_text()


def test_the_schema_takes_what_the_models_take() -> None:
    check = compile_schema(plan_schema())
    for file in sorted((ROOT / "plans").glob("*.plan.yaml")):
        plan = load_plan(file)
        assert check(plan.canonical()) == ()
    brief = load_plan(Path(__file__).parent / "market-brief.plan.yaml")
    assert check(brief.canonical()) == ()
    assert Plan.model_validate(json.loads(json.dumps(brief.canonical()))).digest == brief.digest


CALL: JsonValue = {"pool": "p", "call": "f"}


@pytest.mark.parametrize(
    "step",
    [
        {"pool": "p", "call": "f", "timeout": {"attempt": "1h30m", "total": 90}},
        {"pool": "p", "call": "f", "if": "run.steps > 1"},
        {"pool": "p", "call": "f", "if": True},
        {"pool": "p", "call": "f", "foreach": {"over": "${{ inputs.x }}"}},
        {"pool": "p", "call": "f", "foreach": {"over": [1, "${{ inputs.x }}"]}},
        {"pool": "p", "call": "f", "on_fail": ["gap"], "retry": {"backoff": "1s..2s"}},
        {"plan": "inner.plan.yaml"},
        {"plan": {"name": "inner", "steps": {"x": CALL}}},
    ],
)
def test_the_schema_takes_expressions_durations_and_short_forms(step: JsonValue) -> None:
    assert compile_schema(plan_schema())({"name": "p", "steps": {"a": step}}) == ()


@pytest.mark.parametrize(
    "step",
    [
        {"pool": "p"},
        {"pool": "p", "call": "f", "task": "x"},
        {"pool": "p", "call": "f", "timeout": {"attempt": "soon"}},
        {"pool": "p", "call": "f", "on_fail": ["gab"]},
        {"pool": "p", "call": "f", "colour": "red"},
        {"plan": "/etc/passwd"},
    ],
)
def test_the_schema_refuses_what_the_models_refuse(step: JsonValue) -> None:
    assert compile_schema(plan_schema())({"name": "p", "steps": {"a": step}}) != ()
