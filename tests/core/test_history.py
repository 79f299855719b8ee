"""Journals with one planted breach each: `check_history` names the place, the step, the rule and what is wrong."""

from dataclasses import replace

import pytest

from orchestrator.core import facts as f
from orchestrator.core.invariants import check_history
from orchestrator.ids import StepId
from orchestrator.plan.limits import LEASE_LOSSES_MAX
from tests.core.bench import Bench, plan_of
from tests.core.journals import (
    ACCEPTED,
    END,
    FROZEN,
    MADE_A,
    PAIR,
    PASSED_A,
    RULE_A,
    SCHEMA_A,
    SENT_A,
    SENT_B,
    A,
    B,
    D,
    Rec,
    X,
    at,
    changed,
    said,
    sent,
)


def test_a_sound_journal_breaks_no_rule_and_is_judged_alike_as_facts_and_as_records() -> None:
    assert said(PAIR) == []
    records = [Rec(seq, fact) for seq, fact in enumerate(PAIR, start=1)]
    assert check_history(records) == ()
    late = [
        f.BudgetSettled(at_s=9.0, step=A, attempt=1, charge="late", usd=0.5),
        f.StepQuarantined(at_s=9.0, step=A, reason="made up", affected=(B,)),
    ]
    assert said([*PAIR, *late]) == []  # an audit and a late charge may follow the end, and change nothing before it


def test_a_record_out_of_its_place_is_named_with_the_place() -> None:
    records = [Rec(seq, fact) for seq, fact in enumerate(PAIR, start=1)]
    found = check_history([*records[:SCHEMA_A], records[RULE_A]])
    assert [(v.seq, v.rule, v.what) for v in found] == [(5, "seq", "record 6 stands at place 5")]


