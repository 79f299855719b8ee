"""Every cache keeps the same rules: in memory, in a file, on both kinds of servers."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from orchestrator.adapters.cached import CacheLimits
from orchestrator.adapters.memory.cache import MemoryCache
from orchestrator.adapters.redis.cache import RedisCache
from orchestrator.adapters.sql.cache import SqliteCache
from orchestrator.ports.cache import Cache
from orchestrator.testing.cache_contract import CacheContract, CacheFactory, Clock, kept, unit
from tests.servers.redis import KINDS, Kind, RedisServer, redis_server


@pytest.fixture
def clock() -> Clock:
    return Clock()


class TestMemory(CacheContract):
    @pytest.fixture
    def caches(self, clock: Clock) -> CacheFactory:
        async def open_(*, entries_max: int = 100, bytes_max: int = 1 << 20) -> Cache:
            return MemoryCache(CacheLimits(entries_max=entries_max, bytes_max=bytes_max), clock)

        return open_


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
class TestSqlite(CacheContract):
    @pytest.fixture
    async def caches(self, clock: Clock, tmp_path: Path) -> AsyncIterator[CacheFactory]:
        opened: list[Cache] = []

        async def open_(*, entries_max: int = 100, bytes_max: int = 1 << 20) -> Cache:
            limits = CacheLimits(entries_max=entries_max, bytes_max=bytes_max)
            opened.append(SqliteCache(tmp_path / "folder" / "cache.db", limits, clock))
            return opened[-1]

        yield open_
        for cache in opened:
            await cache.aclose()

    @pytest.mark.anyio
    async def test_another_process_finds_what_was_kept(self, caches: CacheFactory) -> None:
        first, second = await caches(), await caches()
        await first.put(kept("k", vector=unit(1), scope="s"))
        found = await second.get("default", "k")
        assert found is not None
        assert found.answer.text == "an answer"


@pytest.fixture(scope="module", params=KINDS)
def server(request: pytest.FixtureRequest) -> Iterator[RedisServer]:
    kind: Kind = request.param
    with redis_server(kind) as started:
        yield started


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
class TestRedis(CacheContract):
    @pytest.fixture
    async def caches(
        self, clock: Clock, server: RedisServer, request: pytest.FixtureRequest
    ) -> AsyncIterator[CacheFactory]:
        opened: list[RedisCache] = []

        async def open_(*, entries_max: int = 100, bytes_max: int = 1 << 20) -> Cache:
            limits = CacheLimits(entries_max=entries_max, bytes_max=bytes_max)
            opened.append(RedisCache(server.url, limits, namespace=f"{{{request.node.name}}}", now_s=clock))
            return opened[-1]

        yield open_
        for cache in opened:
            await cache.aclose()

    @pytest.mark.anyio
    async def test_vector_sets_are_used_where_the_server_has_them(
        self, caches: CacheFactory, server: RedisServer
    ) -> None:
        cache = await caches()
        assert isinstance(cache, RedisCache)
        assert await cache.has_vector_sets() is (server.kind == "redis")
