"""Rules that could be changed without any other test of the core noticing: each was found by `tools/mutate.py`."""

import dataclasses
import hashlib
from dataclasses import replace

import pytest

from orchestrator.core import facts as f
from orchestrator.core.codec import LAYOUTS, UPCASTERS, Parts
from orchestrator.core.costs import Costs, Forecast
from orchestrator.core.history import check_history
from orchestrator.core.policy import backoff_s
from orchestrator.core.route import RouteAnswer, RouteQuestion
from orchestrator.core.standing import Standing
from orchestrator.core.story import story
from orchestrator.core.summary import tally
from orchestrator.ids import RunId, StepId
from orchestrator.plan.parts import Retry
from orchestrator.ports.journal import Recorded
from tests.core.bench import RUN, Bench, plan_of
from tests.core.test_news import OTHER, PLAN, patched
from tests.core.test_summary import Held

A = StepId("a")


@pytest.mark.parametrize(("version", "kind"), sorted(UPCASTERS))
def test_what_a_version_did_not_say_is_what_a_fact_says_by_default(version: int, kind: str) -> None:
    added = UPCASTERS[version, kind](Parts(kind=kind, header=(), payload=None)).header
    layout = LAYOUTS[kind]
    defaults = {field.name: field.default for field in dataclasses.fields(layout.cls)}
    assert [repr(value) for value in added] == [repr(defaults[name]) for name in layout.header[-len(added) :]]


# ---- costs


def called(charge: str = "c", attempt: int = 1, **more: object) -> f.ModelCalled:
    values: dict = {"usd": 0.5, "tokens_in": 5, "tokens_out": 7, "tokens_cached": 2, "charge": charge} | more
    return f.ModelCalled(at_s=1.0, step=A, attempt=attempt, model="m", outcome="ok", **values)


def costs_of(*facts: f.Fact) -> Costs:
    costs = Costs()
    for fact in facts:
        costs.add(Bench(plan_of({"a": {}})).accepted, fact)
    return costs


def test_a_charge_is_booked_once_on_the_pool_that_the_attempt_was_sent_to() -> None:
    sent = next(fact for fact in Bench(plan_of({"a": {}})).all if isinstance(fact, f.StepDispatched))
    costs = costs_of(sent, called(), called(), called("d"), called("e", served="exact", usd=0.0))
    whole = {"usd": 1.0, "tokens": 36, "tokens_cached": 6, "calls": 2, "served": 1}
    assert {name: costs.by["pool"]["w"].document()[name] for name in whole} == whole
    assert {name: costs.total.document()[name] for name in whole} == whole
    assert set(costs.by["pool"]) == {"w"}
    assert set(costs_of(called(attempt=2)).by["pool"]) == {"(none)"}


def test_a_forecast_says_its_range_where_there_is_one() -> None:
    plain = Forecast(runs=0, usd=None, steps={}, unknown=("a",))
    assert plain.document() == {"runs": 0, "usd": None, "steps": {}, "unknown": ["a"]}
    known = replace(plain, runs=3, usd=(1.0, 2.0, 3.0), steps={"a": (0.5, 3)}, unknown=())
    assert known.document() == {
        "runs": 3,
        "usd": {"p10": 1.0, "p50": 2.0, "p90": 3.0},
        "steps": {"a": {"usd_mean": 0.5, "runs": 3}},
        "unknown": [],
    }


# ---- the machine


def test_only_a_patch_that_a_step_asked_for_counts_among_the_replans() -> None:
    by_hand, asked = Bench(PLAN), Bench(PLAN)
    by_hand.tell(replace(patched(PLAN, OTHER), asked_by=None))
    asked.done("a", 2)
    asked.tell(patched(PLAN, OTHER))
    assert (by_hand.machine.state.replans, asked.machine.state.replans) == (0, 1)


def test_each_rung_has_all_tries_of_its_surroundings_anew() -> None:
    bench = Bench(
        plan_of({"a": {"retry": {"attempts": 2}, "on_fail": [{"retry": 1}], "checks": [{"rule": "output > 1"}]}})
    )
    bench.fail("a", "provider")
    bench.now = 100.0
    bench.timer("backoff", "a")
    bench.done("a", 1)  # refused: the ladder's one retry
    assert bench.machine.state.step(A).unit.tries == 1  # type: ignore[union-attr]  # it is there
    assert bench.fail("a", "provider")[1].startswith("step.backoff a#3")


def test_tokens_of_a_unit_add_up_and_what_is_left_is_never_below_zero() -> None:
    bench = Bench(
        plan_of({"a": {"checks": [{"rule": "output > 1"}], "on_fail": [{"retry": 1}]}}, budget={"tokens": 10})
    )
    bench.done("a", 1, tokens=4)
    state = bench.machine.state
    assert (state.step(A).unit.tokens, state.ledger.tokens_left) == (4, 6)  # type: ignore[union-attr]
    bench.done("a", 2, tokens=9)
    assert (state.ledger.tokens, state.ledger.tokens_left) == (13, 0)


