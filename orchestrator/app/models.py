"""Models that settings name: a gateway to endpoints, or a small model on this machine."""

import os
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from orchestrator.ports.limiter import Limiter
from orchestrator.settings import Settings, on_redis

if TYPE_CHECKING:
    from orchestrator.models.gateway import Gateway


def open_models(settings: Settings, *, limiter: Limiter | None = None) -> "Gateway":
    """The models that the settings name: `async with open_models(settings) as models`. Nothing is sent yet.

    Without `limiter` the rates of the endpoints hold over the fleet where the transport is a server, else for this
    process alone.

    Raises:
        PromiseError: a key is missing, an address is none, or a model has no price.
    """
    # Half a second of imports, for those who ask models.
    from orchestrator.adapters.memory.limiter import MemoryLimiter
    from orchestrator.adapters.openai.endpoint import OpenAIEndpoint
    from orchestrator.adapters.prices import GenaiPrices
    from orchestrator.models.opening import open_gateway, rates_of

    closers: tuple[Callable[[], Awaitable[None]], ...] = ()
    if limiter is None and on_redis(settings.transport):
        from orchestrator.adapters.redis.limiter import RedisLimiter

        shared = RedisLimiter(settings.transport, rates_of(settings.models))
        limiter, closers = shared, (shared.close,)
    return open_gateway(
        settings.models,
        connect=OpenAIEndpoint,
        limiter=limiter or MemoryLimiter(rates_of(settings.models)),
        prices=GenaiPrices(),
        closers=closers,
    )


@asynccontextmanager
async def local_models(settings: Settings) -> AsyncIterator[Settings]:
    """Settings whose every tier is a small model on this machine, which serves for as long as the block runs.

    Raises:
        PromiseError: it is not installed, or does not start; the error says what to do.
    """
    # A model server is for those who ask for one.
    from orchestrator.adapters.local_model.server import SLOTS, local_model
    from orchestrator.models.local import LOCAL_KEY, settings_for

    async with local_model(settings.local_weights) as model:
        os.environ[LOCAL_KEY] = model.api_key  # settings name keys and never hold them
        try:
            yield settings.model_copy(update={"models": settings_for(model.base_url, model.name, slots=SLOTS)})
        finally:
            del os.environ[LOCAL_KEY]


__all__ = ["local_models", "open_models"]
