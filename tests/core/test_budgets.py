"""Budgets: steps to the unit, money before it is spent, wall time, sub-plans' shares, and what follows a limit."""

import pytest

from orchestrator.core import commands as c
from orchestrator.core import facts as f
from orchestrator.core.turn import MOVED_ON
from orchestrator.ids import RunId, StepId
from tests.core.bench import Bench, plan_of, words


@pytest.mark.parametrize("steps", [3, 5, 9])
@pytest.mark.parametrize("parallel", [2, 4, 8])
@pytest.mark.parametrize("policy", ["degrade", "stop"])
def test_steps_end_at_exactly_the_limit(steps: int, parallel: int, policy: str) -> None:
    m = {"foreach": {"over": list(range(20)), "max_parallel": parallel}}
    bench = Bench(plan_of({"m": m}, budget={"steps": steps, "on_limit": policy}))
    sent = bench.dispatches()
    while sent:
        bench.done("m", branch=sent.pop(0).branch)
        sent += bench.dispatches()
        sent = [d for d in sent if not bench.unit("m", d.branch).settled]
    assert bench.ended.steps == bench.machine.state.ledger.steps == steps
    assert bench.ended.status == {"degrade": "degraded", "stop": "stopped"}[policy]


def test_what_runs_at_the_limit_goes_on_retries_included_and_the_rest_is_a_gap() -> None:
    steps = {
        "a": {"on_fail": [{"retry": 1}]},
        "b": {},
        "c": {"needs": ["a"]},
        "m": {"needs": ["a"], "foreach": {"over": [1]}},
    }
    bench = Bench(plan_of(steps, budget={"steps": 1}, result="${{ steps.a.output }}"))
    assert words(bench.all)[2:] == [
        "step.dispatched a#1 first",
        "limit.hit steps degrade",
        "step.gap b budget.steps",
        "step.gap c budget.steps",
        "step.gap m budget.steps",
    ]
    assert bench.fail("a")[-1] == "step.dispatched a#2 ladder"
    assert bench.done("a")[-1] == "run.ended degraded"
    assert bench.ended.output == 1


def test_without_what_the_result_names_the_run_is_stopped_and_keeps_what_passed() -> None:
    bench = Bench(plan_of({"a": {}, "b": {"needs": ["a"]}}, budget={"steps": 1}, result="${{ steps.b.output }}"))
    assert bench.done("a", 7)[-3:] == ["limit.hit steps degrade", "step.gap b budget.steps", "run.ended stopped"]
    assert (bench.ended.reason, bench.ended.output) == ("budget.steps", {"a": 7})
    m = {"foreach": {"over": [1, 2], "max_parallel": 1}, "needs": ["a"]}
    bench = Bench(plan_of({"a": {}, "m": m}, budget={"steps": 1}, result="${{ steps.m.output }}"))
    assert bench.done("a")[-1] == "run.ended stopped"
    bench = Bench(plan_of({"a": {}, "m": m}, budget={"steps": 2}, result="${{ steps.m.output }}"))
    bench.done("a")
    assert bench.done("m", branch=0)[-1] == "run.ended degraded"
    bench = Bench(plan_of({"a": {}, "m": m}, budget={"steps": 2}, result="${{ steps.m.output }}"))
    bench.done("a")
    assert bench.fail("m", branch=0)[-1] == "run.ended failed"


def test_a_branch_left_out_alone_leaves_nothing_of_its_step() -> None:
    m = {"foreach": {"over": [1, 2], "max_parallel": 1}, "on_fail": ["gap"]}
    bench = Bench(plan_of({"m": m}, budget={"steps": 1}, result="${{ steps.m.output }}"))
    assert bench.fail("m", branch=0)[-1] == "run.ended stopped"
    bench = Bench(
        plan_of({"a": {"if": "inputs.go"}, "b": {}, "c": {}}, budget={"steps": 1}, result="${{ steps.a.output }}"),
        {"go": False},
    )
    assert bench.done("b")[-1] == "run.ended degraded"  # what its own condition skipped no limit took away
    bench = Bench(plan_of({"a": {"on_fail": ["gap"]}, "b": {}}, budget={"steps": 1}))
    assert bench.fail("a")[-1] == "run.ended stopped"