def test_what_a_recovery_finds_lost_is_lost_now() -> None:
    bench = Bench(plan_of({"a": {}}))
    bench.now = 50.0
    bench.crash(lost=True)
    assert [fact.at_s for fact in bench.made if isinstance(fact, f.LeaseLost)] == [50.0]


def test_a_wait_doubles_exactly_up_to_its_most_and_is_at_least_half_of_that() -> None:
    retry = Retry.model_validate({"attempts": 9, "backoff": "1s..30s"}).backoff
    waits = [backoff_s(retry, tries, "salt") for tries in range(1, 9)]
    drawn = int.from_bytes(hashlib.sha256(b"salt").digest()[:8]) / 2**64
    share = 0.5 + 0.5 * drawn  # of the ceiling
    assert waits == pytest.approx([share * ceiling for ceiling in (1, 2, 4, 8, 16, 30, 30, 30)])


# ---- routing


@pytest.mark.parametrize(("where", "tools"), [("tool_results", True), ("inputs", False)])
def test_routing_is_asked_with_what_the_step_is_given_and_may_leave_it_as_it_is(where: str, tools: bool) -> None:
    step = {
        "task": "Say ${{ inputs.x }}",
        "model": {"tier": "auto"},
        "checks": [{"grounded": {"field": "urls", "in": where}}],
    }
    bench = Bench(plan_of({"a": step}, inputs={"x": {}}), {"x": "hello"}, start=False)
    asked: list[RouteQuestion] = []

    def route(question: RouteQuestion) -> RouteAnswer | None:
        asked.append(question)
        return None

    bench.machine.route_by(route)
    bench.tell(bench.accepted)
    assert bench.tell(bench.frozen) == [
        "plan.frozen",
        "step.dispatched a#1 first",
    ]  # no choice is recorded where none was made
    assert [(one.instruction, one.tools, one.checked) for one in asked] == [("Say hello", tools, True)]


def test_a_choice_tells_what_it_is_expected_to_cost() -> None:
    chosen = f.TierChosen(
        at_s=1.0, step=A, attempt=1, tier="cheap", advised="cheap", by="cascade", reason="so", usd_expected=0.0123
    )
    bench = Bench(plan_of({"a": {}}))
    (line,) = [one.text for one in story([bench.accepted, bench.frozen, chosen], "a") if "tier" in one.text]
    assert line == "begins with tier cheap: so (cascade) at about 0.012 USD"


# ---- what is told of a run


def test_a_step_that_a_worker_has_begun_waits_for_that_worker() -> None:
    bench = Bench(plan_of({"a": {}, "m": {"foreach": {"over": [1, 2], "as": "x"}, "with": {"x": "${{ x }}"}}}))
    begun = f.StepStarted(at_s=1.0, actor="ada", step=A, attempt=1)
    standing = Standing(bench.machine.state.plan)
    for fact in (*bench.all, begun):
        standing.take(fact)
    assert standing.of_step(A, None) == "now: attempt 1 waits for worker ada"
    standing.take(replace(begun, actor=""))
    assert standing.of_step(A, None) == "now: attempt 1 waits for worker ada"
    assert "m[0] is running" in standing.of_run()


def test_a_mapped_step_whose_branch_is_sent_again_runs_and_a_step_tells_its_sub_plan() -> None:
    bench = Bench(plan_of({"m": {"foreach": {"over": [1, 2], "as": "x"}, "with": {"x": "${{ x }}"}}}))
    told = tally([Held(fact) for fact in bench.all])
    assert told.steps["m"].whole.status.value == "running"
    child = f.ChildStarted(at_s=2.0, step=A, attempt=1, child=RunId("R.a"), usd=1.0, tokens=1, wall_s=1.0, steps=1)
    single = Bench(plan_of({"a": {}}))
    assert tally([Held(fact) for fact in (*single.all, child)]).steps["a"].whole.child == "R.a"


def test_records_of_a_journal_are_checked_as_facts_are_and_by_their_place() -> None:
    bench = Bench(plan_of({"a": {}}))
    bench.done("a", 1)
    facts = [fact for fact in bench.all if not isinstance(fact, f.StepProduced)]  # accepted without an output

    def record(seq: int, fact: f.Fact) -> Recorded:
        return Recorded(run_id=RUN, seq=seq, epoch=1, fact=fact, prev_hash="", hash="")

    plain = check_history(facts)
    assert [one.rule for one in plain]
    assert check_history([record(seq, fact) for seq, fact in enumerate(facts, start=1)]) == plain
    shifted = check_history([record(seq, fact) for seq, fact in enumerate(bench.all, start=2)])
    assert [one.rule for one in shifted].count("seq") == len(bench.all)
