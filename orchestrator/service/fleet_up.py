"""A fleet on one machine: a supervisor, and as many workers of each pool as its work needs, as child processes."""

import json
import os
import socket
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import anyio

from orchestrator.app import open_journal
from orchestrator.engine.scaling import Bounds, Load, Memory, decide
from orchestrator.errors import OrchestratorError, PromiseError
from orchestrator.fleet import open_fleet
from orchestrator.ports.fleet import Fleet, WorkerSeen
from orchestrator.service.fleet_supervisor import must_be_fleet
from orchestrator.service.fleet_worker import Say, until_asked_to_go
from orchestrator.service.processes import PARENT, Child, Children
from orchestrator.settings import Settings

LOOK_S: Final = 0.5  #: between two looks at children and backlog
KILL_AFTER_S: Final = 15.0  #: above a child's own grace, before it is killed
IDLE_ASKS: Final = 2  #: looks in a row at which a worker must be idle before it is asked to go


@dataclass(slots=True, kw_only=True)
class ScaledPool:
    """One pool and its worker processes."""

    bounds: Bounds
    memory: Memory = field(default_factory=Memory)
    made: int = 0  #: workers started so far, for their names
    idle: dict[str, int] = field(default_factory=dict)  #: looks in a row at which a worker had nothing


class Up:
    """What `up` keeps running. Scales by the rule of `engine.scaling`; a worker that is busy is never asked to go."""

    def __init__(
        self,
        pools: Sequence[Bounds],
        children: Children,
        fleet: Fleet,
        *,
        supervisors: int,
        grace_s: float,
        say: Say,
        record: Path | None = None,
    ) -> None:
        self.pools = {bounds.pool: ScaledPool(bounds=bounds) for bounds in pools}
        self.children, self._fleet = children, fleet
        self._supervisors, self._grace_s, self._say, self._record = supervisors, grace_s, say, record
        self._trouble, self._unwritten = "", False

    def start(self) -> None:
        """Start the supervisors and the least number of workers of each pool."""
        for number in range(1, self._supervisors + 1):
            command = [*_SELF, "supervise", "--grace", f"{self._grace_s:g}"]
            self.children.add(f"supervisor-{number}", command)
        for name, pool in self.pools.items():
            for _ in range(pool.bounds.least):
                self._grow(name, pool)

    async def look(self, now_s: float) -> None:
        """See to the children, then to the size of every pool."""
        self.children.look()
        try:
            backlogs = {str(one.pool): one for one in await self._fleet.backlog()}
            workers = await self._fleet.workers()
        except OrchestratorError as error:
            if not self._trouble:
                self._say(f"pools stay as they are while the transport cannot be asked: {error}")
            self._trouble = str(error)
            return
        self._trouble = ""
        for name, pool in self.pools.items():
            one = backlogs.get(name)
            load = Load(waiting=one.waiting, delayed=one.delayed, running=one.running) if one is not None else Load()
            self._scale(name, pool, load, workers, now_s)

    def _scale(self, name: str, pool: ScaledPool, load: Load, workers: Sequence[WorkerSeen], now_s: float) -> None:
        mine = self._workers_of(name)
        pool.memory, decision = decide(pool.bounds, pool.memory, load, len(mine), now_s)
        idle = self._idle(pool, mine, workers)
        if decision.workers > len(mine):
            self._tell(name, len(mine), decision.workers, decision.reason, load)
            for _ in range(decision.workers - len(mine)):
                self._grow(name, pool)
        elif decision.workers < len(mine):
            # Only those that have nothing to do go. One that takes a task in this moment finishes it first.
            going = idle[: len(mine) - decision.workers]
            if going:
                self._tell(name, len(mine), len(mine) - len(going), decision.reason, load)
            for child in going:
                self.children.ask_to_go(child.name, self._grace_s + KILL_AFTER_S)

    def _workers_of(self, pool: str) -> list[Child]:
        prefix = f"{pool}-"
        return [
            child
            for child in self.children.children.values()
            if child.name.startswith(prefix) and child.name[len(prefix) :].isdigit() and not child.leaving
        ]

    def _idle(self, pool: ScaledPool, mine: Sequence[Child], workers: Sequence[WorkerSeen]) -> list[Child]:
        """Workers that had nothing to do at the last looks, the youngest first."""
        # On other machines other processes have the same numbers.
        here = socket.gethostname()
        running = {_pid_of(worker.name, here): worker.running for worker in workers}
        pool.idle = {
            child.name: pool.idle.get(child.name, 0) + 1
            for child in mine
            if child.pid is not None and running.get(child.pid) == 0
        }
        return [child for child in reversed(mine) if pool.idle.get(child.name, 0) >= IDLE_ASKS]

    def _grow(self, name: str, pool: ScaledPool) -> None:
        pool.made += 1
        slots, grace = str(pool.bounds.slots), f"{self._grace_s:g}"
        command = [*_SELF, "worker", "--pool", name, "--concurrency", slots, "--grace", grace]
        self.children.add(f"{name}-{pool.made}", command)

    def _tell(self, pool: str, before: int, after: int, reason: str, load: Load) -> None:
        self._say(f"pool {pool}: {before} → {after} workers ({reason})")
        if self._record is not None:
            line = {
                "at": time.time(), "pool": pool, "from": before, "to": after, "reason": reason,
                "waiting": load.waiting, "delayed": load.delayed, "running": load.running,
            }  # fmt: skip
            try:
                with self._record.open("a", encoding="utf-8") as out:
                    out.write(json.dumps(line) + "\n")
            except OSError as error:  # a full disk is no reason to end a fleet
                if not self._unwritten:
                    self._say(f"{self._record} is not written: {error}; what changes is said here alone until it is")
                self._unwritten = True
            else:
                self._unwritten = False

    async def stop(self) -> None:
        """Ask all children to go: workers first, then supervisors, which may then still journal their answers."""
        for kind in ("worker", "supervisor"):
            names = [name for name in self.children.children if name.startswith("supervisor-") == (kind != "worker")]
            for name in names:
                self.children.ask_to_go(name, self._grace_s + KILL_AFTER_S)
            while any(name in self.children.children for name in names):
                self.children.look()
                await anyio.sleep(0.05)


