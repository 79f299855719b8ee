"""Limits of calls, and the share of a budget that is kept for the steps of the result until one of them starts."""

from typing import Any

import pytest

from orchestrator.core import commands as c
from orchestrator.core import facts as f
from orchestrator.core.closing import Short, kept_back, scarcest, short_of
from orchestrator.core.inputs import Input
from orchestrator.core.ledger import NOTHING, Held, Ledger
from orchestrator.core.policy import Share, share_of
from orchestrator.ids import StepId
from orchestrator.plan.parts import Budget
from tests.core.bench import Bench, plan_of, words

CHILD = {"name": "c", "steps": {"s": {"pool": "w", "call": "f"}}}
JUDGED: dict[str, object] = {"checks": [{"judge": {"rubric": "good"}}]}


def closing(end: dict[str, object] | None = None, on_limit: str = "degrade", **budget: object) -> Bench:
    """`a` and `b` work side by side, `late` after `a`, and `end`, the result, makes something of what there is."""
    steps = {"a": {}, "b": {}, "late": {"needs": ["a"]}, "end": {"needs": ["b", "late"], **(end or {})}}
    values = {"usd": 10.0, "tokens": 1000, "closing": 0.2, "on_limit": on_limit, **budget}
    return Bench(plan_of(steps, budget=values, result="${{ steps.end.output }}"))


def reserve(step: str, usd: float = 0.0, tokens: int = 0, charge: str = "r", attempt: int = 1) -> f.BudgetReserved:
    return f.BudgetReserved(at_s=0.0, step=StepId(step), attempt=attempt, charge=charge, usd=usd, tokens=tokens)


def called(step: str, charge: str, usd: float = 0.0, tokens: int = 0, **keys: Any) -> f.ModelCalled:
    plain: dict[str, Any] = {"at_s": 0.0, "step": step, "attempt": 1, "model": "m", "outcome": "ok", "charge": charge}
    return f.ModelCalled(**{**plain, "usd": usd, "tokens_in": tokens, **keys})


SPEND: dict[str, Input] = {  # eight tenths of one limit, to the last bit
    "usd": called("a", "x", usd=8.0),
    "tokens": called("a", "x", tokens=800),
}


# ---- what is kept


def test_the_share_is_kept_from_every_other_step_until_a_step_of_the_result_starts() -> None:
    bench = closing(calls=10)
    run = bench.machine.state
    a, b, end = bench.state("a"), bench.state("b"), bench.state("end")
    assert kept_back(run, a) == Held(2.0, 200, 0, 2)
    assert kept_back(run, end) == NOTHING
    assert (short_of(run, a, 8.0, 800), short_of(run, end, 10.0, 1000)) == (None, None)
    assert short_of(run, a, 8.5, 0) == Short("usd", 8.0)
    assert short_of(run, a, 0.0, 801) == Short("tokens", 800.0)
    assert bench.tell(reserve("a", 8.5)) == []
    assert bench.tell(reserve("a", tokens=801)) == []
    assert bench.tell(reserve("a", 8.0, 800)) == ["budget.reserved a#1"]
    assert short_of(run, b, 0.25, 0) == Short("usd", 0.0)
    bench.done("a")
    bench.done("late")
    assert bench.tell(called("b", "r", usd=1.0, tokens=100)) == ["model.called b#1"]
    assert kept_back(run, b) == Held(2.0, 200, 0, 2)
    assert bench.done("b")[-1] == "step.dispatched end#1 first"
    assert kept_back(run, b) == NOTHING
    assert bench.tell(reserve("end", 9.0, 900, charge="e")) == ["budget.reserved end#1"]


