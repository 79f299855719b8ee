"""What follows a refusal or a failure: retries, rungs, people, patches, lost workers."""

import pytest

from orchestrator.core import commands as c
from orchestrator.core import facts as f
from orchestrator.core.policy import backoff_s
from orchestrator.ids import StepId
from orchestrator.plan import limits
from orchestrator.plan.models import Plan
from orchestrator.plan.parts import Backoff
from orchestrator.plan.patch import Patch, apply_patch
from tests.core.bench import Bench, plan_of

RULE = {"rule": "output > 0", "reason": "too small"}


def test_a_retry_is_told_the_reasons_and_at_the_end_of_the_ladder_the_step_fails() -> None:
    bench = Bench(plan_of({"a": {"checks": [RULE], "on_fail": [{"retry": 2}]}}))
    assert bench.done("a", -1) == [
        "step.produced a#1",
        "check.verdict a#1 schema pass",
        "check.verdict a#1 rule fix",
        "step.rejected a#1",
        "step.dispatched a#2 ladder",
    ]
    assert bench.dispatches()[0].reasons == ("too small",)
    assert bench.done("a", -2)[-1] == "step.dispatched a#3 ladder"
    assert bench.done("a", -3)[-3:] == ["step.rejected a#3", "step.failed a#3 too small", "run.ended failed"]


def test_a_second_time_the_same_output_passes_over_the_retry_rung() -> None:
    bench = Bench(
        plan_of(
            {
                "a": {
                    "checks": [RULE],
                    "on_fail": [{"retry": 5}, {"escalate": {"tier": "strong", "pool": "big"}}, {"retry": 1}],
                }
            }
        )
    )
    bench.done("a", -1)
    assert bench.done("a", -1)[-3:] == [
        "step.rejected a#2 repeat",
        "step.escalated a#2 strong big",
        "step.dispatched a#3 ladder",
    ]
    assert (bench.dispatches()[0].tier, bench.dispatches()[0].pool) == ("strong", "big")
    assert bench.done("a", -2)[-1] == "step.dispatched a#4 ladder"
    assert bench.dispatches()[0].pool == "big"


def test_a_terminal_error_passes_over_retries() -> None:
    bench = Bench(plan_of({"a": {"on_fail": [{"retry": 5}, "gap"]}, "b": {"on_fail": [{"retry": 5}, "fail"]}}))
    assert bench.fail("a", "terminal") == [
        "attempt.failed a#1 terminal",
        "step.rejected a#1 terminal",
        "step.gap a#1 terminal",
    ]
    assert bench.fail("b", "terminal")[-2:] == ["step.failed b#1 terminal", "run.ended failed"]


def test_an_empty_ladder_fails_with_the_error() -> None:
    bench = Bench(plan_of({"a": {}}))
    assert bench.fail("a") == [
        "attempt.failed a#1 boom",
        "step.rejected a#1",
        "step.failed a#1 boom",
        "run.ended failed",
    ]


# ---- infrastructure


def test_errors_of_the_surroundings_are_tried_again_after_a_wait_and_then_climb() -> None:
    retry = {"attempts": 2, "backoff": "1s..30s", "errors": ["provider"]}
    bench = Bench(plan_of({"a": {"retry": retry, "on_fail": ["gap"]}}))
    wait = backoff_s(Backoff(first=1, most=30), 1, "R/a/-1/1")
    assert 0.5 <= wait < 1
    assert bench.fail("a", "provider") == ["attempt.failed a#1 provider", f"step.backoff a#1 until {wait:g}"]
    assert bench.commands == [c.SetTimer(kind="backoff", at_s=wait, step="a", branch=-1, attempt=1)]  # type: ignore[arg-type]  # an id
    assert bench.timer("backoff", "a") == []  # too early
    bench.now = wait
    assert bench.timer("backoff", "a") == ["step.dispatched a#2 retry"]
    assert bench.timer("backoff", "a", attempt=1) == []
    assert bench.fail("a", "provider")[-2:] == ["step.gap a#2 provider", "run.ended degraded"]


