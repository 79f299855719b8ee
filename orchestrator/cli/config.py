"""`orchestrator config`: the settings in force, and where each comes from."""

import re
from collections.abc import Mapping
from typing import Annotated

import typer
from pydantic import BaseModel

from orchestrator.cli.access import AsJson, Pools, Store, settings_of
from orchestrator.cli.console import columns, show_json
from orchestrator.ids import JsonValue
from orchestrator.plan.models import canonical_json

app = typer.Typer(rich_markup_mode=None, pretty_exceptions_enable=False, add_completion=False, no_args_is_help=True)
_PASSWORD = re.compile(r"(?<=//)([^/@\s:]*):[^/@\s]*@")


@app.callback()
def _config() -> None:
    """Show the settings in force."""


@app.command()
def show(
    origins: Annotated[bool, typer.Option("--origins", help="Say where each setting comes from.")] = False,
    store: Store = None,
    pools: Pools = None,
    as_json: AsJson = False,
) -> None:
    """Print every setting. Passwords in addresses are not shown."""
    settings = settings_of(store, pools)
    found = _origins(store, pools) if origins else {}
    values: dict[str, JsonValue] = {name: _shown(getattr(settings, name)) for name in type(settings).model_fields}
    if as_json:
        show_json(
            {name: {"value": value, "origin": found[name]} for name, value in values.items()} if origins else values
        )
        return
    rows = [[name, _text(value), *([found[name]] if origins else [])] for name, value in values.items()]
    print("\n".join(columns(rows)))


def _shown(value: object) -> JsonValue:
    if isinstance(value, BaseModel):
        return {name: _shown(getattr(value, name)) for name in value.model_fields_set}  # what was said of it
    if isinstance(value, Mapping):
        return {str(name): _shown(one) for name, one in value.items()}
    if isinstance(value, tuple | list):
        return [_shown(one) for one in value]
    if isinstance(value, str):
        return _PASSWORD.sub(r"\1:***@", value)
    assert isinstance(value, int | float | None), "settings are plain"
    return value


def _text(value: JsonValue) -> str:
    if isinstance(value, dict):
        return canonical_json(value) if value else "none"
    return ", ".join(map(str, value)) if isinstance(value, list) else f"{value:,}" if type(value) is int else str(value)


def _origins(store: str | None, pools: list[str] | None) -> dict[str, str]:
    """The source that gave each setting: the first that names it, in the order of `Settings`."""
    from pydantic_settings import (
        DotEnvSettingsSource,
        EnvSettingsSource,
        PyprojectTomlConfigSettingsSource,
    )

    from orchestrator.settings import Settings

    flagged = {name for name, value in (("store", store), ("pools", pools)) if value}
    prefix = str(Settings.model_config["env_prefix"])
    sources = (
        ("environment", EnvSettingsSource(Settings)()),
        (".env", DotEnvSettingsSource(Settings)()),
        ("pyproject.toml", PyprojectTomlConfigSettingsSource(Settings)()),
    )
    told: dict[str, str] = {}
    for name in Settings.model_fields:
        origin = next((label for label, values in sources if name in values), "default")
        if name in flagged:
            origin = "flag"
        told[name] = f"environment {prefix}{name.upper()}" if origin == "environment" else origin
    return told
