"""Reads a journal for what its runs cost: within limits, the newest first, each record once."""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from orchestrator.core.costs import SAVERS, Costs, Forecast, Side, alarms, forecast
from orchestrator.core.facts import RunAccepted
from orchestrator.core.summary import tally
from orchestrator.engine.recovery import read_all
from orchestrator.ids import JsonValue, RunId, TenantId
from orchestrator.plan.models import Plan
from orchestrator.ports.journal import Journal, RunQuery, RunRow

RUNS_MAX: Final = 10_000  #: read for one answer, the newest
PAGE: Final = 500  #: rows asked for at once
HABIT_REACH_S: Final = 60 * 86_400.0  #: before the newest run, that a habit is taken from
LOOKED_MAX: Final = 100_000  #: rows of runs that are looked through for a habit; a busier host's reaches back less far
HISTORY_MAX: Final = 200  #: ended runs that a forecast reads


@dataclass(frozen=True, slots=True, kw_only=True)
class Read:
    """What was added up."""

    costs: Costs
    runs: int
    whole: bool  #: False: there are older runs beyond the limit


async def costs_of(
    journal: Journal, *, since_s: float = 0.0, tenant: str | None = None, runs_max: int = RUNS_MAX
) -> Read:
    """Costs of the runs that were accepted at or after `since_s` (seconds since the epoch), sub-plans included.

    For the habit that alarms compare with, the older ones of the `HABIT_REACH_S` before the newest count too, each by
    its own sum on the day it was accepted: narrowing what is told must not silence an alarm.
    """
    costs, runs, whole = Costs(), 0, True
    before: RunId | None = None
    reach_s, looked = 0.0, 0
    while True:
        rows = await journal.runs(
            RunQuery(tenant=None if tenant is None else TenantId(tenant), before=before, limit=PAGE)
        )
        if rows and before is None:
            reach_s = rows[0].accepted_at_s - HABIT_REACH_S
        for row in rows:
            wanted = row.accepted_at_s >= since_s  # lists are by id, whose time may differ a little from the record's
            if wanted and runs < runs_max:
                await _add(journal, row, costs)
                runs += 1
                continue
            whole = whole and not wanted
            if row.parent is None and row.accepted_at_s >= reach_s:  # its sum holds that of its sub-plans
                costs.add_older(row.tenant, row.accepted_at_s, row.usd)
        looked += len(rows)
        done = runs == runs_max or not rows or rows[-1].accepted_at_s < since_s
        if len(rows) < PAGE or (done and (looked >= LOOKED_MAX or rows[-1].accepted_at_s < reach_s)):
            return Read(costs=costs, runs=runs, whole=whole)
        before = rows[-1].run_id


async def _add(journal: Journal, row: RunRow, costs: Costs) -> None:
    records = await read_all(journal, row.run_id)
    accepted = records[0].fact
    assert isinstance(accepted, RunAccepted), "a run begins with run.accepted"
    for record in records:
        costs.add(accepted, record.fact)


def document_of(read: Read, side: Side, now_s: float) -> dict[str, JsonValue]:
    """{by, runs, whole, total, saved, rows, alarms}: rows the dearest first; `saved` one row per part that spares."""
    costs = read.costs
    rows = sorted(costs.by[side].items(), key=lambda item: (-item[1].usd, -item[1].saved_usd, item[0]))
    if side == "day":
        rows.sort(key=lambda item: item[0])
    today = datetime.fromtimestamp(now_s, UTC).date().isoformat()
    told: list[JsonValue] = [{"name": name, **spent.document()} for name, spent in rows]
    saved: dict[str, JsonValue] = {saver: costs.total.saved[saver] for saver in SAVERS}
    raised: list[JsonValue] = [alarm.document() for alarm in alarms(costs.days, today)]
    return {
        "by": side,
        "runs": read.runs,
        "whole": read.whole,
        "total": costs.total.document(),
        "saved": saved,
        "rows": told,
        "alarms": raised,
    }


async def forecast_of(journal: Journal, plan: Plan, tenant: str | None = None) -> Forecast:
    """What a run of a plan is likely to cost, by the latest ended runs of plans of its name."""
    query = RunQuery(
        plan=plan.name,
        tenant=None if tenant is None else TenantId(tenant),
        status=("succeeded", "degraded", "stopped", "failed"),
        limit=HISTORY_MAX,
    )
    history = []
    for row in await journal.runs(query):
        counted = tally(await read_all(journal, row.run_id))
        steps = {name: step.usd for name, step in counted.steps.items() if step.attempts or step.usd}
        history.append((counted.usd, steps))
    return forecast(plan, history)