def test_the_wait_is_at_least_what_the_provider_asks_for_and_never_over_the_total() -> None:
    bench = Bench(plan_of({"a": {"on_fail": [{"retry": 1}, "gap"], "timeout": {"total": 60.0}}}))
    assert bench.fail("a", "rate_limit", retry_after_s=40.0)[-1] == "step.backoff a#1 until 40"
    bench.now = 40.0
    bench.timer("backoff", "a")
    assert bench.dispatches()[0].timeout_s == 20.0
    assert bench.fail("a", "rate_limit", retry_after_s=40.0) == [
        "attempt.failed a#2 rate_limit",
        "step.rejected a#2 terminal",
        "step.gap a#2 rate_limit",
        "run.ended degraded",
    ]


def test_waits_double_up_to_the_most_and_are_drawn_from_the_salt() -> None:
    backoff = Backoff(first=1, most=8)
    waits = [backoff_s(backoff, tries, "s") for tries in (1, 2, 3, 4, 5, 100)]
    assert all(ceiling / 2 <= wait < ceiling for wait, ceiling in zip(waits, (1, 2, 4, 8, 8, 8), strict=True))
    assert backoff_s(backoff, 1, "s") == waits[0] != backoff_s(backoff, 1, "t")
    with pytest.raises(ValueError, match="count from 1"):
        backoff_s(backoff, 0, "s")


def test_after_the_total_time_only_rungs_without_work_are_left() -> None:
    ladder = [{"retry": 2}, {"escalate": {"tier": "strong"}}, {"replan": "step"}]
    bench = Bench(plan_of({"a": {"on_fail": ladder, "timeout": {"total": 10.0}}}))
    bench.now = 11.0
    assert bench.fail("a")[-2:] == ["step.failed a#1 total timeout of 10 s: boom", "run.ended failed"]


@pytest.mark.parametrize(("idle", "message"), [(True, "no sign of life for 5 s"), (False, "no answer within 7 s")])
def test_an_attempt_that_is_silent_for_too_long_is_taken_back(idle: bool, message: str) -> None:
    bench = Bench(plan_of({"a": {"timeout": {"attempt": 7.0, "idle": 5.0}}}))
    assert (bench.dispatches()[0].timeout_s, bench.dispatches()[0].idle_s) == (7.0, 5.0)
    bench.now = 7.0
    assert bench.timer("attempt", "a", idle=idle)[0] == "attempt.failed a#1 timeout"
    failed = bench.made[0]
    assert isinstance(failed, f.AttemptFailed)
    assert failed.message == message
    assert bench.commands[0] == c.Revoke(step="a", branch=-1, attempt=1, sample=0)  # type: ignore[arg-type]  # an id
    assert bench.done("a", attempt=1) == []


def test_a_lost_worker_is_replaced_without_climbing_but_not_for_ever() -> None:
    bench = Bench(plan_of({"a": {"on_fail": [{"retry": 1}]}}))
    for attempt in range(1, limits.LEASE_LOSSES_MAX + 1):
        assert bench.lose("a") == [f"lease.lost a#{attempt}", f"step.dispatched a#{attempt + 1} lost"]
        assert bench.lose("a", attempt=attempt) == []
    assert bench.lose("a")[-2:] == ["step.failed a#6 its worker was lost 6 times", "run.ended failed"]


def test_nor_for_ever_where_the_transport_tells_of_the_loss() -> None:
    """A task that ends every process it comes to would otherwise be tried until somebody looked."""
    bench = Bench(plan_of({"a": {}}))
    for attempt in range(1, 6):
        assert bench.fail("a", "lost") == [f"attempt.failed a#{attempt} lost", f"step.dispatched a#{attempt + 1} lost"]

    assert bench.fail("a", "lost")[-2:] == ["step.failed a#6 its worker was lost 6 times", "run.ended failed"]


# ---- people


