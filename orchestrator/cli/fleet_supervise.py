"""`orchestrator supervise`: a process that owns runs."""

import typer

from orchestrator.cli.access import Pools, Store, run_async
from orchestrator.cli.fleet_common import Grace, Http, Transport, fleet_settings, spoken


def supervise(
    store: Store = None, transport: Transport = None, pools: Pools = None, grace: Grace = 20.0, http: Http = None
) -> None:
    """Own runs of a shared store, and take over those whose owner has gone; any number of supervisors may.

    SIGTERM leaves them to the others, a second one ends at once. Exit codes: 0 asked to go, 2 a setting cannot be used,
    6 a server is not reachable.
    """
    settings = fleet_settings(store, transport, pools)

    async def work() -> int:
        from orchestrator.service.fleet_supervisor import supervise as serve

        return await serve(settings, grace_s=grace, http=http, say=spoken)

    run_async(work)
    raise typer.Exit(0)
