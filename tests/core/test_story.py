"""The lines of `why`: whole stories, word for word."""

from dataclasses import replace

import pytest

from orchestrator.core import facts as f
from orchestrator.core.story import Line, story
from orchestrator.ids import StepId
from orchestrator.plan.models import Plan
from orchestrator.plan.patch import Patch, apply_patch
from tests.core.bench import Bench, plan_of

ACCEPTED = "run R of plan p was accepted; budget 1 USD, 200000 tokens, 3600 s, 1000 steps"
DRAFT = {
    "with": {"s": "${{ steps.src.output }}"},
    "output": {"type": "object"},
    "checks": [{"rule": "output.n > 0", "reason": "n must be positive"}, {"judge": {"rubric": "good"}}],
    "on_fail": [{"retry": 1}, {"escalate": {"tier": "strong"}}, {"ask": {"expires": 3600.0, "then": "gap"}}],
    "retry": {"attempts": 2, "errors": ["provider"], "backoff": "2s..2s"},
}


def told(bench: Bench, step: str | None = None) -> list[tuple[float, str]]:
    return [(line.at_s, line.text) for line in story(bench.all, step)]


def climbed() -> Bench:
    bench = Bench(plan_of({"src": {}, "draft": DRAFT}))
    bench.now = 2.0
    bench.done("src", "facts", usd=0.01, tokens=120)
    bench.now = 3.0
    bench.tell(f.StepStarted(at_s=3.0, actor="w-1", step="draft", attempt=1))  # type: ignore[arg-type]  # an id
    bench.now = 5.0
    bench.fail("draft", "provider", retry_after_s=4.0)
    bench.now = 9.0
    bench.timer("backoff", "draft")
    bench.now = 11.0
    bench.done("draft", {"n": -1}, usd=0.02)
    bench.now = 12.0
    bench.done("draft", {"n": -1}, usd=0.02)
    bench.now = 15.0
    bench.done("draft", {"n": 4}, usd=0.2, tokens=900)
    bench.now = 16.0
    bench.judge("draft", "fix", 2, "no sources", usd=0.05)
    return bench


def test_a_step_that_climbed_its_ladder_to_a_person() -> None:
    bench = climbed()
    src = "from src (passed 675b3ac572a6)"
    lines = [
        (0.0, ACCEPTED),
        (2.0, f"attempt 1 sent to pool w; inputs 03c6a6f4e341 {src}"),
        (3.0, "a worker began by w-1 after 1 s"),
        (5.0, "attempt 1 failed after 3 s with provider"),
        (5.0, "waits 4 s before it is tried again"),
        (9.0, f"attempt 2 sent to pool w: tried again; inputs 03c6a6f4e341 {src}"),
        (11.0, "an output after 2 s: 0c31e9341837 (0.02 USD)"),
        (11.0, "check 0 (schema) passed it"),
        (11.0, "check 1 (rule) wants it mended: n must be positive"),
        (11.0, "attempt 2 is refused"),
        (11.0, f"attempt 3 sent to pool w: rung 1 of 3, retry (up to 1); inputs 03c6a6f4e341 {src}"),
        (12.0, "an output after 1 s: 0c31e9341837 (0.02 USD)"),
        (12.0, "check 0 (schema) passed it"),
        (12.0, "check 1 (rule) wants it mended: n must be positive"),
        (12.0, "attempt 3 is refused; the same output was refused before"),
        (12.0, "goes on with tier strong"),
        (12.0, f"attempt 4 sent to pool w with tier strong: rung 2 of 3, escalate; inputs 03c6a6f4e341 {src}"),
        (15.0, "an output after 3 s: f3e0792e105e (0.2 USD, 900 tokens)"),
        (15.0, "check 0 (schema) passed it"),
        (15.0, "check 1 (rule) passed it"),
        (15.0, "check 2 was sent to a model"),
        (16.0, "check 2 (call) wants it mended: no sources (0.05 USD)"),
        (16.0, "attempt 4 is refused"),
        (
            16.0,
            "a person is asked: draft was refused: no sources. What now? (accept, retry, gap, fail; 3600 s, then gap)",
        ),
    ]
    waiting = "now: attempt 4 waits for a person, for 3600 s: draft was refused: no sources. What now?"
    assert told(bench, "draft") == [*lines, (16.0, waiting)]
    bench.now = 60.0
    bench.answer("draft", "accept", "good enough")
    assert told(bench, "draft") == [
        *lines,
        (60.0, "ann chose accept: good enough"),
        (60.0, "check 2 (human by ann) passed it: good enough"),
        (60.0, "passed: f3e0792e105e"),
        (60.0, "passed after 4 attempts, 58 s, 0.29 USD, 900 tokens"),
    ]
    assert story(bench.all, "draft")[1] == Line(
        seq=7, at_s=2.0, text=f"attempt 1 sent to pool w; inputs 03c6a6f4e341 {src}"
    )