def test_a_person_may_accept_what_a_check_refused_but_not_what_the_schema_refused() -> None:
    step = {"checks": [RULE], "output": {"type": "integer"}, "on_fail": [{"ask": {"expires": 60.0, "then": "gap"}}]}
    bench = Bench(plan_of({"a": step}))
    assert bench.done("a", -1)[-1] == "approval.asked a#1 rung accept/retry/gap/fail then gap"
    assert bench.commands[0] == c.SetTimer(kind="approval", at_s=60.0, step="a", branch=-1, attempt=1)  # type: ignore[arg-type]  # an id
    assert bench.answer("a", "accept", "fine") == [
        "approval.answered a#1 accept",
        "check.verdict a#1 human pass",
        "step.passed a#1",
        "run.ended succeeded",
    ]
    bench = Bench(plan_of({"a": step}))
    assert bench.done("a", "x")[-1] == "approval.asked a#1 rung retry/gap/fail then gap"
    assert bench.answer("a", "accept") == []
    assert bench.answer("a", "retry") == ["approval.answered a#1 retry", "step.dispatched a#2 ladder"]
    assert bench.done("a", "y")[-1] == "run.ended failed"  # a person is asked once


@pytest.mark.parametrize(
    ("choice", "last"),
    [("gap", "step.gap a#1 boom; not today"), ("fail", "step.failed a#1 boom; not today"), ("maybe", "")],
)
def test_a_person_s_choice_is_carried_out(choice: str, last: str) -> None:
    bench = Bench(plan_of({"a": {"on_fail": [{"ask": {}}, "gap"]}}))
    assert bench.fail("a")[-1] == "approval.asked a#1 rung retry/gap/fail then fail"
    made = bench.answer("a", choice, "not today")
    assert made[1:2] == ([last] if last else [])


def test_a_gap_is_offered_only_where_the_plan_speaks_of_one() -> None:
    bench = Bench(plan_of({"a": {"on_fail": [{"ask": {}}]}}))
    assert bench.fail("a")[-1] == "approval.asked a#1 rung retry/fail then fail"
    assert bench.answer("a", "gap") == []


def test_without_an_answer_the_way_of_then_is_taken() -> None:
    bench = Bench(plan_of({"a": {"on_fail": [{"ask": {"expires": 60.0, "then": "retry"}}]}}))
    bench.fail("a")
    bench.now = 59.0
    assert bench.timer("approval", "a") == []
    bench.now = 60.0
    assert bench.timer("approval", "a") == ["approval.expired a#1 retry", "step.dispatched a#2 ladder"]
    assert bench.timer("approval", "a", attempt=1) == []
    assert bench.answer("a", "gap") == []


def test_an_answer_from_before_the_question_is_to_an_earlier_one() -> None:
    bench = Bench(plan_of({"a": {"checks": [{"human": {"ask": "1"}}, {"human": {"ask": "2"}}]}}))
    bench.done("a")
    first = f.ApprovalAnswered(at_s=0.0, step="a", attempt=1, choice="accept")  # type: ignore[arg-type]  # an id
    bench.now = 1.0
    assert bench.answer("a", "accept")[-1] == "approval.asked a#1 check accept/reject then reject"
    assert bench.tell(first) == []
    assert bench.answer("a", "accept") == []  # the same answer once more
    bench.now = 2.0
    assert bench.answer("a", "accept")[-1] == "run.ended succeeded"


# ---- patches


def patched(bench: Bench, *ops: object, asked_by: str | None = None, base: str | None = None) -> list[str]:
    plan: Plan = bench.machine.state.plan.plan
    body = {"patch": 1, "base": base or plan.digest, "author": "ann", "reason": "better", "ops": list(ops)}
    patch = Patch.model_validate(body)
    digest = apply_patch(plan, patch, locked=()).digest if base is None else plan.digest
    return bench.tell(
        f.PlanPatched(
            at_s=bench.now,
            base=patch.base,  # type: ignore[arg-type]  # a digest
            digest=digest,
            author="ann",
            reason="better",
            asked_by=asked_by,  # type: ignore[arg-type]  # an id
            patch=patch.canonical(),
        )
    )


SIMPLE = {"pool": "w", "call": "g"}


