"""All pools of a registry at work in this process."""

import os
import secrets
import socket
import time
from collections.abc import Callable, Iterable, Sequence

import anyio
from anyio.abc import TaskGroup

from orchestrator.ids import WorkerId
from orchestrator.ports.guard import Guard
from orchestrator.ports.model import Models
from orchestrator.ports.observer import WorkObserver
from orchestrator.ports.tasks import TaskKey
from orchestrator.ports.transport import WorkerPort
from workers.host import PoolHost
from workers.pool import Pool


def worker_id() -> WorkerId:
    """A name for this process as a worker: host, process id, and a part that no later process shares."""
    return WorkerId(f"{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(4)}")


class Workers:
    """A host for every pool, on one port, inside one task group.

    `models` are what agents among them ask; `guards` tells by a pool's name which stand
    before its own.
    """

    def __init__(
        self,
        pools: Iterable[Pool],
        port: WorkerPort,
        *,
        worker: str | None = None,
        models: Models | None = None,
        clock: Callable[[], float] = time.time,
        observer: WorkObserver | None = None,
        guards: Callable[[str], Sequence[Guard]] = lambda _: (),
    ) -> None:
        name = worker or worker_id()
        self.hosts = {
            pool.name: PoolHost(
                pool,
                port,
                worker=name,
                models=models,
                clock=clock,
                observer=observer,
                guards=guards(pool.name),
            )
            for pool in pools
        }

    def open(self, group: TaskGroup) -> None:
        """Begin to serve inside `group`, which must outlive the workers."""
        for host in self.hosts.values():
            host.open(group)

    @property
    def running(self) -> int:
        """Tasks taken and not answered, over all pools."""
        return sum(host.running for host in self.hosts.values())

    async def drain(self, grace_s: float) -> list[TaskKey]:
        """Take nothing more, wait up to `grace_s` seconds, cancel the rest and return its keys."""
        undone: list[TaskKey] = []

        async def one(host: PoolHost) -> None:
            undone.extend(await host.drain(grace_s))

        async with anyio.create_task_group() as group:
            for host in self.hosts.values():
                group.start_soon(one, host)
        return undone
