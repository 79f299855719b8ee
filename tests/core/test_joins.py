"""When steps start: joins, skips, conditions, references."""

import pytest

from orchestrator.core import facts as f
from tests.core.bench import Bench, plan_of, words

A, B, C = ("${{ steps." + name + ".output }}" for name in "abc")


def test_a_step_starts_the_moment_its_input_passes_and_not_before() -> None:
    bench = Bench(plan_of({"a": {}, "b": {"with": {"x": A}}, "slow": {}}))
    assert [d.step for d in bench.dispatches()] == ["a", "slow"]
    assert bench.done("a", 5) == [
        "step.produced a#1",
        "check.verdict a#1 schema pass",
        "step.passed a#1",
        "step.dispatched b#1 first",
    ]
    assert [(d.step, d.args) for d in bench.dispatches()] == [("b", {"x": 5})]


def test_all_waits_for_the_last_and_one_failure_skips_what_needs_it() -> None:
    bench = Bench(plan_of({"a": {}, "b": {}, "c": {"with": {"x": [A, B]}}, "d": {"needs": ["c"]}, "e": {}}))
    assert bench.fail("a") == [
        "attempt.failed a#1 boom",
        "step.rejected a#1",
        "step.failed a#1 boom",
        "step.skipped c upstream_failed",
        "step.skipped d upstream_failed",
    ]
    bench.done("b")
    assert bench.done("e")[-1] == "run.ended failed"
    assert bench.ended.reason == "a: boom"
    assert bench.ended.gaps == (
        {"step": "a", "branch": None, "reason": "boom"},
        {"step": "c", "branch": None, "reason": "upstream_failed"},
        {"step": "d", "branch": None, "reason": "upstream_failed"},
    )


def test_any_starts_at_the_first_pass_and_cancels_the_rest() -> None:
    bench = Bench(plan_of({"a": {}, "b": {}, "c": {"with": {"x": [A, B]}, "join": "any"}}, result=C))
    assert bench.done("b", 2) == [
        "step.produced b#1",
        "check.verdict b#1 schema pass",
        "step.passed b#1",
        "step.dispatched c#1 first",
        "step.cancelled a#1 join_met",
    ]
    assert bench.dispatches()[0].args == {"x": [None, 2]}
    assert bench.done("a", attempt=1) == []
    assert bench.done("c", 3)[-1] == "run.ended succeeded"
    assert bench.ended.output == 3


def test_an_early_join_of_branches_starts_at_the_nth_pass() -> None:
    steps = {
        "m": {"foreach": {"over": [1, 2, 3]}},
        "c": {"with": {"x": "${{ steps.m.output }}"}, "join": {"at_least": 1}, "early": True},
    }
    bench = Bench(plan_of(steps, result=C))
    assert bench.done("m", 5, branch=1) == [
        "step.produced m[1]#1",
        "check.verdict m[1]#1 schema pass",
        "step.passed m[1]#1",
        "step.dispatched c#1 first",
        "step.cancelled m[0]#1 join_met",
        "step.cancelled m[2]#1 join_met",
        "step.passed m",
    ]
    assert bench.dispatches()[0].args == {"x": [None, 5, None]}


def test_a_step_that_follows_branches_waits_for_them_also_when_its_join_is_early() -> None:
    steps = {
        "a": {},
        "z": {},
        "m": {"foreach": {"over": "steps.z.output"}},
        "e": {"foreach": {"each": "m"}, "needs": ["a"], "join": "any"},
    }
    bench = Bench(plan_of(steps))
    bench.done("a")
    assert bench.statuses()["e"] == "pending"
    assert bench.done("z", [5])[-2:] == ["step.dispatched m[0]#1 first", "step.expanded e"]
    assert bench.unit("m", 0).status == "running"


def test_what_another_step_or_the_result_needs_is_not_cancelled() -> None:
    steps = {"a": {}, "b": {}, "c": {"needs": ["a", "b"], "join": "any"}, "d": {"needs": ["b", "c"]}}
    bench = Bench(plan_of(steps, result=C))
    bench.done("a")
    assert bench.statuses()["b"] == "running"
    bench = Bench(plan_of({name: steps[name] for name in "abc"}, result=B))
    bench.done("a")
    assert bench.statuses()["b"] == "running"


def test_branches_that_a_step_follows_one_by_one_are_not_cancelled() -> None:
    steps = {
        "m": {"foreach": {"over": [1, 2]}},
        "each": {"foreach": {"each": "m"}},
        "c": {"with": {"x": "${{ steps.m.passed }}"}, "join": "any"},
    }
    bench = Bench(plan_of(steps, result=C))
    assert bench.done("m", branch=0)[2:] == [
        "step.passed m[0]#1",
        "step.dispatched each[0]#1 first",
        "step.dispatched c#1 first",
    ]
    assert bench.unit("m", 1).status == "running"


@pytest.mark.parametrize(("passes", "status"), [(2, "running"), (1, "skipped")])
def test_at_least_counts_the_branches_of_each_mapped_dependency(passes: int, status: str) -> None:
    steps = {
        "m": {"foreach": {"over": [0, 1, 2]}, "on_fail": ["gap"]},
        "c": {"with": {"x": "${{ steps.m.passed }}"}, "join": {"at_least": 2}},
    }
    bench = Bench(plan_of(steps))
    for branch in range(3):
        if branch < passes:
            bench.done("m", branch, branch=branch)
        else:
            bench.fail("m", branch=branch)
    assert bench.statuses() == {"m": "passed", "c": status}