def test_a_replan_rung_replaces_the_step_and_its_attempts_count_on() -> None:
    bench = Bench(plan_of({"a": {"on_fail": [{"replan": "step"}]}, "b": {"with": {"x": "${{ steps.a.output }}"}}}))
    assert bench.fail("a")[-1] == "replan.asked a#1 step"
    asked = bench.commands[0]
    assert isinstance(asked, c.AskReplan)
    assert (asked.scope, asked.reasons) == ("step", ("boom",))
    assert patched(bench, {"replace": {"id": "a", "step": SIMPLE}}, asked_by="a") == [
        "plan.patched",
        "step.dispatched a#2 first",
    ]
    assert bench.dispatches()[0].function == "g"
    assert bench.done("a", 9, attempt=1) == []
    assert bench.done("a", 3)[-1] == "step.dispatched b#1 first"


def test_without_a_patch_the_next_rung_follows() -> None:
    bench = Bench(plan_of({"a": {"on_fail": [{"replan": "downstream"}, "gap"]}}))
    bench.fail("a")
    refused = f.ReplanRefused(at_s=0.0, step="a", attempt=1, reason="no idea")  # type: ignore[arg-type]  # an id
    assert bench.tell(refused) == [
        "replan.refused a#1 no idea",
        "step.gap a#1 boom; no new plan: no idea",
        "run.ended degraded",
    ]
    assert bench.tell(refused) == []


def test_a_patch_of_what_comes_after_lets_the_asking_step_climb_on() -> None:
    bench = Bench(
        plan_of({"a": {"on_fail": [{"replan": "downstream"}]}, "b": {"needs": ["a"]}}, result="${{ steps.b.output }}")
    )
    bench.fail("a")
    assert patched(bench, {"replace": {"id": "b", "step": SIMPLE}}, asked_by="a") == [
        "plan.patched",
        "step.failed a#1 boom",
        "step.dispatched b#1 first",
    ]
    assert bench.done("b")[-1] == "run.ended degraded"


@pytest.mark.parametrize("other", ["runs", "passed", "waits for the planner too", "failed before"])
def test_a_mapped_step_whose_other_branch_passed_or_runs_is_not_replaced_for_one_that_failed(other: str) -> None:
    """Nobody would have the answer of what runs, and what passed would be paid for twice."""
    bench = Bench(plan_of({"m": {"foreach": {"over": [1, 2]}, "on_fail": [{"replan": "step"}]}}))
    if other == "passed":
        bench.done("m", branch=1)
    elif other != "runs":
        bench.fail("m", branch=1)
    if other == "failed before":
        bench.tell(f.ReplanRefused(at_s=0.0, step=StepId("m"), branch=1, attempt=1, reason="no"))
    bench.fail("m", branch=0)

    made = patched(bench, {"replace": {"id": "m", "step": SIMPLE}}, asked_by="m")

    if other in ("runs", "passed"):
        assert made[0] == "replan.refused m[0]#1 the run has gone on meanwhile: m"
    else:
        assert made == ["plan.patched", "step.dispatched m#2 first"]


def test_a_patch_for_another_plan_or_that_comes_too_late_changes_nothing() -> None:
    bench = Bench(plan_of({"a": {}, "b": {"needs": ["a"]}, "z": {"on_fail": [{"replan": "step"}]}}))
    assert patched(bench, {"retry": {"step": "b"}}, base="sha256:" + "0" * 64) == []
    assert patched(bench, {"replace": {"id": "b", "step": SIMPLE}}, asked_by="a") == []  # it does not wait for one
    assert patched(bench, {"replace": {"id": "a", "step": SIMPLE}}) == []  # it runs
    bench.fail("z")
    assert patched(bench, {"drop": {"id": "z"}}, {"replace": {"id": "a", "step": SIMPLE}}, asked_by="z") == [
        "replan.refused z#1 the run has gone on meanwhile: a",
        "step.failed z#1 boom; no new plan: the run has gone on meanwhile: a",
    ]
    bench.cancel()
    assert patched(bench, {"retry": {"step": "z"}}) == []


