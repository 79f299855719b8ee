"""A cache that is opened when something first needs it: who never asks for one pays nothing for it."""

from collections.abc import Callable, Mapping

from orchestrator.ports.cache import NEAR_MAX, Cache, CacheEntry, CacheMode, Near, Observation
from orchestrator.ports.embeddings import Vector
from orchestrator.ports.model import Completion, Meter, Models, Prompt, Tier


class LazyCache:
    """`open_` gives the cache; it is called once, or again after it has failed."""

    def __init__(self, open_: Callable[[], Cache]) -> None:
        self._open = open_
        self._cache: Cache | None = None

    @property
    def _opened(self) -> Cache:
        if self._cache is None:
            self._cache = self._open()
        return self._cache

    async def get(self, tenant: str, key: str) -> CacheEntry | None:
        """See `Cache`."""
        return await self._opened.get(tenant, key)

    async def put(self, entry: CacheEntry) -> None:
        """See `Cache`."""
        await self._opened.put(entry)

    async def near(self, tenant: str, scope: str, vector: Vector, most: int = NEAR_MAX) -> tuple[Near, ...]:
        """See `Cache`."""
        return await self._opened.near(tenant, scope, vector, most)

    async def observe(self, tenant: str, key: str, seen: Observation) -> None:
        """See `Cache`."""
        await self._opened.observe(tenant, key, seen)

    async def drop(self, tenant: str, *, key: str | None = None, tag: str | None = None) -> int:
        """See `Cache`."""
        return await self._opened.drop(tenant, key=key, tag=tag)

    async def aclose(self) -> None:
        """See `Cache`."""
        cache, self._cache = self._cache, None
        if cache is not None:
            await cache.aclose()


class MaybeCached:
    """Models in front of which a cache is put by the first prompt that may be answered from one."""

    def __init__(self, models: Models, tiers: Mapping[Tier, CacheMode], cached: Callable[[Models], Models]) -> None:
        self._models, self._tiers, self._open = models, dict(tiers), cached
        self._cached: Models | None = None

    async def complete(self, prompt: Prompt, meter: Meter, on_delta: Callable[[str], None] | None = None) -> Completion:
        """See `Models.complete`."""
        use = prompt.cache
        if use is None or (use.mode or self._tiers.get(prompt.tier, "none")) == "none":
            return await self._models.complete(prompt, meter, on_delta)
        if self._cached is None:
            self._cached = self._open(self._models)
        return await self._cached.complete(prompt, meter, on_delta)