def test_stop_takes_back_what_runs() -> None:
    steps = {
        "a": {},
        "b": {"needs": ["a"]},
        "slow": {},
        "m": {"foreach": {"over": [1]}, "needs": ["b"]},
        "mm": {"foreach": {"over": [1]}},
    }
    bench = Bench(plan_of(steps, budget={"steps": 3, "on_limit": "stop"}))
    assert bench.done("a")[2:] == [
        "step.passed a#1",
        "limit.hit steps stop",
        "step.cancelled b budget.steps",
        "step.cancelled slow#1 budget.steps",
        "step.cancelled m budget.steps",
        "step.cancelled mm[0]#1 budget.steps",
        "step.cancelled mm budget.steps",
        "run.ended stopped",
    ]
    assert [x.step for x in bench.commands if isinstance(x, c.Revoke)] == ["slow", "mm"]
    assert [gap["step"] for gap in bench.ended.gaps] == ["b", "slow", "m", "mm"]
    bench = Bench(plan_of({"a": {}}, budget={"usd": 1.0, "on_limit": "stop"}))
    bench.tell(charge("a", 2.0))
    assert bench.ended.status == "stopped"


def charge(step: str, usd: float = 0.0, tokens: int = 0, charge: str = "c", attempt: int = 1) -> f.BudgetSettled:
    return f.BudgetSettled(at_s=0.0, step=step, attempt=attempt, charge=charge, usd=usd, tokens=tokens)  # type: ignore[arg-type]  # an id


def test_a_limit_that_takes_nothing_away_changes_nothing() -> None:
    for policy in ("degrade", "stop", "ask"):
        bench = Bench(plan_of({"a": {}}, budget={"usd": 1.0, "on_limit": policy}))
        assert bench.done("a", usd=5.0)[-1] == "run.ended succeeded"


# ---- money


def test_a_charge_is_booked_once_and_late_ones_too() -> None:
    bench = Bench(plan_of({"a": {}, "b": {}}))
    assert bench.tell(charge("a", 0.25, 10)) == ["budget.settled a#1"]
    assert bench.tell(charge("a", 0.25, 10)) == []
    model = f.ModelCalled(
        at_s=0.0, step="a", attempt=1, model="m", outcome="ok", usd=0.25, tokens_in=5, tokens_out=6, charge="d"
    )  # type: ignore[arg-type]  # an id
    assert bench.tell(model) == ["model.called a#1"]
    assert bench.tell(model) == []
    free = charge("a", charge="free")
    assert bench.tell(free) == ["budget.settled a#1"]
    assert bench.tell(free) == []
    bench.cancel()
    assert (bench.ended.usd, bench.ended.tokens) == (0.5, 21)
    assert bench.tell(charge("a", 1.0, charge="late")) == ["budget.settled a#1"]
    assert bench.tell(charge("a", 1.0, charge="late")) == []
    assert bench.done("b", usd=0.1, attempt=1) == ["budget.settled b#1"]
    assert bench.done("b", usd=0.1, attempt=1) == []
    assert round(bench.machine.state.ledger.usd, 6) == 1.6


def test_what_a_discarded_answer_cost_is_booked_once() -> None:
    bench = Bench(plan_of({"a": {"on_fail": [{"retry": 2}]}}))
    bench.fail("a")
    assert bench.done("a", usd=0.5, attempt=1) == ["budget.settled a#1"]
    assert bench.fail("a", usd=0.5, attempt=1) == []
    assert bench.fail("a", usd=0.25)[0] == "attempt.failed a#2 boom"
    assert bench.machine.state.ledger.usd == bench.unit("a").usd == 0.75
    bench = Bench(plan_of({"a": {"checks": [{"call": "look"}]}}))
    bench.done("a")
    bench.cancel()
    assert bench.judge("a", "pass", usd=0.5) == ["budget.settled a#1"]
    assert bench.judge("a", "pass", usd=0.5) == []
    assert bench.judge("a", "pass") == []


def test_what_a_worker_told_before_it_answered_is_booked_once() -> None:
    bench = Bench(plan_of({"a": {}}))
    bench.tell(charge("a", 0.25, charge="a#1.0"))
    bench.done("a", usd=0.25)
    assert bench.ended.usd == 0.25


