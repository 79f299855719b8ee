"""How runs end: results, `finally`, cancellation, quarantine, reuse; and inputs that come late or cannot be."""

import pytest

from orchestrator.core import commands as c
from orchestrator.core import facts as f
from orchestrator.core.inputs import Input, TimerFired
from orchestrator.core.machine import RunMachine
from orchestrator.core.story import story
from orchestrator.errors import ExpressionError, IllegalTransition
from orchestrator.ids import JsonValue, StepId
from orchestrator.plan.compiled import compile_plan
from orchestrator.plan.patch import Patch, apply_patch
from tests.core.bench import Bench, plan_of, words

LAST = {"finally": True, "with": {"s": "${{ steps.a.status }}"}}


# ---- finally


@pytest.mark.parametrize("how", ["succeeded", "failed", "cancelled", "stopped"])
def test_finally_steps_run_whatever_happened(how: str) -> None:
    budget = {"steps": 2} if how == "stopped" else {"steps": 5}
    bench = Bench(
        plan_of({"a": {}, "b": {"needs": ["a"]}, "last": LAST}, budget=budget, result="${{ steps.b.output }}")
    )
    if how == "cancelled":
        bench.cancel()
    elif how == "failed":
        bench.fail("a")
    else:
        bench.done("a")
        if how == "succeeded":
            bench.done("b")
    assert words(bench.made)[-1] == "step.dispatched last#1 first"
    assert [d.args for d in bench.dispatches()] == [{"s": bench.statuses()["a"]}]
    assert bench.done("last")[-1] == f"run.ended {how}"


def test_a_mapped_finally_step_and_one_that_cannot_start_and_one_that_is_skipped() -> None:
    steps = {
        "a": {},
        "m": {"finally": True, "foreach": {"over": [1, 2]}},
        "bad": {"finally": True, "with": {"x": "${{ inputs.none }}"}},
        "no": {"finally": True, "if": "steps.a.status == 'failed'"},
    }
    bench = Bench(plan_of(steps, budget={"steps": 5}))
    assert bench.done("a")[3:] == [
        "step.expanded m",
        "step.dispatched m[0]#1 first",
        "step.dispatched m[1]#1 first",
        f"step.failed bad {bench.state('bad').reason}",
        "step.skipped no condition",
    ]
    bench.done("m", branch=0)
    assert bench.done("m", branch=1)[-1] == "run.ended degraded"
    assert bench.ended.output == {"a": 1, "m": [1, 1]}


def test_a_finally_step_goes_on_after_a_limit_and_is_taken_up_after_a_crash() -> None:
    bench = Bench(
        plan_of(
            {"a": {}, "last": {"finally": True, "on_fail": [{"retry": 1}]}},
            budget={"usd": 1.0, "on_limit": "stop"},
        )
    )
    bench.done("a", usd=2.0)
    assert bench.fail("last", usd=2.0)[-1] == "step.dispatched last#2 ladder"
    assert bench.crash() == ["lease.lost last#2", "step.dispatched last#3 lost"]
    assert bench.fail("last", "budget") == [
        "attempt.failed last#3 budget",
        "limit.hit usd stop",
        "step.rejected last#3 terminal",
        "step.failed last#3 budget",
        "run.ended degraded",
    ]


# ---- cancel


def phases() -> dict[str, Bench]:
    """A run in every phase of its one step."""
    check = {"checks": [{"call": "look"}]}
    steps = {
        "running": {},
        "checking": check,
        "backoff": {},
        "person": {"human": {"ask": "?", "choices": ["x"]}},
        "judged": {"checks": [{"human": {"ask": "?"}}]},
        "asked": {"on_fail": [{"ask": {}}]},
        "planned": {"on_fail": [{"replan": "step"}]},
        "child": {"plan": {"name": "c", "steps": {"s": {"pool": "w", "call": "f"}}}},
        "mapped": {"foreach": {"over": [1, 2], "max_parallel": 1}},
        "agree": {"checks": [{"agree": {"runs": 2, "quorum": 2}}]},
        "effect": {"effect": {"key": "k"}},
    }
    benches = {name: Bench(plan_of({"a": step, "z": {"needs": ["a"]}})) for name, step in steps.items()}
    for name in ("checking", "judged"):
        benches[name].done("a")
    benches["backoff"].fail("a", "provider")
    for name in ("asked", "planned"):
        benches[name].fail("a")
    benches["agree"].done("a", sample=0)
    return benches


