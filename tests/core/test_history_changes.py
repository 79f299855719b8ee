"""Journals with a planted breach in what a run takes over, patches, takes back and spends: each is named whole."""

from dataclasses import replace

from orchestrator.core import facts as f
from orchestrator.core.invariants import check_history
from orchestrator.ids import StepId
from orchestrator.plan.compiled import compile_plan
from orchestrator.plan.models import Plan
from orchestrator.plan.patch import Patch, apply_patch
from tests.core.bench import Bench, plan_of
from tests.core.journals import ACCEPTED, CHILD, MADE_A, PAIR, RULE_A, SENT_B, A, D, at, changed, pair, said, sent

# ---- what is taken over, patched, taken back


def test_what_is_taken_over_has_passed_branch_by_branch_and_may_not_be_sent_again() -> None:
    steps = {"a": {}, "m": {"foreach": {"over": [0, 1]}}, "e": {"foreach": {"each": "m"}}, "b": {"needs": ["a", "m"]}}
    bench = Bench(plan_of(steps), start=False)
    bench.tell(bench.accepted)
    bench.tell(f.StepExpanded(at_s=0.0, step=StepId("m"), count=2, items=[0, 1]))
    for step, branch, output in (("a", -1, 1), ("m", 0, "x"), ("m", 1, "y")):
        where = {"step": StepId(step), "branch": branch}
        bench.tell(f.StepReused(at_s=0.0, **where, digest=D, source=bench.accepted.run, output=output))  # type: ignore[arg-type]  # the two names
    bench.tell(bench.frozen)
    assert at(bench, f.StepDispatched, "b") < len(bench.all)  # and all is well
    place = len(bench.all) + 1
    for again, where in ((sent("a"), "a[-1]"), (replace(sent("m"), branch=1), "m[1]")):
        assert said([*bench.all, again]) == [
            f"{place} {where} dispatch.settled: step.dispatched where the status is passed"
        ]
    late = f.StepReused(at_s=0.0, step=StepId("m"), branch=1, digest=D, source=bench.accepted.run, output="y")
    assert said([*bench.all, late]) == [f"{place} m[1] edge: step.reused where the status is passed"]
    second = at(bench, f.StepReused, "m", 1)
    less = [fact for index, fact in enumerate(bench.all) if index != second]
    found = said(less[: at(bench, f.StepDispatched, "e", 1)])
    assert f"{at(bench, f.StepDispatched, 'e', 1)} e[1] dispatch.early: it waits for m" in found
    whole = changed(bench.all, at(bench, f.StepReused, "a"), step=StepId("e"))
    place = at(bench, f.PlanFrozen) + 1
    assert said(whole[:place]) == [f"{place} [-1] edge: e was taken over without its branches"]


def patched(plan: Plan, *ops: object, asked_by: str | None = None) -> f.PlanPatched:
    """A patch as it stands in a journal."""
    body = {"patch": 1, "base": plan.digest, "author": "ann", "reason": "better", "ops": list(ops)}
    patch = Patch.model_validate(body)
    made = apply_patch(plan, patch, locked=())
    return f.PlanPatched(
        at_s=0.0,
        base=plan.digest,
        digest=made.digest,
        author="ann",
        reason="better",
        asked_by=StepId(asked_by) if asked_by is not None else None,
        patch=patch.canonical(),
    )


def simple(step: str, **keys: object) -> dict[str, object]:
    """A replacement."""
    return {"replace": {"id": step, "step": {"pool": "w", "call": "f", **keys}}}


def test_a_patch_may_touch_nothing_that_has_passed_whoever_asked_for_it() -> None:
    bench = Bench(plan_of({"a": {}, "b": {}}))
    bench.done("a")
    place = len(bench.all) + 1
    patch = patched(bench.plan, simple("a", timeout={"attempt": "9s"}))
    assert said([*bench.all, patch]) == [f"{place} [-1] patch.locked: a has passed"]
    assert said([*bench.all, replace(patch, asked_by=A)]) == [f"{place} [-1] patch.locked: a has passed"]
    assert said([*bench.all, patched(bench.plan, {"add": {"id": "c", "step": {"pool": "w", "call": "f"}}})]) == []


