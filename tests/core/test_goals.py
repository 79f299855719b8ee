"""Goals: drafts, the pattern, the plan that is made of them, and inputs about them that come late or twice."""

from dataclasses import replace
from typing import Any

import pytest

from orchestrator.core import commands as c
from orchestrator.core import facts as f
from orchestrator.core.inputs import TimerFired
from orchestrator.errors import IllegalTransition
from orchestrator.ids import StepId
from orchestrator.plan.models import Plan
from orchestrator.plan.patch import Patch, apply_patch
from tests.core.bench import Bench, plan_of, words

GOAL = {"goal": "reach it", "with": {"x": "${{ inputs.x }}"}, "on_fail": [{"retry": 1}]}
MADE = Plan.model_validate({"name": "made", "inputs": {"x": {}}, "steps": {"s": {"pool": "w", "call": "f"}}})
OTHER = Plan.model_validate({"name": "other", "inputs": {"x": {}}, "steps": {"s": {"pool": "w", "call": "g"}}})
OTHER_S = Plan.model_validate({"name": "s", "steps": {"s": {"pool": "w", "call": "f"}}})


def goal(**keys: object) -> Bench:
    """A run of one goal."""
    return Bench(plan_of({"g": {**GOAL, **keys}}, inputs={"x": {}}, budget={"usd": 2.0}), {"x": 5})


def draft(number: int, *errors: str, attempt: int = 1, step: str = "g", purpose: str = "plan") -> f.PlanDrafted:
    return f.PlanDrafted(
        at_s=0.0,
        step=StepId(step),
        attempt=attempt,
        number=number,
        purpose=purpose,  # type: ignore[arg-type]  # one of the two
        tier="strong",
        accepted=not errors,
        answer=f"draft {number}",
        errors=errors,
    )


def pattern(name: f.PatternName = "chain", attempt: int = 1, step: str = "g") -> f.PatternChosen:
    return f.PatternChosen(at_s=0.0, step=StepId(step), attempt=attempt, pattern=name, row="r1")


def planned(plan: Plan = MADE, attempt: int = 1, step: str = "g") -> f.GoalPlanned:
    return f.GoalPlanned(
        at_s=0.0,
        step=StepId(step),
        attempt=attempt,
        digest=plan.digest,
        steps=1,
        tries=2,
        usd_estimate=0.0,
        plan=plan.data,
    )


def asked(**keys: Any) -> c.AskPlan:
    """What a supervisor is asked about the goal."""
    plain = c.AskPlan(step=StepId("g"), branch=f.WHOLE, attempt=1, goal="reach it", args={"x": 5}, reasons=())
    return replace(plain, **keys)


def started(plan: Plan = MADE, child: str = "R.g", attempt: int = 1) -> c.StartChild:
    """A goal's sub-plan with the whole of what is left."""
    return c.StartChild(
        step=StepId("g"),
        branch=f.WHOLE,
        attempt=attempt,
        child=child,  # type: ignore[arg-type]  # an id
        plan=plan,
        inputs={"x": 5},
        usd=2.0,
        tokens=200_000,
        wall_s=3600.0,
        steps=998 + (attempt == 1),
    )


def test_a_goal_is_planned_run_as_a_sub_plan_and_gives_its_result() -> None:
    bench = goal()
    assert words(bench.all)[2:] == ["step.dispatched g#1 first"]
    assert bench.commands == [asked(), c.SetTimer(kind="wall", at_s=3600.0)]
    assert bench.tell(draft(1, "no such pool")) == ["plan.drafted g#1"]
    assert bench.tell(pattern()) == ["pattern.chosen g#1"]
    assert bench.tell(draft(2)) == ["plan.drafted g#1"]
    assert bench.commands == []
    assert bench.tell(planned()) == ["goal.planned g#1", "child.started g#1"]
    assert bench.commands == [started()]
    assert bench.child("g", output={"y": 1}, usd=0.5) == [
        "child.ended g#1 succeeded",
        "step.produced g#1",
        "check.verdict g#1 schema pass",
        "step.passed g#1",
        "run.ended succeeded",
    ]
    assert (bench.ended.output, bench.ended.usd, bench.ended.steps) == ({"g": {"y": 1}}, 0.5, 2)
    unit = bench.unit("g")
    assert (unit.drafts, unit.pattern, unit.sub) == ((), None, None)  # nothing of the planning is held any more


