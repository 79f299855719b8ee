"""A worker process of a fleet: fetches tasks of its pools until it is asked to go, then finishes or hands back."""

import os
import signal
from collections.abc import Callable, Mapping
from contextlib import AsyncExitStack
from typing import Final

import anyio
from anyio.abc import TaskGroup

from orchestrator.errors import OrchestratorError
from orchestrator.fleet import FleetWorker, open_worker
from orchestrator.ids import PoolName
from orchestrator.ports.fleet import Offer
from orchestrator.service.health import Health, serve_health
from orchestrator.service.processes import PARENT
from orchestrator.settings import Settings

COMPARE_S: Final = 1.0  #: between two looks at what the owners need
LONELY_S: Final = 15.0  #: without a supervisor: then it is said, for the worker may be at the wrong address
Say = Callable[[str], None]


async def until_asked_to_go(say: Say) -> int:
    """Wait for SIGTERM or SIGINT, or for the end of the parent that `up` is; return the signal's number.

    Afterwards a second signal ends the process at once.
    """
    parent = os.environ.get(PARENT)
    with anyio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as received:
        found: list[int] = []

        async def parent_ends(group: TaskGroup) -> None:
            while str(os.getppid()) == parent:  # noqa: ASYNC110  # nothing tells of it
                await anyio.sleep(0.5)
            say("the process that started this one is gone")
            found.append(signal.SIGTERM)
            group.cancel_scope.cancel()

        async with anyio.create_task_group() as group:
            if parent is not None:
                group.start_soon(parent_ends, group)
            async for number in received:
                found.append(number)
                group.cancel_scope.cancel()
                break
    # From here on the default: whoever asks twice does not want to wait.
    signal.signal(signal.SIGINT, _at_once)
    signal.signal(signal.SIGTERM, _at_once)
    return found[0]


def _at_once(number: int, _frame: object) -> None:
    os.write(2, b"ended at once; what was under way is given to others when its lease ends\n")
    os._exit(128 + number)


class WorkerProcess:
    """What a worker process does beside its tasks."""

    def __init__(self, worker: FleetWorker, say: Say) -> None:
        self._worker, self._say = worker, say
        self._offer = Offer()
        self._told: dict[str, list[str]] = {}
        self._alone_since_s: float | None = anyio.current_time()  #: None once that was said, or somebody was seen
        self.trouble = ""  #: why the board cannot be read, while it cannot
        self.leaving = False

    async def compare(self) -> None:
        """Shut pools whose functions do not fit what the owners need, open those that do, and say so on the board."""
        worker = self._worker
        needed = await worker.fleet.needed()
        self._look_around(bool(needed))
        refused = worker.unfit(needed)
        for pool in worker.registry:
            worker.gate.set(PoolName(pool.name), is_open=pool.name not in refused)
            if refused.get(pool.name, []) != self._told.get(pool.name, []):
                if pool.name in refused:
                    self._say(f"pool {pool.name}: nothing is fetched: {'; '.join(refused[pool.name])}")
                else:
                    self._say(f"pool {pool.name}: its functions fit again")
        self._told = refused
        offer = Offer(
            concurrency={pool.name: pool.concurrency for pool in worker.registry},
            digests={
                pool.name: {name: str(spec.contract.digest) for name, spec in pool.functions.items()}
                for pool in worker.registry
            },
            refused=refused,
            unready=worker.unready,
            seen=sorted(needed),
            leaving=self.leaving,
        )
        await worker.fleet.offer(worker.name, offer)

    def _look_around(self, seen: bool) -> None:
        """Say once when no supervisor is there: tasks come from nobody else."""
        if seen:
            self._alone_since_s = None
        elif self._alone_since_s is not None and anyio.current_time() - self._alone_since_s >= LONELY_S:
            self._alone_since_s = None
            self._say(
                f"no supervisor is at {self._worker.where}: is this the transport, and the database, of the fleet?"
            )

    async def keep_comparing(self) -> None:
        """Compare again and again; a server that is away is asked again."""
        while True:
            try:
                await self.compare()
                self.trouble = ""
            except OrchestratorError as error:
                if not self.trouble:
                    self._say(f"the fleet cannot be asked: {error}; trying again")
                self.trouble = str(error)
            await anyio.sleep(COMPARE_S)

    def ready(self) -> str:
        """Empty when it takes tasks, else why not."""
        if self.leaving:
            return "leaving"
        return self.trouble or "; ".join(f"{pool}: {reasons[0]}" for pool, reasons in self._told.items())


async def work(
    settings: Settings, concurrency: Mapping[str, int | None], *, grace_s: float, http: str | None, say: Say
) -> int:
    """Serve the pools until a signal comes; return its number.

    What runs then may finish within `grace_s` seconds; the rest is handed back, and another worker gets it at once.

    Raises:
        PromiseError: a pool or the transport cannot be used, or the address of the page is taken.
        TransportUnreachable: there is no server at the start; later it is waited for.
    """
    async with AsyncExitStack() as stack:
        worker = await stack.enter_async_context(open_worker(settings, concurrency))
        process = WorkerProcess(worker, say)
        await process.compare()  # before the first fetch
        group = await stack.enter_async_context(anyio.create_task_group())
        stack.callback(group.cancel_scope.cancel)
        group.start_soon(process.keep_comparing)
        if http is not None:
            health = Health(role="worker", ready=process.ready)
            port = await stack.enter_async_context(serve_health(http, health))
            say(f"healthz and readyz at port {port}")
        for pool, functions in worker.unready.items():
            for name, reason in functions.items():
                what = f"its function {name}" if name else "the agent that does its tasks"
                say(f"pool {pool}: {what} cannot work here, and is left to other workers: {reason}")
        worker.workers.open(group)
        served = ", ".join(f"{pool.name} ×{pool.concurrency}" for pool in worker.registry)
        say(f"worker {worker.name} serves {served} from {worker.where}")
        number = await until_asked_to_go(say)
        process.leaving = True
        with anyio.CancelScope(shield=True):
            await _leave(process, worker, grace_s, say)
        return number


async def _leave(process: WorkerProcess, worker: FleetWorker, grace_s: float, say: Say) -> None:
    running = worker.workers.running
    say(f"going: nothing new is fetched; up to {grace_s:g} s for {running} under way" if running else "going")
    try:
        await process.compare()
    except OrchestratorError as error:
        say(f"the fleet is not told: {error}")
    undone = await worker.workers.drain(grace_s)
    if undone:
        say(f"handed back {len(undone)}: {', '.join(map(str, undone[:10]))}")
    try:
        await worker.fleet.leave(worker.name)
    except OrchestratorError as error:
        say(f"the fleet is not told: {error}")


__all__ = ["WorkerProcess", "until_asked_to_go", "work"]
