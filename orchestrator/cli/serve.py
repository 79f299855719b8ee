"""`orchestrator serve`: the HTTP service."""

from pathlib import Path
from typing import Annotated

import typer

from orchestrator.cli.access import Pools, Store, run_async
from orchestrator.cli.fleet_common import Grace, Transport, fleet_settings, spoken


def serve(
    host: Annotated[str, typer.Option(help="Where to listen; other than loopback needs a key.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65_535, help="0: a free one, which is printed.")] = 8000,
    plans: Annotated[
        Path | None, typer.Option("--plans", metavar="DIR", help="Folder of *.plan.yaml that may be run by name.")
    ] = None,
    no_keys: Annotated[
        bool, typer.Option("--no-keys", help="Let everybody on this machine in; loopback alone.")
    ] = False,
    pools: Pools = None,
    store: Store = None,
    transport: Transport = None,
    grace: Grace = 20.0,
) -> None:
    """Answer HTTP: jobs, streams of events, approvals, sessions. The API is at /v1/openapi.json.

    With --transport memory: runs are driven here; with redis:// supervisors and workers of a fleet do. SIGTERM:
    nothing new is taken, what runs may finish within --grace seconds. Exit codes: 0 asked to go, 2 a setting cannot be
    used, 6 a server is not reachable, or another process has the store.
    """
    settings = fleet_settings(store, transport, pools)

    async def work() -> int:
        from orchestrator.service.http.serving import ServeOptions
        from orchestrator.service.http.serving import serve as answer

        options = ServeOptions(host=host, port=port, plans=plans, keyless=no_keys, grace_s=grace)
        return await answer(settings, options, spoken)

    run_async(work)
    raise typer.Exit(0)


__all__ = ["serve"]