def test_every_word_of_the_planner_counts_once_and_drafts_in_their_order() -> None:
    bench = goal()
    assert bench.tell(draft(2)) == []  # the first is not there
    for event in (draft(1, "no"), pattern("chain"), draft(2)):
        assert bench.tell(event) == [f"{event.KIND} g#1"]
        assert bench.tell(event) == []
    assert bench.tell(pattern("fan_out")) == []  # decided once
    unit = bench.unit("g")
    assert (unit.drafts, unit.pattern) == ((draft(1, "no"), draft(2)), pattern("chain"))
    bench.tell(planned())
    for late in (draft(3), pattern("fan_out"), planned(), planned(OTHER)):
        assert bench.tell(late) == []
        assert bench.commands == []
    assert bench.unit("g").sub == MADE


def test_a_goal_is_planned_without_a_word_about_patterns_too() -> None:
    bench = goal()
    assert bench.tell(planned()) == ["goal.planned g#1", "child.started g#1"]
    assert bench.tell(pattern()) == []  # too late to decide


def test_what_a_planner_says_when_nobody_waits_for_it_changes_nothing() -> None:
    bench = goal()
    bench.tell(draft(1))
    assert bench.tell(f.AttemptFailed(at_s=0.0, step=StepId("g"), attempt=1, error="planning", message="none")) == [
        "attempt.failed g#1 planning",
        "step.rejected g#1",
        "step.dispatched g#2 ladder",
    ]
    assert bench.commands == [
        asked(attempt=2, reasons=("planning: none",))
    ]  # told why; the drafts were the old attempt's
    for late in (draft(2), pattern(), planned()):
        assert bench.tell(late) == []
    assert (bench.unit("g").drafts, bench.unit("g").pattern, bench.unit("g").sub) == ((), None, None)
    assert bench.tell(draft(1, attempt=2)) == ["plan.drafted g#2"]
    assert bench.cancel() == ["cancel.requested", "step.cancelled g#2 cancel", "run.ended cancelled"]
    assert bench.commands == [
        c.Revoke(step=StepId("g"), branch=f.WHOLE, attempt=2, sample=0),
        c.Finish(),
    ]
    for late in (draft(2, attempt=2), pattern(attempt=2), planned(attempt=2)):
        assert bench.tell(late) == []


@pytest.mark.parametrize("event", [draft(1, attempt=2), pattern(attempt=2), planned(attempt=2)])
def test_a_word_about_an_attempt_that_was_not_made_is_our_bug(event: f.Fact) -> None:
    bench = goal()
    with pytest.raises(IllegalTransition, match="of attempt 2 met g in state running in attempt 1"):
        bench.machine.handle(event)  # one of the three
    assert list(bench.machine.facts()) == []


@pytest.mark.parametrize("event", [draft(1, step="a"), pattern(step="a"), planned(step="a")])
def test_a_plan_for_a_step_without_a_goal_is_our_bug(event: f.Fact) -> None:
    bench = Bench(plan_of({"a": {}}))
    with pytest.raises(IllegalTransition, match="met a in state without a goal"):
        bench.machine.handle(event)  # one of the three
    assert list(bench.machine.facts()) == []


