"""The composition root of a fleet's workers, and of whoever looks at a fleet. Owners of runs are engines: see `app`."""

from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager

from orchestrator.app import local_models, open_models
from orchestrator.app.batch import Batches
from orchestrator.app.cache import Caches
from orchestrator.app.safety import guards_of, redactor_of
from orchestrator.app.telemetry import open_telemetry
from orchestrator.errors import PromiseError
from orchestrator.models.lazy import LazyModels
from orchestrator.ports.dead_letters import DeadLetters
from orchestrator.ports.fleet import Contracts, Fleet
from orchestrator.settings import Settings, on_redis
from workers import Registry, Workers, worker_id
from workers.gate import Gate, misfits, shut_by, unready_of


class FleetWorker:
    """Pools of this process at work for a fleet; `open_worker` makes one."""

    def __init__(
        self,
        registry: Registry,
        workers: Workers,
        gate: Gate,
        fleet: Fleet,
        unready: dict[str, dict[str, str]],
        name: str,
        where: str,
    ) -> None:
        self.registry, self.workers, self.gate, self.fleet = registry, workers, gate, fleet
        self.unready = unready  #: functions that cannot work in this process, and why, by pool
        self.name = name  #: as the fleet knows it
        self.where = where  #: of the transport, without passwords

    def unfit(self, needed: Mapping[str, Contracts]) -> dict[str, list[str]]:
        """Why pools cannot serve what owners need, by pool; those that can are left out."""
        found = {
            pool.name: shut_by(pool, self.unready.get(pool.name, {})) or misfits(pool, needed) for pool in self.registry
        }
        return {name: reasons for name, reasons in found.items() if reasons}


@asynccontextmanager
async def open_worker(settings: Settings, concurrency: Mapping[str, int | None]) -> AsyncIterator[FleetWorker]:
    """The named pools on the settings' transport, each with its own number of tasks at the same time.

    They fetch nothing before `workers.open`. When the block ends, what is not answered is handed back.

    Raises:
        PromiseError: there is no such pool, the transport is none of a fleet, or the local model does not start.
        TransportUnreachable: there is no server.
    """
    registry, chosen = Registry.from_modules(settings.pools), Registry()
    for name, most in concurrency.items():
        pool = registry.get(name)
        pool.concurrency = pool.concurrency if most is None else most
        chosen.add(pool)
    if not on_redis(settings.transport):
        raise PromiseError("a worker needs a transport between processes", "name one: --transport redis://host:6379/0")
    from orchestrator.adapters.redis.board import RedisFleet
    from orchestrator.adapters.redis.worker import RedisWorkers  # one process needs no client for a server

    async with AsyncExitStack() as stack:
        if settings.local:
            settings = await stack.enter_async_context(local_models(settings))
        models = LazyModels(lambda: open_models(settings))  # opened where a pool has an agent
        stack.push_async_callback(models.aclose)
        unready = {pool.name: found for pool in chosen if (found := unready_of(pool, models.need))}
        port = await RedisWorkers.open(settings.transport, worker=worker_id(), lease_s=settings.lease_s)
        stack.push_async_callback(port.close)
        fleet = RedisFleet(settings.transport)
        stack.push_async_callback(fleet.close)
        gate = Gate(port, port.give_back, unready)
        caches = Caches(settings)
        stack.push_async_callback(caches.aclose)
        batches = Batches(settings, models, port.name)
        stack.push_async_callback(batches.aclose)
        telemetry = open_telemetry(redactor_of(settings.safety))
        if telemetry is not None:
            stack.callback(telemetry.close)
        workers = Workers(
            chosen,
            gate,
            worker=port.name,
            models=caches.models(batches.models()),
            observer=telemetry,
            guards=guards_of(settings.safety),
        )
        yield FleetWorker(chosen, workers, gate, fleet, unready, port.name, fleet.where)


@asynccontextmanager
async def open_fleet(settings: Settings) -> AsyncIterator[Fleet]:
    """The board of the fleet on the settings' transport, to look at. Raises PromiseError: it is none of a fleet."""
    if not on_redis(settings.transport):
        raise PromiseError("there is no fleet in one process", "name its transport: --transport redis://host:6379/0")
    from orchestrator.adapters.redis.board import RedisFleet  # one process needs no client for a server

    fleet = RedisFleet(settings.transport)
    try:
        yield fleet
    finally:
        await fleet.close()


@asynccontextmanager
async def open_dead_letters(settings: Settings) -> AsyncIterator[DeadLetters]:
    """The dead letters on the settings' transport. Raises PromiseError: it is none of a fleet."""
    if not on_redis(settings.transport):
        raise PromiseError(
            "one process has no dead letters", "name a fleet's transport: --transport redis://host:6379/0"
        )
    from orchestrator.adapters.redis.dead import RedisDeadLetters  # one process needs no client for a server

    letters = RedisDeadLetters(settings.transport)
    try:
        yield letters
    finally:
        await letters.close()


def open_registry(settings: Settings) -> Registry:
    """The pools that the settings name. Raises PromiseError: a module cannot be used."""
    return Registry.from_modules(settings.pools)


__all__ = ["FleetWorker", "open_dead_letters", "open_fleet", "open_registry", "open_worker"]
