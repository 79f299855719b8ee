"""Human steps, and effects whose outcome may be unknown."""

from dataclasses import replace

import pytest

from orchestrator.core import commands as c
from orchestrator.core import facts as f
from orchestrator.errors import IllegalTransition
from orchestrator.ids import StepId
from tests.core.bench import Bench, plan_of, words

HUMAN = {"ask": "Publish?", "show": "${{ steps.a.output }}", "choices": ["yes", "no"], "expires": 60.0, "then": "no"}


def test_a_person_s_choice_is_an_output_like_any_other() -> None:
    bench = Bench(plan_of({"a": {}, "h": {"human": HUMAN}, "b": {"with": {"x": "${{ steps.h.output }}"}}}))
    assert bench.done("a", "text")[-2:] == ["step.dispatched h#1 first", "approval.asked h#1 step yes/no then no"]
    asked = bench.made[-1]
    assert isinstance(asked, f.ApprovalAsked)
    assert (asked.ask, asked.show, asked.expires_at_s) == ("Publish?", "text", 60.0)
    assert bench.answer("h", "maybe") == []
    assert bench.answer("h", "yes", "good") == [
        "approval.answered h#1 yes",
        "step.produced h#1",
        "check.verdict h#1 schema pass",
        "step.passed h#1",
        "step.dispatched b#1 first",
    ]
    assert bench.dispatches()[0].args == {"x": {"choice": "yes", "reason": "good", "by": "ann"}}
    assert bench.answer("h", "no") == []


@pytest.mark.parametrize(("then", "words_"), [("no", "approval.expired h#1 no"), (None, "approval.expired h#1 None")])
def test_nobody_answers(then: str | None, words_: str) -> None:
    bench = Bench(plan_of({"h": {"human": {"ask": "?", "choices": ["yes", "no"], "expires": 60.0, "then": then}}}))
    bench.now = 59.0
    assert bench.timer("approval", "h") == []
    bench.now = 60.0
    made = bench.timer("approval", "h")
    assert made[0] == words_
    if then is None:
        assert made[1:] == ["step.failed h#1 nobody answered in time", "run.ended failed"]
    else:
        assert bench.ended.output == {"h": {"choice": "no", "reason": "nobody answered in time", "by": None}}
    assert bench.timer("approval", "h") == []


def test_what_a_person_is_shown_must_have_a_value() -> None:
    bench = Bench(plan_of({"h": {"human": {**HUMAN, "show": "${{ inputs.none }}"}}}))
    assert bench.ended.status == "failed"


def test_waiting_for_a_person_stops_the_wall_clock_only_while_nothing_else_works() -> None:
    bench = Bench(
        plan_of(
            {"h": {"human": {"ask": "?", "choices": ["yes"]}}, "a": {}, "z": {"needs": ["h"]}}, budget={"wall": 100.0}
        )
    )
    assert c.SetTimer(kind="wall", at_s=100.0) in bench.sent
    bench.now = 30.0
    bench.done("a")
    assert bench.machine.state.paused_at_s == 30.0
    bench.now = 500.0
    assert bench.timer("wall") == []
    assert bench.commands == []  # no new timer while the clock stands
    assert bench.answer("h", "yes")[-1] == "step.dispatched z#1 first"
    assert bench.commands[-1] == c.SetTimer(kind="wall", at_s=570.0)
    bench.now = 570.0
    assert bench.timer("wall") == ["limit.hit wall degrade", "step.gap z#1 budget.wall", "run.ended degraded"]


def test_the_total_time_of_a_step_stands_still_while_it_waits_for_a_person() -> None:
    bench = Bench(plan_of({"a": {"timeout": {"total": 10.0}, "on_fail": [{"ask": {}}, {"retry": 1}]}}))
    bench.now = 5.0
    bench.fail("a")
    bench.now = 1000.0
    bench.answer("a", "retry")
    assert bench.dispatches()[0].timeout_s == 5.0
    assert bench.fail("a")[-1] == "step.dispatched a#3 ladder"


# ---- effects


def effect(unknown: str = "ask", **step: object) -> Bench:
    return Bench(plan_of({"a": {"effect": {"key": "${{ run.id }}/a", "on_unknown": unknown}, **step}}))