def test_a_planner_without_an_answer_is_a_timeout_and_has_no_further_say() -> None:
    bench = goal(retry={"attempts": 1}, on_fail=["gap"])
    bench.tell(draft(1, "no"))
    bench.now = 600.0
    fired = TimerFired(kind="attempt", at_s=600.0, step=StepId("g"), attempt=1)
    assert bench.tell(fired) == [
        "attempt.failed g#1 timeout",
        "step.rejected g#1",
        "step.gap g#1 timeout: no answer within 600 s",
        "run.ended degraded",
    ]
    assert bench.commands[0] == c.Revoke(step=StepId("g"), branch=f.WHOLE, attempt=1, sample=0)
    assert bench.tell(planned()) == []


def test_a_sub_plan_that_fails_has_the_goal_planned_anew_and_told_why() -> None:
    bench = goal()
    bench.tell(pattern())
    bench.tell(planned())
    assert bench.child("g", "failed", None, reason="s: boom") == [
        "child.ended g#1 failed",
        "attempt.failed g#1 child",
        "step.rejected g#1",
        "step.dispatched g#2 ladder",
    ]
    assert bench.commands == [asked(attempt=2, reasons=("child: sub-plan R.g failed: s: boom",))]
    assert bench.tell(planned(OTHER, attempt=2)) == ["goal.planned g#2", "child.started g#2"]
    assert bench.commands == [started(OTHER, "R.g#2", attempt=2)]


def test_a_crash_asks_again_with_all_that_was_written_and_decided() -> None:
    bench = goal()
    bench.tell(draft(1, "no such pool"))
    bench.tell(pattern())
    bench.tell(draft(2))
    wall = c.SetTimer(kind="wall", at_s=3600.0)
    for lost in (True, False):
        assert bench.crash(lost=lost) == []  # what was drafted is not paid for again: the attempt goes on
        assert bench.commands == [asked(drafts=(draft(1, "no such pool"), draft(2)), pattern=pattern()), wall]
    assert bench.crash(keep=4) == []
    assert bench.commands == [asked(drafts=(draft(1, "no such pool"),)), wall]


def test_a_crash_between_the_plan_and_its_start_starts_that_plan() -> None:
    bench = goal()
    bench.tell(planned())
    assert words(bench.all)[-2:] == ["goal.planned g#1", "child.started g#1"]
    assert bench.crash(keep=len(bench.all) - 1) == ["child.started g#1"]
    assert bench.commands == [started(), c.SetTimer(kind="wall", at_s=3600.0)]
    assert bench.crash() == []  # and one that was started is started again under the same name
    assert bench.commands == [started(), c.SetTimer(kind="wall", at_s=3600.0)]


def test_a_cancel_takes_the_sub_plan_of_a_goal_along() -> None:
    bench = goal()
    bench.tell(planned())
    assert bench.cancel() == ["cancel.requested", "step.cancelled g#1 cancel", "run.ended cancelled"]
    assert bench.commands == [
        c.CancelChild(child="R.g", reason="the step g of the parent has moved on"),  # type: ignore[arg-type]  # an id
        c.Finish(),
    ]


# ---- drafts of a patch


REPLANS = {"on_fail": [{"replan": "step"}, {"replan": "downstream"}, "gap"]}


def patch_draft(number: int, *errors: str, attempt: int = 1) -> f.PlanDrafted:
    return draft(number, *errors, attempt=attempt, step="a", purpose="patch")


def ask_patch(scope: str, *drafts: f.PlanDrafted, reasons: tuple[str, ...] = ("boom",)) -> c.AskReplan:
    return c.AskReplan(
        step=StepId("a"),
        branch=f.WHOLE,
        attempt=1,
        scope=scope,  # type: ignore[arg-type]  # one of the two
        reasons=reasons,
        drafts=drafts,
    )


