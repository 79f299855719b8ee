"""Reads a journal for what its runs cost: within limits, the newest first, each record once."""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from orchestrator.core.costs import SAVERS, Costs, Forecast, Side, alarms, forecast
from orchestrator.core.facts import RunAccepted
from orchestrator.core.summary import tally
from orchestrator.engine.recovery import read_all
from orchestrator.ids import JsonValue, TenantId
from orchestrator.plan.models import Plan
from orchestrator.ports.journal import Journal, RunQuery, RunRow

RUNS_MAX: Final = 10_000  #: read for one answer, the newest
PAGE: Final = 500  #: rows asked for at once
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
    """Costs of the runs that were accepted at or after `since_s` (seconds since the epoch), sub-plans included."""
    costs, runs, whole = Costs(), 0, True
    before: RunRow | None = None
    while True:
        query = RunQuery(
            tenant=None if tenant is None else TenantId(tenant),
            before=None if before is None else before.run_id,
            limit=min(PAGE, runs_max - runs + 1),
        )
        rows = await journal.runs(query)
        for row in rows:
            if row.accepted_at_s < since_s:
                continue  # lists are by id, whose time may differ a little from that of the record
            if runs == runs_max:
                return Read(costs=costs, runs=runs, whole=False)
            await _add(journal, row, costs)
            runs += 1
        if len(rows) < query.limit or rows[-1].accepted_at_s < since_s:
            return Read(costs=costs, runs=runs, whole=whole)
        before = rows[-1]


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