def test_a_run_as_a_whole() -> None:
    bench = climbed()
    bench.now = 60.0
    bench.cancel("enough")
    assert told(bench) == [
        (0.0, ACCEPTED),
        (2.0, "src: passed: 675b3ac572a6"),
        (
            16.0,
            (
                "draft: a person is asked: draft was refused: no sources. What now? "
                "(accept, retry, gap, fail; 3600 s, then gap)"
            ),
        ),
        (60.0, "the run was cancelled: enough"),
        (60.0, "draft: cancelled: the run was cancelled"),
        (60.0, "the run cancelled: enough (2 steps, 0.3 USD, 1020 tokens)"),
    ]


def test_branches_and_one_of_them() -> None:
    steps = {
        "m": {"foreach": {"over": ["x", "y", "z"], "max_parallel": 2}, "on_fail": ["gap"]},
        "e": {"foreach": {"each": "m"}, "with": {"v": "${{ item }}"}},
        "after": {"needs": ["m", "e"]},
    }
    bench = Bench(plan_of(steps, budget={"steps": 4}))
    bench.now = 1.0
    bench.fail("m", branch=1)
    assert told(bench, "m") == [
        (0.0, "run R of plan p was accepted; budget 1 USD, 200000 tokens, 3600 s, 4 steps"),
        (0.0, "split into 3 branches"),
        (0.0, "[0] attempt 1 sent to pool w; inputs 44136fa355b3"),
        (0.0, "[1] attempt 1 sent to pool w; inputs 44136fa355b3"),
        (1.0, "[1] attempt 1 failed after 1 s with boom"),
        (1.0, "[1] attempt 1 is refused"),
        (1.0, "[1] left out: boom"),
        (1.0, "[2] attempt 1 sent to pool w; inputs 44136fa355b3"),
        (1.0, "now: branches 2 running, 1 left out"),
    ]
    bench.now = 2.0
    bench.done("m", branch=0)
    bench.now = 3.0
    assert told(bench, "e[0]")[-2:] == [
        (2.0, "attempt 1 sent to pool w; inputs afbf9d0f3560 from m[0] (passed 6b86b273ff34)"),
        (2.0, "now: attempt 1 waits for a worker of pool w"),
    ]
    assert told(bench, "e[2]")[-1] == (2.0, "now: waits for its turn")
    assert told(bench, "after")[-1] == (2.0, "now: waits for m (running), e (running)")
    bench.done("m", branch=2)
    assert told(bench, "e[2]")[-3:] == [
        (3.0, "the budget of steps is used up: what has not started is left out"),
        (3.0, "left out: budget.steps"),
        (3.0, "left out after no attempt"),
    ]
    assert told(bench, "m")[-1] == (3.0, "passed: branches 2 passed, 1 left out")
    bench.done("e", branch=0)
    assert told(bench)[-1] == (3.0, "the run degraded (4 steps, 0 USD, 0 tokens); 4 missing")


def test_a_skip_names_what_failed_before_it_and_a_quarantine_what_was_built_on() -> None:
    steps = {
        "a": {},
        "b": {"needs": ["a"]},
        "c": {"needs": ["b"]},
        "d": {"needs": ["a", "z"], "join": {"at_least": 2}},
        "z": {},
        "n": {"if": "false"},
        "late": {"needs": ["z"]},
    }
    bench = Bench(plan_of(steps))
    bench.done("a", 5)
    bench.fail("b")
    assert told(bench, "c")[-2:] == [
        (0.0, "skipped: something before it failed (b)"),
        (0.0, "skipped after no attempt"),
    ]
    assert told(bench, "n")[-2] == (0.0, "skipped: its condition does not hold")
    bench.fail("z")
    assert told(bench, "d")[-2] == (0.0, "skipped: too little of what it joins passed (z)")
    bench = Bench(plan_of({"a": {}, "b": {"needs": ["a"]}, "c": {}}))
    bench.done("a", 5)
    bench.tell(f.StepQuarantined(at_s=1.0, actor="ann", step="a", reason="made up"))  # type: ignore[arg-type]  # an id
    assert told(bench, "b")[-2:] == [
        (1.0, "taken back: it was built on a, which was found wrong by ann: made up"),
        (1.0, "taken back after 1 attempt, 0 s"),
    ]
    assert told(bench, "a")[-2] == (1.0, "found wrong by ann and taken back: made up")


