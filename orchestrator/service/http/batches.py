"""The route of the provider's webhook: a batch has ended. Without a key, and believed only where it is signed."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Annotated, Final

from fastapi import APIRouter, Header, Request, Response

from orchestrator.app import Engine
from orchestrator.app.batch import Batches
from orchestrator.errors import PromiseError
from orchestrator.service.http.parts import Parts, Service, service_of
from orchestrator.service.http.problems import RESPONSES, Problem
from orchestrator.service.http.rates import Rates

NAME: Final = "batches"  #: of the part of a service
HEADER_CHARS_MAX: Final = 1_000
SIGNED: Final = ("webhook-id", "webhook-timestamp", "webhook-signature")
router = APIRouter(prefix="/v1/batches", tags=["batches"], responses=RESPONSES)
Signed = Annotated[str, Header(max_length=HEADER_CHARS_MAX, description="By the rules of Standard Webhooks.")]
EVENT: Final = {
    "requestBody": {
        "required": True,
        "content": {"application/json": {"schema": {"type": "object", "description": "An event of the provider's."}}},
    }
}


@asynccontextmanager
async def opener(_: Service, engine: Engine) -> AsyncIterator[Mapping[str, object]]:
    """What the route stands on."""
    yield {NAME: engine.batches} if engine.batches is not None else {}


@router.post(
    "/webhook",
    status_code=204,
    response_class=Response,
    summary="Hear from the provider that a batch has ended",
    openapi_extra=EVENT,
)
async def webhook(
    request: Request,
    service: Parts,
    webhook_id: Signed = "",
    webhook_timestamp: Signed = "",
    webhook_signature: Signed = "",
) -> Response:
    """Whoever waits for the batch service looks at once. What the event says of a batch is not believed: it is asked.

    Signed with the secret in OPENAI_WEBHOOK_SECRET; needs no key. Who sends what is not signed with it is counted, by
    address, among those who guess keys.
    """
    rates: Rates = request.app.state.rates
    headers = dict(zip(SIGNED, (webhook_id, webhook_timestamp, webhook_signature), strict=True))
    payload = (await request.body()).decode(errors="replace")
    try:
        service.part(NAME, Batches).heard(payload, headers)
    except PromiseError as error:
        address = request.client.host if request.client is not None else ""
        await rates.guess(address, service_of(request).limits.guesses_per_minute)
        said = "this is not signed with the secret of the provider's webhook"
        raise Problem(
            401,
            "unauthenticated",
            said,
            remedy="set OPENAI_WEBHOOK_SECRET of the service to the secret of the webhook that calls here",
            headers={"WWW-Authenticate": 'Webhook realm="orchestrator"'},
        ) from error
    await rates.told()
    return Response(status_code=204)


__all__ = ["router"]