@pytest.mark.parametrize(
    ("facts", "what"),
    [
        (PAIR[FROZEN:SENT_A], "1 [-1] accepted.first: plan.frozen at place 1"),
        ([PAIR[ACCEPTED], PAIR[ACCEPTED]], "2 [-1] accepted.first: run.accepted at place 2"),
        ([PAIR[ACCEPTED], PAIR[SENT_A]], "2 a[-1] plan.first: work was sent before the plan was frozen"),
        (
            changed(PAIR[:SENT_A], FROZEN, digest=X),
            f"2 [-1] plan.digest: the plan is {PAIR[FROZEN].digest}, and the record says {X}",  # type: ignore[attr-defined]  # a frozen plan
        ),
        ([*PAIR, f.CancelRequested(at_s=9.0)], "14 [-1] end.last: cancel.requested after the run has ended"),
        (
            [*PAIR[:SENT_B], f.CancelRequested(at_s=0.0), PAIR[SENT_B]],
            "9 b[-1] cancel.dispatch: work was sent after the run was cancelled",
        ),
        (
            [*PAIR[:SENT_B], f.LimitHit(at_s=0.0, limit="usd", policy="degrade"), PAIR[SENT_B]],
            "9 b[-1] limit.dispatch: a first dispatch after the limit usd",
        ),
        ([*PAIR[:SENT_A], PAIR[SENT_B]], "3 b[-1] dispatch.early: it waits for a"),
        ([*PAIR[:SENT_B], PAIR[PASSED_A]], "8 a[-1] accept.once: step.passed where the status is passed"),
        (
            [*PAIR[:SENT_B], sent("a", 2, cause="lost")],
            "8 a[-1] dispatch.settled: step.dispatched where the status is passed",
        ),
        (
            [*PAIR[:SENT_A], f.StepStarted(at_s=0.0, step=A, attempt=1)],
            "3 a[-1] edge: step.started where the status is pending",
        ),
        (
            [*PAIR[:SCHEMA_A], f.StepStarted(at_s=0.0, step=A, attempt=1), f.LeaseLost(at_s=0.0, step=B, attempt=1)],
            "6 b[-1] edge: lease.lost where the status is pending",
        ),
        (changed(PAIR[:SCHEMA_A], SENT_A, attempt=2)[:MADE_A], "3 a[-1] attempt.order: attempt 2 follows 0"),
        (
            [*PAIR[:MADE_A], sent("a", 2, sample=1)],
            "4 a[-1] attempt.order: sample 1 of another attempt than 1",
        ),
        (changed(PAIR, MADE_A, attempt=2), "4 a[-1] attempt.late: an output of attempt 2 in 1"),
        (
            changed(PAIR[:RULE_A], SCHEMA_A, digest=D),
            "5 a[-1] verdict.digest: a verdict on d, which this attempt did not produce",
        ),
        (changed(PAIR, PASSED_A, digest=D), "7 a[-1] accept.digest: d was not produced by attempt 1"),
        (changed(PAIR, RULE_A, verdict="fix"), f"7 a[-1] accept.unchecked: checks [1] did not pass {X}"),
        ([*PAIR[:RULE_A], PAIR[PASSED_A]], f"6 a[-1] accept.unchecked: checks [1] did not pass {X}"),
        (
            [*PAIR[:PASSED_A], replace(PAIR[RULE_A], verdict="reject"), PAIR[PASSED_A]],  # type: ignore[call-arg]  # a verdict
            f"8 a[-1] accept.unchecked: checks [1] did not pass {X}",  # the last word of a check counts
        ),
        (
            changed(PAIR, END, usd=2.5),
            "13 [-1] end.totals: the result says 2 steps, 0 tokens, 0 calls, 2.5 USD; the records 2, 0, 0, 0",
        ),
        (changed(PAIR[:MADE_A], ACCEPTED, steps=0), "3 a[-1] budget.steps: dispatch 1 of 0, 0 set aside"),
        (
            changed(changed(PAIR[: SENT_B + 1], ACCEPTED, usd=1.0), MADE_A, usd=1.5),
            "8 b[-1] budget.spent: 1.5 USD, 0 tokens and 0 calls were spent before",
        ),
        (
            changed(changed(PAIR[: SENT_B + 1], ACCEPTED, tokens=7), MADE_A, tokens=7),
            "8 b[-1] budget.spent: 0 USD, 7 tokens and 0 calls were spent before",
        ),
        (
            [
                *changed(PAIR[:MADE_A], ACCEPTED, usd=1.0, tokens=5),
                f.BudgetReserved(at_s=0.0, step=A, attempt=1, charge="r", usd=2.0, tokens=9),
            ],
            "4 a[-1] budget.reserved: more than is left of usd, tokens",
        ),
        (
            [
                *PAIR[:MADE_A],
                f.BudgetSettled(at_s=0.0, step=A, attempt=1, charge="r"),
                f.BudgetSettled(at_s=0.0, step=A, attempt=1, charge="r"),
            ],
            "5 a[-1] charge.once: r is booked twice",
        ),
    ],
)
def test_one_breach_is_one_violation_and_named_whole(facts: list[f.Fact], what: str) -> None:
    assert said(facts) == [what]


def test_a_verdict_that_names_no_output_speaks_for_none() -> None:
    facts = changed(PAIR[:SENT_B], RULE_A, digest="")
    assert said(facts) == [f"7 a[-1] accept.unchecked: checks [1] did not pass {X}"]


def test_a_run_that_ends_over_open_work_is_told_what_is_open() -> None:
    assert said([*PAIR[:SENT_B], replace(PAIR[END], steps=1)]) == ["8 [-1] end.open: b has not settled"]  # type: ignore[call-arg]  # the end
    running = [*PAIR[: SENT_B + 1], PAIR[END]]
    assert said(running) == [
        "9 [-1] end.open: b[-1] may still be running",
        "9 [-1] end.open: b has not settled",
    ]
    forgotten = [replace(fact, plan={}) if isinstance(fact, f.PlanFrozen) else fact for fact in running]
    assert said(forgotten) == ["9 [-1] end.open: b[-1] may still be running"]