def test_a_sub_plan_an_effect_a_lost_worker_and_people() -> None:
    child = {"name": "c", "steps": {"s": {"pool": "w", "call": "f"}}}
    steps = {
        "p": {"plan": child, "budget": {"usd": 0.5, "tokens": 10, "steps": 3}},
        "e": {"effect": {"key": "${{ run.id }}/e"}, "needs": ["p"]},
        "h": {"human": {"ask": "Sure?", "choices": ["yes", "no"], "expires": 60.0}, "needs": ["e"]},
    }
    bench = Bench(plan_of(steps))
    assert told(bench, "p")[1:] == [
        (0.0, "attempt 1 starts a sub-plan; inputs 44136fa355b3"),
        (0.0, "sub-plan R.p was started with a share of 0.5 USD, 10 tokens, 3 steps"),
        (0.0, "now: attempt 1 waits for sub-plan R.p"),
    ]
    bench.now = 4.0
    bench.child("p", "failed", None, usd=0.25, reason="s: boom")
    assert told(bench, "p")[3:] == [
        (4.0, "sub-plan R.p failed: s: boom (0.25 USD)"),
        (4.0, "attempt 1 failed after 4 s with child: sub-plan R.p failed: s: boom"),
        (4.0, "attempt 1 is refused"),
        (4.0, "failed: child: sub-plan R.p failed: s: boom"),
        (4.0, "failed after 1 attempt, 4 s, 0.25 USD"),
    ]
    bench = Bench(plan_of(steps))
    bench.child("p", "degraded")
    bench.now = 5.0
    bench.lose("e")
    assert told(bench, "e")[1:] == [
        (0.0, "the effect R/e was announced"),
        (0.0, "attempt 1 sent to pool w; inputs 44136fa355b3 from p (passed 6b86b273ff34)"),
        (5.0, "the worker of attempt 1 was lost"),
        (
            5.0,
            (
                "a person is asked: The worker of e was lost after it had announced its effect. Did the effect happen? "
                "(done, retry, fail; 86400 s, then fail)"
            ),
        ),
        (
            5.0,
            (
                "now: attempt 1 waits for a person, for 86400 s: The worker of e was lost after it had announced its "
                "effect. Did the effect happen?"
            ),
        ),
    ]
    bench.answer("e", "done")
    assert told(bench, "e")[-6:-1] == [
        (5.0, "ann chose done"),
        (5.0, "the effect R/e has happened"),
        (5.0, "an output after 5 s: 74234e98afe7"),
        (5.0, "check 0 (schema) passed it"),
        (5.0, "passed: 74234e98afe7"),
    ]
    bench.now = 65.0
    bench.timer("approval", "h")
    assert told(bench, "h")[1:] == [
        (5.0, "attempt 1 asks a person; inputs 44136fa355b3 from e (passed 74234e98afe7)"),
        (5.0, "a person is asked: Sure? (yes, no; 60 s, then it fails)"),
        (65.0, "nobody answered in time: it fails"),
        (65.0, "failed: nobody answered in time"),
        (65.0, "failed after 1 attempt, 60 s"),
    ]
    assert told(bench, "p")[-2] == (0.0, "passed with gaps: 6b86b273ff34")