def test_after_a_patch_attempts_count_on_and_what_was_dropped_need_not_settle() -> None:
    steps = {
        "a": {"on_fail": [{"replan": "step"}]},
        "b": {"needs": ["a"]},
        "m": {"foreach": {"over": [0, 1]}, "on_fail": [{"replan": "step"}]},
        "e": {"foreach": {"each": "m"}},
    }
    bench = Bench(plan_of(steps))
    bench.fail("a")
    patch = patched(bench.plan, simple("a"), {"drop": {"id": "b"}}, asked_by="a")
    bench.tell(patch)
    resent = at(bench, f.StepDispatched, "a", 1)
    assert bench.all[resent].attempt == 2  # type: ignore[attr-defined]  # a dispatch
    assert said(changed(bench.all[: resent + 1], resent, attempt=1)) == [
        f"{resent + 1} a[-1] attempt.order: attempt 1 follows 1"
    ]
    assert said([*bench.all, sent("b")]) == []  # of a step that the plan does not know, nothing but its moves is judged
    bench.done("a")
    bench.done("m", branch=0)
    bench.done("m", branch=1)
    bench.done("e", branch=0)
    bench.done("e", branch=1)
    assert bench.ended.status == "succeeded"


def test_a_patch_turns_a_mapped_step_into_a_plain_one_and_a_plain_one_into_a_mapped_one() -> None:
    mapped = {"foreach": {"over": [0, 1]}}
    bench = Bench(plan_of({"a": mapped, "c": {}, "z": {}}))
    bench.fail("a", branch=0)
    bench.fail("a", branch=1)
    bench.fail("c")
    before = len(bench.all) + 1
    bench.tell(patched(bench.plan, simple("a"), simple("c", **mapped)))
    for step, branch in (("a", -1), ("c", 1)):
        index = at(bench, f.StepDispatched, step, 2)
        one = bench.all[index]
        assert isinstance(one, f.StepDispatched)
        assert (index >= before, one.branch, one.attempt) == (True, branch, 2)
        assert said(changed(bench.all[: index + 1], index, attempt=1)) == [
            f"{index + 1} {step}[{branch}] attempt.order: attempt 1 follows 1"
        ]


def test_a_patch_sends_a_step_that_waits_back_to_its_ladder() -> None:
    bench = Bench(plan_of({"a": {"on_fail": [{"replan": "step"}]}, "b": {}}))
    bench.fail("a")
    waits = [*bench.all, f.StepRejected(at_s=0.0, step=A, attempt=1)]
    assert said(waits) == [f"{len(waits)} a[-1] edge: step.rejected where the status is waiting"]
    patch = patched(bench.plan, {"add": {"id": "c", "step": {"pool": "w", "call": "f"}}})
    assert said([*bench.all, patch, f.StepRejected(at_s=0.0, step=A, attempt=1)]) == []


def test_what_was_skipped_for_a_failure_is_looked_at_again_after_a_patch_and_a_condition_is_not() -> None:
    steps = {
        "a": {},
        "b": {"needs": ["a"]},
        "n": {"if": "inputs.n"},
        "m": {"foreach": {"over": [0]}, "needs": ["a"]},
        "z": {},
    }
    bench = Bench(plan_of(steps, inputs={"n": {}}), {"n": False})
    bench.fail("a")
    patch = patched(bench.plan, simple("a"), asked_by="a")
    facts = [*bench.all, patch]
    place = len(facts) + 1
    assert said([*facts, sent("a", 2), sent("b")]) == [f"{place + 1} b[-1] dispatch.early: it waits for a"]
    assert said([*facts, sent("n")]) == [f"{place} n[-1] dispatch.settled: step.dispatched where the status is skipped"]
    expanded = f.StepExpanded(at_s=0.0, step=StepId("m"), count=1, items=[0])
    assert said([*facts, expanded]) == [f"{place} m[-1] dispatch.early: it waits for a"]
    assert said([*bench.all, expanded])[0] == f"{place - 1} m[-1] edge: step.expanded where the status is skipped"


def test_what_a_quarantine_took_back_has_not_passed_any_more() -> None:
    steps = {"a": {}, "b": {"needs": ["a"]}, "m": {"foreach": {"over": [0]}, "needs": ["a"]}, "z": {}}
    bench = Bench(plan_of(steps))
    bench.done("a")
    bench.done("b")
    bench.tell(f.StepQuarantined(at_s=0.0, actor="ann", step=A, reason="wrong"))
    place = len(bench.all) + 1
    for step, status in (("a", "failed"), ("b", "skipped")):
        assert said([*bench.all, sent(step, 2)]) == [
            f"{place} {step}[-1] dispatch.settled: step.dispatched where the status is {status}"
        ]
    assert said([*bench.all, replace(sent("m", 2), branch=0)]) == [
        f"{place} m[0] dispatch.settled: step.dispatched where the status is skipped"
    ]
    expanded = f.StepExpanded(at_s=0.0, step=StepId("m"), count=1, items=[0])
    assert said([*bench.all, expanded])[0] == f"{place} m[-1] edge: step.expanded where the status is skipped"
    bench.done("z")
    assert bench.ended.status == "failed"