# ---- attempts


def test_attempts_are_held_against_the_rung_the_retries_and_the_losses_that_led_to_them() -> None:
    bench = Bench(plan_of({"a": {"on_fail": [{"retry": 2}, "gap"], "retry": {"attempts": 2, "errors": ["provider"]}}}))
    bench.fail("a")
    bench.fail("a")
    assert [(one.cause, one.rung) for one in bench.all if isinstance(one, f.StepDispatched)] == [
        ("first", -1),
        ("ladder", 0),
        ("ladder", 0),
    ]
    index = at(bench, f.StepDispatched, "a", 2)
    failed = f.AttemptFailed(at_s=0.0, step=A, attempt=3, error="boom")
    rejected = f.StepRejected(at_s=0.0, step=A, attempt=3)
    again = [*bench.all, failed, rejected]
    place = len(again) + 1
    assert said([*again, sent("a", 4, cause="ladder", rung=0)]) == [f"{place} a[-1] attempts: ladder 3 of at most 2"]
    for rung in (2, -1):  # the ladder has two
        one = sent("a", 4, cause="ladder", rung=rung)
        assert said([*again, one]) == [f"{place} a[-1] attempts: ladder 1 of at most 0"]
    retried = changed(bench.all, index, cause="retry", rung=-1)
    assert said([*retried[: index + 1]]) == []  # a rung begins with one try, and its retry is the second
    more = [*again, sent("a", 4, cause="retry"), replace(failed, attempt=4), replace(rejected, attempt=4)]
    assert said([*more, sent("a", 5, cause="retry")]) == [f"{len(more) + 1} a[-1] attempts: retry 3 of at most 2"]
    extended = f.LimitExtended(at_s=0.0, limit="usd", by=1.0)
    assert said([*more, extended, sent("a", 5, cause="retry")]) == []  # a person granted the budget once more


def asked(subject: str) -> f.ApprovalAsked:
    """A person is asked about `a`."""
    return f.ApprovalAsked(
        at_s=0.0,
        step=A,
        attempt=1,
        subject=subject,  # type: ignore[arg-type]  # one of the literals
        choices=("accept", "retry", "fail"),
        expires_at_s=9.0,
        ask="?",
    )


def answered(choice: str) -> f.ApprovalAnswered:
    """The answer about `a`."""
    return f.ApprovalAnswered(at_s=0.0, step=A, attempt=1, choice=choice)


def test_only_a_person_who_was_asked_about_the_rung_may_accept_what_a_check_refused() -> None:
    refused = changed(PAIR[:PASSED_A], RULE_A, verdict="fix")

    def passes(*talk: f.Fact) -> list[str]:
        return said([*refused, *talk, PAIR[PASSED_A]])

    unchecked = f"9 a[-1] accept.unchecked: checks [1] did not pass {X}"
    assert passes(asked("rung"), answered("accept")) == []
    assert passes(asked("rung"), answered("retry")) == [unchecked]
    assert passes(asked("check"), answered("accept")) == [unchecked]
    assert passes(asked("rung"), f.ApprovalExpired(at_s=0.0, step=A, attempt=1, choice="accept")) == []
    of_the_run = [replace(asked("budget"), step=f.NO_STEP), replace(answered("accept"), step=f.NO_STEP)]
    assert passes(*of_the_run) == [unchecked]  # what is answered about the budget accepts no output


def test_a_retry_that_a_person_granted_after_an_unknown_effect_is_no_loss() -> None:
    facts = [*PAIR[:MADE_A]]
    last = LEASE_LOSSES_MAX + 1
    for attempt in range(1, last):
        facts += [f.LeaseLost(at_s=0.0, step=A, attempt=attempt), sent("a", attempt + 1, cause="lost")]
    assert said(facts) == []
    many = [f"{len(facts) + 4} a[-1] attempts: lost {last} of at most {LEASE_LOSSES_MAX}"]
    for subject, choice, found in (("effect", "retry", []), ("effect", "fail", many), ("rung", "retry", many)):
        talk = [f.LeaseLost(at_s=0.0, step=A, attempt=last), asked(subject), answered(choice)]
        assert said([*facts, *talk, sent("a", last + 1, cause="lost")]) == found


