"""What an exact look-up costs in memory, in a file and on Redis, next to a bare GET of redis-py in one run."""

import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from statistics import median

import redis.asyncio

from orchestrator.adapters.memory.cache import MemoryCache
from orchestrator.adapters.redis.cache import RedisCache
from orchestrator.adapters.sql.cache import SqliteCache
from orchestrator.models.cache.keys import keys_of
from orchestrator.ports.cache import Answer, Cache, CacheEntry
from orchestrator.ports.model import CacheUse, Message, Prompt

PROMPT = Prompt(
    tier="standard",
    messages=(
        Message(role="system", content="You answer. " * 40),
        Message(role="user", content="What is the fee? " * 20),
    ),
    cache=CacheUse(tenant="default", mode="exact"),
)


async def looks(folder: Path, redis_url: str | None, times: int) -> dict[str, float]:
    """Median seconds of one look, key included where it is ours."""
    caches: dict[str, Cache] = {"memory": MemoryCache(), "file": SqliteCache(folder / "cache.db")}
    if redis_url is not None:
        caches["redis"] = RedisCache(redis_url)
    found: dict[str, float] = {}
    for name, cache in caches.items():
        key = _key()
        await cache.put(_entry(key))

        async def look(cache: Cache = cache) -> object:
            return await cache.get("default", _key())

        found[name] = await _median(look, times)
        await cache.aclose()
    if redis_url is not None:
        bare = redis.asyncio.Redis.from_url(redis_url)
        await bare.set("bare", b"x" * 400)
        found["bare redis-py GET"] = await _median(lambda: bare.get("bare"), times)
        await bare.aclose()
    return found


async def _median(look: Callable[[], Awaitable[object]], times: int) -> float:
    took = []
    for _ in range(times):
        began = time.perf_counter()
        assert await look() is not None
        took.append(time.perf_counter() - began)
    return median(took)


def _key() -> str:
    return keys_of(PROMPT, tenant="default", models="m@default:None", version="").exact


def _entry(key: str) -> CacheEntry:
    now_s = time.time()
    answer = Answer(text="The fee is five euros. " * 10, finish="stop")
    return CacheEntry(
        tenant="default", key=key, answer=answer, model="m", usd=0.01, stored_at_s=now_s, expires_at_s=now_s + 3_600
    )