def test_an_effect_is_announced_first_and_its_key_handed_over() -> None:
    bench = effect(on_fail=[{"retry": 1}])
    assert words(bench.all)[2:] == ["effect.intended a#1", "step.dispatched a#1 first"]
    assert bench.dispatches()[0].idempotency_key == "R/a"
    assert bench.fail("a")[-2:] == ["effect.intended a#2", "step.dispatched a#2 ladder"]
    assert bench.dispatches()[0].idempotency_key == "R/a"
    assert bench.done("a")[2:] == ["effect.done a#2", "step.passed a#2", "run.ended succeeded"]


QUESTION = "approval.asked a#1 effect done/retry/fail then fail"


def test_when_the_worker_is_lost_a_person_says_whether_it_happened() -> None:
    bench = effect()
    assert bench.lose("a") == ["lease.lost a#1", QUESTION]
    assert bench.answer("a", "done") == [
        "approval.answered a#1 done",
        "effect.done a#1",
        "step.produced a#1",
        "check.verdict a#1 schema pass",
        "step.passed a#1",
        "run.ended succeeded",
    ]
    bench = effect()
    bench.lose("a")
    assert bench.answer("a", "retry") == [
        "approval.answered a#1 retry",
        "effect.intended a#2",
        "step.dispatched a#2 lost",
    ]
    bench = effect()
    bench.lose("a")
    assert bench.answer("a", "fail")[1] == "step.failed a#1 a person decided so"


def test_what_a_person_says_is_done_is_not_done_again() -> None:
    bench = effect(output={"type": "object"}, on_fail=[{"retry": 3}, "gap"])
    bench.lose("a")
    assert bench.answer("a", "done")[3:] == [
        "check.verdict a#1 schema fix",
        "step.rejected a#1 terminal",
        f"step.gap a#1 {bench.unit('a').reason}",
        "run.ended degraded",
    ]


def test_silence_after_an_announced_effect_is_as_unknown_as_a_loss() -> None:
    bench = effect(retry={"attempts": 3, "errors": ["timeout"]})
    bench.now = 600.0
    assert bench.timer("attempt", "a") == ["attempt.failed a#1 timeout", QUESTION]
    bench = effect("retry", retry={"attempts": 3, "errors": ["timeout"]})
    bench.now = 600.0
    assert bench.timer("attempt", "a")[1].startswith("step.backoff a#1")


@pytest.mark.parametrize(
    ("unknown", "made"),
    [
        ("retry", ["lease.lost a#1", "effect.intended a#2", "step.dispatched a#2 lost"]),
        (
            "fail",
            [
                "lease.lost a#1",
                "step.failed a#1 the worker was lost after it had announced its effect; the outcome is unknown",
                "run.ended failed",
            ],
        ),
    ],
)
def test_what_the_plan_says_of_unknown_effects_is_done(unknown: str, made: list[str]) -> None:
    assert effect(unknown).lose("a") == made


def test_a_crash_between_an_answer_and_what_follows_from_it_loses_neither() -> None:
    bench = effect()
    bench.lose("a")
    bench.answer("a", "done")
    for keep in range(5, len(bench.all)):
        broken = effect()
        broken.all = bench.all[:keep]
        broken.crash()
        assert words(broken.all)[-1] == (QUESTION if keep < 7 else "run.ended succeeded")


def test_a_tool_may_act_only_while_its_attempt_runs() -> None:
    intended = f.ToolIntended(at_s=0.0, step=StepId("a"), attempt=1, key="R/a/mail", tool="mail.send")
    bench = Bench(plan_of({"a": {"on_fail": [{"retry": 1}]}, "s": {"checks": [{"agree": {"runs": 2, "quorum": 2}}]}}))
    assert bench.tell(intended) == ["tool.intended a#1"]
    bench.fail("a")
    assert bench.tell(intended) == []  # the attempt was given up
    assert bench.tell(replace(intended, attempt=2)) == ["tool.intended a#2"]  # the next one uses the same key
    with pytest.raises(IllegalTransition):
        bench.machine.handle(replace(intended, attempt=3))
    bench.done("a")
    assert bench.tell(replace(intended, attempt=2)) == []
    sample = f.ToolIntended(at_s=0.0, step=StepId("s"), attempt=1, sample=1, key="R/s/mail", tool="mail.send")
    assert bench.tell(sample) == ["tool.intended s#1.1"]
    bench.done("s", 1, sample=1)
    assert bench.tell(sample) == []
    bench.cancel()
    assert bench.tell(replace(sample, sample=0)) == []