# ---- joins


def test_a_step_waits_for_all_it_needs_and_a_skip_by_condition_is_well() -> None:
    bench = Bench(plan_of({"a": {"if": "false"}, "c": {}, "b": {"needs": ["a", "c"]}}))
    bench.done("c")
    facts = [*bench.all[: at(bench, f.StepPassed, "c")], bench.all[at(bench, f.StepDispatched, "b")]]
    assert said(facts) == [f"{len(facts)} b[-1] dispatch.early: it waits for c"]
    skip = at(bench, f.StepSkipped, "a")
    upstream = changed(bench.all[: at(bench, f.StepDispatched, "b") + 1], skip, reason="upstream_failed")
    assert said(upstream) == [f"{len(upstream)} b[-1] dispatch.early: it waits for a"]


def test_a_join_of_some_counts_steps_and_a_join_of_branches_counts_branches() -> None:
    steps = {
        "a": {},
        "c": {},
        "b": {"needs": ["a", "c"], "join": {"at_least": 1}, "early": True},
        "m": {"foreach": {"over": [0, 1]}},
        "d": {"needs": ["m"], "join": {"at_least": 1}, "early": True},
    }
    bench = Bench(plan_of(steps))
    before = len(bench.all)
    for step, needs in (("b", "a, c"), ("d", "m")):
        assert said([*bench.all, sent(step)]) == [f"{before + 1} {step}[-1] dispatch.early: it waits for {needs}"]
    bench.done("a", "x")
    bench.done("m", branch=1)
    assert [one.step for one in bench.all[before:] if isinstance(one, f.StepDispatched)] == [
        "b",
        "d",
    ]  # and all is well
    unknown = [one for one in bench.all[:before] if not (isinstance(one, f.StepFact) and one.step == "m")]
    found = said([*unknown, sent("d")])
    assert found == [f"{len(unknown) + 1} d[-1] dispatch.early: it waits for m"]


def test_a_mapped_step_waits_as_a_whole_and_what_follows_it_branch_by_branch() -> None:
    steps = {"a": {}, "m": {"foreach": {"over": [0, 1]}, "needs": ["a"]}, "e": {"foreach": {"each": "m"}}}
    bench = Bench(plan_of(steps))
    expanded = f.StepExpanded(at_s=0.0, step=StepId("m"), count=1, items=[0])
    assert said([*bench.all, expanded]) == [f"{len(bench.all) + 1} m[-1] dispatch.early: it waits for a"]
    bench.done("a")
    early = [*bench.all, replace(sent("e"), branch=0)]
    assert said(early) == [f"{len(early)} e[0] dispatch.early: it waits for m"]
    bench.done("m", branch=1)
    assert said([*bench.all, bench.all[at(bench, f.StepExpanded, "m")]]) == [
        f"{len(bench.all) + 1} m[-1] edge: step.expanded where the status is running"
    ]


def test_a_finally_step_waits_for_all_others_and_no_cancel_or_limit_bars_it() -> None:
    bench = Bench(plan_of({"a": {}, "last": {"finally": True}}))
    early = [*bench.all, sent("last")]
    assert said(early) == [f"{len(early)} last[-1] dispatch.early: it waits for a"]
    bench.cancel()
    bench.done("last")
    assert bench.ended.status == "cancelled"
    sent_at = at(bench, f.StepDispatched, "last")
    hit = f.LimitHit(at_s=0.0, limit="usd", policy="stop")
    assert said([*bench.all[:sent_at], hit, *bench.all[sent_at:]]) == []