def test_no_further_attempt_is_made_with_money_that_is_spent() -> None:
    step = {"checks": [{"rule": "output > 0"}], "on_fail": [{"retry": 3}, {"escalate": {"tier": "strong"}}]}
    bench = Bench(plan_of({"a": step, "b": {}}, budget={"usd": 1.0}))
    assert bench.done("a", -1, usd=1.5)[3:] == ["step.rejected a#1", "limit.hit usd degrade", "step.gap a#1 budget.usd"]
    assert bench.done("b")[-1] == "run.ended degraded"
    ladder = [{"escalate": {"tier": "strong"}}]
    for rungs in (ladder, [{"replan": "step"}]):
        bench = Bench(plan_of({"a": {"on_fail": rungs}}, budget={"usd": 1.0}))
        assert bench.fail("a", usd=1.5)[1:4] == [
            "step.rejected a#1",
            "limit.hit usd degrade",
            "step.gap a#1 budget.usd",
        ]
    bench = Bench(plan_of({"a": {}}, budget={"tokens": 10}))
    assert bench.fail("a", "provider") != []
    bench.tell(charge("a", tokens=11))
    assert bench.statuses() == {"a": "gap"}
    bench = Bench(plan_of({"a": {}, "b": {"needs": ["a"]}}, budget={"tokens": 10}))
    assert bench.done("a", tokens=11)[-3:] == [
        "limit.hit tokens degrade",
        "step.gap b budget.tokens",
        "run.ended degraded",
    ]


def test_a_budget_of_nothing_is_spent_by_the_first_cent() -> None:
    bench = Bench(plan_of({"a": {}, "b": {"needs": ["a"]}}, budget={"usd": 0.0}))
    assert bench.done("a")[-1] == "step.dispatched b#1 first"
    bench = Bench(plan_of({"a": {}, "b": {"needs": ["a"]}}, budget={"usd": 0.0}))
    assert bench.done("a", usd=0.01)[-1] == "run.ended degraded"


def reserve(bench: Bench, usd: float, charge: str = "r", tokens: int = 0, attempt: int = 1) -> list[str]:
    return bench.tell(f.BudgetReserved(at_s=0.0, step="a", attempt=attempt, charge=charge, usd=usd, tokens=tokens))  # type: ignore[arg-type]  # an id


def test_a_grant_is_given_while_there_is_room_and_only_to_what_runs() -> None:
    bench = Bench(plan_of({"a": {}, "b": {}}, budget={"usd": 1.0, "tokens": 100}))
    assert reserve(bench, 0.75) == ["budget.reserved a#1"]
    assert reserve(bench, 0.1) == []  # the same charge
    assert reserve(bench, 0.5, "s") == []
    assert reserve(bench, 0.1, "s", tokens=101) == []
    assert bench.machine.state.ledger.open == {"r": (0.75, 0, 0, 1)}
    assert bench.tell(charge("a", 0.25, charge="r")) == ["budget.settled a#1"]
    assert reserve(bench, 0.1, "r") == []  # settled
    assert (bench.machine.state.ledger.usd_left, bench.machine.state.ledger.tokens_left) == (0.75, 100)
    assert reserve(bench, 0.5, "a#1.0") == ["budget.reserved a#1"]
    assert bench.done("a")[0] == "step.produced a#1"  # settles the grant under its own charge
    assert bench.machine.state.ledger.open == {}
    assert reserve(bench, 0.1, "t") == []
    bench = Bench(plan_of({"a": {}, "b": {}}, budget={"steps": 1}))
    assert reserve(bench, 0.1) == ["budget.reserved a#1"]  # what runs goes on
    bench = Bench(plan_of({"a": {}, "b": {}}, budget={"tokens": 5}))
    bench.tell(charge("b", tokens=6))
    assert reserve(bench, 0.1) == []  # a limit is met


def test_a_worker_that_was_refused_money_ends_as_the_plan_says() -> None:
    bench = Bench(plan_of({"a": {"on_fail": [{"retry": 1}]}, "b": {}}))
    assert bench.fail("a", "budget") == [
        "attempt.failed a#1 budget",
        "limit.hit usd degrade",
        "step.gap a#1 budget.usd",
    ]
    bench = Bench(plan_of({"a": {}}, budget={"on_limit": "stop"}))
    assert bench.fail("a", "budget")[1:] == ["limit.hit usd stop", "step.cancelled a#1 budget.usd", "run.ended stopped"]
    bench = Bench(plan_of({"a": {"on_fail": ["gap"]}, "b": {}}, budget={"steps": 1}))
    assert bench.fail("a", "budget")[1:3] == ["limit.hit usd degrade", "step.gap a#1 budget.usd"]


