"""What the commands of a fleet share: their options, and where store and transport come from."""

import os
import sys
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Final

import typer

from orchestrator.cli.console import paint, say

if TYPE_CHECKING:
    from orchestrator.settings import Settings

Transport = Annotated[
    str | None,
    typer.Option(
        "--transport", help="redis://host:6379/0, or memory: for one process  [default: memory:]", metavar="URL"
    ),
]
Http = Annotated[
    str | None,
    typer.Option("--http", metavar="HOST:PORT", help="Answer /healthz and /readyz there; supervisors also /metrics."),
]
Grace = Annotated[float, typer.Option("--grace", min=0, max=86_400, help="Seconds for what runs when asked to go.")]
_FALLBACKS: Final = (("store", "DATABASE_URL"), ("transport", "REDIS_URL"))


def fleet_settings(
    store: str | None, transport: str | None, pools: Sequence[str] | None = None, *, quiet: bool = False
) -> "Settings":
    """The settings in force; DATABASE_URL and REDIS_URL stand in where nothing else names store or transport.

    What was chosen is printed, without passwords, unless `quiet`.

    Raises:
        PromiseError: a setting is not valid.
    """
    from orchestrator.cli.access import find_modules, settings_of
    from orchestrator.settings import Settings, shown_url

    find_modules()
    settings = settings_of(store, pools)
    if transport is not None:
        settings = settings.model_copy(update={"transport": transport})
    for name, variable in _FALLBACKS:
        default, url = Settings.model_fields[name].default, os.environ.get(variable)
        said = name in settings.model_fields_set or getattr(settings, name) != default
        if not said and url:
            settings = settings.model_copy(update={name: url})
            if not quiet:
                say(f"{name}: {shown_url(url)} (from {variable})")
        elif not quiet:
            say(f"{name}: {shown_url(getattr(settings, name))}")
    return settings


def spoken(text: str) -> None:
    """One line of a process that runs for long: the time, then what happened."""
    from orchestrator.cli.console import clock_time

    say(f"{paint(clock_time(time.time()), 'dim', sys.stderr)}  {text}")


__all__ = ["Grace", "Http", "Transport", "fleet_settings", "spoken"]