def test_nothing_is_kept_without_a_result_or_a_share_or_once_the_steps_of_the_result_are_over() -> None:
    steps: dict[str, object] = {"a": {}, "end": {"needs": ["a"]}}
    for keys in ({"budget": {"closing": 0.5}}, {"result": "${{ steps.end.output }}"}):
        bench = Bench(plan_of(steps, **keys))
        assert kept_back(bench.machine.state, bench.state("a")) == NOTHING
    bench = Bench(plan_of({"a": {}, "end": {"if": "false"}}, budget={"closing": 0.5}, result="${{ steps.end.output }}"))
    assert bench.statuses() == {"a": "running", "end": "skipped"}
    assert kept_back(bench.machine.state, bench.state("a")) == NOTHING
    ledger = Ledger(usd_limit=1.0, tokens_limit=9, steps_limit=1, wall_s=1.0)
    assert ledger.kept_back() == NOTHING


@pytest.mark.parametrize(("limit", "kept"), [(1, 1), (2, 1), (3, 1), (4, 1), (5, 2), (8, 2), (9, 3), (None, 0)])
def test_where_calls_are_limited_at_least_one_is_kept(limit: int | None, kept: int) -> None:
    ledger = Ledger(usd_limit=4.0, tokens_limit=10, steps_limit=9, wall_s=1.0, calls_limit=limit, closing=0.25)
    assert ledger.kept_back() == Held(1.0, 2, 0, kept)


# ---- what follows when only the share is left


@pytest.mark.parametrize("limit", ["usd", "tokens"])
def test_money_down_to_the_share_leaves_out_the_rest_and_spares_the_closing_step(limit: str) -> None:
    bench = closing(JUDGED)
    assert bench.tell(SPEND[limit]) == ["model.called a#1"]
    assert bench.done("a")[-2:] == [f"limit.hit {limit} degrade", f"step.gap late budget.{limit}"]
    assert bench.done("b")[-1] == "step.dispatched end#1 first"
    assert bench.tell(reserve("end", 2.0, 200)) == ["budget.reserved end#1"]
    assert bench.tell(called("end", "r", usd=1.0, tokens=100)) == ["model.called end#1"]
    assert bench.done("end", 7)[-1] == "step.dispatched end#1 check 1"  # its judge is paid from the share too
    assert bench.judge("end", "pass")[-1] == "run.ended degraded"
    assert bench.ended.output == 7
    assert bench.ended.gaps == ({"step": "late", "branch": None, "reason": f"budget.{limit}"},)


def test_calls_down_to_the_share_do_the_same() -> None:
    bench = closing(calls=4)
    for number in range(3):
        assert bench.tell(called("a", f"x{number}")) == ["model.called a#1"]
    assert bench.tell(reserve("a")) == []
    assert short_of(bench.machine.state, bench.state("a"), 0.0, 0) == Short("calls", 0.0)
    assert bench.fail("a", "budget") == [
        "attempt.failed a#1 budget",
        "limit.hit calls degrade",
        "step.gap a#1 budget.calls",
        "step.gap late budget.calls",
    ]
    bench.done("b")
    assert bench.tell(reserve("end")) == ["budget.reserved end#1"]
    assert bench.tell(reserve("end", charge="s")) == []  # one call was kept, and no more
    assert bench.tell(called("end", "r")) == ["model.called end#1"]
    assert bench.done("end", 7)[-1] == "run.ended degraded"
    assert (bench.ended.output, bench.ended.calls) == (7, 4)


def test_a_closing_step_goes_on_after_a_refusal_as_long_as_something_is_left() -> None:
    bench = closing({"checks": [{"rule": "output > 0"}], "on_fail": [{"retry": 3}]})
    bench.tell(SPEND["usd"])
    bench.done("a")
    bench.done("b")
    assert bench.done("end", -1, usd=1.0)[-1] == "step.dispatched end#2 ladder"
    assert bench.done("end", -2, usd=1.0)[-2:] == ["step.gap end#2 budget.usd", "run.ended stopped"]
    assert (bench.ended.usd, bench.ended.reason, bench.ended.output) == (10.0, "budget.usd", {"a": 1, "b": 1})


