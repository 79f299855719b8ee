"""The limiter of a fleet keeps the limiter's contract, and holds over several processes' connections."""

from collections.abc import AsyncIterator, Mapping

import pytest

from orchestrator.adapters.redis.limiter import RedisLimiter
from orchestrator.ports.limiter import Rates
from orchestrator.testing.limiter_contract import LimiterContract, MakeLimiter
from tests.servers.redis import RedisServer

pytestmark = pytest.mark.anyio


class TestRedisLimiter(LimiterContract):
    """On a clock that the test moves."""

    async def pass_time(self, seconds: float) -> None:
        self.now_s += seconds

    @pytest.fixture
    async def make(self, server: RedisServer, namespace: str, anyio_backend: str) -> AsyncIterator[MakeLimiter]:
        self.now_s = 1_700_000_000.0
        made: list[RedisLimiter] = []

        async def limiter(rates: Mapping[str, Rates]) -> RedisLimiter:
            made.append(RedisLimiter(server.url, rates, namespace=namespace, now_s=lambda: self.now_s))
            return made[-1]

        yield limiter
        for one in made:
            await one.close()


async def test_processes_share_rates_and_cool_downs(server: RedisServer, namespace: str) -> None:
    rates = {"a": Rates(requests_per_minute=2)}
    first, second = (RedisLimiter(server.url, rates, namespace=namespace) for _ in range(2))

    assert [(await limiter.reserve("a", 1)).wait_s for limiter in (first, second)] == [0.0, 0.0]
    assert (await second.reserve("a", 1)).wait_s == pytest.approx(30.0, abs=5.0)
    await first.cool_down("a", 100.0)
    assert (await second.reserve("b", 1)).wait_s == 0.0
    assert (await second.reserve("a", 1)).wait_s > 90.0
    await first.close()
    await second.close()


async def test_a_server_that_comes_back_is_waited_for(namespace: str) -> None:
    server = RedisServer("valkey").start()
    limiter = RedisLimiter(server.url, {"a": Rates(requests_per_minute=1)}, namespace=namespace)
    try:
        assert (await limiter.reserve("a", 1)).wait_s == 0.0
        server.restart()
        assert (await limiter.reserve("a", 1)).wait_s > 0.0
    finally:
        await limiter.close()
        server.close()
