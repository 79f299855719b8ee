"""Patches change what they may and nothing else."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import JsonValue

from orchestrator.errors import PlanError
from orchestrator.ids import StepId
from orchestrator.plan.models import Plan
from orchestrator.plan.patch import Patch, apply_patch, read_patch

CALL: dict[str, JsonValue] = {"pool": "tools", "call": "work"}
BASE = Plan.model_validate(
    {
        "name": "base",
        "inputs": {"n": {"type": "integer"}},
        "budget": {"usd": 2.5},
        "steps": {
            "a": {**CALL, "with": {"n": "${{ inputs.n }}"}},
            "b": {**CALL, "with": {"x": "${{ steps.a.output }}", "y": 1}, "needs": ["a"]},
            "c": {**CALL, "with": {"x": "${{ steps.b.output }}"}},
        },
        "result": "${{ steps.c.output }}",
    }
)
A, B, C = StepId("a"), StepId("b"), StepId("c")


def patch(*ops: object, base: str = BASE.digest) -> Patch:
    return Patch.model_validate({"patch": 1, "base": base, "author": "ann", "reason": "because", "ops": list(ops)})


def refused(made: Patch, *locked: StepId) -> list[tuple[str, str]]:
    with pytest.raises(PlanError) as caught:
        apply_patch(BASE, made, locked=locked)
    return [(issue.message, issue.path) for issue in caught.value.issues]


def test_every_operation_takes_effect_in_its_order() -> None:
    before = BASE.canonical()
    after = apply_patch(
        BASE,
        patch(
            {"add": {"id": "d", "step": {**CALL, "with": {"x": "${{ steps.a.output }}"}}}},
            {"rewire": {"step": "c", "with": {"x": "${{ steps.d.output }}", "z": 3}, "needs": ["a"]}},
            {"drop": {"id": "b"}},
            {"replace": {"id": "d", "step": {**CALL, "description": "better"}}},
            {"retry": {"step": "c"}},
        ),
        locked={A},
    )

    steps = BASE.canonical()["steps"]
    assert isinstance(steps, dict)
    expected: dict[str, JsonValue] = {
        "a": steps["a"],
        "c": {**CALL, "with": {"x": "${{ steps.d.output }}", "z": 3}, "needs": ["a"]},
        "d": {**CALL, "description": "better"},
    }
    assert after.canonical() == {**before, "steps": expected}
    assert after.digest != BASE.digest
    assert BASE.canonical() == before
    assert after == Plan.model_validate(after.canonical())


def test_rewiring_the_order_leaves_the_arguments_and_the_other_way_round() -> None:
    ordered = apply_patch(BASE, patch({"rewire": {"step": "b", "needs": []}}), locked=()).steps["b"]
    argued = apply_patch(BASE, patch({"rewire": {"step": "b", "with": {"y": 2}}}), locked=()).steps["b"]

    assert (ordered.with_, ordered.needs) == (BASE.steps["b"].with_, ())
    assert (argued.with_, argued.needs) == ({"x": "${{ steps.a.output }}", "y": 2}, ("a",))


def test_a_retry_changes_nothing_in_the_plan() -> None:
    assert apply_patch(BASE, patch({"retry": {"step": "b"}}), locked=[A]) == BASE


def test_a_patch_for_another_plan_is_refused_with_both_digests() -> None:
    other = "sha256:" + "0" * 64

    assert refused(patch({"drop": {"id": "b"}}, base=other)) == [
        (f"the patch is for plan {other}, and this is {BASE.digest}", "base")
    ]


@pytest.mark.parametrize(
    "op",
    [
        {"replace": {"id": "b", "step": CALL}},
        {"drop": {"id": "b"}},
        {"rewire": {"step": "b", "needs": []}},
        {"retry": {"step": "b"}},
    ],
)
def test_a_locked_step_is_not_touched(op: dict[str, JsonValue]) -> None:
    assert refused(patch(op), A, B) == [
        ("step 'b' has passed or is running, and cannot change", f"ops[0].{next(iter(op))}")
    ]


def test_wrong_ids_are_all_told() -> None:
    made = patch(
        {"add": {"id": "a", "step": CALL}},
        {"drop": {"id": "x"}},
        {"replace": {"id": "y", "step": CALL}},
        {"rewire": {"step": "z", "needs": []}},
        {"drop": {"id": "c"}},
        {"retry": {"step": "c"}},
        {"add": {"id": "c", "step": CALL}},
    )

    assert refused(made) == [
        ("there is a step 'a' already", "ops[0].add"),
        ("there is no step 'x'", "ops[1].drop"),
        ("there is no step 'y'", "ops[2].replace"),
        ("there is no step 'z'", "ops[3].rewire"),
        ("there is no step 'c'", "ops[5].retry"),
        ("step 'c' is dropped and added in one patch", "ops[6].add"),
    ]


@pytest.mark.parametrize(
    "ops",
    [
        [{"drop": {"id": "b"}}],
        [{"add": {"id": "d", "step": {**CALL, "needs": ["e"]}}}],
        [{"rewire": {"step": "b", "with": {"x": "${{ steps.nowhere.output }}"}}}],
    ],
)
def test_a_patch_that_leaves_an_invalid_plan_is_refused(ops: list[dict[str, JsonValue]]) -> None:
    assert refused(patch(*ops))


def test_the_last_step_cannot_go() -> None:
    assert refused(patch(*({"drop": {"id": name}} for name in "abc")))


WRITTEN = f"""
patch: 1
base: {BASE.digest}
author: ann
reason: the source is gone
ops:
  - drop: {{id: b}}
  - rewire: {{step: c, with: {{x: "${{{{ steps.a.output }}}}"}}}}
