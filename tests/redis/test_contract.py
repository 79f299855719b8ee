"""The Redis transport keeps the transport's contract, on Valkey and on Redis, over both versions of the protocol."""

from collections.abc import AsyncIterator

import pytest

from orchestrator.adapters.redis.owner import RedisTransport
from orchestrator.adapters.redis.worker import RedisWorkers
from orchestrator.testing.transport_contract import Link, TransportContract
from tests.servers.redis import RedisServer

pytestmark = pytest.mark.anyio


class TestRedisTransport(TransportContract):
    @pytest.fixture(params=[2, 3])
    async def link(
        self, request: pytest.FixtureRequest, server: RedisServer, namespace: str, anyio_backend: str
    ) -> AsyncIterator[Link]:
        url = f"{server.url}?protocol={request.param}"
        owner = await RedisTransport.open(url, owner="owner", namespace=namespace, clock=lambda: link.now_s)
        workers = await RedisWorkers.open(url, worker="worker", namespace=namespace)
        link = Link(owner=owner, workers=workers)
        link.bind()
        yield link
        await workers.close()
        await owner.close()