PHASES = sorted(phases())


@pytest.mark.parametrize("phase", PHASES)
def test_a_cancelled_run_ends_at_once_in_every_phase_and_takes_back_what_is_under_way(phase: str) -> None:
    bench = phases()[phase]
    made = bench.cancel("enough")
    assert made[0] == "cancel.requested"
    assert made[-1] == "run.ended cancelled"
    assert bench.ended.reason == "enough"
    assert bench.statuses() == {"a": "cancelled", "z": "cancelled"}
    kinds = [type(each).__name__ for each in bench.commands]
    taken_back = {
        "child": ["CancelChild"],
        "backoff": [],
        "person": [],
        "judged": [],
        "asked": [],
        "planned": ["Revoke"],
    }
    assert kinds == [*taken_back.get(phase, ["Revoke"]), "Finish"]
    assert bench.cancel("again") == []
    assert bench.crash() == []
    assert bench.commands == [c.Finish()]


def test_a_cancel_before_the_plan_is_carried_out_with_it() -> None:
    bench = Bench(plan_of({"a": {}}), start=False)
    bench.tell(bench.accepted)
    assert bench.cancel() == ["cancel.requested"]
    assert bench.crash() == []
    assert bench.tell(bench.frozen) == ["plan.frozen", "step.cancelled a cancel", "run.ended cancelled"]


@pytest.mark.parametrize("phase", PHASES)
def test_a_crash_in_the_middle_of_a_cancel_sends_nothing_again(phase: str) -> None:
    whole = phases()[phase]
    before = len(whole.all)
    whole.cancel()
    for keep in range(before + 1, len(whole.all)):
        bench = phases()[phase]
        bench.all = list(whole.all)
        bench.crash(keep=keep)
        assert [fact for fact in bench.made if isinstance(fact, f.StepDispatched)] == []
        assert bench.ended.status == "cancelled"


# ---- quarantine


def quarantine(bench: Bench, step: str) -> list[str]:
    return bench.tell(f.StepQuarantined(at_s=bench.now, actor="ann", step=step, reason="wrong"))  # type: ignore[arg-type]  # an id


def test_a_quarantine_takes_back_everything_that_was_built_on_the_result() -> None:
    steps = {
        "a": {},
        "b": {"needs": ["a"]},
        "m": {"foreach": {"over": [1, 2]}, "needs": ["a"], "on_fail": ["gap"]},
        "c": {"needs": ["b", "m"]},
        "d": {"needs": ["c"]},
        "free": {},
        "p": {"plan": {"name": "c", "steps": {"s": {"pool": "w", "call": "f"}}}, "needs": ["a"]},
    }
    bench = Bench(plan_of(steps))
    assert quarantine(bench, "a") == []
    assert quarantine(bench, "none") == []
    bench.done("a")
    bench.done("b")
    bench.fail("m", branch=0)
    assert quarantine(bench, "a") == [
        "step.quarantined a",
        "step.skipped c upstream_failed",
        "step.skipped d upstream_failed",
    ]
    assert [type(each).__name__ for each in bench.commands] == ["Revoke", "CancelChild"]
    assert quarantine(bench, "a") == []
    quarantined = next(fact for fact in bench.all if isinstance(fact, f.StepQuarantined))
    assert quarantined.affected == ("b", "m", "p")
    assert bench.statuses() == {
        "a": "failed",
        "b": "skipped",
        "m": "skipped",
        "c": "skipped",
        "d": "skipped",
        "free": "running",
        "p": "skipped",
    }
    bench.crash(lost=False)
    assert bench.done("free")[-1] == "run.ended failed"
    assert bench.ended.reason == "a: quarantined: wrong"


