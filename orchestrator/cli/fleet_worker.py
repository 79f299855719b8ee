"""`orchestrator worker`: a process that does the tasks of pools."""

from typing import Annotated

import typer

from orchestrator.cli.access import Pools, run_async
from orchestrator.cli.fleet_common import Grace, Http, Transport, fleet_settings, spoken


def worker(
    pool: Annotated[list[str], typer.Option("--pool", metavar="NAME", help="A pool to serve; repeatable.")],
    concurrency: Annotated[
        int | None,
        typer.Option("--concurrency", min=1, max=1_000_000, help="Tasks at once, per pool.  [default: the pool's own]"),
    ] = None,
    transport: Transport = None,
    pools: Pools = None,
    grace: Grace = 30.0,
    http: Http = None,
) -> None:
    """Do the tasks of pools; start as many workers as there is work for.

    SIGTERM: nothing new is fetched, what runs may finish within --grace seconds, and the rest is handed back to others.
    A second signal ends at once. Exit codes: 0 asked to go, 2 a setting cannot be used, 6 no server is reachable.
    """
    settings = fleet_settings(None, transport, pools)

    async def work() -> int:
        from orchestrator.service.fleet_worker import work as serve

        return await serve(settings, dict.fromkeys(pool, concurrency), grace_s=grace, http=http, say=spoken)

    run_async(work)
    raise typer.Exit(0)
