"""What runs cost by any side, what was spared, alarms and forecasts: from facts alone."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.core import costs as module
from orchestrator.core import facts as f
from orchestrator.core.costs import ALARM_FACTOR, Costs, alarms, forecast, rendered
from orchestrator.ids import StepId
from orchestrator.plan.files import parse_plan
from orchestrator.testing.facts import accepted

DAY_S = 86_400.0
RUN = accepted()


def called(charge: str, **changes: object) -> f.ModelCalled:
    plain = f.ModelCalled(
        at_s=10 * DAY_S,
        step=StepId("a"),
        attempt=1,
        model="m",
        outcome="ok",
        usd=0.2,
        tokens_in=30,
        tokens_out=10,
        charge=charge,
    )
    return replace(plain, **changes)  # type: ignore[arg-type]  # fields of the fact


def dispatched(step: str = "a", pool: str = "p") -> f.StepDispatched:
    return f.StepDispatched(at_s=0.0, step=StepId(step), attempt=1, pool=pool, digest="sha256:0")  # type: ignore[arg-type]  # a digest


def added(*facts: f.Fact, run: f.RunAccepted = RUN) -> Costs:
    costs = Costs()
    for fact in facts:
        costs.add(run, fact)
    return costs


def test_every_side_adds_up_and_a_charge_counts_once() -> None:
    at = {"at_s": 10 * DAY_S, "attempt": 1}
    verdict = f.CheckVerdict(
        **at, step=StepId("b"), check=1, name="judge", verdict="pass", digest="sha256:0", usd=0.1, tokens=3  # type: ignore[arg-type]  # fields
    )  # fmt: skip
    ended = f.ChildEnded(**at, step=StepId("a"), child="x.1", status="succeeded", usd=9.0, tokens=1, steps=1)  # type: ignore[arg-type]  # fields
    costs = added(
        dispatched(),
        called("1"),
        called("1"),
        called("2", model="n", at_s=11 * DAY_S, usd=0.3, tokens_cached=20),
        f.BudgetSettled(at_s=10 * DAY_S, step=StepId("a"), attempt=1, charge="3", usd=0.5, tokens=7),
        verdict,
        ended,
    )
    told = {side: {name: round(row.usd, 9) for name, row in rows.items()} for side, rows in costs.by.items()}
    assert told == {
        "run": {RUN.run: 1.1},
        "plan": {RUN.plan: 1.1},
        "step": {f"{RUN.plan}/a": 1.0, f"{RUN.plan}/b": 0.1},
        "model": {"m": 0.2, "n": 0.3, "(no model)": 0.6},
        "pool": {"p": 1.0, "(none)": 0.1},
        "tenant": {"default": 1.1},
        "day": {"1970-01-11": 0.8, "1970-01-12": 0.3},
    }
    total = costs.total
    assert (total.tokens, total.tokens_cached, total.calls, total.served) == (90, 20, 2, 0)


def test_what_was_spared_is_told_by_what_spared_it_against_what_it_would_have_cost() -> None:
    costs = added(
        called("1", usd=0.0, tokens_in=0, tokens_out=0, served="exact", saved_cache_usd=0.2),
        called("2", usd=0.05, saved_routing_usd=0.15, saved_compression_usd=0.1),
        called("3", usd=0.1, saved_batch_usd=0.1),
    )
    row = costs.by["model"]["m"].document()
    assert row["saved_usd"] == {"cache": 0.2, "routing": 0.15, "compression": 0.1, "batch": 0.1}
    assert (row["calls"], row["served"]) == (2, 1)
    assert abs(costs.total.usd + costs.total.saved_usd - 0.7) < 1e-9


@given(
    st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from("mn"), st.integers(0, 9), st.floats(0, 1)), max_size=40)
)
def test_no_side_loses_or_invents_money(calls: list[tuple[str, str, int, float]]) -> None:
    costs = added(*(
        called(str(at), step=StepId(step), model=model, at_s=day * DAY_S, usd=usd)
        for at, (step, model, day, usd) in enumerate(calls)
    ))  # fmt: skip
    for rows in costs.by.values():
        assert abs(sum(row.usd for row in rows.values()) - costs.total.usd) < 1e-9


def test_an_alarm_needs_a_habit_and_ten_times_as_much() -> None:
    habit = {"2026-01-01": 1.0, "2026-01-02": 2.0, "2026-01-03": 3.0}
    days = {
        "steady": {**habit, "2026-01-04": 2.5},
        "wild": {**habit, "2026-01-04": 20.0},
        "wilder": {**habit, "2026-01-04": 50.0},
        "nearly": {**habit, "2026-01-04": 19.9},
        "new": {"2026-01-03": 0.1, "2026-01-04": 20.0},
        "small": {"2026-01-01": 1e-4, "2026-01-02": 1e-4, "2026-01-03": 1e-4, "2026-01-04": 5e-3},
    }
    found = alarms(days, "2026-01-04")
    assert ALARM_FACTOR == 10.0
    assert [(one.tenant, one.usd, one.habit_usd, one.times) for one in found] == [
        ("wilder", 50.0, 2.0, 25.0),
        ("wild", 20.0, 2.0, 10.0),
    ]
    assert alarms(days, "2026-01-03") == ()


def test_a_forecast_tells_what_earlier_runs_cost_and_which_steps_never_ran() -> None:
    plan = parse_plan("""
