"""The webhooks port: endpoints, what is due to them, and what became of it, kept in the store of the journal."""

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Final, Literal, Protocol

from orchestrator.ids import RunId, TenantId

EndpointState = Literal["active", "disabled", "removed"]
DeliveryState = Literal["pending", "delivered", "dead"]
LOOKED_AT: Final = 256  #: deliveries that are due, considered in one call of `take`
TOLD_MAX: Final = 500  #: ends of runs that become deliveries in one call of `take`
KEEP_S: Final = 30 * 86_400.0  #: settled deliveries, and what called a run back, are forgotten after this long
DETAIL_CHARS_MAX: Final = 200  #: of what is remembered of a failed attempt


@dataclass(frozen=True, slots=True, kw_only=True)
class Secret:
    """What deliveries are signed with. Never part of a `repr`."""

    value: str = field(repr=False)  #: `whsec_` and base64 of 24 to 64 bytes, as Standard Webhooks writes it
    until_s: float | None = None  #: signs until then; None: without end


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """Where a tenant wants to be told, about all of its runs or about one."""

    id: str
    tenant: TenantId
    url: str = field(repr=False)  #: may carry a token of the receiver's
    secrets: tuple[Secret, ...] = field(repr=False)  #: newest first
    events: tuple[str, ...] = ()  #: kinds of events; empty: all
    run_id: RunId | None = None  #: only this run, which named the address when it was submitted
    state: EndpointState = "active"
    reason: str = ""  #: why it is disabled
    created_at_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """How a run without a parent ended, as far as a webhook tells."""

    run_id: RunId
    tenant: TenantId
    plan: str
    status: str
    accepted_at_s: float
    ended_at_s: float
    usd: float
    tokens: int

    @property
    def event(self) -> str:
        """The kind of event, such as `run.succeeded`."""
        return f"run.{self.status}"

    @property
    def body(self) -> str:
        """What is sent: no content of the run, and the same text at every attempt."""
        return json.dumps(
            {
                "type": self.event,
                "timestamp": iso(self.ended_at_s),
                "data": {
                    "run": self.run_id,
                    "plan": self.plan,
                    "status": self.status,
                    "accepted_at": iso(self.accepted_at_s),
                    "ended_at": iso(self.ended_at_s),
                    "usage": {"usd": self.usd, "tokens": self.tokens},
                },
            },
            ensure_ascii=False,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """One message to one endpoint."""

    id: str  #: sent as `webhook-id`; equal at every attempt
    endpoint_id: str
    tenant: TenantId
    run_id: RunId
    event: str
    body: str
    created_at_s: float
    state: DeliveryState = "pending"
    attempts: int = 0  #: begun since it was made or re-queued
    due_at_s: float
    detail: str = ""  #: of the last attempt that failed
    settled_at_s: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Due:
    """A delivery that is to be attempted now, and where to."""

    delivery: Delivery  #: with this attempt counted
    endpoint: Endpoint


@dataclass(frozen=True, slots=True, kw_only=True)
class Settled:
    """What became of one attempt."""

    id: str
    attempt: int  #: which one; of an attempt that is not the newest nothing is kept
    state: DeliveryState  #: `pending`: again at `due_at_s`
    at_s: float
    due_at_s: float = 0.0
    detail: str = ""
    disable: str = ""  #: a reason to disable the endpoint and give its other deliveries up


@dataclass(frozen=True, slots=True, kw_only=True)
class DeliveryQuery:
    """Which deliveries of a tenant to list, newest first. None: any."""

    tenant: TenantId
    endpoint_id: str | None = None
    run_id: RunId | None = None
    state: DeliveryState | None = None
    before: str | None = None  #: the id of a delivery; only what comes after it in the list
    limit: int = 100


class Webhooks(Protocol):
    """Endpoints and deliveries. A run's end becomes due in the transaction that journals it."""

    async def put(self, endpoint: Endpoint) -> None:
        """Keep an endpoint, or exchange the one with this id.

        One for a run that has ended already makes a delivery due at once. Removed: its secrets and address are
        deleted, and what was due to it is forgotten.
        """
        ...

    async def endpoints(self, tenant: TenantId, endpoint_id: str | None = None) -> list[Endpoint]:
        """Endpoints of a tenant that are not removed, oldest first: those for all of its runs, or the one named."""
        ...

    async def take(self, now_s: float, limit: int, lease_s: float, each: int) -> list[Due]:
        """Deliveries that are due, earliest first, at most `limit`; nobody else gets them for `lease_s` seconds.

        Only those of active endpoints, and of one endpoint no more than `each` are leased at once.
        """
        ...

    async def settle(self, settled: Settled) -> bool:
        """Keep what became of an attempt; False: that is known already, or a newer one was begun; nothing was kept."""
        ...

    async def deliveries(self, query: DeliveryQuery) -> list[Delivery]:
        """Deliveries that fit, newest first."""
        ...

    async def requeue(self, tenant: TenantId, delivery_id: str, now_s: float) -> bool:
        """Make a dead delivery due again, with all its attempts; False: the tenant has no such
        dead delivery, or its endpoint was removed."""
        ...


def iso(at_s: float) -> str:
    """A moment as ISO 8601 in UTC, with milliseconds."""
    return datetime.fromtimestamp(at_s, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def delivery_id(endpoint_id: str, run_id: RunId, event: str) -> str:
    """The `webhook-id` of a message: the same whenever it is worked out, so that a receiver knows a duplicate."""
    return "msg_" + hashlib.sha256(f"{endpoint_id}\0{run_id}\0{event}".encode()).hexdigest()[:32]


def deliveries_for(ended: Ended, endpoints: Iterable[Endpoint]) -> list[Delivery]:
    """What the end of a run owes to these endpoints."""
    return [
        Delivery(
            id=delivery_id(endpoint.id, ended.run_id, ended.event),
            endpoint_id=endpoint.id,
            tenant=ended.tenant,
            run_id=ended.run_id,
            event=ended.event,
            body=ended.body,
            created_at_s=ended.ended_at_s,
            due_at_s=ended.ended_at_s,
        )
        for endpoint in endpoints
        if wants(endpoint, ended)
    ]


def wants(endpoint: Endpoint, ended: Ended) -> bool:
    """Whether an endpoint is to be told."""
    return (
        endpoint.state == "active"
        and endpoint.tenant == ended.tenant
        and endpoint.run_id in {None, ended.run_id}
        and (not endpoint.events or ended.event in endpoint.events)
    )