def test_a_patch_under_a_run_adds_drops_rewires_and_retries_and_keeps_what_passed() -> None:
    steps = {
        "a": {},
        "m": {"foreach": {"over": [0, 1]}},
        "b": {"needs": ["m"]},
        "c": {"with": {"x": "${{ steps.b.output }}"}},
        "slow": {},
        "each": {"foreach": {"each": "m"}},
    }
    bench = Bench(plan_of(steps))
    bench.done("a", 5)
    bench.fail("m", branch=0)
    bench.done("m", branch=1)
    assert bench.statuses() == {
        "a": "passed",
        "m": "failed",
        "b": "skipped",
        "c": "skipped",
        "slow": "running",
        "each": "running",
    }
    assert patched(bench, {"retry": {"step": "m"}}) == []  # a branch of it has passed
    made = patched(
        bench,
        {"rewire": {"step": "c", "with": {"x": "${{ steps.a.output }}"}}},
        {"add": {"id": "new", "step": {**SIMPLE, "needs": ["c"]}}},
        {"drop": {"id": "b"}},
    )
    assert made == ["plan.patched", "step.dispatched c#1 first"]
    assert bench.dispatches()[0].args == {"x": 5}
    assert bench.done("b", attempt=1) == []  # a step that is gone
    assert bench.done("c")[-1] == "step.dispatched new#1 first"
    bench.crash(lost=False)
    bench.done("new")
    bench.done("slow")
    assert bench.done("each", branch=1)[-1] == "run.ended failed"
    assert patched(bench, {"retry": {"step": "m"}}) == []


def test_new_branches_count_on_from_the_attempts_of_the_old_ones() -> None:
    bench = Bench(plan_of({"m": {"foreach": {"over": [0, 1]}, "on_fail": [{"retry": 1}]}, "z": {}}))
    for branch in (0, 1):
        bench.fail("m", branch=branch)
        bench.fail("m", branch=branch)
    change = {"retry": {"step": "m"}}
    assert patched(bench, change) == [
        "plan.patched",
        "step.expanded m",
        "step.dispatched m[0]#3 first",
        "step.dispatched m[1]#3 first",
    ]
    assert bench.tell(bench.all[-4]) == []  # the same patch again
    assert bench.done("m", branch=0, attempt=2) == []
    bench.done("m", branch=0)
    bench.done("m", branch=1)
    assert bench.done("z")[-1] == "run.ended succeeded"


def test_a_step_that_is_new_after_a_limit_meets_it_too() -> None:
    bench = Bench(plan_of({"a": {"on_fail": [{"replan": "step"}]}, "b": {}}, budget={"steps": 1}))
    bench.fail("a")
    assert patched(bench, {"retry": {"step": "a"}}, asked_by="a") == [
        "plan.patched",
        "step.gap a#1 budget.steps",
        "run.ended stopped",
    ]


def test_only_so_many_patches_are_asked_for_in_a_run() -> None:
    steps = {name: {"on_fail": [{"replan": "step"}]} for name in "abcd"}
    bench = Bench(plan_of(steps))
    for name in "abc":
        bench.fail(name)
        bench.tell(f.ReplanRefused(at_s=0.0, step=name, attempt=1, reason="no"))  # type: ignore[arg-type]  # an id
    assert bench.fail("d")[-2:] == ["step.failed d#1 boom", "run.ended failed"]


def test_who_else_waits_for_a_patch_climbs_on_when_the_plan_has_changed() -> None:
    steps = {name: {"on_fail": [{"replan": "step"}, "gap"]} for name in "ab"}
    bench = Bench(plan_of(steps))
    bench.fail("a")
    bench.fail("b")
    assert patched(bench, {"retry": {"step": "a"}}, asked_by="a") == [
        "plan.patched",
        "step.gap b#1 boom",
        "step.dispatched a#2 first",
    ]