def test_the_rest_of_the_words() -> None:
    steps = {
        "a": {"on_fail": [{"replan": "step"}, {"replan": "downstream"}], "checks": [{"call": "look", "pool": "lab"}]},
        "b": {"needs": ["a"]},
        "g": {"checks": [{"agree": {"runs": 2, "quorum": 2}}]},
        "x": {},
    }
    bench = Bench(plan_of(steps, budget={"steps": 3, "on_limit": "ask"}))
    where = {"step": "a", "attempt": 1}
    bench.tell(f.StepProgress(at_s=0.0, fraction=0.5, message="half", **where))  # type: ignore[arg-type]  # the two names
    bench.tell(f.StepProgress(at_s=0.0, message="more", **where))  # type: ignore[arg-type]  # same
    bench.tell(f.ToolCalled(at_s=0.0, tool="grep", result=1, **where))  # type: ignore[arg-type]  # same
    bench.tell(f.ToolFailed(at_s=0.0, tool="grep", error="timeout", **where))  # type: ignore[arg-type]  # same
    bench.tell(f.ToolFailed(at_s=0.0, tool="", error="unknown", **where))  # type: ignore[arg-type]  # same
    found = {"guard": "pii", "stage": "tool_result", "tool": "grep", **where}
    bench.tell(f.GuardTripped(at_s=0.0, verdict="change", reasons=("2 email", "1 card"), **found))  # type: ignore[arg-type]  # same
    bench.tell(f.GuardTripped(at_s=0.0, verdict="block", guard="own", stage="input", **where))  # type: ignore[arg-type]  # same
    bench.tell(f.GuardTripped(at_s=0.0, verdict="signal", score=0.75, guard="hints", stage="output", **where))  # type: ignore[arg-type]  # same
    bench.tell(
        f.ModelCalled(at_s=0.0, model="m", outcome="ok", usd=0.1, tokens_in=4, tokens_out=5, charge="c", **where)
    )  # type: ignore[arg-type]  # same
    bench.tell(f.BudgetReserved(at_s=0.0, charge="r", usd=0.2, **where))  # type: ignore[arg-type]  # same
    bench.tell(f.BudgetSettled(at_s=0.0, charge="r", tokens=7, **where))  # type: ignore[arg-type]  # same
    bench.tell(f.RunAdopted(at_s=0.0, epoch=2))
    bench.done("g", {"v": 1}, sample=1)
    bench.done("g", {"v": 1}, sample=0)
    assert told(bench, "g")[3:-1] == [
        (0.0, "an output in sample 1 after 0 s: afbf9d0f3560"),
        (0.0, "an output after 0 s: afbf9d0f3560"),
        (0.0, "check 0 (schema) passed it"),
        (0.0, "check 0 (schema) passed it on sample 1"),
        (0.0, "check 1 (agree) passed it with score 1"),
        (0.0, "passed: afbf9d0f3560"),
    ]
    bench.done("a", 1)
    assert told(bench, "a")[-1] == (0.0, "now: attempt 1 waits for check 1 in pool lab")
    bench.judge("a", "check_broken", 1, "no answer")
    bench.judge("a", "reject", 1, "wrong")
    assert told(bench, "a")[1:] == [
        (0.0, "attempt 1 sent to pool w; inputs 44136fa355b3"),
        (0.0, "progress: 50% half"),
        (0.0, "progress: more"),
        (0.0, "tool grep was called"),
        (0.0, "tool grep failed: timeout"),
        (0.0, "tool that there is not failed: unknown"),
        (0.0, "guard pii changed the tool result of grep: 2 email; 1 card"),
        (0.0, "guard own stopped the input"),
        (0.0, "guard hints noticed something in the output (score 0.75)"),
        (0.0, "model m was called: ok (0.1 USD, 9 tokens)"),
        (0.0, "set aside under r (0.2 USD)"),
        (0.0, "spent under r (7 tokens)"),
        (0.0, "another process took the run over (epoch 2)"),
        (0.0, "an output after 0 s: 6b86b273ff34"),
        (0.0, "check 0 (schema) passed it"),
        (0.0, "check 1 was sent to pool lab"),
        (0.0, "check 1 (call) broke: no answer"),
        (0.0, "check 1 was sent to pool lab"),
        (0.0, "check 1 (call) rejected it: wrong"),
        (0.0, "attempt 1 is refused; trying the same again cannot help"),
        (0.0, "the planner is asked for a new step"),
        (0.0, "now: attempt 1 waits for the planner"),
    ]
    bench.tell(f.ReplanRefused(at_s=0.0, reason="no idea", **where))  # type: ignore[arg-type]  # same
    assert told(bench, "a")[-3:-1] == [
        (0.0, "no new plan: no idea"),
        (0.0, "the planner is asked for a new plan from here on"),
    ]
    plan = bench.machine.state.plan.plan
    body = {"patch": 1, "base": plan.digest, "author": "ann", "reason": "better", "ops": [{"retry": {"step": "a"}}]}
    patch = Patch.model_validate(body)
    made = apply_patch(plan, patch, locked=())
    bench.tell(
        f.PlanPatched(
            at_s=1.0,
            base=plan.digest,
            digest=made.digest,
            author="ann",
            reason="better",
            asked_by="a",
            patch=patch.canonical(),
        )  # type: ignore[arg-type]  # an id
    )
    assert told(bench, "a")[-3:] == [
        (1.0, "the plan was changed by ann, asked for by a: better"),
        (1.0, "the budget of steps is used up: a person is asked for more"),
        (1.0, "now: waits for a person's word on the budget of steps"),
    ]
    assert told(bench)[-1] == (
        1.0,
        "now: a person is asked about the budget of steps; x is running and waits for a worker of pool w",
    )
    assert told(bench, "x")[-1] == (
        1.0,
        "now: attempt 1 waits for a worker of pool w; a person is asked about the budget of steps",
    )
    bench.now = 2.0
    bench.answer("", "extend")
    assert told(bench, "a")[-3:] == [
        (2.0, "the budget of steps was extended by 3"),
        (2.0, "attempt 2 sent to pool w; inputs 44136fa355b3"),
        (2.0, "now: attempt 2 waits for a worker of pool w"),
    ]


