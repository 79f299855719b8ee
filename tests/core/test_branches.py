"""Mapped steps: branches, `each`, `max_parallel`, gaps."""

from orchestrator.core import facts as f
from tests.core.bench import Bench, plan_of, words


def test_no_more_branches_run_than_max_parallel_lets() -> None:
    bench = Bench(
        plan_of({"m": {"foreach": {"over": "inputs.n", "as": "r", "max_parallel": 2}, "with": {"v": "${{ r }}"}}}),
        {"n": [7, 8, 9]},
    )
    assert words(bench.all)[2:] == ["step.expanded m", "step.dispatched m[0]#1 first", "step.dispatched m[1]#1 first"]
    assert [d.args for d in bench.dispatches()] == [{"v": 7}, {"v": 8}]
    assert bench.done("m", "b", branch=1)[-1] == "step.dispatched m[2]#1 first"
    bench.done("m", "c", branch=2)
    assert bench.done("m", "a", branch=0)[-2:] == ["step.passed m", "run.ended succeeded"]
    assert bench.ended.output == {"m": ["a", "b", "c"]}


def test_an_empty_list_passes_at_once() -> None:
    bench = Bench(plan_of({"m": {"foreach": {"over": []}}, "e": {"foreach": {"each": "m"}}}))
    assert words(bench.all)[2:] == [
        "step.expanded m",
        "step.passed m",
        "step.expanded e",
        "step.passed e",
        "run.ended succeeded",
    ]
    assert bench.ended.output == {"m": [], "e": []}


def test_each_follows_branch_by_branch_and_shares_its_leader_s_fate() -> None:
    steps = {
        "m": {"foreach": {"over": [0, 1, 2]}, "if": "item != 1", "on_fail": ["gap"]},
        "e": {"foreach": {"each": "m"}, "with": {"v": "${{ item }}", "i": "${{ index }}"}},
    }
    bench = Bench(plan_of(steps))
    assert words(bench.all)[2:] == [
        "step.expanded m",
        "step.dispatched m[0]#1 first",
        "step.skipped m[1] condition",
        "step.dispatched m[2]#1 first",
        "step.expanded e",
        "step.skipped e[1] condition",
    ]
    assert bench.done("m", "x", branch=2)[-1] == "step.dispatched e[2]#1 first"
    assert bench.dispatches()[0].args == {"v": "x", "i": 2}
    assert bench.fail("m", branch=0)[-3:] == [
        "step.gap m[0]#1 boom",
        "step.passed m",
        "step.gap e[0] m[0] is a gap",
    ]
    bench.done("e", "y", branch=2)
    assert bench.ended.status == "degraded"
    assert bench.ended.output == {"m": [None, None, "x"], "e": [None, None, "y"]}
    assert bench.ended.gaps == (
        {"step": "m", "branch": 0, "reason": "boom"},
        {"step": "e", "branch": 0, "reason": "m[0] is a gap"},
    )


def test_a_failed_branch_fails_its_step_and_its_followers_and_no_sibling() -> None:
    steps = {"m": {"foreach": {"over": [0, 1]}}, "e": {"foreach": {"each": "m"}}, "c": {"needs": ["m"]}}
    bench = Bench(plan_of(steps))
    assert bench.fail("m", branch=0) == [
        "attempt.failed m[0]#1 boom",
        "step.rejected m[0]#1",
        "step.failed m[0]#1 boom",
        "step.skipped e[0] upstream_failed",
    ]
    assert bench.done("m", branch=1)[-3:] == [
        "step.failed m 1 of 2 branches failed; the first: [0] boom",
        "step.dispatched e[1]#1 first",
        "step.skipped c upstream_failed",
    ]
    assert bench.done("e", branch=1)[-2:] == [
        "step.failed e 1 of 2 branches failed; the first: [0] upstream_failed",
        "run.ended failed",
    ]


def test_a_leader_that_never_has_branches_leaves_its_follower_empty_skipped_or_failed() -> None:
    steps: dict[str, object] = {"m": {"foreach": {"over": [0]}, "if": "false"}, "e": {"foreach": {"each": "m"}}}
    assert Bench(plan_of(steps)).ended.output == {"e": []}
    steps["m"] = {"foreach": {"over": "inputs.none"}}
    bench = Bench(plan_of(steps))
    assert bench.statuses() == {"m": "failed", "e": "skipped"}


def test_what_expressions_see_of_a_step() -> None:
    look = {
        name: f"${{{{ steps.m.{name} }}}}"
        for name in ("output", "passed", "gaps", "status", "skipped", "degraded", "attempts", "cost_usd")
    }
    one = {name: f"${{{{ steps.a.{name} }}}}" for name in look}
    steps = {
        "a": {"if": "inputs.go", "on_fail": ["gap"]},
        "m": {"foreach": {"over": [0, 1]}, "on_fail": [{"retry": 1}, "gap"]},
        "c": {"with": {"m": look, "a": one}},
    }
    bench = Bench(plan_of(steps), {"go": True})
    bench.done("a", 5, usd=0.5)
    bench.done("m", 1, branch=1)
    bench.fail("m", branch=0)
    bench.fail("m", branch=0)
    assert bench.dispatches()[0].args == {
        "m": {
            "output": [None, 1],
            "passed": [1],
            "gaps": [{"index": 0, "reason": "boom"}],
            "status": "passed",
            "skipped": False,
            "degraded": True,
            "attempts": 3,
            "cost_usd": 0,
        },
        "a": {
            "output": 5,
            "passed": [5],
            "gaps": [],
            "status": "passed",
            "skipped": False,
            "degraded": False,
            "attempts": 1,
            "cost_usd": 0.5,
        },
    }
    bench = Bench(plan_of({"a": steps["a"], "c": {"with": {"a": one}}}), {"go": True})
    bench.fail("a")
    seen = bench.dispatches()[0].args["a"]
    assert isinstance(seen, dict)
    assert (seen["output"], seen["passed"], seen["degraded"]) == (None, [], True)
    assert seen["gaps"] == [{"index": None, "reason": "boom"}]


def test_a_reuse_of_branches_leaves_the_others_to_be_run() -> None:
    plan = plan_of(
        {"m": {"foreach": {"over": [5, 6, 7]}, "with": {"v": "${{ item }}"}}, "e": {"foreach": {"each": "m"}}}
    )
    bench = Bench(plan, start=False)
    bench.tell(bench.accepted)
    bench.tell(f.StepExpanded(at_s=0, step="m", count=3, items=[5, 6, 7]))  # type: ignore[arg-type]  # an id
    reused = f.StepReused(at_s=0, step="m", branch=1, digest="d6", source="old", output="six")  # type: ignore[arg-type]  # ids
    assert bench.tell(reused) == ["step.reused m[1]"]
    assert bench.tell(reused) == []
    assert sorted(bench.tell(bench.frozen)) == [
        "plan.frozen",
        "step.dispatched e[1]#1 first",
        "step.dispatched m[0]#1 first",
        "step.dispatched m[2]#1 first",
        "step.expanded e",
    ]
    assert bench.tell(reused) == []