_SELF: Final = (sys.executable, "-m", "orchestrator")


def _pid_of(worker: str, host: str) -> int | None:
    """The process id in the name of a worker on this machine: host-pid-random-random."""
    parts = worker.rsplit("-", 3)
    return int(parts[1]) if len(parts) == 4 and parts[0] == host and parts[1].isdigit() else None


def _must_be_writable(record: Path) -> None:
    try:
        with record.open("a", encoding="utf-8"):
            pass
    except OSError as error:
        raise PromiseError(f"{record} cannot be written: {error}", "name another file with --scaler-events") from error


async def up(
    settings: Settings,
    pools: Sequence[Bounds],
    *,
    supervisors: int,
    grace_s: float,
    record: Path | None,
    say: Say,
    environment: Mapping[str, str] | None = None,
) -> int:
    """Keep a fleet running until a signal comes; return its number. No child outlives this.

    Raises:
        PromiseError: store or transport cannot be shared by several processes or wants `db upgrade`, or `record` cannot
            be written.
        TransportUnreachable: there is no server at the start; later it is waited for.
    """
    must_be_fleet(settings)
    if record is not None:
        _must_be_writable(record)
    await (await open_journal(settings)).close()  # what every supervisor would refuse is told once, and now
    # By the environment: a command line is for everybody on the machine to read, and addresses hold passwords.
    seen = {
        **(os.environ if environment is None else environment),
        "ORCHESTRATOR_STORE": settings.store,
        "ORCHESTRATOR_TRANSPORT": settings.transport,
        "ORCHESTRATOR_POOLS": ",".join(settings.pools),
        PARENT: str(os.getpid()),
    }
    children = Children(seen, say)
    async with AsyncExitStack() as stack:
        fleet = await stack.enter_async_context(open_fleet(settings))
        await fleet.backlog()  # a server that is not there is told of now
        stack.callback(children.kill_all)
        keeper = Up(pools, children, fleet, supervisors=supervisors, grace_s=grace_s, say=say, record=record)
        keeper.start()
        async with anyio.create_task_group() as group:

            async def keep() -> None:
                while True:
                    await keeper.look(time.monotonic())
                    await anyio.sleep(LOOK_S)

            group.start_soon(keep)
            number = await until_asked_to_go(say)
            group.cancel_scope.cancel()
        say(f"going: {len(children.children)} processes are asked to finish")
        with anyio.CancelScope(shield=True):
            await keeper.stop()
    return number


__all__ = ["ScaledPool", "Up", "up"]