def test_money_ends_what_the_limit_of_steps_let_go_on() -> None:
    bench = Bench(plan_of({"a": {"on_fail": [{"retry": 3}]}, "b": {}, "c": {}}, budget={"steps": 2, "usd": 1.0}))
    assert bench.fail("a", usd=0.5)[-1] == "step.dispatched a#2 ladder"
    assert bench.fail("a", usd=0.5)[1:] == ["step.rejected a#2", "limit.hit usd degrade", "step.gap a#2 budget.usd"]
    assert bench.done("b")[-1] == "run.ended degraded"
    bench = Bench(
        plan_of({"a": {"on_fail": [{"retry": 3}]}, "b": {}}, budget={"steps": 1, "usd": 1.0, "on_limit": "ask"})
    )
    assert bench.fail("a", usd=1.0) == ["attempt.failed a#1 boom", "step.rejected a#1"]
    assert bench.answer("", "extend")[1:] == [
        "limit.extended steps 1",
        "limit.hit usd ask",
        "approval.asked budget extend/stop then stop",
    ]


# ---- asking


def test_a_person_may_grant_the_budget_once_more_and_everything_held_goes_on() -> None:
    retry = {"attempts": 9, "backoff": "1s..1s", "errors": ["provider"]}
    steps = {
        "a": {"on_fail": [{"retry": 2}]},
        "b": {"retry": retry},
        "c": {"on_fail": [{"ask": {}}]},
        "d": {"needs": ["a"]},
        "e": {"retry": retry},
        "g": {},
    }
    bench = Bench(plan_of(steps, budget={"usd": 1.0, "on_limit": "ask"}))
    bench.fail("b", "provider")
    bench.fail("c")
    assert bench.fail("a", usd=1.0) == [
        "attempt.failed a#1 boom",
        "step.rejected a#1",
        "limit.hit usd ask",
        "approval.asked budget extend/stop then stop",
    ]
    bench.now = 5.0
    assert bench.timer("backoff", "b") == []
    assert bench.answer("c", "retry") == ["approval.answered c#1 retry"]
    assert bench.fail("e", "provider") == ["attempt.failed e#1 provider"]
    assert bench.fail("g", "budget") == ["attempt.failed g#1 budget"]
    assert bench.machine.state.paused_at_s is None
    bench.crash(lost=False)
    assert bench.answer("", "more") == []
    bench.now = 6.0
    made = bench.answer("", "extend")
    assert made[:2] == ["approval.answered extend", "limit.extended usd 1"]
    assert made[2:5] == ["step.dispatched a#2 ladder", "step.dispatched b#2 retry", "step.dispatched c#2 ladder"]
    assert made[5].startswith("step.backoff e#1 until")
    assert made[6:] == ["step.dispatched g#2 retry"]
    assert bench.answer("", "extend") == []
    assert bench.machine.state.ledger.usd_limit == 2.0


@pytest.mark.parametrize("limit", ["steps", "tokens", "wall"])
def test_every_limit_can_be_extended(limit: str) -> None:
    budget = {"steps": 1, "tokens": 10, "wall": 10.0, "on_limit": "ask"}
    budget |= {name: 10_000 for name in ("steps", "tokens") if name != limit} | (
        {} if limit == "wall" else {"wall": 9000.0}
    )
    bench = Bench(plan_of({"a": {}, "b": {"needs": ["a"]}}, budget=budget))
    bench.now = 10.0
    if limit == "wall":
        assert bench.timer("wall")[0] == "limit.hit wall ask"
        assert bench.commands == [c.SetTimer(kind="approval", at_s=10.0 + 86400)]
        assert bench.timer("wall") == []
    bench.done("a", tokens=10)
    assert bench.answer("", "extend")[1] == f"limit.extended {limit} {1 if limit == 'steps' else 10}"
    if limit == "wall":
        bench.done("b")
    assert bench.statuses()["b"] in ("running", "passed")


def test_nobody_grants_more() -> None:
    bench = Bench(plan_of({"a": {}, "b": {}}, budget={"steps": 1, "on_limit": "ask"}))
    bench.done("a")
    assert bench.machine.state.paused_at_s == 0.0
    bench.now = 86399.0
    assert bench.timer("approval") == []
    bench.crash()
    assert bench.commands == [c.SetTimer(kind="approval", at_s=86400.0)]
    bench.now = 86400.0
    assert bench.timer("approval") == [
        "approval.expired stop",
        "limit.hit steps stop",
        "step.cancelled b budget.steps",
        "run.ended stopped",
    ]
    assert bench.timer("approval") == []


