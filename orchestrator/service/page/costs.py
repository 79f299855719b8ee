"""What the runs of a tenant have cost, by plan, and of the newest ones by model and pool. Pure."""

from collections.abc import Iterable, Mapping
from typing import Final

from orchestrator.ids import JsonValue
from orchestrator.ports.journal import RunRow
from orchestrator.service.page.run import RunPage, Spent

ROWS_MAX: Final = 2_000  #: newest runs that are added up by plan
DETAILED_MAX: Final = 100  #: newest runs whose facts are read for models and pools
RECORDS_MAX: Final = 100_000  #: read for them; what would need more is left out of the details
Document = dict[str, JsonValue]


def costs(rows: Iterable[RunRow], detailed: Mapping[str, RunPage]) -> Document:
    """{tenants, plans, models, pools, runs, detailed}.

    `rows` are runs without sub-plans, the newest first; `detailed` are documents of some of them, by run: open runs
    are counted by these, because their rows do not say yet what they have cost.
    """
    plans: dict[str, Spent] = {}
    tenants: dict[str, Spent] = {}
    runs: dict[str, int] = {}
    count = 0
    for row in rows:
        count += 1
        page = detailed.get(row.run_id)
        usd, tokens = (page.tally.usd, page.tally.tokens) if page is not None else (row.usd, row.tokens)
        for kept, name in ((plans, row.plan), (tenants, str(row.tenant))):
            _add(kept.setdefault(name, Spent()), usd, tokens, 0)
        runs[row.plan] = runs.get(row.plan, 0) + 1
    models: dict[str, Spent] = {}
    pools: dict[str, Spent] = {}
    for page in detailed.values():
        for into, source in ((models, page.models), (pools, page.pools)):
            for name, spent in dict(source).items():  # a copy: a thread may be reading on
                _add(into.setdefault(name, Spent()), spent.usd, spent.tokens, spent.calls)
    return {
        "runs": count,
        "detailed": len(detailed),
        "tenants": {name: spent.document() for name, spent in tenants.items()},
        "plans": {name: {"usd": one.usd, "tokens": one.tokens, "runs": runs[name]} for name, one in plans.items()},
        "models": {name: spent.document() for name, spent in models.items()},
        "pools": {name: spent.document() for name, spent in pools.items()},
    }


def _add(spent: Spent, usd: float, tokens: int, calls: int) -> None:
    spent.usd += usd
    spent.tokens += tokens
    spent.calls += calls