def test_without_the_plan_a_story_says_what_it_can() -> None:
    bench = climbed()
    facts = [replace(fact, plan={}) if isinstance(fact, f.PlanFrozen) else fact for fact in bench.all]
    texts = [line.text for line in story(facts, "draft")]
    assert texts[1] == "attempt 1 sent to pool w; inputs 03c6a6f4e341"
    assert texts[10] == "attempt 3 sent to pool w: the ladder was climbed; inputs 03c6a6f4e341"
    bench = Bench(plan_of({"a": {"effect": {"key": "k"}}, "h": {"human": {"ask": "?", "choices": ["x"]}}}))
    bench.cancel()
    facts = [replace(fact, plan={}) if isinstance(fact, f.PlanFrozen) else fact for fact in bench.all]
    assert story(facts, "z")[-1].text == "never started: the run cancelled"


@pytest.mark.parametrize(
    ("step", "last"), [("none", "there is no step none in the plan"), ("b", "now: waits for a (running)")]
)
def test_steps_that_have_not_started_or_are_not_there(step: str, last: str) -> None:
    assert told(Bench(plan_of({"a": {}, "b": {"needs": ["a"]}})), step)[-1][1] == last


MADE = {"name": "made", "steps": {"s": {"pool": "w", "call": "f"}}}


def drafted(number: int, *errors: str, purpose: str = "plan", step: str = "g") -> f.PlanDrafted:
    return f.PlanDrafted(
        at_s=1.0,
        step=StepId(step),
        attempt=1,
        number=number,
        purpose=purpose,  # type: ignore[arg-type]  # one of the two
        tier="strong",
        accepted=not errors,
        answer="?",
        errors=errors,
    )


def chosen(name: f.PatternName, source: str = "") -> f.PatternChosen:
    return f.PatternChosen(
        at_s=1.0, step=StepId("g"), attempt=1, pattern=name, row="r7", source=source, reason="two parts"
    )


def planned(steps: int, tries: int, usd_estimate: float) -> f.GoalPlanned:
    made = Plan.model_validate(MADE)
    return f.GoalPlanned(
        at_s=2.0,
        step=StepId("g"),
        attempt=1,
        digest=made.digest,
        steps=steps,
        tries=tries,
        usd_estimate=usd_estimate,
        plan=made.data,
    )


def test_a_goal_from_its_first_draft_to_its_sub_plan() -> None:
    bench = Bench(plan_of({"g": {"goal": "reach it"}}, budget={"usd": 1.0, "calls": 9}))
    sent = (0.0, "attempt 1 asks a supervisor for a plan; inputs 44136fa355b3")
    assert told(bench, "g")[1:] == [sent, (0.0, "now: attempt 1 is running")]
    bench.tell(chosen("fan_out", "a paper, 2025"))
    pattern = "the goal is worked on by agents beside each other: two parts (row r7) [a paper, 2025]"
    assert told(bench, "g")[1:] == [sent, (1.0, pattern), (1.0, "now: attempt 1 waits for the planner")]
    errors = ("pool x:\nnot allowed", "no check", "too dear", "too deep", "too wide")
    bench.tell(drafted(1, *errors))
    bench.tell(drafted(2, "no check"))
    bench.tell(drafted(3))
    bench.tell(planned(steps=1, tries=3, usd_estimate=0.25))
    digest = Plan.model_validate(MADE).digest.removeprefix("sha256:")[:12]
    assert told(bench, "g") == [
        (0.0, f"{ACCEPTED}, 9 calls"),
        sent,
        (1.0, pattern),
        (1.0, "draft 1 of a plan by tier strong was refused: pool x: not allowed; no check; too dear; and 2 more"),
        (1.0, "draft 2 of a plan by tier strong was refused: no check"),
        (1.0, "draft 3 of a plan by tier strong is in order"),
        (2.0, f"the goal is planned after 3 drafts: 1 step, {digest}; about 0.25 USD by the host's rates"),
        (2.0, "sub-plan R.g was started with a share of 1 USD, 200000 tokens, 999 steps, 9 calls"),
        (2.0, "now: attempt 1 waits for sub-plan R.g"),
    ]
    assert told(bench) == [
        (0.0, f"{ACCEPTED}, 9 calls"),
        (1.0, f"g: {pattern}"),
        (2.0, f"g: the goal is planned after 3 drafts: 1 step, {digest}; about 0.25 USD by the host's rates"),
        (2.0, "now: g is running and waits for sub-plan R.g"),
    ]