def test_at_least_counts_dependencies_where_none_is_mapped_and_tolerates_failures() -> None:
    steps = {"a": {}, "b": {}, "c": {}, "d": {"with": {"x": [A, B, C]}, "join": {"at_least": 2}}}
    bench = Bench(plan_of(steps, result="${{ steps.d.output }}"))
    bench.done("a", 1)
    bench.fail("b")
    assert bench.done("c", 3)[-1] == "step.dispatched d#1 first"
    assert bench.dispatches()[0].args == {"x": [1, None, 3]}
    assert bench.done("d")[-1] == "run.ended degraded"
    bench = Bench(plan_of(steps, result="${{ steps.d.output }}"))
    bench.done("a")
    bench.fail("b")
    assert bench.fail("c")[-2:] == ["step.skipped d join_unmet", "run.ended failed"]
    assert bench.ended.reason == "b: boom"


def test_beside_branches_another_dependency_must_not_have_failed() -> None:
    steps = {
        "a": {},
        "b": {"needs": ["a"]},
        "m": {"foreach": {"over": [0]}},
        "c": {"needs": ["b", "m"], "join": {"at_least": 1}},
    }
    bench = Bench(plan_of(steps))
    bench.done("m", branch=0)
    bench.fail("a")
    assert bench.statuses() == {"a": "failed", "b": "skipped", "m": "passed", "c": "skipped"}
    assert bench.state("c").reason == "join_unmet"
    bench = Bench(plan_of({**steps, "b": {"needs": ["a"], "if": "false"}}))
    bench.done("m", branch=0)
    bench.done("a")
    assert bench.statuses()["c"] == "running"


def test_a_tolerant_join_of_a_step_that_follows_branches_speaks_of_the_others() -> None:
    steps = {
        "a": {},
        "m": {"foreach": {"over": [0]}},
        "e": {"foreach": {"each": "m"}, "join": {"at_least": 1}},
        "g": {"foreach": {"each": "m"}, "needs": ["a"], "join": {"at_least": 1}},
    }
    bench = Bench(plan_of(steps))
    assert bench.statuses() == {"a": "running", "m": "running", "e": "running", "g": "pending"}
    bench.fail("a")
    assert bench.state("g").reason == "join_unmet"


def test_a_condition_skips_and_a_skip_is_no_failure() -> None:
    bench = Bench(plan_of({"a": {"if": "inputs.go"}, "b": {"with": {"x": A}}}), {"go": False})
    assert words(bench.all)[2:] == ["step.skipped a condition", "step.dispatched b#1 first"]
    assert bench.dispatches()[0].args == {"x": None}
    assert bench.done("b")[-1] == "run.ended succeeded"


@pytest.mark.parametrize(
    ("step", "cause"),
    [
        ({"if": "inputs.go"}, "a condition must give true or false, not a number in `inputs.go`"),
        ({"with": {"x": "${{ inputs.none }}"}}, "there is no 'none'"),
        ({"foreach": {"over": "inputs.go"}}, "foreach needs a list, not a number in `${{ inputs.go }}`"),
        ({"foreach": {"over": "inputs.long"}}, "100001 items; at most 100000"),
        ({"foreach": {"over": [1]}, "if": "item"}, "a condition must give true or false, not a number"),
        ({"effect": {"key": "${{ inputs.none }}"}}, "there is no 'none'"),
        ({"effect": {"key": "${{ inputs.empty }}"}}, "the key of an effect is empty in `${{ inputs.empty }}`"),
    ],
)
def test_an_expression_without_a_value_fails_its_step_and_says_which(step: dict[str, object], cause: str) -> None:
    inputs = {"go": 1, "empty": None, "long": list(range(100_001)) if "long" in str(step) else []}
    bench = Bench(plan_of({"a": step}), inputs)
    assert bench.ended.status == "failed"
    assert cause in next(fact.cause for fact in bench.all if isinstance(fact, f.StepFailed))


@pytest.mark.parametrize(("value", "name"), [(None, "null"), ("x", "a text"), ({}, "a mapping"), (1.5, "a number")])
def test_a_condition_that_is_no_truth_value_is_named(value: object, name: str) -> None:
    bench = Bench(plan_of({"a": {"if": "inputs.go"}}), {"go": value})  # type: ignore[dict-item]  # JSON values
    assert bench.ended.reason == f"a: a condition must give true or false, not {name} in `inputs.go`"


def test_a_result_that_has_no_value_fails_the_run() -> None:
    bench = Bench(plan_of({"a": {}}, result="${{ steps.a.output.x }}"))
    assert bench.done("a", {})[-1] == "run.ended failed"
    assert bench.ended.reason.startswith("result: ")


def test_a_task_reads_inputs_in_its_text_and_everything_else_as_data() -> None:
    bench = Bench(plan_of({"a": {}, "b": {"task": "Do ${{ inputs.n }} of ${{ steps.a.output }}"}}), {"n": {"k": 1}})
    bench.done("a", "secret")
    sent = bench.dispatches()[0]
    assert sent.instruction == 'Do {"k":1} of [data: steps.a.output]'
    assert sent.args == {"steps.a.output": "secret"}
