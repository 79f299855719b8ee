"""The gate: schema, rule, grounded, call, agree, judge, human, and checks that break."""

import pytest

from orchestrator.core import commands as c
from orchestrator.core import facts as f
from orchestrator.core.gate import check_schema, values_at
from orchestrator.ids import JsonValue, StepId
from tests.core.bench import Bench, plan_of


def reasons(bench: Bench) -> tuple[str, ...]:
    return next(fact.reasons for fact in reversed(bench.all) if isinstance(fact, f.StepRejected))


def test_the_schema_comes_first_and_the_rest_in_order() -> None:
    step = {
        "output": {"type": "object", "required": ["n"]},
        "checks": [{"rule": "output.n > 0"}, {"rule": "args.m > output.n"}],
        "with": {"m": 5},
    }
    bench = Bench(plan_of({"a": step}))
    assert bench.done("a", {"n": 1})[1:4] == [
        "check.verdict a#1 schema pass",
        "check.verdict a#1 rule pass",
        "check.verdict a#1 rule pass",
    ]
    bench = Bench(plan_of({"a": step}))
    assert bench.done("a", [])[1:] == [
        "check.verdict a#1 schema fix",
        "step.rejected a#1",
        f"step.failed a#1 {reasons(bench)[0]}",
        "run.ended failed",
    ]
    assert check_schema(None, object).kind == "pass"  # type: ignore[arg-type]  # anything


@pytest.mark.parametrize(
    ("rule", "word", "reason"),
    [
        ("output == 2", "rule fix", "this does not hold: output == 2"),
        ("output", "rule check_broken", "the rule check broke: the rule gives 1, not true or false: output"),
        ("output.x", "rule check_broken", "the rule check broke: "),
        ("inputs.long", "rule check_broken", "…"),
    ],
)
def test_a_rule_that_is_not_true_never_passes(rule: str, word: str, reason: str) -> None:
    bench = Bench(plan_of({"a": {"checks": [{"rule": rule}]}}), {"long": "x" * 500})
    assert bench.done("a")[2] == f"check.verdict a#1 {word}"
    assert reason in reasons(bench)[0]


@pytest.mark.parametrize(
    ("where", "output", "missing"),
    [
        ("any", {"items": [{"url": "HTTP://a  b"}, {"url": 7}]}, None),
        ("inputs", {"items": [{"url": "http://A b"}]}, None),
        ("inputs", {"items": [{"url": "c"}, {"url": "d"}]}, ("c", "d")),
        ("tool_results", {"items": [{"url": "http://a b"}]}, ("http://a b",)),
        ("tool_results", {"items": [{"url": 7.0}]}, None),
        ("any", {"items": [{"url": True}, {"url": None}, {"url": " "}]}, (True, None, " ")),
    ],
)
def test_grounded_values_occur_in_what_was_given_or_found(
    where: str, output: JsonValue, missing: tuple[JsonValue, ...] | None
) -> None:
    step = {"with": {"s": ["see http://a b"]}, "checks": [{"grounded": {"field": "items.url", "in": where}}]}
    bench = Bench(plan_of({"a": step}), {"more": {"k": [False, None]}})
    for result in ("nothing", {"n": [7]}):
        bench.tell(f.ToolCalled(at_s=0.0, step="a", attempt=1, tool="t", result=result))  # type: ignore[arg-type]  # an id
    made = bench.done("a", output)
    if missing is None:
        assert made[-1] == "run.ended succeeded"
        return
    verdict = bench.made[2]
    assert isinstance(verdict, f.CheckVerdict)
    assert (verdict.verdict, len(verdict.reasons)) == ("fix", len(missing))
    assert verdict.evidence == {"missing": len(missing), "of": len(missing)}


def test_a_field_that_is_not_there_is_not_grounded() -> None:
    bench = Bench(plan_of({"a": {"checks": [{"grounded": {"field": "x.y"}}]}}))
    bench.done("a", {"x": [{"z": 1}]})
    assert reasons(bench) == ("x.y is missing from the output",)
    assert values_at([{"x": [[1], 2]}], "x") == [1, 2]