def test_only_what_has_passed_is_taken_back_and_what_was_built_on_it_had_begun() -> None:
    bench = Bench(plan_of({"a": {}, "b": {"needs": ["a"]}, "m": {"foreach": {"over": [0]}, "needs": ["b"]}, "z": {}}))
    place = len(bench.all) + 1
    early = f.StepQuarantined(at_s=0.0, actor="ann", step=A, reason="wrong")
    assert said([*bench.all, early]) == [
        f"{place} a[-1] edge: a is taken back, and it has not passed",
        f"{place} a[-1] edge: a becomes failed where the status is running",
    ]
    bench.done("a")
    assert said([*bench.all, early]) == []
    bench.done("b")
    bench.done("m", branch=0)
    place = len(bench.all) + 1
    whole = replace(early, affected=(StepId("b"), StepId("m")))
    assert said([*bench.all, whole]) == []
    assert said([*bench.all, replace(whole, step=StepId("z"), affected=())])[0] == (
        f"{place} z[-1] edge: z is taken back, and it has not passed"
    )
    gone = [*bench.all, whole, replace(whole, step=StepId("b"), affected=(StepId("m"),))]
    assert said(gone) == [
        f"{place + 1} b[-1] edge: b is taken back, and it has not passed",
    ]


# ---- samples and checks, and a plan that nobody knows


def test_a_sample_and_the_call_of_a_check_are_no_attempts() -> None:
    bench = Bench(plan_of({"a": {"checks": [{"call": "look"}]}}))
    bench.done("a", "x")
    check = at(bench, f.StepDispatched, "a", 1)
    assert bench.all[check] == bench.made[-1]
    bench.judge("a", "pass")
    assert bench.ended.status == "succeeded"
    assert said(changed(bench.all[: check + 1], check, purpose="work")) == [
        f"{check + 1} a[-1] attempt.order: attempt 1 follows 1"
    ]
    assert said([*PAIR[:MADE_A], sent("a", 1, sample=1)]) == []


def test_without_its_plan_a_journal_is_judged_by_its_moves_alone() -> None:
    bench = Bench(plan_of({"a": {}, "m": {"foreach": {"over": [0]}, "needs": ["a"]}}))
    bench.done("a")
    bench.done("m", branch=0)
    assert bench.ended.status == "succeeded"
    facts = [replace(fact, plan={}) if isinstance(fact, f.PlanFrozen) else fact for fact in bench.all]
    assert said(facts) == []
    assert [v.what for v in check_history(facts, compile_plan(bench.plan))] == []
    patch = f.PlanPatched(at_s=0.0, base=D, digest=D, author="ann", reason="r", patch={"not": "read"})
    expanded = at(bench, f.StepExpanded, "m")
    assert said([*facts[:2], patch, facts[expanded]]) == []
    assert said([*facts[:2], patch, facts[expanded], facts[expanded]]) == [
        "5 m[-1] edge: step.expanded where the status is running"
    ]


# ---- money


def test_what_a_sub_plan_was_given_and_spent_is_booked_once_and_within_what_is_left() -> None:
    own = {"usd": 0.5, "tokens": 10, "steps": 2, "calls": 2}
    bench = Bench(
        plan_of({"p": {"plan": CHILD, "budget": own}, "last": {"finally": True, "plan": CHILD}}, budget={"calls": 5})
    )
    started = at(bench, f.ChildStarted, "p")
    bench.child("p", usd=0.25, tokens=4, calls=2)
    for values, names in (
        ({"usd": 2.0}, "usd"),
        ({"tokens": 10**9, "steps": 10**6}, "tokens, steps"),
        ({"calls": 6}, "calls"),
    ):
        assert said(changed(bench.all[: started + 1], started, **values)) == [
            f"{started + 1} p[-1] budget.reserved: more than is left of {names}"
        ]
    ended = bench.all[at(bench, f.ChildEnded, "p")]
    assert isinstance(ended, f.ChildEnded)
    assert said([*bench.all, ended]) == [f"{len(bench.all) + 1} p[-1] charge.once: {ended.child} is booked twice"]
    last = at(bench, f.ChildStarted, "last")
    assert said(changed(bench.all[: last + 1], last, usd=2.0)) == []  # the budget bars no `finally` step
    bench.child("last")
    end = at(bench, f.RunEnded)
    assert said(changed(bench.all, end, calls=3)) == [
        f"{end + 1} [-1] end.totals: the result says 4 steps, 4 tokens, 3 calls, 0.25 USD; the records 4, 4, 2, 0.25"
    ]


