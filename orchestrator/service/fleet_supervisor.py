"""A supervisor process of a fleet: owns runs by lease, takes over those that nobody owns, until it is asked to go."""

from collections.abc import Sequence
from contextlib import AsyncExitStack
from typing import Final

from orchestrator.app import Engine
from orchestrator.errors import OrchestratorError, PromiseError
from orchestrator.ports.tasks import Backlog
from orchestrator.service.fleet_worker import Say, until_asked_to_go
from orchestrator.service.health import Health, serve_health
from orchestrator.settings import Settings, on_redis, on_server, shown_url

REMEDY: Final = "name both: --store postgresql://user@host/database --transport redis://host:6379/0"


def must_be_fleet(settings: Settings) -> None:
    """Raises PromiseError: the settings name no store or no transport that several processes can share."""
    if not on_server(settings.store):
        raise PromiseError(f"the store {shown_url(settings.store)} belongs to one process", REMEDY)
    if not on_redis(settings.transport):
        raise PromiseError("the transport memory: ends with its process", REMEDY)


async def supervise(settings: Settings, *, grace_s: float, http: str | None, say: Say) -> int:
    """Own runs until a signal comes; return its number.

    Its runs are free for other supervisors as soon as it goes; the tasks that workers have go on meanwhile.

    Raises:
        PromiseError: store, transport or a pool module cannot be used.
        TransportUnreachable: there is no server at the start; later it is waited for.
    """
    must_be_fleet(settings)
    async with AsyncExitStack() as stack:
        engine = Engine(settings.model_copy(update={"drain_s": grace_s}), recover=False, owns="leased")
        leaving = False
        if http is not None:
            health = Health(
                role="supervisor",
                ready=lambda: "leaving" if leaving else ("" if engine.fleet is not None else "starting"),
                backlog=lambda: _backlog(engine),
                pools=tuple(engine.registry.pools()),
            )
            port = await stack.enter_async_context(serve_health(http, health))
            say(f"healthz, readyz, metrics and /v1/pools at port {port}")
        await stack.enter_async_context(engine)
        pools = ", ".join(sorted(engine.registry.pools()))
        say(f"supervisor {engine.runs.owner} owns runs in {shown_url(settings.store)}; pools {pools}")
        number = await until_asked_to_go(say)
        leaving = True
        say(f"going: {len(engine.runs.drivers())} open runs are left to other supervisors")
        if engine.fleet is not None:
            try:
                await engine.fleet.leave(engine.runs.owner)
            except OrchestratorError as error:
                say(f"the fleet is not told: {error}")
        return number


async def _backlog(engine: Engine) -> Sequence[Backlog]:
    if engine.fleet is None:
        raise PromiseError("this supervisor is starting", "ask again")
    return await engine.fleet.backlog()


__all__ = ["must_be_fleet", "supervise"]
