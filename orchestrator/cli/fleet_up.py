"""`orchestrator up`: a fleet on this machine in one command."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from orchestrator.cli.access import Pools, Store, run_async
from orchestrator.cli.fleet_common import Grace, Transport, fleet_settings, spoken
from orchestrator.errors import PromiseError

if TYPE_CHECKING:
    from orchestrator.engine.scaling import Bounds
    from orchestrator.settings import Settings


def up(
    store: Store = None,
    transport: Transport = None,
    pools: Pools = None,
    scale: Annotated[
        list[str] | None,
        typer.Option("--scale", metavar="POOL=MIN..MAX", help="Workers of a pool.  [default: the pool's own]"),
    ] = None,
    concurrency: Annotated[
        list[str] | None,
        typer.Option("--concurrency", metavar="POOL=N", help="Tasks at once, per worker.  [default: the pool's own]"),
    ] = None,
    cooldown: Annotated[float, typer.Option(min=0, help="Seconds of less need before a pool shrinks.")] = 30.0,
    supervisors: Annotated[int, typer.Option(min=1, max=64, help="Supervisor processes.")] = 1,
    events: Annotated[
        Path | None, typer.Option("--scaler-events", metavar="FILE", help="Append every change as a JSON line.")
    ] = None,
    grace: Grace = 30.0,
) -> None:
    """Start supervisors and workers, keep them alive, and give every pool the workers that its backlog needs.

    Growing is at once, shrinking after --cooldown seconds of less need, and only workers without work are asked to go.
    SIGTERM: every process finishes what it has within --grace seconds. Exit codes: 0 asked to go, 2 a setting cannot be
    used, 6 no server is reachable.
    """
    settings = fleet_settings(store, transport, pools)
    bounds = bounds_of(settings, scale or (), concurrency or (), cooldown)

    async def work() -> int:
        from orchestrator.service.fleet_up import up as serve

        return await serve(settings, bounds, supervisors=supervisors, grace_s=grace, record=events, say=spoken)

    run_async(work)
    raise typer.Exit(0)


def bounds_of(
    settings: "Settings", scale: "list[str] | tuple[()]", concurrency: "list[str] | tuple[()]", cooldown_s: float
) -> "list[Bounds]":
    """The bounds of every pool: its own, changed by what the flags say.

    Raises:
        PromiseError: a flag cannot be read, or names a pool that there is not.
    """
    from orchestrator.engine.scaling import Bounds
    from orchestrator.fleet import open_registry

    registry = open_registry(settings)
    between: dict[str, tuple[int, int]] = {}
    for text in scale:
        name, _, span = text.partition("=")
        least, dots, most = span.partition("..")
        if not (least.isdigit() and dots and most.isdigit()):
            raise PromiseError(f"--scale {text!r} cannot be read", "write POOL=MIN..MAX, such as research=0..20")
        between[registry.get(name).name] = (int(least), int(most))
    slots: dict[str, int] = {}
    for text in concurrency:
        name, _, number = text.partition("=")
        if not number.isdigit():
            raise PromiseError(f"--concurrency {text!r} cannot be read", "write POOL=N, such as research=8")
        slots[registry.get(name).name] = int(number)
    found = []
    for pool in registry:
        least_most = between.get(pool.name, pool.scale)
        found.append(
            Bounds(
                pool=pool.name,
                least=least_most[0],
                most=least_most[1],
                slots=slots.get(pool.name, pool.concurrency),
                cooldown_s=cooldown_s,
            )
        )
    return found


__all__ = ["bounds_of", "up"]