def test_calls_are_counted_and_what_a_person_adds_to_a_limit_is_room() -> None:
    called = f.ModelCalled(
        at_s=0.0, step=A, attempt=1, model="m", outcome="ok", usd=0.5, tokens_in=3, tokens_out=4, charge="x"
    )
    told = "0.5 USD, 7 tokens and 1 calls"
    wall = f.LimitExtended(at_s=0.0, limit="wall", by=1.0)
    for limit, least in (("usd", 0.5), ("tokens", 7), ("calls", 1)):
        spent = [*PAIR[:MADE_A], called, *PAIR[MADE_A:SENT_B]]
        spent = changed(spent, ACCEPTED, **{limit: least})
        place = len(spent) + 1
        assert said([*spent, PAIR[SENT_B]]) == [f"{place} b[-1] budget.spent: {told} were spent before"]
        more = f.LimitExtended(at_s=0.0, limit=limit, by=1.0)  # type: ignore[arg-type]  # one of the literals
        assert said([*spent, more, PAIR[SENT_B]]) == []
        assert said([*spent, wall, PAIR[SENT_B]]) == [f"{place + 1} b[-1] budget.spent: {told} were spent before"]
    steps = changed(PAIR[: SENT_B + 1], ACCEPTED, steps=1)
    assert said(steps) == [f"{SENT_B + 1} b[-1] budget.steps: dispatch 2 of 1, 0 set aside"]
    assert said([*steps[:-1], f.LimitExtended(at_s=0.0, limit="steps", by=1.0), steps[-1]]) == []
    none = changed(PAIR[: SENT_B + 1], ACCEPTED, usd=0.0, tokens=0, calls=0)
    assert said(none) == []  # who may spend nothing may send work that costs nothing
    assert said([*steps[:-1], wall, steps[-1]]) == [f"{SENT_B + 2} b[-1] budget.steps: dispatch 2 of 1, 0 set aside"]
    assert said([*PAIR[:MADE_A], called, called]) == ["5 a[-1] charge.once: x is booked twice"]


def test_what_nobody_settled_is_in_the_totals_and_what_a_check_cost_is_too() -> None:
    reserved = f.BudgetReserved(at_s=0.0, step=A, attempt=1, charge="r", usd=0.25, tokens=5)
    dear = changed([*PAIR[:MADE_A], reserved, *PAIR[MADE_A:]], RULE_A + 1, usd=0.5, tokens=1)
    assert said(dear) == [
        "14 [-1] end.totals: the result says 2 steps, 0 tokens, 0 calls, 0 USD; the records 2, 6, 1, 0.75"
    ]
    assert said(changed(dear, len(dear) - 1, tokens=6, calls=1, usd=0.75)) == []


def test_after_a_limit_of_money_only_the_steps_of_the_result_may_start_from_the_share_kept_for_them() -> None:
    def journal(result: str | None, closing: float, limit: str, policy: str) -> list[str]:
        keys = {} if result is None else {"result": result}
        facts = pair(budget={"closing": closing}, **keys).all
        hit = f.LimitHit(at_s=0.0, limit=limit, policy=policy)  # type: ignore[arg-type]  # of the literals
        return said([*facts[:SENT_B], hit, facts[SENT_B]])

    written = "${{ steps.b.output }}"
    barred = "9 b[-1] limit.dispatch: a first dispatch after the limit"
    assert journal(written, 0.2, "usd", "degrade") == []
    assert journal(written, 0.2, "usd", "stop") == [f"{barred} usd"]
    assert journal(written, 0.2, "wall", "degrade") == [f"{barred} wall"]
    assert journal(written, 0.0, "usd", "degrade") == [f"{barred} usd"]
    assert journal(None, 0.2, "usd", "degrade") == [f"{barred} usd"]
    assert journal("${{ steps.a.output }}", 0.2, "usd", "degrade") == [f"{barred} usd"]
    assert journal(None, 0.0, "usd", "ask") == []  # a person is asked, and what is sent meanwhile is not barred
