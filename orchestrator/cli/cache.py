"""`orchestrator cache`: forget kept answers."""

from typing import Annotated

import typer

from orchestrator.cli.access import AsJson, Store, run_async, settings_of
from orchestrator.cli.console import say, show_json
from orchestrator.cli.fleet_common import Transport

app = typer.Typer(rich_markup_mode=None, pretty_exceptions_enable=False, add_completion=False, no_args_is_help=True)


@app.callback()
def _cache() -> None:
    """Forget answers of models that are kept to be served again."""


@app.command()
def drop(
    tag: Annotated[
        str, typer.Option("--tag", metavar="TAG", help="plan:NAME, step:PLAN/STEP, pool:NAME or run:RUN/STEP.")
    ],
    tenant: Annotated[str, typer.Option(help="Whose answers.")] = "default",
    store: Store = None,
    transport: Transport = None,
    as_json: AsJson = False,
) -> None:
    """Forget all kept answers with a tag, in the cache that runs of this store use.

    Exit codes: 0, also where there were none; 1 the cache cannot be asked; 2 it is in no file and on no server.
    """
    from orchestrator.app.cache import open_cache, place_of
    from orchestrator.errors import PromiseError

    settings = settings_of(store)
    if transport is not None:
        settings = settings.model_copy(update={"transport": transport})
    if place_of(settings) == "memory:":
        raise PromiseError(
            "the cache of this store is in the memory of its process", "end the process, or name a file or a server"
        )

    async def work() -> int:
        cache = open_cache(settings)
        try:
            return await cache.drop(tenant, tag=tag)
        finally:
            await cache.aclose()

    dropped = run_async(work)
    if as_json:
        show_json({"tag": tag, "tenant": tenant, "dropped": dropped})
    else:
        say(f"{dropped} kept answers were forgotten")