def test_after_the_end_a_quarantine_is_a_record() -> None:
    bench = Bench(plan_of({"a": {}, "b": {"needs": ["a"]}}))
    bench.done("a")
    bench.done("b")
    assert quarantine(bench, "a") == ["step.quarantined a"]
    assert quarantine(bench, "a") == []
    assert bench.statuses() == {"a": "passed", "b": "passed"}


def test_what_passed_again_after_a_patch_can_be_found_wrong_again() -> None:
    bench = Bench(plan_of({"a": {}, "free": {}}))
    bench.done("a", 1)
    quarantine(bench, "a")
    plan = bench.machine.state.plan.plan
    body = {"patch": 1, "base": plan.digest, "author": "ann", "reason": "r", "ops": [{"retry": {"step": "a"}}]}
    patch = Patch.model_validate(body)
    patched = f.PlanPatched(
        at_s=0.0, base=plan.digest, digest=plan.digest, author="ann", reason="r", patch=patch.canonical()
    )
    bench.tell(patched)
    bench.done("a", 2, attempt=2)
    assert quarantine(bench, "a") == ["step.quarantined a"]
    assert bench.statuses() == {"a": "failed", "free": "running"}


def test_a_sub_plan_of_a_step_that_a_patch_has_dropped_still_settles_its_account() -> None:
    child = {"name": "c", "steps": {"s": {"pool": "w", "call": "f"}}}
    bench = Bench(plan_of({"a": {}, "p": {"plan": child, "needs": ["a"]}, "free": {}, "last": {"finally": True}}))
    bench.done("a")
    quarantine(bench, "a")
    plan = bench.machine.state.plan.plan
    body = {"patch": 1, "base": plan.digest, "author": "ann", "reason": "r", "ops": [{"drop": {"id": "p"}}]}
    patch = Patch.model_validate(body)
    made = apply_patch(plan, patch, locked=())
    fact = f.PlanPatched(
        at_s=0.0, base=plan.digest, digest=made.digest, author="ann", reason="r", patch=patch.canonical()
    )
    assert bench.tell(fact) == ["plan.patched"]
    assert bench.machine.state.ledger.steps_reserved > 0
    late = f.ChildEnded(at_s=0.0, step="p", attempt=1, child="R.p", status="cancelled", usd=0.25, tokens=0, steps=1)  # type: ignore[arg-type]  # ids
    assert bench.tell(late) == ["child.ended p#1 cancelled"]
    assert (bench.machine.state.ledger.open, bench.machine.state.ledger.usd) == ({}, 0.25)


# ---- results


def test_without_a_result_every_passed_output_is_one() -> None:
    bench = Bench(plan_of({"a": {}, "b": {"if": "false"}, "c": {"on_fail": ["gap"]}}))
    bench.done("a", 5)
    assert bench.fail("c")[-1] == "run.ended degraded"
    assert bench.ended.output == {"a": 5}


def test_a_failure_beside_the_result_degrades_and_one_before_it_fails() -> None:
    steps = {"a": {}, "b": {}, "c": {"needs": ["b"]}}
    bench = Bench(plan_of(steps, result={"x": "${{ steps.a.output }}"}))
    bench.fail("b")
    assert bench.done("a")[-1] == "run.ended degraded"
    assert bench.ended.output == {"x": 1}
    bench = Bench(plan_of(steps, result="${{ steps.c.output }}"))
    bench.fail("b")
    assert bench.done("a")[-1] == "run.ended failed"
    assert bench.ended.reason == "b: boom"


# ---- reuse


