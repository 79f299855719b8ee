"""A worker that lost its lease is heard no more, whatever it says and however late."""

from dataclasses import replace

import anyio
import pytest

from orchestrator.adapters.redis.owner import RedisTransport
from orchestrator.adapters.redis.worker import RedisWorkers
from orchestrator.ports.tasks import (
    OwnerReply,
    OwnerRequest,
    SpendRequest,
    StepTask,
    TaskDone,
    TaskMessage,
    TaskProgress,
    TaskSpent,
)
from orchestrator.testing.transport_contract import POOL, done, key, until
from orchestrator.testing.transport_contract import task as contract_task
from tests.servers.redis import RedisServer

pytestmark = pytest.mark.anyio

ZOMBIES = 1_000
LEASE_S = 0.4
LONG_LEASE_S = 2.0  #: a thousand tasks are renewed at once: a busy machine needs a moment for that


def task(number: int) -> StepTask:
    """A task that may be done again: the contract's own have an effect."""
    return replace(contract_task(number), idempotency_key=None)


async def fetch(port: RedisWorkers, count: int) -> list[StepTask]:
    found: list[StepTask] = []
    with anyio.fail_after(10.0):
        while len(found) < count:
            found += await port.fetch(POOL, count - len(found))
    return found


async def test_of_a_thousand_zombie_results_none_is_accepted(server: RedisServer, namespace: str) -> None:
    owner = await RedisTransport.open(server.url, owner="owner", namespace=namespace)
    frozen = await RedisWorkers.open(server.url, worker="frozen", namespace=namespace, lease_s=LONG_LEASE_S)
    healthy = await RedisWorkers.open(server.url, worker="healthy", namespace=namespace, lease_s=LONG_LEASE_S)
    messages: list[TaskMessage] = []
    owner.bind(messages.append)
    for number in range(ZOMBIES):
        owner.send(task(number))
    assert len(await fetch(frozen, ZOMBIES)) == ZOMBIES
    await frozen._renewals.stop()  # as SIGSTOP would, while this process goes on

    assert len(await fetch(healthy, ZOMBIES)) == ZOMBIES
    for number in range(ZOMBIES):
        if number % 2:  # half of them before the task is done elsewhere, half of them after
            frozen.post(TaskDone(key=key(number), worker="frozen", output="zombie"))
    await until(lambda: not frozen._outbox)
    for number in range(ZOMBIES):
        healthy.post(done(number))
    await until(lambda: len(messages) == ZOMBIES)
    for number in range(0, ZOMBIES, 2):
        frozen.post(TaskProgress(key=key(number), worker="frozen", message="still here"))
        frozen.post(TaskDone(key=key(number), worker="frozen", output="zombie"))
    await until(lambda: not frozen._outbox)
    owner.send(task(ZOMBIES))
    await fetch(healthy, 1)
    healthy.post(done(ZOMBIES))
    await until(lambda: len(messages) == ZOMBIES + 1)

    assert messages == [done(number) for number in range(ZOMBIES + 1)]
    for port in (frozen, healthy):
        await port.close()
    await owner.close()


async def test_a_lost_lease_stops_the_work_and_still_books_its_money(server: RedisServer, namespace: str) -> None:
    owner = await RedisTransport.open(server.url, owner="owner", namespace=namespace)
    port = await RedisWorkers.open(server.url, worker="worker", namespace=namespace, lease_s=LEASE_S)
    messages: list[TaskMessage] = []
    cancelled: list[object] = []
    owner.bind(messages.append)
    port.on_revoke(POOL, cancelled.append)
    owner.send(task(1))
    await fetch(port, 1)

    entry = port._leases[key(1)].entry
    server.command("XCLAIM", f"{namespace}:q:{POOL}:2", "workers", "another", "0", entry)
    await until(lambda: cancelled == [key(1)])
    spent = TaskSpent(key=key(1), worker="worker", charge="c1", usd=0.5)
    port.post(TaskProgress(key=key(1), worker="worker", message="nobody listens"))
    port.post(spent)
    port.post(done(1))
    await until(lambda: messages == [spent])

    assert (await port.ask(SpendRequest(key=key(1), charge="c2", usd=1.0))).granted is False
    await port.close()
    await owner.close()


async def test_a_question_waits_for_an_owner_that_comes_later(
    server: RedisServer, namespace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("orchestrator.adapters.redis.worker.ASK_AGAIN_S", 0.2)

    async def grant(_request: OwnerRequest) -> OwnerReply:
        return OwnerReply(granted=True)

    first = await RedisTransport.open(server.url, owner="first", namespace=namespace)
    port = await RedisWorkers.open(server.url, worker="worker", namespace=namespace)
    first.send(task(1))
    await fetch(port, 1)
    await first.close()
    replies: list[OwnerReply] = []

    async def ask() -> None:
        replies.append(await port.ask(SpendRequest(key=key(1), charge="c1", usd=0.5)))

    async with anyio.create_task_group() as group:
        group.start_soon(ask)
        second = await RedisTransport.open(server.url, owner="second", namespace=namespace)
        second.bind_answer(grant)
        second.resume(task(1))  # the new owner takes what is there

    assert replies == [OwnerReply(granted=True)]
    await port.close()
    await second.close()
