"""The webhooks port: endpoints, what is due to them, and what became of it, kept in the store of the journal."""

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Final, Literal, Protocol

from orchestrator.core.codec import decode
from orchestrator.core.facts import ApprovalAsked
from orchestrator.ids import JsonValue, RunId, TenantId

EndpointState = Literal["active", "disabled", "removed"]
DeliveryState = Literal["pending", "delivered", "dead"]
LOOKED_AT: Final = 256  #: deliveries that are due, considered in one call of `take`
ASKED: Final = "approval.asked"
TOLD_MAX: Final = 500  #: notices that become deliveries in one call of `take`
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
class Notice:
    """Something that webhooks tell: how a run without a parent ended, or what any run asks a person."""

    run_id: RunId
    tenant: TenantId
    plan: str
    status: str  #: of the run; `waiting` with a question
    accepted_at_s: float
    at_s: float  #: when it ended, or asked
    usd: float  #: 0 until the run has ended
    tokens: int
    seq: int = 0  #: of the fact that asks
    question: str | None = None  #: the header of that fact, as it is journaled

    @property
    def event(self) -> str:
        """The kind of event: `approval.asked`, or such as `run.succeeded`."""
        return ASKED if self.question is not None else f"run.{self.status}"

    @property
    def body(self) -> str:
        """What is sent: no content of the run, and the same text at every attempt."""
        data: dict[str, JsonValue] = {"run": self.run_id, "plan": self.plan, "status": self.status}
        if self.question is not None:
            data |= _asked(self.run_id, self.seq, self.question)
        else:
            data |= {
                "accepted_at": iso(self.accepted_at_s),
                "ended_at": iso(self.at_s),
                "usage": {"usd": self.usd, "tokens": self.tokens},
            }
        return json.dumps({"type": self.event, "timestamp": iso(self.at_s), "data": data}, ensure_ascii=False)


def _asked(run_id: RunId, seq: int, header: str) -> dict[str, JsonValue]:
    """A question without its words, which are content."""
    fact = decode(run_id, seq, header.encode(), None, had_payload=True).fact
    assert isinstance(fact, ApprovalAsked), "only such a fact is a question"
    return {
        "step": fact.step or None,
        "branch": fact.branch if fact.branch >= 0 else None,
        "choices": list(fact.choices),
        "expires_at": iso(fact.expires_at_s),
    }


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
    """Endpoints and deliveries. A run's end, and what it asks, become due in the transaction that journals it."""

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


def deliveries_for(notice: Notice, endpoints: Iterable[Endpoint]) -> list[Delivery]:
    """What a notice owes to these endpoints."""
    return [
        Delivery(
            id=delivery_id(endpoint.id, notice.run_id, f"{notice.event}#{notice.seq}" if notice.seq else notice.event),
            endpoint_id=endpoint.id,
            tenant=notice.tenant,
            run_id=notice.run_id,
            event=notice.event,
            body=notice.body,
            created_at_s=notice.at_s,
            due_at_s=notice.at_s,
        )
        for endpoint in endpoints
        if wants(endpoint, notice)
    ]


def wants(endpoint: Endpoint, notice: Notice) -> bool:
    """Whether an endpoint is to be told."""
    return (
        endpoint.state == "active"
        and endpoint.tenant == notice.tenant
        and endpoint.run_id in {None, notice.run_id}
        and (not endpoint.events or notice.event in endpoint.events)
    )