def test_when_not_even_the_share_is_left_the_closing_step_is_left_out_too() -> None:
    bench = closing()
    bench.tell(SPEND["usd"])
    assert bench.done("a")[-1] == "step.gap late budget.usd"
    assert bench.tell(called("b", "y", usd=2.5)) == ["model.called b#1"]  # in flight, and dearer than was thought
    assert bench.done("b")[-2:] == ["step.gap end budget.usd", "run.ended stopped"]
    bench = closing()
    assert bench.tell(called("a", "x", usd=10.0)) == [  # met at once, so nothing is spared
        "model.called a#1",
        "limit.hit usd degrade",
        "step.gap late budget.usd",
        "step.gap end budget.usd",
    ]
    assert bench.done("b")[-1] == "step.passed b#1"
    assert bench.done("a")[-1] == "run.ended stopped"


def test_branches_of_a_closing_step_are_left_out_one_and_all_when_the_share_is_spent() -> None:
    bench = closing({"foreach": {"over": [1, 2, 3], "max_parallel": 1}})
    bench.tell(SPEND["usd"])
    bench.done("a")
    assert bench.done("b")[-1] == "step.dispatched end[0]#1 first"
    assert bench.done("end", 5, usd=2.0, branch=0)[-4:] == [
        "step.gap end[1] budget.usd",
        "step.gap end[2] budget.usd",
        "step.passed end",
        "run.ended degraded",
    ]
    assert bench.ended.output == [5, None, None]


def test_wall_time_and_steps_spare_nobody() -> None:
    bench = closing(wall=60.0)
    bench.now = 60.0
    assert bench.timer("wall") == [
        "limit.hit wall degrade",
        *(f"step.gap {step} budget.wall" for step in ("a#1", "b#1", "late", "end")),
        "run.ended stopped",
    ]
    bench = closing(steps=2)
    assert bench.done("a")[-3:] == [
        "limit.hit steps degrade",
        "step.gap late budget.steps",
        "step.gap end budget.steps",
    ]
    assert bench.done("b")[-1] == "run.ended stopped"


def test_stop_spares_nobody_and_ask_asks_with_the_share_still_there() -> None:
    bench = closing(on_limit="stop")
    bench.tell(SPEND["usd"])
    assert bench.done("a")[-5:] == [
        "limit.hit usd stop",
        "step.cancelled b#1 budget.usd",
        "step.cancelled late budget.usd",
        "step.cancelled end budget.usd",
        "run.ended stopped",
    ]
    bench = closing(on_limit="ask")
    bench.tell(SPEND["usd"])
    assert bench.done("a")[-2:] == ["limit.hit usd ask", "approval.asked budget extend/stop then stop"]
    assert bench.done("b")[-1] == "step.passed b#1"
    assert bench.answer("", "extend")[-2:] == ["limit.extended usd 10", "step.dispatched late#1 first"]
    assert bench.machine.state.ledger.usd_limit == 20.0
    assert kept_back(bench.machine.state, bench.state("late")) == Held(4.0, 200, 0, 0)


# ---- calls


def test_a_limit_of_calls_counts_those_made_and_those_under_way() -> None:
    bench = Bench(plan_of({"a": {}, "b": {}}, budget={"calls": 2}))
    ledger = bench.machine.state.ledger
    assert ledger.calls_left == 2
    assert bench.tell(reserve("a", charge="1")) == ["budget.reserved a#1"]
    assert bench.tell(reserve("b", charge="2")) == ["budget.reserved b#1"]
    assert bench.tell(reserve("b", charge="3")) == []
    assert (ledger.calls, ledger.calls_reserved, ledger.calls_left) == (0, 2, 0)
    not_billed = f.BudgetSettled(at_s=0.0, step=StepId("b"), attempt=1, charge="2")
    assert bench.tell(not_billed) == ["budget.settled b#1"]  # a call that was not made is no call
    assert bench.tell(called("a", "1")) == ["model.called a#1"]
    assert (ledger.calls, ledger.calls_reserved, ledger.calls_left) == (1, 0, 1)
    assert bench.tell(called("b", "4"))[:2] == ["model.called b#1", "limit.hit calls degrade"]
    assert bench.tell(reserve("a", charge="5")) == []
    bench.done("a")
    assert bench.done("b")[-1] == "run.ended succeeded"
    assert bench.ended.calls == 2