def test_the_clocks_of_wall_and_total_stand_still_for_people_and_not_for_the_planner() -> None:
    ladder = {"on_fail": [{"replan": "step"}, {"retry": 1}], "timeout": {"attempt": 20.0, "total": 50.0}}
    bench = Bench(plan_of({"a": ladder}, budget={"wall": 100.0}))
    bench.fail("a")
    assert (bench.machine.state.active, bench.machine.state.waiting, bench.machine.state.paused_at_s) == (1, 0, None)
    bench.crash()
    assert bench.commands[-1] == c.SetTimer(kind="wall", at_s=100.0)
    bench.now = 60.0
    refused = f.ReplanRefused(at_s=60.0, step="a", attempt=1, reason="no idea")  # type: ignore[arg-type]  # an id
    assert bench.tell(refused)[1:] == [
        "step.failed a#1 total timeout of 50 s: boom; no new plan: no idea",
        "run.ended failed",
    ]
    bench = Bench(plan_of({"a": {"on_fail": [{"replan": "step"}, "gap"]}}, budget={"wall": 100.0}))
    bench.fail("a")
    bench.now = 100.0
    assert bench.timer("wall") == ["limit.hit wall degrade", "step.gap a#1 budget.wall", "run.ended stopped"]
    assert bench.commands[0] == c.Revoke(step="a", branch=-1, attempt=1, sample=0)  # type: ignore[arg-type]  # an id
    asks = {"on_fail": [{"ask": {"expires": 900.0}}], "timeout": {"attempt": 20.0, "total": 50.0}}
    bench = Bench(plan_of({"a": asks}, budget={"wall": 100.0}))
    bench.fail("a")
    assert (bench.machine.state.active, bench.machine.state.waiting, bench.machine.state.paused_at_s) == (0, 1, 0.0)
    bench.now = 500.0
    assert bench.timer("wall") == []
    assert bench.answer("a", "retry")[1:] == ["step.dispatched a#2 ladder"]


def test_a_planner_at_work_keeps_the_clock_going_beside_a_person_who_is_asked() -> None:
    human = {"human": {"ask": "?", "choices": ["x"], "expires": 900.0}}
    bench = Bench(plan_of({"h": human, "a": {"on_fail": [{"replan": "downstream"}, "gap"]}}))
    bench.fail("a")
    assert (bench.machine.state.active, bench.machine.state.waiting, bench.machine.state.paused_at_s) == (1, 1, None)
    bench.now = 7.0
    bench.tell(f.ReplanRefused(at_s=7.0, step="a", attempt=1, reason="no idea"))  # type: ignore[arg-type]  # an id
    assert (bench.machine.state.active, bench.machine.state.waiting, bench.machine.state.paused_at_s) == (0, 1, 7.0)
    bench = Bench(plan_of({"h": human, "a": {"on_fail": [{"replan": "downstream"}, "gap"]}, "b": {"needs": ["a"]}}))
    bench.fail("a")
    plan = bench.machine.state.plan.plan
    body = {"patch": 1, "base": plan.digest, "author": "p", "reason": "r", "ops": [{"retry": {"step": "b"}}]}
    patch = Patch.model_validate(body)
    bench.tell(
        f.PlanPatched(
            at_s=8.0,
            base=plan.digest,
            digest=apply_patch(plan, patch, locked=()).digest,
            author="p",
            reason="r",
            asked_by="a",  # type: ignore[arg-type]  # an id
            patch=patch.canonical(),
        )
    )
    assert bench.statuses() == {"h": "running", "a": "gap", "b": "running"}
    assert (bench.machine.state.active, bench.machine.state.waiting, bench.machine.state.paused_at_s) == (1, 1, None)


def test_a_step_that_a_quarantine_skipped_keeps_its_attempts_through_a_patch() -> None:
    """Or what a worker says of one of them would be taken for a word on an attempt that was never made."""
    bench = Bench(
        plan_of({"a": {}, "b": {"with": {"x": "${{ steps.a.output }}"}}, "d": {"needs": ["slow"]}, "slow": {}})
    )
    bench.done("a", 1)
    bench.tell(f.StepQuarantined(at_s=0.0, actor="ann", step=StepId("a"), reason="wrong"))
    assert patched(bench, {"replace": {"id": "d", "step": {**SIMPLE, "needs": ["slow"]}}})[0] == "plan.patched"

    late = f.StepStarted(at_s=0.0, actor="w1", step=StepId("b"), attempt=1)
    assert bench.tell(late) == []
    assert bench.done("b", 7, attempt=1) == []
