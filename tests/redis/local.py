"""A fleet inside one process: an owner and workers, for tests of what the server does to them."""

import asyncio
import itertools
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field

import anyio

from orchestrator.adapters.redis.owner import RedisTransport
from orchestrator.adapters.redis.worker import RedisWorkers
from orchestrator.errors import TransportError
from orchestrator.ports.tasks import TaskDone, TaskFailed, TaskMessage
from tests.redis.fleet import job
from tests.servers.redis import KINDS, Kind
from tests.sizes import SIZES
from workers import Pool, Workers

#: The kinds of servers under the tests of faults; the contract is kept on both by default, too.
FAULTY: tuple[Kind, ...] = KINDS if SIZES.name == "prove" else ("valkey",)
RECONCILE_S = 0.2  #: an engine asks every few seconds; a test has less time
WAIT_S = 60.0


@dataclass
class LocalFleet:
    """What is sent and what came back."""

    owner: RedisTransport
    ports: list[RedisWorkers] = field(default_factory=list)
    sent: int = 0
    answers: dict[int, int] = field(default_factory=dict)  #: how many answers per job
    failed: list[TaskFailed] = field(default_factory=list)
    work_s: float = 0.02
    arrival: anyio.Event = field(default_factory=anyio.Event)

    def heard(self, message: TaskMessage) -> None:
        """An answer."""
        if isinstance(message, TaskDone):
            self.answers[message.key.branch] = self.answers.get(message.key.branch, 0) + 1
        elif isinstance(message, TaskFailed):
            self.failed.append(message)
        self.arrival.set()
        self.arrival = anyio.Event()

    def send(self, count: int) -> None:
        """So many more jobs."""
        for _ in range(count):
            self.owner.send(job(self.sent, self.work_s))
            self.sent += 1

    async def answered(self, count: int) -> None:
        """Wait until so many different jobs were answered."""
        with anyio.fail_after(WAIT_S):
            while len(self.answers) < count:
                await self.arrival.wait()

    async def load(self, in_flight: int) -> None:
        """Keep so many jobs under way, until cancelled."""
        while True:
            self.send(in_flight - (self.sent - len(self.answers)))
            await self.arrival.wait()

    async def reconcile_always(self) -> None:
        """What an engine does beside its runs."""
        while True:
            with suppress(TransportError):
                await self.owner.reconcile()
            await asyncio.sleep(RECONCILE_S)


@asynccontextmanager
async def local_fleet(
    url: str, namespace: str, *, workers: int = 2, slots: int = 10, lease_s: float = 1.0
) -> AsyncIterator[LocalFleet]:
    """An owner and `workers` worker ports, each with a pool of `slots`."""
    numbers = itertools.count()
    owner = await RedisTransport.open(url, owner=f"owner-{next(numbers)}", namespace=namespace, lease_s=lease_s)
    fleet = LocalFleet(owner)
    owner.bind(fleet.heard)
    hosts: list[Workers] = []
    async with anyio.create_task_group() as group:
        for _ in range(workers):
            port = await RedisWorkers.open(url, worker="local", namespace=namespace, lease_s=lease_s)
            fleet.ports.append(port)
            hosts.append(Workers([_pool(slots)], port, worker=port.name))
            hosts[-1].open(group)
        group.start_soon(fleet.reconcile_always)
        yield fleet
        for host in hosts:
            await host.drain(0.0)
        group.cancel_scope.cancel()
    for port in fleet.ports:
        await port.close()
    await owner.close()


def _pool(slots: int) -> Pool:
    pool = Pool("jobs", concurrency=slots)

    @pool.worker
    async def nap(number: int, seconds: float) -> int:
        await asyncio.sleep(seconds)
        return number

    return pool