# ---- checks in a pool, by a model, by a person


def test_a_call_gets_the_output_and_its_arguments_and_its_word_counts() -> None:
    check = {"call": "look", "pool": "lab", "with": {"was": "${{ args.x }}", "k": 2}}
    bench = Bench(plan_of({"a": {"with": {"x": 3}, "checks": [check], "on_fail": [{"retry": 1}]}}))
    assert bench.done("a", 5)[-1] == "step.dispatched a#1 check 1"
    sent = bench.dispatches()[0]
    assert (sent.pool, sent.function, sent.purpose, sent.check) == ("lab", "look", "check", 1)
    assert sent.args == {"output": 5, "was": 3, "k": 2}
    assert bench.judge("a", "fix", 1, "why") == [
        "check.verdict a#1 call fix",
        "step.rejected a#1",
        "step.dispatched a#2 ladder",
    ]
    assert bench.dispatches()[0].reasons == ("why",)
    bench.done("a", 6)
    assert bench.judge("a", "reject", 1, "no")[1:] == [
        "step.rejected a#2 terminal",
        "step.failed a#2 no",
        "run.ended failed",
    ]


def test_a_check_that_breaks_is_asked_again_a_few_times_and_then_refuses() -> None:
    bench = Bench(plan_of({"a": {"checks": [{"call": "look"}]}}))
    bench.done("a")
    assert bench.judge("a", "check_broken", usd=0.1) == [
        "check.verdict a#1 call check_broken",
        "step.dispatched a#1 check 1",
    ]
    assert bench.judge("a", "check_broken", usd=0.1) == []  # the same word once more
    bench.now = 1.0
    bench.judge("a", "check_broken", usd=0.1)
    bench.now = 2.0
    assert bench.judge("a", "check_broken", usd=0.1)[1:] == [
        "step.rejected a#1",
        "step.failed a#1 the call check broke 3 times",
        "run.ended failed",
    ]
    assert round(bench.ended.usd, 6) == 0.3
    bench = Bench(plan_of({"a": {"checks": [{"call": "look"}]}}))
    bench.done("a")
    bench.judge("a", "check_broken")
    assert bench.judge("a", "pass")[-1] == "run.ended succeeded"


def test_a_call_whose_arguments_have_no_value_is_broken() -> None:
    bench = Bench(plan_of({"a": {"checks": [{"call": "look", "with": {"x": "${{ output.none }}"}}]}}))
    assert bench.done("a", {})[1:4] == [
        "check.verdict a#1 schema pass",
        "check.verdict a#1 call check_broken",
        "step.rejected a#1",
    ]


def test_a_judge_sees_task_arguments_and_output() -> None:
    steps = {
        "a": {"task": "Write", "with": {"x": 1}, "checks": [{"judge": {"rubric": "good"}}]},
        "b": {"description": "Say", "checks": [{"judge": {"rubric": "good"}}]},
    }
    bench = Bench(plan_of(steps))
    bench.done("a", "text")
    asked = bench.commands[0]
    assert isinstance(asked, c.AskJudge)
    assert (asked.task, asked.args, asked.output, asked.judge.rubric) == ("Write", {"x": 1}, "text", "good")
    bench.done("b", "more")
    second = bench.commands[0]
    assert isinstance(second, c.AskJudge)
    assert second.task == "Say"
    bench.judge("a", "pass")
    assert bench.judge("b", "pass")[-1] == "run.ended succeeded"


def test_a_person_as_a_check() -> None:
    step = {"checks": [{"human": {"ask": "Good?", "expires": 60.0, "then": "accept"}}], "on_fail": [{"retry": 1}]}
    bench = Bench(plan_of({"a": step}))
    assert bench.done("a", 5)[-1] == "approval.asked a#1 check accept/reject then accept"
    assert bench.answer("a", "reject", "ugly") == [
        "approval.answered a#1 reject",
        "check.verdict a#1 human fix",
        "step.rejected a#1",
        "step.dispatched a#2 ladder",
    ]
    assert bench.dispatches()[0].reasons == ("ugly",)
    bench.done("a", 6)
    bench.now = 61.0
    assert bench.timer("approval", "a") == [
        "approval.expired a#2 accept",
        "check.verdict a#2 human pass",
        "step.passed a#2",
        "run.ended succeeded",
    ]


