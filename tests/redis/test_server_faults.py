"""What a server does to its clients: it dies, loses everything or its newest writes, and no job is lost by it."""

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager

import anyio
import pytest

from tests.redis.local import FAULTY, LocalFleet, local_fleet
from tests.servers.proxy import fault_proxy
from tests.servers.redis import Kind, RedisServer, redis_server
from tests.sizes import SIZES

pytestmark = pytest.mark.anyio

FULL = SIZES.name == "prove"
RESTARTS = 50 if FULL else 3
FLUSHES = 20 if FULL else 3
FAILOVERS = 20 if FULL else 2
IN_FLIGHT = 50
BETWEEN = 60  #: jobs answered between two faults


@pytest.fixture(params=FAULTY)
def own_server(request: pytest.FixtureRequest) -> Iterator[RedisServer]:
    """A server that may be harmed."""
    kind: Kind = request.param
    with redis_server(kind) as started:
        yield started


@asynccontextmanager
async def under_load(url: str, namespace: str) -> AsyncIterator[LocalFleet]:
    """A fleet that is kept busy; at the end every job must have been answered."""
    async with local_fleet(url, namespace) as fleet:
        async with anyio.create_task_group() as group:
            group.start_soon(fleet.load, IN_FLIGHT)
            await fleet.answered(BETWEEN)
            yield fleet
            group.cancel_scope.cancel()
        await fleet.answered(fleet.sent)
        assert sorted(fleet.answers) == list(range(fleet.sent))
        assert fleet.failed == []


async def test_nothing_is_lost_when_the_server_is_killed_and_restarted(own_server: RedisServer, namespace: str) -> None:
    async with under_load(own_server.url, namespace) as fleet:
        for _ in range(RESTARTS):
            await anyio.to_thread.run_sync(own_server.restart)
            await fleet.answered(len(fleet.answers) + BETWEEN)


async def test_nothing_is_lost_when_the_server_forgets_everything(own_server: RedisServer, namespace: str) -> None:
    async with under_load(own_server.url, namespace) as fleet:
        for _ in range(FLUSHES):
            own_server.command("FLUSHALL")
            await fleet.answered(len(fleet.answers) + BETWEEN)


@pytest.mark.parametrize("what", ["stream", "group", "open", "consumers"])
async def test_nothing_is_lost_when_a_part_of_it_is_deleted(own_server: RedisServer, namespace: str, what: str) -> None:
    queue = f"{namespace}:q:jobs:2"
    async with under_load(own_server.url, namespace) as fleet:
        for _ in range(FLUSHES):
            match what:
                case "stream":
                    own_server.command("DEL", queue)
                case "group":
                    own_server.command("XGROUP", "DESTROY", queue, "workers")
                case "open":
                    own_server.command("DEL", f"{namespace}:open:jobs")
                case _:
                    for port in fleet.ports:
                        own_server.command("XGROUP", "DELCONSUMER", queue, "workers", port.name)
            await fleet.answered(len(fleet.answers) + BETWEEN)


async def test_nothing_is_lost_when_the_server_loses_its_newest_writes(namespace: str) -> None:
    with redis_server("valkey", appendonly=True, fsync="no") as server:
        async with under_load(server.url, namespace) as fleet:
            for _ in range(FLUSHES):
                await anyio.to_thread.run_sync(_lose_tail, server)
                await fleet.answered(len(fleet.answers) + BETWEEN)


def _lose_tail(server: RedisServer) -> None:
    server.kill()
    parts = sorted((server.folder / "appendonlydir").glob("*.incr.aof"))
    if parts:
        data = parts[-1].read_bytes()
        parts[-1].write_bytes(data[: len(data) * 9 // 10])
    server.start()


async def test_nothing_is_lost_when_a_replica_that_lagged_takes_over(namespace: str) -> None:
    primary = RedisServer("valkey").start()
    try:
        with fault_proxy(primary.port) as proxy:
            async with under_load(proxy.url, namespace) as fleet:
                for _ in range(FAILOVERS):
                    replica = RedisServer("valkey", replica_of=primary.port).start()
                    await _synced(replica)
                    replica.freeze()  # from here on it misses what the primary acknowledges
                    await fleet.answered(len(fleet.answers) + BETWEEN)
                    primary.close()
                    replica.thaw()
                    replica.promote()
                    primary = replica
                    proxy.lead_to(primary.port)
                    await fleet.answered(len(fleet.answers) + BETWEEN)
    finally:
        primary.close()


async def _synced(replica: RedisServer) -> None:
    with anyio.fail_after(20.0):
        while b"master_link_status:up" not in replica.info("replication"):  # noqa: ASYNC110  # another process's state
            await anyio.sleep(0.02)


@pytest.mark.parametrize("fault", ["cut", "reply lost", "half open", "refused"])
async def test_nothing_is_lost_when_the_network_breaks(own_server: RedisServer, namespace: str, fault: str) -> None:
    with fault_proxy(own_server.port) as proxy:
        async with under_load(proxy.url, namespace) as fleet:
            for turn in range(FLUSHES):
                match fault:
                    case "cut":
                        proxy.cut()
                    case "reply lost":
                        proxy.cut_after(1 + 977 * turn, "to_client")
                    case "half open":
                        proxy.black_hole()
                        await anyio.sleep(0.3)
                        proxy.heal()
                    case _:
                        proxy.refuse()
                        proxy.cut()
                        await anyio.sleep(0.3)
                        proxy.heal()
                await fleet.answered(len(fleet.answers) + BETWEEN)


async def test_a_server_that_is_full_or_read_only_is_waited_for(own_server: RedisServer, namespace: str) -> None:
    async with under_load(own_server.url, namespace) as fleet:
        own_server.command("CONFIG", "SET", "maxmemory", "1mb")
        await anyio.sleep(0.5)
        own_server.command("CONFIG", "SET", "maxmemory", "0")
        await fleet.answered(len(fleet.answers) + BETWEEN)
        own_server.command("REPLICAOF", "127.0.0.1", "1")
        await anyio.sleep(0.5)
        own_server.command("REPLICAOF", "NO", "ONE")
        await fleet.answered(len(fleet.answers) + BETWEEN)
