"""What tenants do with their webhooks: name receivers, change secrets, look at what was sent, send it again."""

import secrets
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Final, get_args

from orchestrator.errors import WebhookRefused
from orchestrator.ids import RunId, TenantId
from orchestrator.ports.clock import Clock
from orchestrator.ports.journal import RunStatus
from orchestrator.ports.webhooks import ASKED, Delivery, DeliveryQuery, Endpoint, Secret, Webhooks
from orchestrator.service.webhooks.addresses import Allowed, read_url
from orchestrator.service.webhooks.signing import CALLBACK, OVERLAP_S_MAX, UNSIGNED, new_secret, rotated, signer

ENDPOINTS_MAX: Final = 100  #: of one tenant, beside those of single runs
EVENTS: Final = (*(f"run.{status}" for status in get_args(RunStatus) if status != "open"), ASKED)


class Receivers:
    """The desk where webhooks are looked after. What is not the tenant's own is not there: None or False."""

    def __init__(
        self, store: Webhooks, clock: Clock, allowed: Allowed, *, name: Callable[[], str] = lambda: secrets.token_hex(8)
    ) -> None:
        self.store, self._clock, self._allowed, self._name = store, clock, allowed, name

    async def create(
        self, tenant: TenantId, url: str, events: Sequence[str] = (), secret: str | None = None
    ) -> Endpoint:
        """Name a receiver for all runs of a tenant. The secret is in what is returned, and is shown nowhere else.

        Raises:
            WebhookRefused: the address is none a webhook may go to, there is no such event, or there are too many.
        """
        read_url(url, self._allowed)
        for event in events:
            if event not in EVENTS and event != CALLBACK:
                raise WebhookRefused(
                    f"there is no event {event!r:.80}", f"use some of {', '.join((*EVENTS, CALLBACK))}"
                )
        if len(await self.store.endpoints(tenant)) >= ENDPOINTS_MAX:
            raise WebhookRefused(f"the tenant has {ENDPOINTS_MAX} webhooks", "delete one")
        endpoint = Endpoint(
            id=f"wh_{self._name()}",
            tenant=tenant,
            url=url,
            secrets=(new_secret() if secret is None else Secret(value=secret),),
            events=tuple(dict.fromkeys(events)),
            created_at_s=self._clock.now_s(),
        )
        await self.store.put(endpoint)
        return endpoint

    def check(self, url: str) -> None:
        """Refuse an address before a run is submitted with it.

        Raises:
            WebhookRefused: it is none a webhook may go to.
        """
        read_url(url, self._allowed)

    async def vet(self, tenant: TenantId, url: str) -> None:
        """Refuse a callback before its run is created.

        Raises:
            WebhookRefused: the address is none a webhook may go to, or there is no secret to sign with.
        """
        read_url(url, self._allowed)
        if await signer(self.store, tenant) is None:
            raise WebhookRefused(
                UNSIGNED, "create one first: POST /v1/webhooks, for callbacks alone with the event callback"
            )

    async def call_back(self, tenant: TenantId, run_id: RunId, url: str) -> None:
        """Tell this address what one run asks and how it ends, or has ended; the same call again changes nothing.

        Made before the run's id is told to anybody, so that whoever was told an id will be called back.

        Raises:
            WebhookRefused: the run calls another address back.
        """
        endpoint = Endpoint(
            id=f"cb_{run_id}", tenant=tenant, url=url, secrets=(), run_id=run_id, created_at_s=self._clock.now_s()
        )
        held = await self.get(tenant, endpoint.id)
        if held is None:
            await self.store.put(endpoint)
        elif held.url != url:
            raise WebhookRefused(f"the run {run_id} calls another address back", "use one key for one request")

    async def list(self, tenant: TenantId) -> list[Endpoint]:
        """Receivers for all runs of a tenant, oldest first."""
        return await self.store.endpoints(tenant)

    async def get(self, tenant: TenantId, endpoint_id: str) -> Endpoint | None:
        """One receiver."""
        found = await self.store.endpoints(tenant, endpoint_id)
        return found[0] if found else None

    async def remove(self, tenant: TenantId, endpoint_id: str) -> bool:
        """Tell a receiver nothing more, and forget its address and secrets."""
        found = await self.get(tenant, endpoint_id)
        if found is not None:
            await self.store.put(replace(found, state="removed"))
        return found is not None

    async def rotate(self, tenant: TenantId, endpoint_id: str, overlap_s: float) -> Endpoint | None:
        """Give a receiver a new secret; the one before signs beside it for `overlap_s` seconds.

        Raises:
            WebhookRefused: the overlap is negative or longer than `OVERLAP_S_MAX`.
        """
        if not 0 <= overlap_s <= OVERLAP_S_MAX:
            raise WebhookRefused(f"an overlap of {overlap_s:g} s", f"use 0 to {OVERLAP_S_MAX:g}")
        found = await self.get(tenant, endpoint_id)
        if found is None:
            return None
        changed = replace(found, secrets=rotated(found.secrets, self._clock.now_s(), overlap_s))
        await self.store.put(changed)
        return changed

    async def enable(self, tenant: TenantId, endpoint_id: str) -> Endpoint | None:
        """Tell a receiver again that was disabled. What was given up stays so until it is queued again."""
        found = await self.get(tenant, endpoint_id)
        if found is None or found.state == "active":
            return found
        changed = replace(found, state="active", reason="")
        await self.store.put(changed)
        return changed

    async def deliveries(self, query: DeliveryQuery) -> Sequence[Delivery]:
        """What was sent, is to be sent, or was given up; newest first."""
        return await self.store.deliveries(query)

    async def requeue(self, tenant: TenantId, delivery_id: str) -> bool:
        """Send a dead message again, with all its attempts."""
        return await self.store.requeue(tenant, delivery_id, self._clock.now_s())