@pytest.mark.parametrize(
    ("name", "how"),
    [
        ("one_agent", "by one agent"),
        ("chain", "as a chain of steps"),
        ("fan_out", "by agents beside each other"),
        ("supervisors", "by supervisors with plans of their own"),
    ],
)
def test_the_word_for_every_pattern(name: f.PatternName, how: str) -> None:
    bench = Bench(plan_of({"g": {"goal": "reach it"}}))
    bench.tell(chosen(name))
    assert told(bench, "g")[-2][1] == f"the goal is worked on {how}: two parts (row r7)"


def test_a_plan_that_costs_nothing_is_told_without_a_guess() -> None:
    bench = Bench(plan_of({"g": {"goal": "reach it"}}))
    bench.tell(planned(steps=4, tries=1, usd_estimate=0.0))
    digest = Plan.model_validate(MADE).digest.removeprefix("sha256:")[:12]
    assert told(bench, "g")[-3][1] == f"the goal is planned after 1 draft: 4 steps, {digest}"


def test_drafts_of_a_patch_and_a_tool_that_is_about_to_act() -> None:
    bench = Bench(plan_of({"a": {"on_fail": [{"replan": "step"}]}, "b": {"needs": ["a"]}}))
    intended = f.ToolIntended(at_s=1.0, step=StepId("a"), attempt=1, key="R/a/mail", tool="mail.send")
    assert bench.tell(intended) == ["tool.intended a#1"]
    assert told(bench, "a")[-2:] == [
        (1.0, "tool mail.send is about to act under the key R/a/mail"),
        (1.0, "now: attempt 1 waits for a worker of pool w"),
    ]
    bench.now = 2.0
    bench.fail("a")
    bench.tell(drafted(1, "it drops b", purpose="patch", step="a"))
    bench.tell(drafted(2, purpose="patch", step="a"))
    assert told(bench, "a")[-4:] == [
        (2.0, "the planner is asked for a new step"),
        (1.0, "draft 1 of a patch by tier strong was refused: it drops b"),
        (1.0, "draft 2 of a patch by tier strong is in order"),
        (1.0, "now: attempt 1 waits for the planner"),
    ]


def test_what_a_call_of_a_model_was_like() -> None:
    bench = Bench(plan_of({"a": {}}))
    plain = f.ModelCalled(at_s=1.0, step=StepId("a"), attempt=1, model="m", outcome="ok", charge="1")
    bench.tell(replace(plain, usd=0.5, tokens_in=2, endpoint="house", seconds=1.25))
    bench.tell(replace(plain, charge="2", tokens_out=3, estimated=True))
    bench.tell(replace(plain, charge="3", outcome="timeout", unknown=True, estimated=True))
    assert told(bench, "a")[2:5] == [
        (1.0, "model m at house was called: ok after 1.25 s (0.5 USD, 2 tokens)"),
        (1.0, "model m was called: ok (3 tokens); counted here"),
        (1.0, "model m was called: timeout; nobody can say whether it was billed"),
    ]


def test_the_votes_of_a_judge_are_told_one_by_one() -> None:
    bench = Bench(plan_of({"a": {"checks": [{"judge": {"rubric": "good", "votes": 3}}]}}))
    bench.done("a", "text")
    for number, score in ((1, 0.9), (2, 0.25)):
        vote = f.JudgeVoted(at_s=1.0, step=StepId("a"), attempt=1, check=1, number=number, score=score, reasons=("so",))
        assert bench.tell(vote) == ["judge.voted a#1"]
    assert told(bench, "a")[-4:] == [
        (0.0, "check 1 was sent to a model"),
        (1.0, "vote 1 of check 1 (judge): score 0.9"),
        (1.0, "vote 2 of check 1 (judge): score 0.25"),
        (1.0, "now: attempt 1 waits for check 1"),
    ]