def test_a_retry_takes_over_what_passed_and_runs_the_rest() -> None:
    steps = {
        "a": {},
        "m": {"foreach": {"over": "steps.a.output"}},
        "e": {"foreach": {"each": "m"}},
        "b": {"with": {"x": ["${{ steps.a.output }}", "${{ steps.m.output }}"]}},
        "last": {"finally": True},
    }
    bench = Bench(plan_of(steps, budget={"steps": 6}), start=False)
    bench.tell(bench.accepted)
    assert bench.tell(reused("a", [7, 8])) == ["step.reused a"]
    assert bench.tell(reused("a", [7, 8])) == []
    assert bench.tell(expanded("m", 7, 8)) == ["step.expanded m"]
    for branch, output in enumerate(("x", "y")):
        assert bench.tell(reused("m", output, branch)) == [f"step.reused m[{branch}]"]
        assert bench.tell(reused("m", output, branch)) == []
    assert sorted(bench.tell(bench.frozen)) == [
        "plan.frozen",
        "step.dispatched b#1 first",
        "step.dispatched e[0]#1 first",
        "step.dispatched e[1]#1 first",
        "step.expanded e",
        "step.passed m",
    ]
    assert bench.tell(reused("b", 1)) == []
    bench.done("e", branch=0)
    bench.done("e", branch=1)
    assert bench.done("b")[-1] == "step.dispatched last#1 first"
    assert bench.done("last")[-1] == "run.ended succeeded"
    assert (bench.ended.steps, bench.machine.state.finally_held) == (4, 0)


def test_a_finally_step_that_is_taken_over_holds_no_step_back() -> None:
    bench = Bench(plan_of({"a": {}, "last": {"finally": True}}, budget={"steps": 1}), start=False)
    bench.tell(bench.accepted)
    bench.tell(reused("last", 1))
    assert story(bench.all, "last")[-2].text == "taken over from run old, where it passed: d"
    bench.tell(bench.frozen)
    assert bench.done("a")[-1] == "run.ended succeeded"


def reused(step: str, output: object, branch: int = -1) -> f.StepReused:
    return f.StepReused(at_s=0.0, step=step, branch=branch, digest="d", source="old", output=output)  # type: ignore[arg-type]  # ids, JSON


def expanded(step: str, *items: JsonValue) -> f.StepExpanded:
    return f.StepExpanded(at_s=0.0, step=StepId(step), count=len(items), items=list(items))


def test_a_map_is_taken_over_before_what_follows_it_branch_by_branch() -> None:
    plan = plan_of({"u": {}, "a": {"foreach": {"over": [1]}}, "m": {"foreach": {"each": "a"}}})
    bench = Bench(plan, start=False)
    bench.tell(bench.accepted)
    whole = (reused("a", [1]), reused("m", [1]))  # only branch by branch
    for wrong in (*whole, reused("none", 1), reused("u", 1, branch=0), expanded("u", 1), expanded("m", 1)):
        with pytest.raises(IllegalTransition):
            bench.tell(wrong)
    bench.tell(expanded("a", 1))
    assert bench.tell(expanded("m", 1)) == ["step.expanded m"]
    assert bench.tell(expanded("m", 1)) == []
    with pytest.raises(IllegalTransition):
        bench.tell(reused("m", [1]))


def test_a_step_is_taken_over_although_what_was_skipped_before_it_is_looked_at_again() -> None:
    bench = Bench(plan_of({"a": {"if": "1 > 2"}, "b": {"needs": ["a"]}}), start=False)
    bench.tell(bench.accepted)
    assert bench.tell(reused("b", 7)) == ["step.reused b"]
    assert bench.tell(bench.frozen) == ["plan.frozen", "step.skipped a condition", "run.ended succeeded"]


# ---- late and impossible