def test_a_crash_between_the_limit_and_the_question_asks_it() -> None:
    bench = Bench(plan_of({"a": {}, "b": {}}, budget={"steps": 1, "on_limit": "ask"}))
    assert words(bench.all)[-1] == "approval.asked budget extend/stop then stop"
    assert bench.crash(lost=False, keep=len(bench.all) - 1) == ["approval.asked budget extend/stop then stop"]


# ---- wall


def test_the_wall_time_cuts_everything_off_also_what_another_limit_let_go_on() -> None:
    bench = Bench(
        plan_of({"a": {}, "b": {}, "h": {"human": {"ask": "?", "choices": ["x"]}}}, budget={"steps": 2, "wall": 10.0})
    )
    assert bench.machine.state.limit == "steps"
    bench.now = 9.0
    assert bench.timer("wall") == []
    assert bench.commands == [c.SetTimer(kind="wall", at_s=10.0)]
    bench.now = 10.0
    assert bench.timer("wall") == [
        "limit.hit wall degrade",
        "step.gap a#1 budget.wall",
        "step.gap b#1 budget.wall",
        "run.ended stopped",
    ]
    assert bench.timer("wall") == []


def test_only_the_shell_sees_a_wall_clock_stand_still_while_sub_plans_wait_for_people() -> None:
    bench = Bench(plan_of({"p": {"plan": CHILD}}, budget={"wall": 10.0}))
    stood = f.LimitExtended(at_s=5.0, limit="wall", by=30.0)
    bench.now = 5.0
    assert bench.tell(stood) == ["limit.extended wall 30"]
    bench.now = 10.0
    assert bench.timer("wall") == []
    assert bench.commands == [c.SetTimer(kind="wall", at_s=40.0)]
    assert bench.tell(f.LimitExtended(at_s=5.0, limit="usd", by=30.0)) == []
    bench.cancel()
    assert bench.tell(stood) == []


# ---- sub-plans


CHILD = {"name": "c", "inputs": {"x": {}}, "steps": {"s": {"pool": "w", "call": "f"}, "t": {"pool": "w", "call": "f"}}}


def test_a_sub_plan_gets_a_share_and_returns_what_it_did_not_use() -> None:
    sub = {"plan": CHILD, "with": {"x": 5}, "budget": {"usd": 0.5, "tokens": 100, "wall": 60.0, "steps": 5}}
    bench = Bench(plan_of({"p": sub, "z": {"needs": ["p"]}}, budget={"steps": 10}))
    assert words(bench.all)[2:] == ["step.dispatched p#1 first", "child.started p#1"]
    started = bench.commands[0]
    assert isinstance(started, c.StartChild)
    assert (started.child, started.inputs) == ("R.p", {"x": 5})
    assert (started.usd, started.tokens, started.wall_s, started.steps) == (0.5, 100, 60.0, 5)
    assert bench.machine.state.ledger.steps_left == 4
    assert bench.child("p", "degraded", {"y": 1}, usd=0.25, tokens=50, steps=2) == [
        "child.ended p#1 degraded",
        "step.produced p#1",
        "check.verdict p#1 schema pass",
        "step.passed p#1",
        "step.dispatched z#1 first",
    ]
    assert bench.machine.state.ledger.open == {}
    assert bench.done("z")[-1] == "run.ended degraded"
    assert (bench.ended.usd, bench.ended.tokens, bench.ended.steps) == (0.25, 50, 4)
    assert bench.ended.gaps == ({"step": "p", "branch": None, "reason": "ended with gaps of its own"},)


def test_shares_that_are_not_written_are_equal_parts_of_what_is_left() -> None:
    m = {"plan": CHILD, "foreach": {"over": [1, 2, 3, 4], "max_parallel": 4}}
    bench = Bench(plan_of({"m": m, "p": {"plan": CHILD, "needs": ["m"]}}, budget={"usd": 10.0, "steps": 100}))
    shares = [(x.usd, x.steps) for x in bench.commands if isinstance(x, c.StartChild)]
    assert [round(usd, 2) for usd, _ in shares] == [2.0, 2.0, 2.0, 2.0]
    assert [steps for _, steps in shares] == [19, 19, 19, 19]
    assert bench.commands[0].child == "R.m[0]"  # type: ignore[union-attr]  # a sub-plan's start


