"""Webhooks in memory, beside the memory journal: the reference for the other stores."""

from collections import Counter
from dataclasses import replace

from orchestrator.adapters.memory.journal import MemoryJournal
from orchestrator.core.codec import encode
from orchestrator.core.facts import ApprovalAsked, Fact
from orchestrator.ids import TenantId
from orchestrator.ports.journal import RunQuery, RunRow
from orchestrator.ports.webhooks import (
    KEEP_S,
    Delivery,
    DeliveryQuery,
    Due,
    Endpoint,
    Notice,
    Settled,
    deliveries_for,
)


class MemoryWebhooks:
    """`Webhooks` that live and die with the process."""

    def __init__(self, journal: MemoryJournal) -> None:
        self._journal = journal
        self._endpoints: dict[str, Endpoint] = {}
        self._deliveries: dict[str, Delivery] = {}
        self._leases: dict[str, float] = {}
        journal.on_notice.append(self._tell)

    def _tell(self, row: RunRow, seq: int, fact: Fact) -> None:
        if isinstance(fact, ApprovalAsked):
            question = encode(fact, 0)[0].decode()
            asks = replace(notice_of(row), status="waiting", at_s=fact.at_s, seq=seq, question=question)
            self._owe(asks, list(self._endpoints.values()))
        elif row.parent is None:
            self._owe(notice_of(row), list(self._endpoints.values()))

    def _owe(self, notice: Notice, endpoints: list[Endpoint]) -> None:
        for one in deliveries_for(notice, endpoints):
            self._deliveries.setdefault(one.id, one)

    async def put(self, endpoint: Endpoint) -> None:
        if endpoint.state == "removed":
            endpoint = replace(endpoint, url="", secrets=())
            due = [
                one.id for one in self._deliveries.values() if one.endpoint_id == endpoint.id and one.state == "pending"
            ]
            for name in due:
                del self._deliveries[name]
                self._leases.pop(name, None)
        self._endpoints[endpoint.id] = endpoint
        if endpoint.run_id is not None and endpoint.state != "removed":
            for row in await self._journal.runs(RunQuery(run_id=endpoint.run_id, tenant=endpoint.tenant, limit=1)):
                if row.status != "open":
                    self._owe(notice_of(row), [endpoint])

    async def endpoints(self, tenant: TenantId, endpoint_id: str | None = None) -> list[Endpoint]:
        found = [
            one
            for one in self._endpoints.values()
            if one.tenant == tenant
            and one.state != "removed"
            and (one.run_id is None if endpoint_id is None else one.id == endpoint_id)
        ]
        return sorted(found, key=lambda one: (one.created_at_s, one.id))

    async def take(self, now_s: float, limit: int, lease_s: float, each: int) -> list[Due]:
        self._prune(now_s)
        taken: list[Due] = []
        counted = Counter(
            self._deliveries[name].endpoint_id
            for name, until_s in self._leases.items()
            if until_s > now_s and name in self._deliveries
        )
        due = [
            one
            for one in self._deliveries.values()
            if one.state == "pending" and one.due_at_s <= now_s and self._leases.get(one.id, 0.0) <= now_s
        ]
        for one in sorted(due, key=lambda one: (one.due_at_s, one.id)):
            endpoint = self._endpoints[one.endpoint_id]
            if endpoint.state != "active" or counted[endpoint.id] >= each:
                continue
            if len(taken) == limit:
                break
            counted[endpoint.id] += 1
            self._leases[one.id] = now_s + lease_s
            self._deliveries[one.id] = begun = replace(one, attempts=one.attempts + 1)
            taken.append(Due(delivery=begun, endpoint=endpoint))
        return taken

    def _prune(self, now_s: float) -> None:
        before_s = now_s - KEEP_S
        for one in list(self._deliveries.values()):
            if one.settled_at_s is not None and one.settled_at_s < before_s:
                del self._deliveries[one.id]

    async def settle(self, settled: Settled) -> bool:
        one = self._deliveries.get(settled.id)
        if one is None or one.attempts != settled.attempt or one.id not in self._leases:
            return False
        del self._leases[one.id]
        self._deliveries[one.id] = replace(
            one,
            state=settled.state,
            due_at_s=settled.due_at_s,
            detail=settled.detail,
            settled_at_s=None if settled.state == "pending" else settled.at_s,
        )
        if settled.disable:
            endpoint = self._endpoints[one.endpoint_id]
            if endpoint.state == "active":
                self._endpoints[endpoint.id] = replace(endpoint, state="disabled", reason=settled.disable)
            for other in list(self._deliveries.values()):
                if other.endpoint_id == endpoint.id and other.state == "pending":
                    self._deliveries[other.id] = replace(
                        other, state="dead", settled_at_s=settled.at_s, detail=settled.disable
                    )
                    self._leases.pop(other.id, None)
        return True

    async def deliveries(self, query: DeliveryQuery) -> list[Delivery]:
        last = self._deliveries.get(query.before) if query.before is not None else None
        found = [
            one
            for one in self._deliveries.values()
            if one.tenant == query.tenant
            and query.endpoint_id in {None, one.endpoint_id}
            and query.run_id in {None, one.run_id}
            and query.state in {None, one.state}
            and (
                query.before is None
                or (last is not None and last.tenant == query.tenant and _place(one) < _place(last))
            )
        ]
        return sorted(found, key=_place, reverse=True)[: query.limit]

    async def requeue(self, tenant: TenantId, delivery_id: str, now_s: float) -> bool:
        one = self._deliveries.get(delivery_id)
        if one is None or one.tenant != tenant or one.state != "dead":
            return False
        if self._endpoints[one.endpoint_id].state == "removed":
            return False
        self._deliveries[one.id] = replace(one, state="pending", attempts=0, due_at_s=now_s, settled_at_s=None)
        return True


def _place(one: Delivery) -> tuple[float, str]:
    return one.created_at_s, one.id


def notice_of(row: RunRow) -> Notice:
    """What a row of the list of runs tells."""
    return Notice(
        run_id=row.run_id,
        tenant=row.tenant,
        plan=row.plan,
        status=row.status,
        accepted_at_s=row.accepted_at_s,
        at_s=row.ended_at_s or 0.0,
        usd=row.usd,
        tokens=row.tokens,
    )