def test_a_late_duplicate_of_anything_is_no_news() -> None:
    bench = Bench(plan_of({"a": {"checks": [{"call": "look"}]}, "b": {"needs": ["a"]}}))
    where = {"step": "a", "attempt": 1}
    started = f.StepStarted(at_s=0.0, **where)  # type: ignore[arg-type]  # the two names
    assert bench.tell(started) == ["step.started a#1"]
    assert bench.tell(started) == []
    progress = f.StepProgress(at_s=0.0, fraction=0.5, **where)  # type: ignore[arg-type]  # same
    assert bench.tell(progress) == ["step.progress a#1"]
    tool = f.ToolCalled(at_s=0.0, tool="t", result=1, **where)  # type: ignore[arg-type]  # same
    assert bench.tell(tool) == ["tool.called a#1"]
    assert bench.tell(tool) == []
    fruitless = f.ToolFailed(at_s=0.0, tool="t", error="timeout", **where)  # type: ignore[arg-type]  # same
    assert bench.tell(fruitless) == ["tool.failed a#1"]
    tripped = f.GuardTripped(at_s=0.0, guard="g", stage="tool_result", verdict="signal", **where)  # type: ignore[arg-type]  # same
    assert bench.tell(tripped) == ["guard.tripped a#1"]
    bench.done("a")
    bench.judge("a", "pass")
    adopted = f.RunAdopted(at_s=0.0, epoch=2)
    assert bench.tell(adopted) == ["run.adopted"]
    late: list[Input] = [
        bench.accepted,
        bench.frozen,
        adopted,
        started,
        progress,
        fruitless,
        tool,
        tripped,
        f.LeaseLost(at_s=0.0, **where),  # type: ignore[arg-type]  # same
        TimerFired(kind="attempt", at_s=9e9, **where),  # type: ignore[arg-type]  # same
        TimerFired(kind="backoff", at_s=9e9, **where),  # type: ignore[arg-type]  # same
        TimerFired(kind="approval", at_s=9e9, **where),  # type: ignore[arg-type]  # same
        TimerFired(kind="approval", at_s=9e9),
        f.ApprovalAnswered(at_s=0.0, choice="x", **where),  # type: ignore[arg-type]  # same
        f.ApprovalAnswered(at_s=0.0, choice="x", step=f.NO_STEP),
        f.ReplanRefused(at_s=0.0, reason="x", **where),  # type: ignore[arg-type]  # same
        f.BudgetReserved(at_s=0.0, charge="r", **where),  # type: ignore[arg-type]  # same
        *[fact for fact in bench.all if isinstance(fact, f.StepProduced | f.CheckVerdict)],
    ]
    for event in late:
        assert bench.tell(event) == []
    bench.done("b")
    bench.crash()
    for event in late:
        assert bench.tell(event) == []


def test_what_cannot_be_is_our_bug_and_changes_nothing() -> None:
    bench = Bench(
        plan_of(
            {"a": {"checks": [{"call": "x"}, {"call": "y"}]}, "g": {"checks": [{"agree": {"runs": 2, "quorum": 2}}]}}
        )
    )
    plan = bench.plan
    other = plan_of({"b": {}})
    wrong: list[tuple[Input, str]] = [
        (
            f.StepPassed(at_s=0.0, step="a", digest="d"),
            "StepPassed, which only the machine makes met the run in state any",
        ),  # type: ignore[arg-type]  # ids
        (f.LeaseLost(at_s=0.0, step="none", attempt=1), "LeaseLost met none in state unknown"),  # type: ignore[arg-type]  # same
        (f.LeaseLost(at_s=0.0, step="a", branch=3, attempt=1), "LeaseLost met a in state unknown"),  # type: ignore[arg-type]  # same
        (f.LeaseLost(at_s=0.0, step="a", attempt=2), "LeaseLost of attempt 2 met a in state running in attempt 1"),  # type: ignore[arg-type]  # same
        (
            f.LeaseLost(at_s=0.0, step="a", attempt=1, sample=1),
            "LeaseLost of attempt 1, sample 1 met a in state one sample",
        ),  # type: ignore[arg-type]  # same
        (f.LeaseLost(at_s=0.0, step="g", attempt=1, sample=5), "sample 5 met g in state 2 samples"),  # type: ignore[arg-type]  # same
        (
            f.CheckVerdict(at_s=0.0, step="a", attempt=1, check=1, name="call", verdict="pass", digest="d"),
            "verdict of check 1 met a in state running",
        ),  # type: ignore[arg-type]  # same
        (
            f.ChildEnded(at_s=0.0, step="a", attempt=1, child="R.x", status="failed", usd=0, tokens=0, steps=0),
            "end of R.x met a in state without this sub-plan",
        ),  # type: ignore[arg-type]  # same
        (
            f.RunAccepted(
                at_s=0.0,
                run="S",
                plan="p",
                plan_digest="d",
                request_digest="d",
                machine=1,
                origin="S",
                usd=1,
                tokens=1,
                wall_s=1,
                steps=1,
                inputs={},
            ),
            "acceptance of S met the run in state run R",
        ),  # type: ignore[arg-type]  # same
    ]
    for event, said in wrong:
        before = repr(bench.machine.state)
        with pytest.raises(IllegalTransition) as raised:
            bench.machine.handle(event)
        assert str(raised.value) == said
        assert repr(bench.machine.state) == before
        assert bench.machine.facts() == []
    bench.done("a")
    with pytest.raises(IllegalTransition, match="verdict of check 2 met a in state check 1"):
        bench.judge("a", "pass", 2)
    machine = RunMachine(compile_plan(plan))
    with pytest.raises(IllegalTransition):
        machine.handle(f.PlanFrozen(at_s=0.0, digest=plan.digest, plan={}))
    machine.handle(bench.accepted)
    with pytest.raises(IllegalTransition):
        machine.handle(f.PlanFrozen(at_s=0.0, digest=other.digest, plan={}))


