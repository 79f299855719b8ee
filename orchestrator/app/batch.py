"""The batch lane that settings name, and models behind it: nothing is opened before a prompt may wait."""

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from time import time
from typing import TYPE_CHECKING, Final

from orchestrator.core.facts import Fact, RunAccepted, StepCancelled
from orchestrator.errors import PromiseError
from orchestrator.models.lazy import Routed
from orchestrator.ports.batches import BatchService, BatchStore
from orchestrator.ports.model import Completion, Meter, Models, Prompt, Tier
from orchestrator.settings import DEFAULT_ENDPOINT, EndpointSettings, Settings, on_server, store_path

if TYPE_CHECKING:
    from orchestrator.models.batch.batching import BatchingModels
    from orchestrator.models.batch.lane import BatchLane

FILE: Final = "batches.db"  #: beside the journal
WEBHOOK_VARIABLE: Final = "OPENAI_WEBHOOK_SECRET"  #: variable that holds the secret of the provider's webhook


def open_batch_store(settings: Settings, *, shared: bool = False) -> BatchStore:
    """Where items of the lane are kept: as named, or with the journal.

    Raises:
        PromiseError: `shared`, and the settings name no place that several processes see; or an unknown kind of store.
    """
    named = settings.models.batch.store
    if named is None and shared:
        raise PromiseError(
            "what was handed to the batch service must outlive a worker process",
            "name a database that the workers share: ORCHESTRATOR_MODELS__BATCH__STORE=postgresql://user@host/database",
        )
    store = named or settings.store
    if on_server(store):
        from orchestrator.adapters.postgres.batches import PostgresBatches  # others need no client for a server

        return PostgresBatches(store)
    path = store_path(store)
    if path is None:
        from orchestrator.adapters.memory.batches import MemoryBatches

        return MemoryBatches()
    from orchestrator.adapters.sql.batches import SqliteBatches

    return SqliteBatches(Path(path) if named is not None else Path(path).parent / FILE)


class Batches:
    """What one process has of the batch lane: opened by the first prompt that may wait."""

    def __init__(
        self,
        settings: Settings,
        models: Models,
        owner: str,
        now_s: Callable[[], float] = time,
        *,
        elsewhere: bool = False,
        environment: Mapping[str, str] = os.environ,
    ) -> None:
        """`elsewhere`: prompts are asked in other processes, and what is kept must be seen by all of them."""
        self._settings, self._inner, self._owner, self._now_s = settings, models, owner, now_s
        self._elsewhere, self._environment = elsewhere, environment
        self._store: BatchStore | None = None
        self._lane: BatchLane | None = None
        self._made: BatchingModels | None = None

    def check(self, tier: Tier | None) -> None:
        """Refuse a step that may wait where its models have no batch service, or nothing would outlive the process.

        Raises:
            PromiseError: says which, and the remedy.
        """
        if not self._elsewhere:
            self._opened().route_of(tier or "standard")
        elif self._settings.models.batch.store is None:
            open_batch_store(self._settings, shared=True)

    def models(self) -> Models:
        """The same models, with the lane before them for prompts that may wait."""
        return _MaybeBatched(self._inner, self._opened)

    def unwanted(self, accepted: RunAccepted, facts: tuple[Fact, ...]) -> None:
        """Facts of a run are in the journal: what its cancelled steps wait for here is wanted no more."""
        if self._lane is None:
            return
        for fact in facts:
            if isinstance(fact, StepCancelled):
                self._lane.unwanted(f"{accepted.tenant}/{accepted.run}/{fact.step}/{fact.branch}")

    def heard(self, payload: str, headers: Mapping[str, str]) -> bool:
        """Take in what the provider's webhook tells of batches; True when somebody here may have waited for it.

        Signed by the rules of Standard Webhooks with the secret in OPENAI_WEBHOOK_SECRET; without a webhook the service
        is asked every `poll_s`.

        Raises:
            PromiseError: no secret is set, or the signature is wrong, or older than five minutes.
        """
        from standardwebhooks.webhooks import Webhook, WebhookVerificationError

        secret = self._environment.get(WEBHOOK_VARIABLE, "").strip()
        if not secret:
            raise PromiseError("what a webhook tells of batches cannot be believed unsigned", f"set {WEBHOOK_VARIABLE}")
        try:
            told = Webhook(secret).verify(payload, dict(headers))
        except (WebhookVerificationError, ValueError) as error:  # the latter: a signature or a secret that is no base64
            raise PromiseError(
                f"a webhook of the batch service is not signed with it ({error})", f"compare {WEBHOOK_VARIABLE}"
            ) from error
        kind = told.get("type") if isinstance(told, dict) else None
        if self._lane is None or not isinstance(kind, str) or not kind.startswith("batch."):
            return False
        self._lane.heard()
        return True

    async def aclose(self) -> None:
        """Close the connections to the service, and the store."""
        if self._lane is not None:
            await self._lane.aclose()
        closing = getattr(self._store, "aclose", None)
        if closing is not None:
            await closing()

    def _opened(self) -> "BatchingModels":
        if self._made is not None:
            return self._made
        from orchestrator.models.batch.batching import BatchingModels
        from orchestrator.models.batch.lane import BatchLane, Pace

        if not isinstance(self._inner, Routed):
            raise PromiseError("these models have no batch service", "leave `batch` out, or use those of the settings")
        given = self._settings.models.batch
        services = self._services()
        self._store = open_batch_store(self._settings)
        pace = Pace(
            gather_s=given.gather_s,
            poll_s=given.poll_s,
            lease_s=given.lease_s,
            items_max=given.items_max,
            grace_s=given.grace_s,
        )
        self._lane = BatchLane(services, self._store, owner=self._owner, pace=pace, now_s=self._now_s)
        self._made = BatchingModels(
            self._inner, self._lane, self._inner.routes, tuple(services), discount=given.discount, now_s=self._now_s
        )
        return self._made

    def _services(self) -> dict[str, BatchService]:
        """A client for each endpoint that has a batch service."""
        from orchestrator.adapters.openai.batches import OpenAIBatches
        from orchestrator.models.opening import OPENAI_URL, address_of, key_of_endpoint

        endpoints = {DEFAULT_ENDPOINT: EndpointSettings(), **self._settings.models.endpoints}
        found: dict[str, BatchService] = {}
        for name, endpoint in endpoints.items():
            address = address_of(endpoint, self._environment)
            if endpoint.batches or (endpoint.batches is None and address == OPENAI_URL):
                key = key_of_endpoint(name, endpoint, address, self._environment)
                found[name] = OpenAIBatches(address, key, endpoint)
        return found


class _MaybeBatched:
    """Answers the model port; the lane is opened by the first prompt that may wait."""

    def __init__(self, models: Models, opened: "Callable[[], BatchingModels]") -> None:
        self._models, self._opened = models, opened

    async def complete(self, prompt: Prompt, meter: Meter, on_delta: Callable[[str], None] | None = None) -> Completion:
        """Answer a prompt; see `Models.complete`."""
        if prompt.batch is None:
            return await self._models.complete(prompt, meter, on_delta)
        return await self._opened().complete(prompt, meter, on_delta)