"""


def test_a_written_patch_is_read_and_survives_the_round_trip() -> None:
    made = read_patch(WRITTEN)

    assert made.touched() == (B, C)
    assert [op.kind for op in made.ops] == ["drop", "rewire"]
    again = Patch.model_validate(made.canonical())
    assert (again, again.digest) == (made, made.digest)
    assert list(apply_patch(BASE, made, locked=(A,)).steps) == ["a", "c"]


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("patch: 1", "patch: 2", ("patch is 2", 2, 8)),
        ("author: ann", "author: ann\nowner: bob", ("unknown key owner", 5, 1)),
        ("author: ann", "author: ann\nauthor: bob", None),
        ("base: sha256:", "base: sha1:", None),
        ("- drop: {id: b}", "- drop: {id: b}\n    retry: {step: c}", ("found drop and retry", 7, 5)),
        ("- drop: {id: b}", "- {}", ("found none", 7, 5)),
        ("- drop: {id: b}", "- rewire: {step: b}", ("found neither", 7, 5)),
        ("- drop: {id: b}", "- rewire: {step: b, with: {}}", None),
        ("- drop: {id: b}", "- add: {id: d, step: {task: x}}", ("a task step needs a pool", 7, 18)),
    ],
)  # fmt: skip
def test_a_patch_is_read_strictly(old: str, new: str, told: tuple[str, int, int] | None) -> None:
    with pytest.raises(PlanError) as caught:
        read_patch(WRITTEN.replace(old, new), "change.yaml")
    issue = caught.value.issues[0]

    assert issue.file == "change.yaml"
    assert issue.line > 1
    assert told is None or (issue.message, issue.line, issue.column) == told


@pytest.mark.parametrize("text", ["", "[]", "patch: 1", "ops: []", '{"patch": 1, "patch": 1}', "a: &x 1\nb: *x", "\0"])
def test_what_is_no_patch_is_refused(text: str) -> None:
    with pytest.raises(PlanError):
        read_patch(text)


IDS = st.sampled_from(["a", "b", "c", "d", "e"])
SOURCES = st.one_of(st.integers(0, 3), IDS.map(lambda name: f"${{{{ steps.{name}.output }}}}"))
STEPS = st.fixed_dictionaries(
    {"pool": st.just("tools"), "call": st.just("work")}, optional={"with": st.fixed_dictionaries({"x": SOURCES})}
)
OPS = st.one_of(
    st.fixed_dictionaries({"add": st.fixed_dictionaries({"id": IDS, "step": STEPS})}),
    st.fixed_dictionaries({"replace": st.fixed_dictionaries({"id": IDS, "step": STEPS})}),
    st.fixed_dictionaries({"drop": st.fixed_dictionaries({"id": IDS})}),
    st.fixed_dictionaries(
        {"rewire": st.fixed_dictionaries({"step": IDS, "with": st.fixed_dictionaries({"x": SOURCES})})}
    ),
    st.fixed_dictionaries(
        {"rewire": st.fixed_dictionaries({"step": IDS, "needs": st.lists(IDS, max_size=2, unique=True)})}
    ),
    st.fixed_dictionaries({"retry": st.fixed_dictionaries({"step": IDS})}),
)


@given(rounds=st.lists(st.lists(OPS, min_size=1, max_size=4), min_size=1, max_size=6), locked=st.sets(IDS))
def test_no_sequence_of_patches_changes_a_locked_step(
    rounds: list[list[dict[str, JsonValue]]], locked: set[str]
) -> None:
    plan = BASE
    held = {StepId(name) for name in locked if name in BASE.steps}
    before = {name: BASE.canonical()["steps"][name] for name in held}  # type: ignore[index,call-overload] # a mapping of steps
    for ops in rounds:
        made = patch(*ops, base=plan.digest)
        try:
            after = apply_patch(plan, made, locked=held)
        except PlanError:
            continue  # nothing was applied
        assert not held & set(made.touched())
        assert after.digest == Plan.model_validate(after.canonical()).digest
        plan = after

    assert {name: plan.canonical()["steps"][name] for name in held} == before  # type: ignore[index,call-overload] # same
    assert (plan.name, plan.inputs, plan.budget, plan.result) == (BASE.name, BASE.inputs, BASE.budget, BASE.result)
