"""`db upgrade`: the tables of the store, brought to this release."""

import sys
from typing import Annotated

import typer

from orchestrator.cli.access import AsJson, Store, settings_of
from orchestrator.cli.console import paint, say, show_json

app = typer.Typer(rich_markup_mode=None, pretty_exceptions_enable=False, add_completion=False, no_args_is_help=True)


@app.callback()
def _db() -> None:
    """Look after the tables of the store."""


@app.command()
def upgrade(
    sql: Annotated[bool, typer.Option("--sql", help="Print the statements for an empty database, run none.")] = False,
    store: Store = None,
    as_json: AsJson = False,
) -> None:
    """Bring the tables to this release. Safe to repeat, to run several times at once, and to break off."""
    from orchestrator.app import upgrade_sql, upgrade_store

    settings = settings_of(store)
    if sql:
        print(upgrade_sql(settings), end="")
        return
    before, after = upgrade_store(settings)
    if as_json:
        show_json({"before": before, "after": after})
    elif before == after:
        say(f"{paint('✓ nothing to do', 'good', sys.stderr)}  schema {after}")
    else:
        say(f"{paint('✓ upgraded', 'good', sys.stderr)}  schema {before or 'none'} → {after}")