def test_drafts_of_a_patch_count_while_a_patch_is_waited_for() -> None:
    bench = Bench(plan_of({"a": REPLANS}))
    assert bench.tell(patch_draft(1)) == []  # nobody asked for one
    assert bench.fail("a")[-1] == "replan.asked a#1 step"
    assert bench.commands == [ask_patch("step")]
    assert bench.tell(patch_draft(1, "no")) == ["plan.drafted a#1"]
    assert bench.tell(patch_draft(1, "no")) == []
    assert bench.crash() == []
    assert bench.commands == [ask_patch("step", patch_draft(1, "no")), c.SetTimer(kind="wall", at_s=3600.0)]
    refused = f.ReplanRefused(at_s=0.0, step=StepId("a"), attempt=1, reason="no idea")
    assert bench.tell(refused) == ["replan.refused a#1 no idea", "replan.asked a#1 downstream"]
    assert bench.commands == [ask_patch("downstream", reasons=("boom", "no new plan: no idea"))]  # drafts begin anew
    assert bench.tell(patch_draft(1)) == ["plan.drafted a#1"]
    bench.tell(replace(refused, reason="still none"))
    assert bench.statuses() == {"a": "gap"}
    assert bench.tell(patch_draft(2)) == []  # the run has ended


def test_drafts_of_a_patch_for_a_step_that_a_patch_dropped_are_late() -> None:
    bench = Bench(plan_of({"a": REPLANS, "b": {}}))
    bench.fail("a")
    plan = bench.machine.state.plan.plan
    body = {"patch": 1, "base": plan.digest, "author": "ann", "reason": "r", "ops": [{"drop": {"id": "a"}}]}
    patch = Patch.model_validate(body)
    made = apply_patch(plan, patch, locked=())
    told = bench.tell(
        f.PlanPatched(
            at_s=0.0,
            base=plan.digest,
            digest=made.digest,
            author="planner",
            reason="r",
            asked_by=StepId("a"),
            patch=patch.canonical(),
        )
    )
    assert told == ["plan.patched"]
    assert bench.tell(patch_draft(1)) == []
    assert bench.tell(draft(1, step="a")) == []


def test_drafts_of_a_patch_for_a_goal_count_although_it_had_a_plan() -> None:
    bench = goal(on_fail=[{"replan": "step"}])
    bench.tell(planned())
    assert bench.child("g", "failed", None)[-1] == "replan.asked g#1 step"
    assert bench.tell(draft(1)) == []  # of a plan, which is there
    assert bench.tell(draft(1, "no", purpose="patch")) == ["plan.drafted g#1"]
    assert bench.crash() == []
    again = bench.commands[0]
    assert isinstance(again, c.AskReplan)
    assert (again.scope, again.drafts) == ("step", (draft(1, "no", purpose="patch"),))


def test_goals_that_are_planned_beside_each_other_get_equal_shares_whichever_has_its_plan_first() -> None:
    """The first one with a plan does not take what the others, and their planners, live on."""
    steps: dict[str, object] = {name: {"goal": "reach it", "on_fail": [{"retry": 1}]} for name in ("g", "h", "i")}
    bench = Bench(plan_of(steps, budget={"usd": 3.0, "tokens": 3_000}))
    bench.tell(planned(OTHER_S, step="h"))
    bench.tell(planned(OTHER_S, step="g"))
    bench.fail("i", "planning")  # it is tried again, so it still wants its share
    bench.tell(planned(OTHER_S, step="i", attempt=2))
    started = [(fact.step, fact.usd, fact.tokens) for fact in bench.all if isinstance(fact, f.ChildStarted)]
    assert started == [("h", 1.0, 1_000), ("g", 1.0, 1_000), ("i", 1.0, 1_000)]


def test_branches_of_a_goal_get_equal_shares() -> None:
    steps: dict[str, object] = {"g": {"goal": "reach it", "foreach": {"over": [1, 2, 3], "as": "n", "max_parallel": 2}}}
    bench = Bench(plan_of(steps, budget={"usd": 3.0}))
    for branch in (1, 0):
        bench.tell(replace(planned(OTHER_S), branch=branch))
    started = [(fact.branch, fact.usd) for fact in bench.all if isinstance(fact, f.ChildStarted)]
    assert started == [(1, 1.0), (0, 1.0)], "the third has not begun, and wants as much"