def test_without_a_limit_of_calls_none_is_ever_met() -> None:
    ledger = Ledger(usd_limit=1.0, tokens_limit=9, steps_limit=1, wall_s=1.0)
    ledger.settle("x", 0.0, 0, calls=10**6)
    assert (ledger.calls_left, ledger.spent_out()) == (None, None)


@pytest.mark.parametrize(
    ("calls", "aside", "met"),
    [(2, NOTHING, None), (3, NOTHING, "calls"), (2, Held(0.0, 0, 0, 1), "calls"), (0, Held(0.0, 0, 0, 3), None)],
)
def test_a_limit_is_met_where_all_but_what_is_kept_is_spent(calls: int, aside: Held, met: str | None) -> None:
    ledger = Ledger(usd_limit=1.0, tokens_limit=9, steps_limit=1, wall_s=1.0, calls_limit=3, calls=calls)
    assert ledger.spent_out(aside) == met
    ledger.calls += 1
    assert ledger.spent_out(aside) == "calls"


def test_a_person_may_grant_calls_once_more() -> None:
    bench = Bench(plan_of({"a": {}, "b": {"needs": ["a"]}}, budget={"calls": 2, "on_limit": "ask"}))
    bench.tell(called("a", "1"))
    assert bench.tell(called("a", "2"))[1:] == ["limit.hit calls ask", "approval.asked budget extend/stop then stop"]
    bench.done("a")
    assert bench.answer("", "extend")[-2:] == ["limit.extended calls 2", "step.dispatched b#1 first"]
    assert (bench.machine.state.ledger.calls_limit, bench.machine.state.ledger.calls_left) == (4, 2)
    bench.done("b")
    assert (bench.ended.status, bench.ended.calls) == ("succeeded", 2)


@pytest.mark.parametrize(
    ("spent", "limit"),
    [
        ({"usd": 10.0}, "usd"),
        ({"tokens": 1000}, "tokens"),
        ({"calls": 5}, "calls"),
        ({"usd": 6.0, "tokens": 500}, "usd"),
        ({"usd": 5.0, "tokens": 600}, "tokens"),
        ({"usd": 5.0, "tokens": 500}, "usd"),
    ],
)
def test_a_worker_without_room_met_the_limit_of_which_the_least_is_left(spent: dict[str, int], limit: str) -> None:
    bench = Bench(plan_of({"a": {}}, budget={"usd": 10.0, "tokens": 1000, "calls": 5}))
    for name, amount in spent.items():
        setattr(bench.machine.state.ledger, name, amount)
    assert scarcest(bench.machine.state, bench.state("a")) == limit
    bench.machine.state.ledger.calls_reserved = 5  # all under way: the next is one too many, whatever else is left
    assert scarcest(bench.machine.state, bench.state("a")) == (limit if len(spent) == 1 else "calls")


# ---- shares of sub-plans


def ledger(calls: int | None) -> Ledger:
    return Ledger(usd_limit=8.0, tokens_limit=800, steps_limit=40, wall_s=100.0, calls_limit=calls)


