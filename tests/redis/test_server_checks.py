"""A server that cannot keep what a transport promises is refused at the start, with the remedy."""

import pytest

from orchestrator.adapters.redis.owner import RedisTransport
from orchestrator.adapters.redis.server import check_server
from orchestrator.adapters.redis.wire import Wire
from orchestrator.adapters.redis.worker import RedisWorkers
from orchestrator.errors import PromiseError, TransportUnreachable
from tests.servers.redis import KINDS, Kind, free_port, redis_server

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize("kind", KINDS)
async def test_a_server_that_evicts_is_refused(kind: Kind) -> None:
    with redis_server(kind) as server:
        server.command("CONFIG", "SET", "maxmemory-policy", "allkeys-lru")

        with pytest.raises(PromiseError, match=r"maxmemory-policy allkeys-lru.*CONFIG SET maxmemory-policy noeviction"):
            await RedisTransport.open(server.url, owner="owner")
        with pytest.raises(PromiseError, match="noeviction"):
            await RedisWorkers.open(server.url, worker="worker")


async def test_a_cluster_is_refused() -> None:
    port = free_port() % 50_000 + 2_000  # a cluster's node listens at 10,000 above it too
    with (
        redis_server("valkey", options=("--cluster-enabled", "yes"), port=port) as server,
        pytest.raises(PromiseError, match="is a cluster"),
    ):
        await RedisTransport.open(server.url, owner="owner")


async def test_a_replica_is_refused() -> None:
    with (
        redis_server("valkey", replica_of=free_port()) as server,
        pytest.raises(PromiseError, match=r"replica.*address of the primary"),
    ):
        await RedisTransport.open(server.url, owner="owner")


async def test_no_server_is_said_with_its_place_and_without_its_password() -> None:
    port = free_port()

    with pytest.raises(TransportUnreachable, match=f"127.0.0.1:{port}") as caught:
        await RedisTransport.open(f"redis://user:secret@127.0.0.1:{port}/0", owner="owner")

    assert "secret" not in str(caught.value)


async def test_a_url_that_is_none_is_refused() -> None:
    with pytest.raises(PromiseError, match="redis://host:6379/0"):
        await RedisTransport.open("http://127.0.0.1", owner="owner")


@pytest.mark.parametrize(
    ("kind", "durable", "newer"),
    [("valkey", False, ("WAITAOF",)), ("redis", True, ("XACKDEL", "WAITAOF"))],
)
async def test_what_a_server_is_and_has_is_asked_of_itself(kind: Kind, durable: bool, newer: tuple[str, ...]) -> None:
    with redis_server(kind, appendonly=durable) as server:
        wire = Wire(server.url)
        report = await check_server(wire)
        await wire.close()

    assert (report.product, report.newer) == (kind, newer)
    assert report.durable.startswith("append-only file, fsync everysec" if durable else "no append-only file")