version: 1
name: two
steps:
  a: {pool: p, call: x}
  b: {pool: p, call: x}
result: ${{ steps.a.output }}
""")
    history = [(cost / 10, {"a": cost / 10}) for cost in range(1, 11)]
    found = forecast(plan, history)
    assert (found.runs, found.usd, found.unknown) == (10, (0.1, 0.5, 0.9), ("b",))
    assert rendered(found.document()).splitlines() == [
        "forecast: 0.5000 USD; 10 to 90 % of 10 earlier runs cost 0.1000 to 0.9000",
        "  a: 0.5500 USD on average of 10 runs",
        "  never ran: b",
    ]
    assert rendered(forecast(plan, []).document()) == ("forecast: no run of a plan of this name has ended in the store")


def test_rows_of_a_side_are_bounded_and_the_others_are_one_row(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "ROWS_MAX", 2)
    costs = added(*(called(str(number), model=f"m{number}") for number in range(4)))

    assert {name: row.calls for name, row in costs.by["model"].items()} == {"m0": 1, "m1": 1, module.OTHERS: 2}


def test_a_forecast_of_steps_that_cost_nothing_names_none_and_tells_which_never_ran() -> None:
    told = {"runs": 1, "usd": {"p10": 0.0, "p50": 0.0, "p90": 0.0}, "steps": {"a": {"usd_mean": 0.0, "runs": 1}}}

    line = "forecast: 0.0000 USD; 10 to 90 % of 1 earlier runs cost 0.0000 to 0.0000"
    assert rendered({**told, "unknown": ["b", "c"]}) == f"{line}\n  never ran: b, c"
    assert rendered({**told, "unknown": []}) == line


def test_the_end_of_a_run_and_what_cost_nothing_make_no_row() -> None:
    nothing = f.StepProduced(at_s=0.0, step=StepId("a"), attempt=1, digest="sha256:0", output=1)  # type: ignore[arg-type]  # a digest
    over = f.RunEnded(at_s=1.0, status="succeeded", usd=0.0, tokens=0, steps=1)

    costs = added(dispatched(), nothing, over)

    assert costs.by == {side: {} for side in costs.by}


def test_an_alarm_as_json() -> None:
    alarm = module.Alarm(tenant="t", day="2026-11-27", usd=20.0, habit_usd=1.0, times=20.0)

    assert alarm.document() == {"tenant": "t", "day": "2026-11-27", "usd": 20.0, "habit_usd": 1.0, "times": 20.0}


def test_runs_that_are_not_read_count_for_the_habit_alone() -> None:
    costs = added(dispatched(), called("1"))
    told = costs.total.document()
    costs.add_older("default", 9 * DAY_S, 0.25)
    costs.add_older("default", 9 * DAY_S + 5, 0.5)
    costs.add_older("idle", 9 * DAY_S, 0.0)
    assert costs.total.document() == told
    assert costs.days == {"default": {"1970-01-11": 0.2, "1970-01-10": 0.75}}