def test_what_expressions_may_ask_of_the_run_itself() -> None:
    names = ("id", "origin_id", "cost_usd", "tokens", "steps", "tenant", "lane", "plan")
    bench = Bench(plan_of({"a": {"with": {name: f"${{{{ run.{name} }}}}" for name in names}}}))
    assert bench.dispatches()[0].args == {
        "id": "R",
        "origin_id": "R",
        "cost_usd": 0.0,
        "tokens": 0,
        "steps": 0,
        "tenant": "default",
        "lane": "normal",
        "plan": "p",
    }
    state = bench.machine.state
    views = [state.scope["run"], state.scope["steps"], state.scope["steps"]["a"]]  # type: ignore[index]  # a mapping
    assert [len(view) for view in views] == [len(list(view)) for view in views] == [8, 1, 8]  # type: ignore[arg-type]  # same
    for view in (views[0], views[2]):
        with pytest.raises(KeyError):
            view["none"]
    assert RunMachine(compile_plan(bench.plan)).state.run_id == ""
    assert state.run_id == "R"


# ---- recovery


def test_a_machine_that_is_held_takes_in_what_comes_and_sends_nothing() -> None:
    steps = {
        "a": {},
        "b": {"needs": ["a"]},
        "c": {"checks": [{"call": "look"}]},
        "d": {"on_fail": [{"retry": 1}]},
    }
    bench = Bench(plan_of(steps))
    machine = bench.machine
    machine.hold()
    told = [*bench.all]
    for event in (
        f.StepProduced(at_s=0.0, step="a", attempt=1, digest="d", output=1),  # type: ignore[arg-type]  # ids
        f.StepProduced(at_s=0.0, step="c", attempt=1, digest="d", output=1),  # type: ignore[arg-type]  # ids
        f.AttemptFailed(at_s=0.0, step="d", attempt=1, error="boom"),  # type: ignore[arg-type]  # an id
    ):
        assert machine.handle(event) == []
        told += machine.facts()
    assert words(told[len(bench.all) :]) == [
        "step.produced a#1",
        "check.verdict a#1 schema pass",
        "step.passed a#1",
        "step.produced c#1",
        "check.verdict c#1 schema pass",
        "attempt.failed d#1 boom",
        "step.rejected d#1",
    ]
    bench.all = told
    assert sorted(bench.crash(lost=False)) == [
        "step.dispatched b#1 first",
        "step.dispatched c#1 check 1",
        "step.dispatched d#2 ladder",
    ]


def test_what_is_outstanding_can_be_asked_of_a_machine_at_any_time() -> None:
    bench = Bench(plan_of({"a": {"with": {"x": 1}}, "b": {"with": {"x": 2}}}))
    assert bench.machine.outstanding(0.0) == bench.dispatches()


