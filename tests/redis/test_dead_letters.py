"""Tasks that no worker can do end where a person finds them, their owners are told, and nothing crashes over them."""

import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, field, replace

import anyio
import pytest

from orchestrator.adapters.redis import codec, limits
from orchestrator.adapters.redis.dead import RedisDeadLetters
from orchestrator.adapters.redis.owner import RedisTransport
from orchestrator.adapters.redis.worker import RedisWorkers
from orchestrator.errors import WrongState
from orchestrator.ports.tasks import TaskFailed, TaskMessage
from orchestrator.testing.transport_contract import POOL, done, key, until
from tests.redis.test_fencing import fetch, task
from tests.servers.redis import RedisServer

pytestmark = pytest.mark.anyio


@dataclass
class Place:
    """An owner, a worker, and the dead letters between them."""

    server: RedisServer
    namespace: str
    owner: RedisTransport
    port: RedisWorkers
    letters: RedisDeadLetters
    messages: list[TaskMessage] = field(default_factory=list)

    @property
    def queue(self) -> str:
        return f"{self.namespace}:q:{POOL}:2"

    def raw(self, *fields: str) -> None:
        """An entry that somebody else wrote."""
        self.server.command("XADD", self.queue, "*", *fields)


@pytest.fixture
async def place(server: RedisServer, namespace: str, anyio_backend: str) -> AsyncIterator[Place]:
    owner = await RedisTransport.open(server.url, owner="owner", namespace=namespace)
    port = await RedisWorkers.open(server.url, worker="worker", namespace=namespace)
    letters = RedisDeadLetters(server.url, namespace=namespace)
    place = Place(server, namespace, owner, port, letters)
    owner.bind(place.messages.append)
    yield place
    await port.close()
    await letters.close()
    await owner.close()


