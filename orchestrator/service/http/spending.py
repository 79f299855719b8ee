"""What tenants have spent in the last 24 hours, for keys with a cap.

The whole budget of a run counts from its submission until it has ended, then what it really cost: so runs that are open
together cannot pass the cap together. Where other processes take submissions too, each sees theirs `LOOK_S` later.
"""

from dataclasses import dataclass, field
from typing import Final

import anyio

from orchestrator.core.facts import RunAccepted
from orchestrator.ids import RunId, TenantId
from orchestrator.ports.journal import RunQuery
from orchestrator.service.http.parts import Service
from orchestrator.service.http.problems import Problem, retry_after

DAY_S: Final = 86_400.0
LOOK_S: Final = 1.0  #: between two looks at the journal
ROWS_MAX: Final = 100_000  #: runs of a day that are added up
LATER_S: Final = 60.0  #: advice to whoever is refused: runs end, and days pass


@dataclass(slots=True)
class _Account:
    """One tenant's money."""

    lock: anyio.Lock = field(default_factory=anyio.Lock)
    looked_s: float = float("-inf")
    known: float = 0.0  #: USD of the journal's runs
    late: dict[RunId, float] = field(default_factory=dict)  #: budgets of runs that the last look may not have seen
    budgets: dict[RunId, float] = field(default_factory=dict)  #: of open runs


class Spending:
    """Accounts of the tenants whose keys have a cap."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._accounts: dict[TenantId, _Account] = {}

    async def reserve(self, tenant: TenantId, run_id: RunId, usd: float, cap_usd: float) -> None:
        """Count the budget of a run that is about to be submitted.

        Raises:
            Problem: the tenant's spending would pass the cap.
        """
        account = self._accounts.setdefault(tenant, _Account())
        async with account.lock:
            await self._look(tenant, account)
            spent = account.known + sum(account.late.values())
            if spent + usd > cap_usd:
                said = f"${spent:.4f} of ${cap_usd:.4f} a day is spent or set aside, and the run may spend ${usd:.4f}"
                remedy = "wait for open runs to end, or give the run a smaller budget"
                raise Problem(429, "spend-cap", said, remedy=remedy, headers=retry_after(LATER_S))
            account.late[run_id] = usd

    def rename(self, tenant: TenantId, run_id: RunId, real: RunId) -> None:
        """A run whose budget was counted has another id. If it was there before, it counts once, at the next look."""
        account = self._accounts.get(tenant)
        if account is not None and run_id in account.late:
            account.late[real] = account.late.pop(run_id)

    def drop(self, tenant: TenantId, run_id: RunId) -> None:
        """A run that was counted does not exist."""
        account = self._accounts.get(tenant)
        if account is not None:
            account.late.pop(run_id, None)

    async def _look(self, tenant: TenantId, account: _Account) -> None:
        now_s = self._service.clock.now_s()
        if 0 <= now_s - account.looked_s < LOOK_S:
            return
        rows = await self._service.journal.runs(RunQuery(tenant=tenant, top_level=True, limit=ROWS_MAX))
        known, budgets = 0.0, {}
        for row in rows:
            if row.status == "open":
                budgets[row.run_id] = await self._budget(row.run_id, account)
            elif (row.ended_at_s or 0.0) > now_s - DAY_S:
                known += row.usd
        seen = {row.run_id for row in rows}
        account.late = {run_id: usd for run_id, usd in account.late.items() if run_id not in seen}
        account.known, account.budgets = known + sum(budgets.values()), budgets
        account.looked_s = now_s

    async def _budget(self, run_id: RunId, account: _Account) -> float:
        if run_id in account.budgets:
            return account.budgets[run_id]
        if run_id in account.late:
            return account.late[run_id]
        first = await self._service.journal.read(run_id, limit=1)
        fact = first[0].fact if first else None
        return fact.usd if isinstance(fact, RunAccepted) else 0.0