def test_after_a_crash_the_same_tasks_are_sent_again_or_their_workers_are_lost() -> None:
    agree = {"checks": [{"agree": {"runs": 3, "quorum": 2}}]}
    bench = Bench(
        plan_of(
            {
                "a": {"with": {"x": 1}},
                "g": agree,
                "b": {"on_fail": [{"replan": "step"}]},
                "c": {},
                "d": {"checks": [{"call": "look"}]},
                "h": {"human": {"ask": "?", "choices": ["x"]}},
            }
        )
    )
    bench.done("g", sample=1)
    bench.fail("b")
    bench.fail("c", "provider")
    bench.done("d", 5)
    assert bench.crash(lost=False) == []
    sent = [(type(each).__name__, getattr(each, "step", ""), getattr(each, "sample", 0)) for each in bench.commands]
    assert sent == [
        ("Dispatch", "a", 0),
        ("Dispatch", "g", 0),
        ("Dispatch", "g", 2),
        ("AskReplan", "b", 0),
        ("SetTimer", "c", 0),
        ("Dispatch", "d", 0),
        ("SetTimer", "h", 0),
        ("SetTimer", "", 0),
    ]
    assert bench.dispatches()[0].args == {"x": 1}
    assert bench.crash(lost=True) == ["lease.lost a#1", "step.dispatched a#2 lost"]
    assert [(d.step, d.sample) for d in bench.dispatches()] == [("a", 0), ("a", 0), ("g", 0), ("g", 2), ("d", 0)][1:]


def test_a_crash_between_the_samples_of_an_attempt_sends_the_others_too() -> None:
    bench = Bench(plan_of({"g": {"checks": [{"agree": {"runs": 3, "quorum": 2}}]}}))
    assert bench.crash(lost=False, keep=3) == ["step.dispatched g#1.1 lost", "step.dispatched g#1.2 lost"]
    assert [d.sample for d in bench.dispatches()] == [0, 1, 2]


def test_a_refusal_that_was_journaled_stands_after_a_crash() -> None:
    bench = Bench(plan_of({"a": {"checks": [{"call": "look"}]}}))
    bench.done("a")
    bench.judge("a", "reject", 1, "no")
    keep = 1 + next(at for at, fact in enumerate(bench.all) if isinstance(fact, f.CheckVerdict) and fact.name == "call")
    assert bench.crash(keep=keep) == ["step.rejected a#1 terminal", "step.failed a#1 no", "run.ended failed"]


def test_nothing_is_decided_about_a_run_whose_inputs_have_lost_their_value_and_a_check_without_one_refuses() -> None:
    plan = plan_of({"a": {"with": {"x": "${{ steps.b.output.k }}"}, "join": "any"}, "b": {}, "c": {}})
    bench = Bench(plan)
    bench.done("b", {"k": 1})
    before = list(bench.all)
    bench.all = [fact if not isinstance(fact, f.StepProduced) else _without(fact) for fact in bench.all]
    with pytest.raises(ExpressionError, match=r"steps\.b\.output"):
        bench.crash()
    assert bench.machine.facts() == []
    bench.all = before
    assert bench.crash(lost=False) == []
    check = {"checks": [{"call": "look", "with": {"x": "${{ steps.b.output.k }}"}}]}
    bench = Bench(plan_of({"a": check, "b": {}, "c": {}}))
    bench.done("b", {"k": 1})
    bench.done("a")
    bench.all = [
        fact if not isinstance(fact, f.StepProduced) or fact.step == "a" else _without(fact) for fact in bench.all
    ]
    assert bench.crash()[:2] == ["check.verdict a#1 call check_broken", "step.rejected a#1"]


def _without(fact: f.StepProduced) -> f.StepProduced:
    """A record whose payload was deleted."""
    return f.StepProduced(at_s=fact.at_s, step=fact.step, attempt=fact.attempt, digest=fact.digest, output=None)