@pytest.mark.parametrize(
    ("limit", "asked", "waiting", "kept", "calls"),
    [
        (None, {}, 1, 0, None),
        (None, {"calls": 7}, 1, 0, 7),
        (12, {}, 2, 0, 4),
        (12, {}, 2, 3, 3),
        (12, {"calls": 5}, 2, 0, 5),
        (12, {"calls": 50}, 2, 4, 8),
        (2, {}, 5, 0, 1),
        (2, {}, 5, 2, 0),
    ],
)
def test_a_sub_plan_gets_the_calls_it_asks_for_or_an_equal_part_and_never_more_than_is_left(
    limit: int | None, asked: dict[str, int], waiting: int, kept: int, calls: int | None
) -> None:
    share = share_of(ledger(limit), Budget.model_validate(asked), 60.0, waiting, 1, Held(0.0, 0, 0, kept))
    parts = waiting + 1
    assert share == Share(usd=8.0 / parts, tokens=800 // parts, wall_s=60.0, steps=40 // parts, calls=calls)


def test_a_sub_plan_takes_its_calls_from_its_parent_and_gives_the_rest_back() -> None:
    p = {"plan": CHILD, "budget": {"usd": 2.0, "tokens": 100, "steps": 2, "calls": 3}}
    bench = Bench(plan_of({"p": p, "end": {"needs": ["p"]}}, budget={"usd": 4.0, "calls": 5}))
    (start,) = (command for command in bench.commands if isinstance(command, c.StartChild))
    assert (start.usd, start.tokens, start.steps, start.calls) == (2.0, 100, 2, 3)
    assert bench.machine.state.ledger.calls_left == 2
    bench.crash()
    assert bench.commands[0] == start  # again with the same share
    bench.child("p", usd=0.5, calls=2)
    ledger = bench.machine.state.ledger
    assert (ledger.calls, ledger.calls_reserved, ledger.calls_left) == (2, 0, 3)
    bench.done("end")
    assert bench.ended.calls == 2


def test_the_closing_share_is_kept_from_sub_plans_too() -> None:
    steps = {"p": {"plan": CHILD}, "end": {"needs": ["p"]}}
    bench = Bench(
        plan_of(
            steps,
            budget={"usd": 10.0, "tokens": 1000, "calls": 10, "steps": 10, "closing": 0.2},
            result="${{ steps.end.output }}",
        )
    )
    (start,) = (command for command in bench.commands if isinstance(command, c.StartChild))
    assert (start.usd, start.tokens, start.calls) == (4.0, 400, 4)  # half of what is not kept; the rest for `end`


# ---- what nobody has settled


def test_a_call_without_a_word_at_the_end_counts_as_billed_and_sub_plans_settle_their_own() -> None:
    p = {"plan": CHILD, "budget": {"usd": 2.0, "tokens": 100, "steps": 2, "calls": 3}}
    bench = Bench(plan_of({"a": {}, "p": p}, budget={"usd": 4.0, "calls": 9}))
    bench.tell(reserve("a", 0.5, 40, charge="open"))
    bench.tell(called("a", "told", usd=0.25, tokens=5))
    assert bench.machine.state.ledger.unsettled("R") == Held(0.5, 40, 0, 1)
    bench.cancel()
    assert (bench.ended.usd, bench.ended.tokens, bench.ended.calls, bench.ended.steps) == (0.75, 45, 2, 2)
    assert bench.tell(called("a", "open", usd=0.5, tokens=40)) == ["model.called a#1"]  # the word comes late
    assert bench.machine.state.ledger.unsettled("R") == NOTHING


@pytest.mark.parametrize(
    ("told", "usd", "tokens"),
    [
        ({"tokens": 10}, 0.5, 40),
        ({"usd": 0.75, "tokens": 10, "tokens_out": 50}, 0.75, 60),
        ({"tokens": 60}, 0.5, 60),
    ],
)
def test_a_call_of_which_nobody_knows_whether_it_was_billed_costs_all_that_was_set_aside(
    told: dict[str, Any], usd: float, tokens: int
) -> None:
    bench = Bench(plan_of({"a": {}}))
    bench.tell(reserve("a", 0.5, 40))
    assert bench.tell(called("a", "r", unknown=True, outcome="lost", **told)) == ["model.called a#1"]
    ledger = bench.machine.state.ledger
    assert (ledger.usd, ledger.tokens, ledger.calls, ledger.open) == (usd, tokens, 1, {})
    bench.tell(
        called("a", "unheard", usd=0.125, tokens=3, unknown=True)
    )  # nothing was set aside: it costs what it says
    assert (ledger.usd, ledger.tokens) == (usd + 0.125, tokens + 3)


# ---- judges without money


def judged(on_limit: str) -> Bench:
    """An output that reaches its judge when all money is spent."""
    bench = Bench(plan_of({"a": JUDGED, "b": {}}, budget={"usd": 1.0, "on_limit": on_limit}))
    bench.tell(called("a", "x", usd=1.0))
    return bench


def test_an_output_that_no_judge_can_be_paid_for_is_left_out() -> None:
    bench = judged("degrade")
    assert bench.done("a") == ["step.produced a#1", "check.verdict a#1 schema pass", "step.gap a#1 budget.usd"]
    assert [command for command in bench.commands if isinstance(command, c.AskJudge)] == []
    assert bench.done("b")[-1] == "run.ended degraded"
    assert bench.ended.output == {"b": 1}


def test_an_output_waits_for_its_judge_while_a_person_is_asked_for_money() -> None:
    bench = judged("ask")
    assert bench.done("a", 7) == ["step.produced a#1", "check.verdict a#1 schema pass"]
    assert bench.done("b")[-1] == "step.passed b#1"
    assert bench.statuses() == {"a": "running", "b": "passed"}
    assert bench.crash() == []  # nor does a crash let it through
    assert bench.answer("", "extend")[-2:] == ["limit.extended usd 1", "step.dispatched a#1 check 1"]
    assert [(command.check, command.output) for command in bench.commands if isinstance(command, c.AskJudge)] == [
        (1, 7)
    ]
    assert bench.judge("a", "pass")[-1] == "run.ended succeeded"
    bench = judged("ask")
    bench.done("a")
    bench.done("b")
    assert bench.answer("", "stop")[-3:] == ["limit.hit usd stop", "step.cancelled a#1 budget.usd", "run.ended stopped"]


def test_judges_of_what_runs_are_asked_after_the_limit_of_steps_and_in_finally_steps_always() -> None:
    bench = Bench(plan_of({"a": JUDGED, "b": {}}, budget={"steps": 1}))
    assert bench.done("a")[-1] == "step.dispatched a#1 check 1"
    assert bench.judge("a", "pass")[-1] == "run.ended degraded"
    bench = Bench(plan_of({"a": {}, "last": {"finally": True, **JUDGED}}, budget={"usd": 1.0}))
    bench.tell(called("a", "x", usd=2.0))
    bench.done("a")
    assert bench.done("last")[-1] == "step.dispatched last#1 check 1"
    assert bench.judge("last", "pass")[-1] == "run.ended succeeded"


def test_a_judge_that_found_no_room_meets_the_limit_and_its_output_is_left_out() -> None:
    bench = Bench(plan_of({"a": JUDGED, "b": {"needs": ["a"]}}, budget={"usd": 1.0}))
    bench.done("a")
    assert bench.tell(reserve("a", 1.5)) == []
    assert bench.tell(f.LimitHit(at_s=0.0, limit="usd", policy="degrade")) == [
        "limit.hit usd degrade",
        "step.gap b budget.usd",
    ]
    assert bench.judge("a", "check_broken", 1, "no room")[-2:] == ["step.gap a#1 budget.usd", "run.ended stopped"]
    assert words(bench.all)[-1] == "run.ended stopped"


# ---- one limit after another


def test_a_closing_step_for_which_no_dispatch_is_left_is_left_out_too() -> None:
    bench = closing(steps=2)
    assert bench.fail("a", "budget") == [  # its worker found only the share that is kept
        "attempt.failed a#1 budget",
        "limit.hit usd degrade",
        "step.gap a#1 budget.usd",
        "step.gap late budget.usd",
    ]
    assert bench.done("b")[-2:] == ["step.gap end budget.steps", "run.ended stopped"]
    bench = closing({"foreach": {"over": [1, 2], "max_parallel": 1}}, steps=3)
    bench.fail("a", "budget")
    assert bench.done("b")[-1] == "step.dispatched end[0]#1 first"
    assert bench.done("end", 5, branch=0)[-3:] == [
        "step.gap end[1] budget.steps",
        "step.passed end",
        "run.ended degraded",
    ]
    assert bench.ended.output == [5, None]


def test_wall_time_ends_what_a_limit_of_money_spared() -> None:
    bench = closing(wall=60.0)
    bench.fail("a", "budget")
    bench.now = 60.0
    assert bench.timer("wall") == [
        "limit.hit wall degrade",
        "step.gap b#1 budget.wall",
        "step.gap end budget.wall",
        "run.ended stopped",
    ]