def test_who_finds_all_steps_set_aside_waits_for_what_comes_back() -> None:
    bench = Bench(plan_of({"p": {"plan": CHILD}, "a": {}, "q": {"plan": CHILD, "needs": ["a"]}}, budget={"steps": 3}))
    assert bench.statuses() == {"p": "running", "a": "pending", "q": "pending"}
    assert bench.child("p", steps=1)[-1] == "step.dispatched a#1 first"
    assert bench.done("a")[-3:] == ["limit.hit steps degrade", "step.gap q budget.steps", "run.ended degraded"]


@pytest.mark.parametrize("status", ["stopped", "failed", "cancelled"])
def test_a_sub_plan_without_a_result_is_a_failed_attempt_that_climbs(status: str) -> None:
    bench = Bench(plan_of({"p": {"plan": CHILD, "on_fail": [{"retry": 1}, "gap"]}}))
    assert bench.child("p", status, None, reason="why") == [
        f"child.ended p#1 {status}",
        "attempt.failed p#1 child",
        "step.rejected p#1",
        "step.dispatched p#2 ladder",
        "child.started p#2",
    ]
    assert bench.commands[0].child == "R.p#2"  # type: ignore[union-attr]  # a sub-plan's start
    assert bench.child("p", status, None)[-2:] == [f"step.gap p#2 child: sub-plan R.p#2 {status}", "run.ended degraded"]


def test_a_sub_plan_that_nobody_waits_for_any_more_still_settles_its_account() -> None:
    steps = {"p": {"plan": CHILD, "budget": {"steps": 3}}, "last": {"finally": True}}
    bench = Bench(plan_of(steps))
    late = f.ChildEnded(at_s=1.0, step="p", attempt=1, child="R.p", status="cancelled", usd=0.25, tokens=5, steps=2)  # type: ignore[arg-type]  # ids
    assert bench.cancel() == ["cancel.requested", "step.cancelled p#1 cancel", "step.dispatched last#1 first"]
    assert isinstance(bench.commands[0], c.CancelChild)
    assert bench.tell(late) == ["child.ended p#1 cancelled"]
    assert bench.tell(late) == []
    bench.done("last")
    assert (bench.ended.usd, bench.ended.steps) == (0.25, 4)
    bench = Bench(plan_of({"p": {"plan": CHILD}}))
    bench.cancel()
    assert bench.tell(late) == ["child.ended p#1 cancelled"]
    assert bench.tell(late) == []


def test_a_crash_calls_off_the_sub_plans_that_no_step_waits_for_and_no_others() -> None:
    steps = {"p": {"plan": CHILD}, "q": {"plan": CHILD}, "a": {}, "b": {"needs": ["a", "p"], "join": "any"}}
    bench = Bench(plan_of(steps, budget={"usd": 10.0}))
    bench.done("a")
    bench.tell(f.BudgetReserved(at_s=1.0, step=StepId("b"), attempt=1, charge="mine", usd=0.1))
    assert bench.machine.state.ledger.open.keys() == {"R.p", "R.q", "mine"}
    off = c.CancelChild(child=RunId("R.p"), reason=MOVED_ON)
    for lost in (True, False):
        bench.crash(lost=lost)
        assert [one for one in bench.commands if isinstance(one, c.CancelChild)] == [off]
        assert [one.child for one in bench.commands if isinstance(one, c.StartChild)] == ["R.q"]
    bench.tell(
        f.ChildEnded(
            at_s=2.0, step=StepId("p"), attempt=1, child=RunId("R.p"), status="cancelled", usd=0.0, tokens=0, steps=0
        )
    )
    bench.crash()
    assert not [one for one in bench.commands if isinstance(one, c.CancelChild)]


def test_a_crash_starts_the_same_sub_plan_again_and_never_one_that_has_ended() -> None:
    bench = Bench(plan_of({"p": {"plan": CHILD, "budget": {"wall": 60.0}}}))
    bench.now = 5.0
    assert bench.crash() == []
    again = bench.commands[0]
    assert isinstance(again, c.StartChild)
    assert (again.child, again.wall_s) == ("R.p", 60.0)
    bench.child("p", output=9)
    for keep in (5, 6, 7):
        assert bench.crash(keep=keep)[-1] == "run.ended succeeded"
    assert bench.crash(keep=3) == ["lease.lost p#1", "step.dispatched p#2 lost", "child.started p#2"]