# ---- agree


AGREE = {"agree": {"runs": 3, "quorum": 2, "field": "n", "tolerance": 0.1}}


def test_samples_vote_and_the_elected_one_goes_through_the_later_checks() -> None:
    bench = Bench(plan_of({"a": {"checks": [{"rule": "output.n > 0"}, AGREE, {"rule": "output.n < 50"}]}}))
    assert [d.sample for d in bench.dispatches()] == [0, 1, 2]
    assert bench.done("a", {"n": -1}, sample=1) == ["step.produced a#1.1"]
    assert bench.done("a", {"n": 9}, sample=0, attempt=1) == ["step.produced a#1"]
    assert bench.done("a", {"n": 9}, sample=0) == []
    assert bench.done("a", {"n": 10}, sample=2) == [
        "step.produced a#1.2",
        "check.verdict a#1 schema pass",
        "check.verdict a#1 rule pass",
        "check.verdict a#1.1 schema pass",
        "check.verdict a#1.1 rule fix",
        "check.verdict a#1.2 schema pass",
        "check.verdict a#1.2 rule pass",
        "check.verdict a#1 agree pass",
        "check.verdict a#1 rule pass",
        "step.passed a#1",
        "run.ended succeeded",
    ]
    assert bench.ended.output == {"a": {"n": 9}}


def test_without_a_quorum_the_attempt_is_refused() -> None:
    bench = Bench(plan_of({"a": {"checks": [AGREE], "on_fail": [{"retry": 1}]}}))
    for sample, n in enumerate((1, 2)):
        bench.done("a", {"n": n}, sample=sample)
    assert bench.done("a", {"n": True}, sample=2)[-3:] == [
        "step.dispatched a#2 ladder",
        "step.dispatched a#2.1 ladder",
        "step.dispatched a#2.2 ladder",
    ]
    assert reasons(bench) == ("1 of 3 runs agree and 2 must: 1; 2; true",)
    for sample in (0, 1):
        assert bench.fail("a", sample=sample) == [f"attempt.failed a#2{'.1' if sample else ''} boom"]
    assert bench.done("a", {}, sample=2)[-3:] == [
        "step.rejected a#2",
        "step.failed a#2 0 of 3 runs agree and 2 must: no run gave an output that passed its own checks",
        "run.ended failed",
    ]


def test_when_every_sample_fails_the_attempt_has_failed() -> None:
    bench = Bench(plan_of({"a": {"checks": [AGREE]}}))
    bench.fail("a", "provider", sample=0)
    bench.fail("a", "provider", sample=1)
    assert bench.fail("a", "provider", sample=2)[1].startswith("step.backoff a#1 until")


def test_a_sample_that_fails_last_leaves_the_vote_to_the_others() -> None:
    bench = Bench(plan_of({"a": {"checks": [AGREE]}}))
    bench.done("a", {"n": 1}, sample=0)
    bench.done("a", {"n": 1}, sample=1)
    assert bench.fail("a", sample=2)[-1] == "run.ended succeeded"


def test_a_broken_rule_before_agree_costs_the_sample_its_vote() -> None:
    bench = Bench(plan_of({"a": {"checks": [{"rule": "output.x"}, AGREE]}}))
    for sample in range(2):
        bench.done("a", {"n": 1}, sample=sample)
    assert bench.done("a", {"n": 1}, sample=2)[-3:-1] == ["step.rejected a#1", f"step.failed a#1 {reasons(bench)[0]}"]


