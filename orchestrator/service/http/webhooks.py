"""Routes of webhooks: receivers, their secrets, what was sent to them and what was given up."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Annotated, Final, Literal

from fastapi import APIRouter, Path, Query, Response
from pydantic import Field

from orchestrator.app import Engine
from orchestrator.ids import JsonValue, RunId
from orchestrator.ports.webhooks import Delivery, DeliveryQuery, DeliveryState, Endpoint
from orchestrator.service.http.access import Manager, Reader
from orchestrator.service.http.answers import At, Count, Out, answer, told
from orchestrator.service.http.bodies import RUN, Body, Limit
from orchestrator.service.http.limits import PAGE
from orchestrator.service.http.parts import Parts, Service
from orchestrator.service.http.problems import RESPONSES, Problem
from orchestrator.service.webhooks.addresses import URL_CHARS_MAX
from orchestrator.service.webhooks.opening import sending_webhooks
from orchestrator.service.webhooks.receivers import Receivers
from orchestrator.service.webhooks.signing import OVERLAP_S, OVERLAP_S_MAX

NAME: Final = "webhooks"  #: of the part of a service
WEBHOOK: Final = r"^(wh|cb)_[A-Za-z0-9_.\[\]#-]+$"
MESSAGE: Final = r"^msg_[0-9a-f]{32}$"
router = APIRouter(prefix="/v1/webhooks", tags=["webhooks"], responses=RESPONSES)
WebhookName = Annotated[str, Path(pattern=WEBHOOK, max_length=520, description="The webhook's id.")]
Event = Literal[
    "run.succeeded", "run.degraded", "run.stopped", "run.failed", "run.cancelled", "approval.asked", "callback"
]


class WebhookBody(Body):
    """A receiver to name."""

    url: Annotated[str, Field(min_length=1, max_length=URL_CHARS_MAX)] = Field(
        description="https, on the public internet. Redirects are not followed."
    )
    events: Annotated[list[Event], Field(max_length=12)] = Field(
        default=[],
        description="What is told; empty: how every run ends, and what it asks a person. `callback`: nothing by "
        "itself, but the secret signs what runs that were submitted with a `callback_url` tell that address.",
    )


class RotateBody(Body):
    """How a secret is exchanged."""

    overlap_s: Annotated[float, Field(ge=0, le=OVERLAP_S_MAX)] = Field(
        default=OVERLAP_S, description="Seconds for which the secret before signs beside the new one."
    )


class WebhookOut(Out):
    """A receiver, without its secrets."""

    id: str
    url: str
    events: list[str]
    state: Literal["active", "disabled"]
    reason: str = Field(description="Why it is disabled.")
    created_at: At
    secrets: Count = Field(description="How many sign at the moment.")


class SecretOut(WebhookOut):
    """A receiver with its newest secret, which is shown this once."""

    secret: str


class WebhooksOut(Out):
    """All receivers of the tenant, oldest first."""

    webhooks: list[WebhookOut]


class DeliveryOut(Out):
    """One message to one receiver."""

    id: str = Field(description="Its `webhook-id`.")
    webhook: str
    run: str
    event: str
    state: DeliveryState
    attempts: Count
    due_at: At | None = Field(description="Of the next attempt; null when there is none.")
    detail: str = Field(description="What went wrong at the last attempt.")
    created_at: At
    settled_at: At | None


class DeliveriesOut(Out):
    """A page of messages, newest first."""

    deliveries: list[DeliveryOut]
    next: str | None = Field(description="Cursor of the next page; null on the last one.")


class RequeuedOut(Out):
    """A message that is sent again."""

    id: str
    state: Literal["pending"]


@asynccontextmanager
async def opener(_: Service, engine: Engine) -> AsyncIterator[Mapping[str, object]]:
    """What the routes stand on."""
    async with sending_webhooks(engine) as receivers:
        yield {NAME: receivers}


@router.post("", status_code=201, responses=told(SecretOut, "It is told from now on.", 201), summary="Name a receiver")
async def create(who: Manager, service: Parts, body: WebhookBody) -> Response:
    """Name a receiver for all runs of the tenant. The answer holds the secret, which is shown this once."""
    made = await _desk(service).create(who.tenant, body.url, body.events)
    return answer(_document(made) | {"secret": made.secrets[0].value}, 201)


@router.get("", responses=told(WebhooksOut, "All receivers."), summary="List receivers")
async def webhooks(who: Reader, service: Parts) -> Response:
    """Receivers for all runs of the tenant, oldest first; never their secrets."""
    return answer({"webhooks": [_document(one) for one in await _desk(service).list(who.tenant)]})


@router.get(
    "/deliveries", responses=told(DeliveriesOut, "A page of messages."), summary="List messages, also dead ones"
)
async def deliveries(
    who: Reader,
    service: Parts,
    webhook: Annotated[str | None, Query(pattern=WEBHOOK, max_length=520)] = None,
    run: Annotated[str | None, Query(pattern=RUN, max_length=512)] = None,
    state: Annotated[DeliveryState | None, Query(description="`dead`: given up.")] = None,
    limit: Limit = PAGE,
    cursor: Annotated[str | None, Query(pattern=MESSAGE, description="`next` of the page before.")] = None,
) -> Response:
    """What was sent, is to be sent, or was given up, newest first; settled ones for a month."""
    query = DeliveryQuery(
        tenant=who.tenant,
        endpoint_id=webhook,
        run_id=RunId(run) if run is not None else None,
        state=state,
        before=cursor,
        limit=limit + 1,
    )
    found = await _desk(service).deliveries(query)
    shown = found[:limit]
    return answer({"deliveries": [_told(one) for one in shown], "next": shown[-1].id if len(found) > limit else None})


@router.post(
    "/deliveries/{message}/requeue", responses=told(RequeuedOut, "It is due."), summary="Send a dead message again"
)
async def requeue(
    who: Manager, service: Parts, message: Annotated[str, Path(pattern=MESSAGE, description="The message's id.")]
) -> Response:
    """Make a message that was given up due again, with all its attempts."""
    if not await _desk(service).requeue(who.tenant, message):
        raise Problem(404, "not-found", "there is no dead message of this id", remedy="list them with state=dead")
    return answer({"id": message, "state": "pending"})


@router.get("/{webhook}", responses=told(WebhookOut, "The receiver."), summary="Look at a receiver")
async def webhook(who: Reader, service: Parts, webhook: WebhookName) -> Response:
    """One receiver, without its secrets."""
    return answer(_document(_there(await _desk(service).get(who.tenant, webhook))))


@router.delete("/{webhook}", status_code=204, response_class=Response, summary="Delete a receiver")
async def delete(who: Manager, service: Parts, webhook: WebhookName) -> Response:
    """Tell it nothing more; its address and secrets are deleted, and what was due to it is forgotten."""
    if not await _desk(service).remove(who.tenant, webhook):
        _there(None)
    return Response(status_code=204)


@router.post("/{webhook}/rotate", responses=told(SecretOut, "The new secret."), summary="Exchange the secret")
async def rotate(who: Manager, service: Parts, webhook: WebhookName, body: RotateBody | None = None) -> Response:
    """Make a new secret. The one before signs beside it for a while, so that a receiver can change over."""
    overlap_s = (body or RotateBody()).overlap_s
    changed = _there(await _desk(service).rotate(who.tenant, webhook, overlap_s))
    return answer(_document(changed) | {"secret": changed.secrets[0].value})


@router.post("/{webhook}/enable", responses=told(WebhookOut, "It is told again."), summary="Enable a receiver")
async def enable(who: Manager, service: Parts, webhook: WebhookName) -> Response:
    """Tell a receiver again that was disabled because it answered 410. What was given up is queued one by one."""
    return answer(_document(_there(await _desk(service).enable(who.tenant, webhook))))


def _desk(service: Service) -> Receivers:
    return service.part(NAME, Receivers)


def _there(found: Endpoint | None) -> Endpoint:
    if found is None:
        raise Problem(404, "not-found", "there is no such webhook", remedy="GET /v1/webhooks lists yours")
    return found


def _document(one: Endpoint) -> dict[str, JsonValue]:
    return {
        "id": one.id,
        "url": one.url,
        "events": list(one.events),
        "state": one.state,
        "reason": one.reason,
        "created_at": one.created_at_s,
        "secrets": len(one.secrets),
    }


def _told(one: Delivery) -> dict[str, JsonValue]:
    return {
        "id": one.id,
        "webhook": one.endpoint_id,
        "run": one.run_id,
        "event": one.event,
        "state": one.state,
        "attempts": one.attempts,
        "due_at": one.due_at_s if one.state == "pending" else None,
        "detail": one.detail,
        "created_at": one.created_at_s,
        "settled_at": one.settled_at_s,
    }