async def test_a_task_that_kills_its_workers_is_given_up(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("orchestrator.adapters.redis.queue.HOLD_AFTER", 100)
    place.owner.send(task(1))
    for number in range(limits.DELIVERIES_MAX):
        dying = await RedisWorkers.open(
            place.server.url, worker=f"dying{number}", namespace=place.namespace, lease_s=0.15
        )
        assert await fetch(dying, 1) == [task(1)]
        await dying._renewals.stop()  # as if it had died: it never says anything again
        dying._leases.clear()
        await dying.close()
    looking = await RedisWorkers.open(place.server.url, worker="last", namespace=place.namespace, lease_s=0.15)
    async with anyio.create_task_group() as group:
        group.start_soon(fetch, looking, 1)  # whoever waits for work looks for leases that ended
        await until(lambda: place.messages != [])
        place.owner.send(task(2))

    (failed,) = place.messages
    assert isinstance(failed, TaskFailed)
    (letter,) = await place.letters.list()
    why = "delivered 5 times, and no worker brought it to an end"
    assert (failed.key, failed.error, failed.message) == (key(1), "terminal", f"dead letter: {why}")
    assert (letter.task, letter.run, letter.step, letter.lane) == (str(key(1)), "run", "step", "normal")
    assert (letter.reason, letter.worker[:7], letter.bytes > 100) == (why, "dying4-", True)
    await looking.close()


async def test_a_task_whose_worker_died_twice_is_held_back_for_a_while(place: Place) -> None:
    place.owner.send(task(1))
    for number in range(limits.HOLD_AFTER):
        dying = await RedisWorkers.open(
            place.server.url, worker=f"dying{number}", namespace=place.namespace, lease_s=0.15
        )
        await fetch(dying, 1)
        await dying._renewals.stop()
        dying._leases.clear()
        await dying.close()
    next_one = await RedisWorkers.open(place.server.url, worker="next", namespace=place.namespace, lease_s=0.15)
    seen: list[int] = []

    async def delayed() -> bool:
        rows = await place.owner.backlog()
        seen.append(rows[0].delayed)
        return bool(rows[0].delayed)

    async with anyio.create_task_group() as group:
        group.start_soon(fetch, next_one, 1)
        with anyio.fail_after(10.0):
            while not await delayed():  # noqa: ASYNC110  # another process's state
                await anyio.sleep(0.02)
    assert seen[-1] == 1
    await next_one.close()


async def test_entries_that_are_not_ours_are_put_aside(place: Place) -> None:
    genuine = codec.task_bytes(task(5)).decode()
    place.raw("hello", "world")
    place.raw("k", codec.key_text(key(5)), "o", "owner", "e", "", "s", "0", "n", "0", "b", genuine)
    place.raw("k", "[1]", "o", "owner", "b", "x" * 100_000)
    place.owner.send(task(1))

    assert await fetch(place.port, 1) == [task(1)]

    letters = await place.letters.list(POOL)
    assert sorted((letter.task, letter.reason.split(":")[0]) for letter in letters) == [
        ("", "no owner announced this task"),
        ("", "the entry is not one of ours"),
        (str(key(5)), "no owner announced this task"),
    ]
    assert place.messages == []


async def test_a_task_this_release_cannot_read_fails_and_is_kept(place: Place) -> None:
    place.owner.send(task(1))
    await place.owner.backlog()
    entry = json.loads(codec.task_bytes(task(1)))
    entry["lane"] = "urgent"
    sent = place.owner._sent[key(1)]
    place.owner.revoke(key(1))
    sent.body = json.dumps(entry).encode()
    place.owner._sent[key(1)] = sent
    place.owner._outbox.append(sent)
    place.owner._wake.set()
    place.owner.send(task(2))

    assert await fetch(place.port, 1) == [task(2)]
    await until(lambda: place.messages != [])

    (failed,) = place.messages
    assert isinstance(failed, TaskFailed)
    assert (failed.key, failed.error) == (key(1), "terminal")
    assert failed.message.startswith("dead letter: the task cannot be read: lane: ")


async def test_a_dead_letter_can_be_shown_requeued_and_dropped(place: Place) -> None:
    place.owner.send(task(1))
    (got,) = await fetch(place.port, 1)
    lease = place.port._leases[got.key]
    place.port._queue(POOL)._refuse(lease, "tried it on")
    await until(lambda: len(place.messages) == 1)
    (letter,) = await place.letters.list()

    shown = await place.letters.show(letter.id)
    await place.letters.requeue(letter.id)

    assert codec.task_of(shown.body.encode()) == task(1)
    del place.port._leases[got.key]
    assert await fetch(place.port, 1) == [task(1)]
    place.port.post(done(1))
    await until(lambda: done(1) in place.messages)
    for verb in (place.letters.show, place.letters.requeue, place.letters.drop):
        with pytest.raises(WrongState, match="dlq list"):
            await verb(letter.id)
    with pytest.raises(WrongState, match="dlq list"):
        await place.letters.drop("nonsense")


async def test_a_large_task_and_a_large_answer_travel_beside_their_entries(place: Place) -> None:
    large = replace(task(1), args={"text": "ä" * 100_000})
    place.owner.send(large)
    assert await fetch(place.port, 1) == [large]
    answer = replace(done(1), output="ö" * 200_000)
    place.port.post(answer)
    await until(lambda: place.messages == [answer])

    too_large = replace(task(2), args={"text": "x" * limits.BODY_BYTES_MAX})
    place.owner.send(too_large)
    await until(lambda: len(place.messages) == 2)
    place.owner.send(task(3))
    await fetch(place.port, 1)
    place.port.post(replace(done(3), output="x" * limits.BODY_BYTES_MAX))
    await until(lambda: len(place.messages) == 3)

    failures = [(m.key, m.error) for m in place.messages[1:] if isinstance(m, TaskFailed)]
    assert failures == [(key(2), "terminal"), (key(3), "terminal")]
    left = place.server.command("EXISTS", f"{place.namespace}:body:{POOL}", f"{place.namespace}:open:{POOL}")
    assert left == b":0"
