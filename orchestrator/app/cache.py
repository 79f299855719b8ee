"""The cache that settings name, and models behind it: nothing is opened before a plan asks for it."""

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from time import time
from typing import Final

from orchestrator.errors import PromiseError
from orchestrator.models.cache.lazy import LazyCache, MaybeCached
from orchestrator.ports.cache import Cache, CacheMode
from orchestrator.ports.embeddings import Embeddings
from orchestrator.ports.model import Models, Tier
from orchestrator.settings import DEFAULT_ENDPOINT, EndpointSettings, Settings, on_redis, store_path

FILE: Final = "cache.db"  #: beside the journal


def open_cache(settings: Settings, now_s: Callable[[], float] = time) -> Cache:
    """The cache of the settings; its server or file is asked when the first question is.

    Raises:
        PromiseError: there is no such kind of store.
    """
    from orchestrator.adapters.cached import CacheLimits

    given = settings.models.cache
    limits = CacheLimits(entries_max=given.entries_max, bytes_max=given.bytes_max)
    store = place_of(settings)
    if store == "memory:":
        from orchestrator.adapters.memory.cache import MemoryCache

        return MemoryCache(limits, now_s)
    if store.startswith("sqlite:///"):
        from orchestrator.adapters.sql.cache import SqliteCache

        path = store_path(store)
        assert path is not None, "it names a file"
        return SqliteCache(path, limits, now_s)
    if store.partition("://")[0] in {"redis", "rediss", "unix"}:
        from orchestrator.adapters.redis.cache import RedisCache

        return RedisCache(store, limits, now_s=now_s)
    raise PromiseError(
        f"the cache {store.partition('://')[0]!r} is not known", "use memory:, sqlite:///file or redis://host:6379/0"
    )


def place_of(settings: Settings) -> str:
    """Where answers are kept: as the settings say, or on a fleet's server, in a file beside the journal, else here."""
    if settings.models.cache.store is not None:
        return settings.models.cache.store
    if on_redis(settings.transport):
        return settings.transport
    path = store_path(settings.store)
    return "memory:" if path is None else f"sqlite:///{Path(path).parent / FILE}"


def open_embeddings(settings: Settings, environment: Mapping[str, str] = os.environ) -> Embeddings | None:
    """The model of embeddings that the settings name; None where they name none.

    Raises:
        PromiseError: its files, a library or its key are missing.
    """
    given = settings.models.cache.embeddings
    if given is None:
        return None
    if given.folder is not None:
        from orchestrator.adapters.embeddings.local import LocalEmbeddings

        return LocalEmbeddings(given.folder)
    from orchestrator.adapters.embeddings.endpoint import EndpointEmbeddings
    from orchestrator.models.opening import address_of, key_of_endpoint

    assert given.model is not None, "one of the two is named"
    if given.endpoint != DEFAULT_ENDPOINT and given.endpoint not in settings.models.endpoints:
        raise PromiseError(
            f"the model of embeddings names the endpoint {given.endpoint!r}, which is not configured",
            "add it to models.endpoints",
        )
    endpoint = settings.models.endpoints.get(given.endpoint, EndpointSettings())
    address = address_of(endpoint, environment)
    key = key_of_endpoint(given.endpoint, endpoint, address, environment)
    return EndpointEmbeddings(address, key, given.model, given.usd_per_million)


class Caches:
    """What one process has of the cache: opened by the first plan or prompt that asks for it."""

    def __init__(
        self,
        settings: Settings,
        now_s: Callable[[], float] = time,
        cache: Cache | None = None,
        *,
        elsewhere: bool = False,
    ) -> None:
        """`cache` is for tests and hosts that have one; it is closed with this. `elsewhere`: models are asked in other
        processes, so that a model of embeddings is theirs to have."""
        self._settings, self._now_s, self._elsewhere = settings, now_s, elsewhere
        self._embeddings: Embeddings | None = None
        self.cache = LazyCache(lambda: cache or open_cache(settings, now_s))

    def check(self, mode: CacheMode) -> None:
        """Refuse a kind of cache that cannot be had here.

        Raises:
            PromiseError: likeness cannot be told, or there is no such kind of store.
        """
        if mode == "semantic" and self._settings.models.cache.embeddings is None:
            raise PromiseError(
                "no model tells how alike questions are",
                "name one (ORCHESTRATOR_MODELS__CACHE__EMBEDDINGS), or set cache: exact",
            )
        if mode == "semantic" and not self._elsewhere:
            self._need()

    def models(self, models: Models) -> Models:
        """The same models, answered from the cache where a prompt allows it."""
        return MaybeCached(models, self._settings.models.cache.tiers, self._cached)

    def _cached(self, models: Models) -> Models:
        from orchestrator.models.cache.caching import CachingModels
        from orchestrator.models.cache.policy import Policy

        given = self._settings.models.cache
        policy = Policy(
            tiers=given.tiers,
            ttl_s=given.ttl_s,
            stale_s=given.stale_s,
            verify=given.verify,
            delta=given.delta,
            similarity=given.similarity,
            version=given.version,
        )
        return CachingModels(
            models,
            self.cache,
            policy,
            embeddings=self._need(),
            names=_names(self._settings),
            now_s=self._now_s,
        )

    def _need(self) -> Embeddings | None:
        if self._embeddings is None:
            self._embeddings = open_embeddings(self._settings)
        return self._embeddings

    async def aclose(self) -> None:
        """Let go of everything."""
        await self.cache.aclose()
        embeddings, self._embeddings = self._embeddings, None
        if embeddings is not None:
            await embeddings.aclose()


def _names(settings: Settings) -> Callable[[Tier], str]:
    """Which models answer a tier, as one text: where they change, other answers are to be expected."""
    tiers = settings.models.tiers
    told = {
        tier: ",".join(f"{one.model}@{one.endpoint}:{one.temperature}" for one in models)
        for tier, models in tiers.items()
    }
    return lambda tier: told.get(tier, tier)
