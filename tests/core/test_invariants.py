"""Every rule of `check_state` and `check_history` catches what it is there for."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import pytest

from orchestrator.core import facts as f
from orchestrator.core.invariants import check_history, check_state
from orchestrator.core.ledger import NOTHING
from orchestrator.core.state import Sample, Status
from orchestrator.core.step_facts import DRAINED
from orchestrator.ids import JsonValue, StepId
from orchestrator.plan.compiled import compile_plan
from orchestrator.plan.limits import LEASE_LOSSES_MAX
from orchestrator.plan.models import Plan
from tests.core.bench import Bench, plan_of, words

CHILD = {"name": "c", "steps": {"s": {"pool": "w", "call": "f"}}}


def busy() -> Bench:
    """A run in the middle of many things."""
    steps = {
        "a": {},
        "b": {"needs": ["a"]},
        "m": {"foreach": {"over": [0, 1, 2], "max_parallel": 2}, "on_fail": ["gap"]},
        "e": {"foreach": {"each": "m"}},
        "h": {"human": {"ask": "?", "choices": ["x"]}},
        "p": {"plan": CHILD, "budget": {"usd": 0.5, "tokens": 10, "steps": 2}},
        "last": {"finally": True},
    }
    bench = Bench(plan_of(steps))
    bench.fail("m", branch=1)
    bench.done("m", branch=0)
    return bench


def rules(bench: Bench) -> list[str]:
    return [violation.rule for violation in check_state(bench.machine.state)]


@pytest.mark.parametrize(
    ("name", "rule"),
    [
        ("open", "count.open"),
        ("open_finally", "count.open_finally"),
        ("finally_held", "count.finally_held"),
        ("active", "count.active"),
        ("waiting", "count.waiting"),
    ],
)
def test_a_counter_of_the_run_that_is_off_is_seen(name: str, rule: str) -> None:
    bench = busy()
    assert rules(bench) == []
    setattr(bench.machine.state, name, getattr(bench.machine.state, name) + 1)
    assert rules(bench) == [rule]


@pytest.mark.parametrize("name", ["usd_reserved", "tokens_reserved", "steps_reserved"])
def test_a_counter_of_the_ledger_that_is_off_is_seen(name: str) -> None:
    bench = busy()
    setattr(bench.machine.state.ledger, name, getattr(bench.machine.state.ledger, name) + 1)
    assert rules(bench) == [f"count.{name}"]


@pytest.mark.parametrize("name", ["settled", "passed", "gaps", "failed", "running"])
def test_a_counter_of_a_mapped_step_that_is_off_is_seen(name: str) -> None:
    bench = busy()
    setattr(bench.state("m"), name, getattr(bench.state("m"), name) + 1)
    assert f"count.{name}" in rules(bench)


def change(*names: str, value: object) -> Callable[[Bench], None]:
    def apply(bench: Bench) -> None:
        target: object = bench
        for name in names[:-1]:
            target = bench.state(name[1:]) if name.startswith("@") else getattr(target, name)
        setattr(target, names[-1], value)

    return apply


@pytest.mark.parametrize(
    ("spoil", "rule"),
    [
        (change("machine", "state", "paused_at_s", value=1.0), "pause"),
        (lambda bench: bench.machine.state.todo.append(1), "todo"),
        (change("machine", "state", "ended", value="failed"), "ended"),
        (change("@b", "unmet", value=0), "count.needs"),
        (change("@m", "status", value=Status.PASSED), "settled.open"),
        (change("@a", "status", value=Status.PASSED), "status"),
        (change("@a", "unit", "output", value=1), "gate"),
        (change("@h", "unit", "approval", value=None), "waiting"),
        (change("@a", "unit", "open_samples", value=0), "running"),
        (change("@a", "unit", "status", value=Status.CHECKING), "checking"),
        (change("@a", "unit", "status", value=Status.REJECTED), "rejected"),
        (lambda bench: setattr(bench.unit("m", 0), "samples", {0: Sample()}), "settled.work"),
        (
            lambda bench: (
                bench.machine.state.ledger.settle("R.p", 0, 0)
                and bench.machine.state.ledger.open.update({"R.p": NOTHING})
            ),
            "charge.once",
        ),
    ],
)
def test_what_does_not_fit_in_a_state_is_seen(spoil: Callable[[Bench], object], rule: str) -> None:
    bench = busy()
    spoil(bench)
    assert rule in rules(bench)


def test_more_branches_than_allowed_are_seen() -> None:
    bench = busy()
    bench.unit("m", 1).status = Status.RUNNING
    bench.unit("m", 1).output = None
    bench.state("m").running = 3
    assert "max_parallel" in rules(bench)
    assert check_state(bench.machine.state)[0].what.startswith("active is")


# ---- histories


@dataclass(frozen=True)
class Rec:
    seq: int
    fact: f.Fact


def broken(facts: list[f.Fact]) -> list[tuple[int, str]]:
    return [(violation.seq, violation.rule) for violation in check_history(facts)]


def where(bench: Bench, kind: type[f.Fact], number: int = 0, step: str = "") -> int:
    """The place of a fact in the journal, from 0."""
    found = [
        at
        for at, fact in enumerate(bench.all)
        if isinstance(fact, kind) and (not step or getattr(fact, "step", "") == step)
    ]
    return found[number]


def plain() -> Bench:
    """A run of three steps that ended well."""
    step = {"checks": [{"rule": "output > 0"}, {"call": "look"}], "on_fail": [{"retry": 1}]}
    bench = Bench(
        plan_of(
            {"a": step, "b": {"needs": ["a"]}, "m": {"foreach": {"over": [1]}}, "e": {"foreach": {"each": "m"}}},
            budget={"steps": 9},
        )
    )
    bench.done("a", -1)
    bench.done("a", 2, usd=0.1)
    bench.judge("a", "pass", 2, usd=0.1)
    bench.tell(f.BudgetReserved(at_s=0.0, step="b", attempt=1, charge="r", usd=0.5))  # type: ignore[arg-type]  # an id
    bench.tell(f.BudgetSettled(at_s=0.0, step="b", attempt=1, charge="r", usd=0.1))  # type: ignore[arg-type]  # same
    bench.tell(f.ModelCalled(at_s=0.0, step="b", attempt=1, charge="n", usd=0.1, model="m", outcome="ok"))  # type: ignore[arg-type]  # same
    bench.done("b")
    bench.done("m", branch=0)
    bench.done("e", branch=0)
    assert bench.ended.status == "succeeded"
    return bench


def test_places_count_from_one_without_holes() -> None:
    bench = plain()
    records = [Rec(at, fact) for at, fact in enumerate(bench.all, start=1)]
    assert check_history(records) == ()
    records[3] = Rec(9, records[3].fact)
    assert [violation.rule for violation in check_history(records)] == ["seq"]


def test_the_plan_may_be_given_where_it_was_forgotten_and_must_be_the_same() -> None:
    bench = plain()
    facts = [replace(fact, plan={}) if isinstance(fact, f.PlanFrozen) else fact for fact in bench.all]
    assert broken(facts) == []
    assert check_history(facts, compile_plan(bench.plan)) == ()
    assert [violation.rule for violation in check_history(facts[:2], compile_plan(plan_of({"z": {}})))] == [
        "plan.digest"
    ]


Spoil = Callable[[Bench], list[f.Fact]]


def without(kind: type[f.Fact], number: int = 0, step: str = "") -> Spoil:
    def spoil(bench: Bench) -> list[f.Fact]:
        at = where(bench, kind, number, step)
        return bench.all[:at] + bench.all[at + 1 :]

    return spoil


def twice(kind: type[f.Fact], number: int = 0, step: str = "") -> Spoil:
    def spoil(bench: Bench) -> list[f.Fact]:
        at = where(bench, kind, number, step)
        return bench.all[: at + 1] + bench.all[at:]

    return spoil


def earlier(kind: type[f.Fact], to: type[f.Fact], step: str, to_step: str = "") -> Spoil:
    def spoil(bench: Bench) -> list[f.Fact]:
        facts = list(bench.all)
        fact = facts.pop(where(bench, kind, 0, step))
        facts.insert(where(bench, to, 0, to_step), fact)
        return facts

    return spoil


def changed(kind: type[f.Fact], number: int = 0, step: str = "", **values: object) -> Spoil:
    def spoil(bench: Bench) -> list[f.Fact]:
        facts = list(bench.all)
        at = where(bench, kind, number, step)
        facts[at] = replace(facts[at], **values)
        return facts

    return spoil


def inserted(fact: f.Fact, before: type[f.Fact], number: int = 0, step: str = "") -> Spoil:
    def spoil(bench: Bench) -> list[f.Fact]:
        at = where(bench, before, number, step)
        return [*bench.all[:at], fact, *bench.all[at:]]

    return spoil


@pytest.mark.parametrize(
    ("spoil", "rule"),
    [
        (without(f.RunAccepted), "accepted.first"),
        (twice(f.RunAccepted), "accepted.first"),
        (without(f.PlanFrozen), "plan.first"),
        (twice(f.RunEnded), "end.last"),
        (inserted(f.CancelRequested(at_s=0.0), f.StepDispatched, -1), "cancel.dispatch"),
        (inserted(f.LimitHit(at_s=0.0, limit="usd", policy="degrade"), f.StepDispatched, -1), "limit.dispatch"),
        (twice(f.StepPassed, 0, "a"), "accept.once"),
        (
            inserted(f.StepDispatched(at_s=0.0, step="a", attempt=3, pool="w", digest="d", cause="retry"), f.RunEnded),
            "dispatch.settled",
        ),  # type: ignore[arg-type]  # ids
        (without(f.StepProduced, 1, "a"), "edge"),
        (without(f.CheckVerdict, 4, "a"), "accept.unchecked"),
        (changed(f.CheckVerdict, 4, "a", verdict="fix"), "accept.unchecked"),
        (changed(f.CheckVerdict, 4, "a", digest="other"), "verdict.digest"),
        (changed(f.StepPassed, 0, "a", digest="other"), "accept.digest"),
        (changed(f.StepProduced, 1, "a", attempt=1), "attempt.late"),
        (changed(f.StepDispatched, 1, "a", attempt=5), "attempt.order"),
        (changed(f.StepDispatched, 1, "a", sample=2, attempt=7), "attempt.order"),
        (changed(f.StepDispatched, 1, "a", rung=4), "attempts"),
        (changed(f.StepDispatched, 0, "b", cause="lost"), ""),
        (earlier(f.StepDispatched, f.StepPassed, "b", "a"), "dispatch.early"),
        (earlier(f.StepDispatched, f.StepPassed, "e", "m"), "dispatch.early"),
        (without(f.StepPassed, 0, "m"), "end.open"),
        (without(f.StepPassed, 0, "b"), "end.open"),
        (changed(f.RunEnded, steps=7), "end.totals"),
        (changed(f.RunEnded, usd=9.0), "end.totals"),
        (changed(f.RunAccepted, steps=3), "budget.steps"),
        (changed(f.RunAccepted, usd=0.15), "budget.spent"),
        (changed(f.BudgetReserved, usd=3.0), "budget.reserved"),
        (twice(f.BudgetSettled), "charge.once"),
        (twice(f.ModelCalled), "charge.once"),
    ],
)
def test_a_journal_that_breaks_a_rule_is_told_which(spoil: Spoil, rule: str) -> None:
    found = [name for _, name in broken(spoil(plain()))]
    assert rule in found if rule else found == []


def test_lost_workers_and_retries_are_counted() -> None:
    bench = Bench(plan_of({"a": {"retry": {"attempts": 2, "errors": ["provider"], "backoff": "1s..1s"}}}))
    bench.fail("a", "provider")
    bench.now = 5.0
    bench.timer("backoff", "a")
    at = where(bench, f.StepDispatched, 1)
    again = [
        fact
        for attempt in range(3, 10)
        for fact in (
            f.LeaseLost(at_s=5.0, step="a", attempt=attempt - 1),  # type: ignore[arg-type]  # an id
            f.StepDispatched(at_s=5.0, step="a", attempt=attempt, pool="w", digest="d", cause="lost"),  # type: ignore[arg-type]  # ids
        )
    ]
    assert broken(bench.all + again) == [(at + 13, "attempts"), (at + 15, "attempts")]
    retried = [replace(again[1], cause="retry")]
    assert broken([*bench.all, again[0], *retried]) == [(at + 3, "attempts")]


def test_a_sub_plan_may_not_get_more_than_is_left_and_ends_once() -> None:
    bench = Bench(plan_of({"p": {"plan": CHILD, "budget": {"usd": 0.5, "tokens": 10, "steps": 2}}}))
    bench.child("p", usd=0.5)
    at = where(bench, f.ChildStarted)
    for values, what in (({"usd": 2.0}, "usd"), ({"tokens": 10**9}, "tokens"), ({"steps": 10**6}, "steps")):
        facts = [*bench.all[:at], replace(bench.all[at], **values), *bench.all[at + 1 :]]
        assert [(v.rule, v.what) for v in check_history(facts)] == [("budget.reserved", f"more than is left of {what}")]
    ended = where(bench, f.ChildEnded)
    assert broken([*bench.all, bench.all[ended]])[-1] == (len(bench.all) + 1, "charge.once")


def test_what_a_finally_step_reserves_and_sends_no_limit_bars() -> None:
    steps = {"a": {}, "last": {"finally": True}, "sub": {"finally": True, "plan": CHILD}}
    bench = Bench(plan_of(steps, budget={"usd": 1.0, "steps": 4}))
    bench.done("a", usd=2.0)
    bench.tell(f.BudgetReserved(at_s=0.0, step="last", attempt=1, charge="r"))  # type: ignore[arg-type]  # an id
    facts = [*bench.all[:-1], replace(bench.all[-1], usd=5.0)]
    assert broken(facts) == []
    late = earlier(f.StepDispatched, f.StepProduced, "last", "a")(bench)
    assert "dispatch.early" in [name for _, name in broken(late)]


def test_a_patch_of_what_has_passed_is_seen() -> None:
    bench = Bench(plan_of({"a": {}, "b": {}}))
    bench.done("a")
    patch: dict[str, JsonValue] = {
        "patch": 1,
        "base": bench.plan.digest,
        "author": "x",
        "reason": "y",
        "ops": [{"retry": {"step": "a"}}],
    }
    fact = f.PlanPatched(
        at_s=0.0, base=bench.plan.digest, digest=bench.plan.digest, author="x", reason="y", patch=patch
    )
    assert broken([*bench.all, fact]) == [(len(bench.all) + 1, "patch.locked")]


def test_the_join_of_branches_counts_them() -> None:
    steps = {
        "m": {"foreach": {"over": [0, 1]}},
        "c": {"needs": ["m"], "join": {"at_least": 2}, "early": True},
        "a": {},
        "d": {"needs": ["a"], "join": "any"},
    }
    bench = Bench(plan_of(steps))
    bench.done("m", branch=0)
    bench.done("m", branch=1)
    bench.done("a")
    assert "dispatch.early" in [name for _, name in broken(earlier(f.StepDispatched, f.StepPassed, "c", "m")(bench))]
    assert "dispatch.early" in [name for _, name in broken(earlier(f.StepDispatched, f.StepPassed, "d", "a")(bench))]


def test_a_plan_that_nobody_knows_is_not_judged_by() -> None:
    bench = busy()
    facts = [replace(fact, plan={}) if isinstance(fact, f.PlanFrozen) else fact for fact in bench.all]
    assert broken(facts) == []
    patch = f.PlanPatched(at_s=0.0, base="x", digest="y", author="x", reason="y", patch={})  # type: ignore[arg-type]  # digests
    assert broken([*facts, patch]) == []


# ---- calls, and the share that is kept


def closed(**keys: object) -> Bench:
    """A run whose money was down to the closing share when its last step started."""
    values: dict[str, object] = {"result": "${{ steps.end.output }}", **keys}
    steps: dict[str, object] = {"a": {}, "late": {"needs": ["a"]}, "end": {"needs": ["late"]}}
    bench = Bench(plan_of(steps, budget={"usd": 10.0, "closing": 0.2, "calls": 9}, **values))
    bench.tell(f.ModelCalled(at_s=0.0, step=StepId("a"), attempt=1, charge="x", usd=8.0, model="m", outcome="ok"))
    bench.done("a")
    bench.done("end")
    return bench


def test_a_closing_step_may_start_after_a_limit_of_money_and_nothing_else_may() -> None:
    bench = closed()
    assert bench.ended.status == "degraded"
    at = where(bench, f.LimitHit)
    end = where(bench, f.StepDispatched, 0, "end")
    assert at < end
    for values in ({"limit": "wall"}, {"limit": "steps"}, {"policy": "stop"}):
        facts = [*bench.all[:at], replace(bench.all[at], **values), *bench.all[at + 1 :]]
        assert broken(facts) == [(end + 1, "limit.dispatch")]
    facts = [replace(fact, closing=0.0) if isinstance(fact, f.RunAccepted) else fact for fact in bench.all]
    assert broken(facts) == [(end + 1, "limit.dispatch")]
    other = replace(bench.all[end], step=StepId("late"))
    assert (end + 1, "limit.dispatch") in broken([*bench.all[:end], other])


def test_where_no_result_is_written_no_step_is_a_closing_one() -> None:
    bench = Bench(plan_of({"a": {}, "b": {"needs": ["a"]}}, budget={"closing": 0.2}))
    bench.done("a")
    at = where(bench, f.StepDispatched, 0, "b")
    facts = [*bench.all[:at], f.LimitHit(at_s=0.0, limit="usd", policy="degrade"), *bench.all[at:]]
    assert broken(facts) == [(at + 2, "limit.dispatch")]


def test_where_the_plan_is_not_known_a_closing_step_is_given_the_benefit_of_the_doubt() -> None:
    bench = closed()
    assert broken([replace(fact, plan={}) if isinstance(fact, f.PlanFrozen) else fact for fact in bench.all]) == []


def test_calls_are_counted_from_every_record_that_speaks_of_them() -> None:
    p = {"plan": CHILD, "budget": {"usd": 0.5, "tokens": 10, "steps": 2, "calls": 2}}
    steps: dict[str, object] = {"a": {}, "p": p, "b": {"needs": ["a", "p"]}}
    bench = Bench(plan_of(steps, budget={"calls": 4, "on_limit": "ask"}))
    bench.tell(f.BudgetReserved(at_s=0.0, step=StepId("a"), attempt=1, charge="1"))
    bench.tell(f.ModelCalled(at_s=0.0, step=StepId("a"), attempt=1, charge="1", model="m", outcome="ok"))
    bench.tell(f.ModelCalled(at_s=0.0, step=StepId("a"), attempt=1, charge="2", model="m", outcome="ok"))
    bench.done("a")
    bench.child("p", calls=2)
    assert words(bench.all)[-2:] == ["limit.hit calls ask", "approval.asked budget extend/stop then stop"]
    bench.answer("", "extend")
    bench.tell(f.BudgetReserved(at_s=0.0, step=StepId("b"), attempt=1, charge="3"))
    bench.done("b")
    assert (bench.ended.status, bench.ended.calls) == ("succeeded", 5)  # the last may have been made: nobody said
    at = where(bench, f.RunEnded)
    for calls in (4, 6):
        facts = [*bench.all[:at], replace(bench.all[at], calls=calls)]
        assert [(one.rule, one.what) for one in check_history(facts)] == [
            (
                "end.totals",
                f"the result says 4 steps, 0 tokens, {calls} calls, 0 USD; the records 4, 0, 5, 0",
            )
        ]
    facts = [replace(fact, calls=1) if isinstance(fact, f.RunAccepted) else fact for fact in bench.all]
    assert ("budget.reserved", "more than is left of calls") in [(one.rule, one.what) for one in check_history(facts)]
    extended = where(bench, f.LimitExtended)
    facts = [*bench.all[:extended], *bench.all[extended + 1 :]]
    found = [(one.rule, one.what) for one in check_history(facts)]
    assert ("budget.spent", "0 USD, 0 tokens and 4 calls were spent before") in found


def test_who_sets_nothing_aside_takes_nothing_although_answers_were_dearer_than_was_thought() -> None:
    steps: dict[str, object] = {"a": {}, "b": {}, "g": {"goal": "reach it"}}
    bench = Bench(plan_of(steps, budget={"usd": 1.0}))
    at_g = {"at_s": 0.0, "step": StepId("g"), "attempt": 1}
    bench.tell(f.BudgetReserved(at_s=0.0, step=StepId("a"), attempt=1, charge="r", usd=0.5))
    bench.done("b", usd=1.5)
    made = Plan.model_validate(CHILD)
    planned = f.GoalPlanned(digest=made.digest, steps=1, tries=1, usd_estimate=0.0, plan=made.data, **at_g)  # type: ignore[arg-type]  # the three
    assert bench.tell(planned) == ["goal.planned g#1", "child.started g#1"]  # whose journal breaks no rule
    started = bench.made[-1]
    assert isinstance(started, f.ChildStarted)
    assert started.usd == 0.0
    facts = [*bench.all[:-1], replace(started, usd=0.125)]
    assert [(one.rule, one.what) for one in check_history(facts)] == [("budget.reserved", "more than is left of usd")]


def test_an_attempt_given_up_in_good_order_is_not_one_of_those_that_were_lost() -> None:
    bench = Bench(plan_of({"a": {}}))
    lost = f.LeaseLost(at_s=0.0, step=StepId("a"), attempt=1, reason=DRAINED)
    bench.tell(lost)
    for attempt in range(2, 2 + LEASE_LOSSES_MAX):
        bench.tell(replace(lost, attempt=attempt, reason="killed"))
    bench.done("a")

    assert bench.ended.status == "succeeded"
    drained_is_lost = [replace(one, reason="killed") if one == lost else one for one in bench.all]
    assert "attempts" in [rule for _, rule in broken(drained_is_lost)]
