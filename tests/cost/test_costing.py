"""Reading costs out of a journal: over many runs, since a moment, of one tenant, within a limit; alarms of today."""

from dataclasses import replace

import pytest

from orchestrator.adapters.memory.journal import MemoryJournal
from orchestrator.core import facts as f
from orchestrator.ids import RunId, StepId
from orchestrator.plan.files import parse_plan
from orchestrator.ports.journal import Append
from orchestrator.service import costing
from orchestrator.service.costing import costs_of, document_of, forecast_of
from orchestrator.testing.facts import accepted, ended

pytestmark = pytest.mark.anyio
DAY_S = 86_400.0


async def journal(*spent: tuple[str, int, float]) -> MemoryJournal:
    """Runs of tenants on days, with what they cost."""
    made = MemoryJournal()
    for number, (tenant, day, usd) in enumerate(spent):
        run = RunId(f"01a20000-0000-7000-8000-{number:012d}")
        first = replace(accepted(), run=run, origin=run, tenant=tenant, at_s=day * DAY_S)
        call = f.ModelCalled(
            at_s=day * DAY_S + 1, step=StepId("a"), attempt=1, model="m", outcome="ok", usd=usd, charge=str(number)
        )
        last = replace(ended(), at_s=day * DAY_S + 2, usd=usd)
        await made.append([Append(run_id=run, first_seq=1, epoch=1, facts=(first, call, last))])
    return made


async def test_an_alarm_is_raised_for_who_spends_ten_times_its_habit_today() -> None:
    days = [(tenant, day, 0.5) for tenant in ("calm", "wild") for day in range(1, 6)]
    made = await journal(*days, ("calm", 6, 0.6), ("wild", 6, 3.0), ("wild", 6, 3.0))
    read = await costs_of(made)
    told = document_of(read, "tenant", 6 * DAY_S + 100)
    assert told["alarms"] == [{"tenant": "wild", "day": "1970-01-07", "usd": 6.0, "habit_usd": 0.5, "times": 12.0}]
    assert [(row["name"], row["usd"]) for row in told["rows"]] == [("wild", 8.5), ("calm", 3.1)]  # type: ignore[index,union-attr,call-overload]  # a document
    assert document_of(read, "tenant", 5 * DAY_S)["alarms"] == []


@pytest.mark.parametrize("narrowed", [{"since_s": 6 * DAY_S}, {"runs_max": 2}, {"runs_max": 2, "tenant": "wild"}])
async def test_an_alarm_knows_the_habit_of_runs_that_are_not_added_up(narrowed: dict[str, object]) -> None:
    made = await journal(*(("wild", day, 0.5) for day in range(1, 6)), ("wild", 6, 3.0), ("wild", 6, 3.0))
    read = await costs_of(made, **narrowed)  # type: ignore[arg-type]  # by name
    assert (read.runs, read.costs.total.usd) == (2, 6.0)
    (alarm,) = document_of(read, "tenant", 6 * DAY_S + 100)["alarms"]  # type: ignore[misc]  # one
    assert alarm == {"tenant": "wild", "day": "1970-01-07", "usd": 6.0, "habit_usd": 0.5, "times": 12.0}


async def test_a_habit_does_not_reach_back_for_ever_and_counts_a_sub_plan_once() -> None:
    made = await journal(*(("wild", day, 0.5) for day in (1, 2, 3, 64, 65)), ("wild", 66, 60.0))
    assert document_of(await costs_of(made, runs_max=1), "tenant", 66 * DAY_S)["alarms"] == []
    below = RunId("01a20000-0000-7000-8000-000000000099.a")
    first = replace(accepted(), run=below, parent=RunId("01a20000-0000-7000-8000-000000000099"), at_s=64 * DAY_S)
    await made.append([Append(run_id=below, first_seq=1, epoch=1, facts=(first, replace(ended(), at_s=64 * DAY_S)))])
    read = await costs_of(made, runs_max=1)
    assert read.costs.days["wild"] == {"1970-03-06": 0.5, "1970-03-07": 0.5, "1970-03-08": 60.0}
    assert set(read.costs.days) == {"wild"}


async def test_the_search_for_a_habit_ends_at_a_number_of_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    made = await journal(*(("a", 1, 0.5) for _ in range(3)), ("a", 2, 1.0))
    monkeypatch.setattr(costing, "PAGE", 1)
    monkeypatch.setattr(costing, "LOOKED_MAX", 2)
    read = await costs_of(made, runs_max=1)
    assert (read.runs, read.whole, read.costs.days) == (1, False, {"a": {"1970-01-03": 1.0, "1970-01-02": 0.5}})


async def test_what_is_read_can_be_narrowed_and_has_an_end() -> None:
    made = await journal(("a", 1, 1.0), ("b", 2, 2.0), ("a", 3, 4.0))
    assert [(read.runs, read.whole, read.costs.total.usd) for read in (
        await costs_of(made),
        await costs_of(made, tenant="a"),
        await costs_of(made, since_s=2 * DAY_S),
        await costs_of(made, runs_max=2),
        await costs_of(made, runs_max=3),
    )] == [(3, True, 7.0), (2, True, 5.0), (2, True, 6.0), (2, False, 6.0), (3, True, 7.0)]  # fmt: skip


async def test_a_forecast_reads_runs_of_plans_of_its_name_alone() -> None:
    made = await journal(("a", 1, 1.0), ("b", 2, 2.0))
    text = "version: 1\nname: {}\nsteps:\n  a: {{pool: p, call: x}}\nresult: ${{{{ steps.a.output }}}}\n"
    known = await forecast_of(made, parse_plan(text.format(accepted().plan)))
    assert (known.runs, known.usd) == (2, (1.0, 1.0, 2.0))
    assert (await forecast_of(made, parse_plan(text.format("another")))).usd is None
