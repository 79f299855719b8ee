"""An output that is news waits until the planner has had its say, and then passes, whatever the planner said."""

import pytest

from orchestrator.core import commands as c
from orchestrator.core import facts as f
from orchestrator.core.story import story
from orchestrator.ids import Digest, JsonValue, StepId
from orchestrator.plan import limits
from orchestrator.plan.models import Plan, digest_of
from orchestrator.plan.patch import Patch, apply_patch
from tests.core.bench import Bench, plan_of

PLAN = plan_of({"a": {"replan_if": "output > 1"}, "b": {"with": {"x": "${{ steps.a.output }}"}}})


def patched(plan: Plan, *ops: JsonValue) -> f.PlanPatched:
    patch = Patch.model_validate(
        {"patch": 1, "base": plan.digest, "author": "supervisor", "reason": "news", "ops": [*ops]}
    )
    changed = apply_patch(plan, patch, locked=())
    return f.PlanPatched(
        at_s=1.0,
        author="supervisor",
        reason="news",
        base=plan.digest,
        digest=Digest(changed.digest),
        patch=patch.model_dump(mode="json", by_alias=True, exclude_none=True),
        asked_by=StepId("a"),
    )


def no_patch() -> f.ReplanRefused:
    return f.ReplanRefused(at_s=1.0, step=StepId("a"), attempt=1, reason="it is still right")


OTHER: JsonValue = {"replace": {"id": "b", "step": {"pool": "w", "call": "g", "with": {"x": "${{ steps.a.output }}"}}}}


@pytest.mark.parametrize("crashed", [False, True])
def test_the_planner_is_asked_before_anything_reads_it(crashed: bool) -> None:
    bench = Bench(PLAN)
    assert bench.done("a", 2) == ["step.produced a#1", "check.verdict a#1 schema pass", "replan.asked a#1 news"]
    asked = c.AskReplan(
        step=StepId("a"), branch=-1, attempt=1, scope="news", reasons=("`output > 1` holds for its output",), output=2
    )
    assert bench.commands == [asked]
    if crashed:
        assert bench.crash() == []
        assert asked in bench.commands

    assert bench.tell(patched(PLAN, OTHER)) == ["plan.patched", "step.passed a#1", "step.dispatched b#1 first"]
    assert [one.function for one in bench.dispatches()] == ["g"]


def test_a_crash_after_the_patch_asks_nobody_again() -> None:
    bench = Bench(PLAN)
    bench.done("a", 2)
    bench.tell(patched(PLAN, OTHER))
    kept = 1 + next(at for at, fact in enumerate(bench.all) if isinstance(fact, f.PlanPatched))

    assert bench.crash(keep=kept) == ["step.passed a#1", "step.dispatched b#1 first"]


def test_without_a_patch_it_passes_under_the_plan_as_it_is() -> None:
    bench = Bench(PLAN)
    bench.done("a", 2)

    assert bench.tell(no_patch()) == [
        "replan.refused a#1 it is still right",
        "step.passed a#1",
        "step.dispatched b#1 first",
    ]
    assert bench.machine.state.replans == 1


def test_what_is_no_news_passes_at_once() -> None:
    assert Bench(PLAN).done("a", 1)[-2:] == ["step.passed a#1", "step.dispatched b#1 first"]


def test_a_condition_that_breaks_refuses_the_output() -> None:
    assert Bench(PLAN).done("a", "text")[2:] == [
        "step.rejected a#1",
        bench_cause("a"),
        "step.skipped b upstream_failed",
        "run.ended failed",
    ]


def bench_cause(step: str) -> str:
    bench = Bench(PLAN)
    made = bench.done(step, "text")
    failed = next(fact for fact in bench.made if isinstance(fact, f.StepFailed))
    assert failed.cause.startswith("replan_if broke: ")
    return made[3]


def test_a_patch_may_not_touch_the_step_itself() -> None:
    bench = Bench(PLAN)
    bench.done("a", 2)

    told = bench.tell(patched(PLAN, {"replace": {"id": "a", "step": {"pool": "w", "call": "g"}}}))

    assert told == [
        "replan.refused a#1 the run has gone on meanwhile: a",
        "step.passed a#1",
        "step.dispatched b#1 first",
    ]


def test_where_nothing_is_left_to_change_nobody_is_asked() -> None:
    bench = Bench(plan_of({"a": {"replan_if": "output > 1"}}))

    assert bench.done("a", 2)[2:] == [
        "replan.refused a#1 no step is left to change",
        "step.passed a#1",
        "run.ended succeeded",
    ]


def test_the_planner_is_asked_so_often_and_no_more() -> None:
    count = limits.REPLANS_MAX + 1
    steps: dict[str, object] = {f"a{at}": {"replan_if": "output > 1"} for at in range(count)}
    steps["b"] = {"needs": [*steps]}
    bench = Bench(plan_of(steps))
    for at in range(limits.REPLANS_MAX):
        bench.done(f"a{at}", 2)
        bench.tell(f.ReplanRefused(at_s=1.0, step=StepId(f"a{at}"), attempt=1, reason=f"no {at}"))

    assert bench.done(f"a{count - 1}", 2)[2] == f"replan.refused a{count - 1}#1 the planner was asked 3 times"


def test_a_budget_that_is_used_up_asks_nobody() -> None:
    steps: dict[str, object] = {"a": {"replan_if": "output > 1"}, "b": {"needs": ["a"]}, "c": {}, "d": {"needs": ["c"]}}
    bench = Bench(plan_of(steps, budget={"usd": 1.0}))
    bench.done("c", 1, usd=2.0)

    assert bench.done("a", 2)[2:4] == ["replan.refused a#1 the budget of usd is used up", "step.passed a#1"]


def test_while_a_person_is_asked_about_the_budget_the_question_waits() -> None:
    steps: dict[str, object] = {"a": {"replan_if": "output > 1"}, "b": {"needs": ["a"]}, "c": {}, "d": {"needs": ["c"]}}
    bench = Bench(plan_of(steps, budget={"usd": 1.0, "on_limit": "ask"}))
    bench.done("c", 1, usd=2.0)

    assert bench.done("a", 2) == ["step.produced a#1", "check.verdict a#1 schema pass"]
    assert "replan.asked a#1 news" in bench.answer("", "extend")


def test_a_process_that_is_ending_leaves_the_question_to_the_next() -> None:
    bench = Bench(PLAN)
    bench.machine.hold()
    commands = bench.machine.handle(
        f.StepProduced(at_s=0.0, step=StepId("a"), attempt=1, digest=digest_of(2), output=2)
    )
    bench.all += bench.machine.facts()

    assert commands == []
    assert bench.crash() == ["replan.asked a#1 news"]


def test_a_cancelled_run_takes_the_question_back() -> None:
    bench = Bench(PLAN)
    bench.done("a", 2)

    assert bench.cancel()[-1] == "run.ended cancelled"
    assert c.Revoke(step=StepId("a"), branch=-1, attempt=1, sample=0) in bench.commands


def test_the_story_tells_news_apart_from_a_failure() -> None:
    bench = Bench(PLAN)
    bench.done("a", 2)

    told = [line.text for line in story(bench.all, "a")]
    assert "its output is news: the planner is asked whether what comes after should change" in told
