"""A server that forgets what workers hold: their work goes on, and counts once."""

from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field

import pytest

from orchestrator.adapters.redis.owner import RedisTransport
from orchestrator.adapters.redis.pace import watched
from orchestrator.adapters.redis.worker import RedisWorkers
from orchestrator.ports.tasks import TaskKey, TaskMessage, TaskSpent
from orchestrator.testing.transport_contract import POOL, done, key, until
from tests.redis.test_fencing import LEASE_S, fetch, task
from tests.servers.redis import RedisServer, redis_server

pytestmark = pytest.mark.anyio
QUEUE = "q:pool:2"


@dataclass
class Place:
    """An owner, a worker that has fetched task 1, and a server that may be harmed."""

    server: RedisServer
    namespace: str
    owner: RedisTransport
    port: RedisWorkers
    messages: list[TaskMessage] = field(default_factory=list)
    cancelled: list[TaskKey] = field(default_factory=list)

    async def worker(self, name: str) -> RedisWorkers:
        return await RedisWorkers.open(self.server.url, worker=name, namespace=self.namespace, lease_s=LEASE_S)

    def forget(self, what: str) -> None:
        match what:
            case "everything":
                self.server.command("FLUSHALL")
            case "the stream":
                self.server.command("DEL", f"{self.namespace}:{QUEUE}")
            case "the group":
                self.server.command("XGROUP", "DESTROY", f"{self.namespace}:{QUEUE}", "workers")
            case _:
                self.server.command("XGROUP", "DELCONSUMER", f"{self.namespace}:{QUEUE}", "workers", self.port.name)

    def kept(self) -> bool:
        return self.server.command("ZCARD", f"{self.namespace}:kept:{POOL}") == b":1"

    async def waiting_and_running(self) -> tuple[int, int]:
        (row,) = await self.owner.backlog()
        return row.waiting, row.running


@pytest.fixture(scope="module")
def own_server() -> Iterator[RedisServer]:
    with redis_server("valkey") as started:
        yield started


@pytest.fixture
async def place(own_server: RedisServer, namespace: str, anyio_backend: str) -> AsyncIterator[Place]:
    owner = await RedisTransport.open(own_server.url, owner="owner", namespace=namespace, lease_s=LEASE_S)
    port = await RedisWorkers.open(own_server.url, worker="worker", namespace=namespace, lease_s=LEASE_S)
    place = Place(own_server, namespace, owner, port)
    owner.bind(place.messages.append)
    port.on_revoke(POOL, place.cancelled.append)
    owner.send(task(1))
    await fetch(port, 1)
    yield place
    await port.close()
    await owner.close()


@pytest.mark.parametrize("what", ["everything", "the stream", "the group", "the consumer"])
async def test_work_that_the_server_forgot_goes_on_and_is_not_sent_again(place: Place, what: str) -> None:
    place.forget(what)
    assert await place.owner.reconcile() == 0, "its worker has the time of a lease to say that it has the task"
    await until(place.kept)
    assert await place.owner.reconcile() == 0
    assert (
        await place.waiting_and_running() == (0, 1) or what == "the group"
    )  # whose entry counts as waiting, and is skipped
    place.port.post(done(1))
    await until(lambda: place.messages == [done(1)])

    assert place.cancelled == []
    assert await place.owner.reconcile() == 0
    place.owner.send(task(2))
    assert await fetch(place.port, 1) == [task(2)], "what was forgotten is not handed out again"


async def test_an_answer_counts_although_the_server_forgot_that_it_was_asked_for(place: Place) -> None:
    place.forget("everything")

    place.port.post(done(1))

    await until(lambda: place.messages == [done(1)])
    assert await place.owner.reconcile() == 0


async def test_what_was_forgotten_and_is_done_by_another_is_lost(place: Place) -> None:
    await place.port._renewals.stop()  # as SIGSTOP would
    other = await place.worker("other")
    place.forget("everything")
    while not await place.owner.reconcile():  # until the time of a lease has passed
        pass
    assert await fetch(other, 1) == [task(1)]

    place.port.post(done(1))
    await until(lambda: not place.port._outbox)
    assert place.messages == []
    other.post(done(1))
    await until(lambda: place.messages == [done(1)])
    await other.close()


async def test_a_worker_that_dies_after_the_server_forgot_is_replaced(place: Place) -> None:
    place.forget("everything")
    await until(place.kept)
    await place.port._renewals.stop()
    other = await place.worker("other")

    while not await place.owner.reconcile():  # until its lease has ended
        pass

    assert await fetch(other, 1) == [task(1)]
    await other.close()


async def test_work_that_the_server_forgot_can_be_revoked_and_handed_back(place: Place) -> None:
    place.owner.send(task(2))
    await fetch(place.port, 1)
    place.forget("everything")
    await until(lambda: place.server.command("ZCARD", f"{place.namespace}:kept:{POOL}") == b":2")

    place.owner.revoke(key(1))
    place.port.give_back(key(2))

    await until(lambda: place.cancelled == [key(1)])
    while not await place.owner.reconcile():  # until it is missing
        pass
    assert await fetch(place.port, 1) == [task(2)]
    assert not place.kept()


async def test_last_words_that_nobody_read_are_said_again(place: Place) -> None:
    place.owner._tasks.pop().cancel()  # the reader of the owner's stream
    spent = TaskSpent(key=key(1), worker="worker", charge="c1", usd=0.5)
    place.port.post(spent)
    place.port.post(done(1))
    await until(lambda: not place.port._outbox)

    place.forget("everything")
    place.owner._tasks.append(watched(place.owner._inbox.run(), "transport inbox"))

    await until(lambda: place.messages == [spent, done(1)])


async def test_only_the_owner_of_a_task_revokes_it(place: Place) -> None:
    second = await RedisTransport.open(place.server.url, owner="second", namespace=place.namespace)
    second.bind(place.messages.append)
    second.resume(task(1))
    await until(lambda: not second._resumed and second._resuming is not None and second._resuming.done())

    place.owner.revoke(key(1))
    await place.owner.backlog()
    place.port.post(done(1))

    await until(lambda: place.messages == [done(1)])
    assert place.cancelled == []
    await second.close()