def test_whole_outputs_are_compared_where_no_field_is_named_and_lists_by_all_values() -> None:
    for field, outputs, chosen in (
        (None, [{"k": [1]}, {"k": [2]}, {"k": [2]}], 1),
        ("k.v", [{"k": [{"v": 1}, {"v": 2}]}, {"k": [{"v": 1}, {"v": 3}]}, {"k": [{"v": 1}, {"v": 2}]}], 0),
        (None, [True, 1, 1], 1),
        (None, [[1], [1, 2], [1]], 0),
        (None, [{"a": 1}, {"b": 1}, {"b": 1}], 1),
        (None, [{"a": ["x", None]}, {"a": ["x", 0]}, {"a": ["x", None]}], 0),
    ):
        agree = {"agree": {"runs": 3, "quorum": 2, **({"field": field} if field else {})}}
        bench = Bench(plan_of({"a": {"checks": [agree]}}))
        for sample, output in enumerate(outputs):
            bench.done("a", output, sample=sample)
        assert bench.ended.output == {"a": outputs[chosen]}


def test_a_silent_sample_is_taken_back_alone() -> None:
    bench = Bench(plan_of({"a": {"checks": [AGREE]}}))
    bench.now = 600.0
    assert bench.timer("attempt", "a", sample=1) == ["attempt.failed a#1.1 timeout"]
    assert bench.commands == [c.Revoke(step="a", branch=-1, attempt=1, sample=1)]  # type: ignore[arg-type]  # an id
    bench.done("a", {"n": 1}, sample=0)
    assert bench.done("a", {"n": 1}, sample=2)[-1] == "run.ended succeeded"


def test_a_lost_sample_loses_the_attempt_and_the_others_are_taken_back() -> None:
    bench = Bench(plan_of({"a": {"checks": [AGREE]}}))
    bench.done("a", {"n": 1}, sample=0)
    assert bench.lose("a", sample=1) == [
        "lease.lost a#1.1",
        "step.dispatched a#2 lost",
        "step.dispatched a#2.1 lost",
        "step.dispatched a#2.2 lost",
    ]
    assert [x.sample for x in bench.commands if isinstance(x, c.Revoke)] == [1, 2]


def test_checks_that_ask_others_stand_after_agree() -> None:
    with pytest.raises(ValueError, match="go after agree"):
        plan_of({"a": {"checks": [{"call": "look"}, AGREE]}})


def voted(number: int, score: float = 0.9, check: int = 1, attempt: int = 1) -> f.JudgeVoted:
    return f.JudgeVoted(at_s=0.0, step=StepId("a"), attempt=attempt, check=check, number=number, score=score)


def test_a_vote_counts_once_while_its_judge_is_asked_and_a_resume_asks_for_the_others() -> None:
    votes: dict[str, object] = {"judge": {"rubric": "good", "votes": 3}}
    bench = Bench(plan_of({"a": {"task": "Write", "checks": [votes, votes], "on_fail": [{"retry": 1}]}}))
    assert bench.tell(voted(1)) == [], "nothing is produced, so nothing is judged"
    bench.done("a", "text")
    assert bench.tell(voted(2, 0.3)) == ["judge.voted a#1"]
    assert bench.tell(voted(2, 0.8)) == [], "the same vote once more"
    assert bench.tell(voted(1, check=2)) == [], "another judge, who is not asked yet"
    bench.crash()
    (asked,) = [command for command in bench.commands if isinstance(command, c.AskJudge)]
    assert [vote.score for vote in asked.votes] == [0.3]
    bench.judge("a", "check_broken")
    assert [vote.score for vote in bench.unit("a").votes] == [0.3], "what could be read still can"
    bench.judge("a", "pass")
    assert (bench.unit("a").check, bench.unit("a").votes) == (2, ())
    assert bench.tell(voted(1)) == [], "that judge has spoken"
    assert bench.tell(voted(1, check=2)) == ["judge.voted a#1"]
    bench.judge("a", "fix", 2, "why")
    assert bench.unit("a").votes == ()
    assert bench.tell(voted(3, check=2)) == [], "of the attempt before"
    bench.done("a", "text 2")
    bench.judge("a", "pass")
    assert bench.judge("a", "pass", 2)[-1] == "run.ended succeeded"
    assert bench.tell(voted(1, attempt=2)) == [], "after the end"
