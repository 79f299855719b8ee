"""Commands about the journal file: backup, restore, gc."""

import sys
from pathlib import Path
from typing import Annotated, cast

import typer

from orchestrator.cli.access import AsJson, Store, file_of, looking, run_async, settings_of
from orchestrator.cli.console import interactive, paint, say, show_json
from orchestrator.errors import PromiseError
from orchestrator.ids import JsonValue

NAMED = 20  #: runs that `gc` names


def backup(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A file that does not exist yet.")],
    store: Store = None,
) -> None:
    """Copy the journal while it is in use: whole, compact, and readable for you alone."""
    settings = settings_of(store)

    async def work() -> JsonValue:
        async with looking(settings) as asker:
            return await asker.ask("backup", file=str(file.absolute()))

    told = cast(dict[str, JsonValue], run_async(work))
    say(f"{paint('✓ copied', 'good', sys.stderr)}  {told['file']}  {told['bytes']:,} bytes")


def restore(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A copy that `backup` made.")],
    yes: Annotated[bool, typer.Option("--yes", help="Replace the journal that is there.")] = False,
    store: Store = None,
) -> None:
    """Put a copy in the journal's place. What the journal held is gone afterwards."""
    from orchestrator.app import restore_journal

    settings = settings_of(store)
    target = file_of(settings)
    if target is not None and target.exists() and not yes:
        if not interactive():
            raise PromiseError(f"{target} exists and would be lost", "say --yes to replace it, or back it up first")
        typer.confirm(f"{target} exists and would be lost. Replace it?", abort=True, err=True)
    say(f"{paint('✓ restored', 'good', sys.stderr)}  {restore_journal(settings, file)}")


def gc(
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only tell what would be forgotten.")] = False,
    keep_days: Annotated[
        float | None, typer.Option("--keep-days", min=0, help="Keep runs that ended since.  [default: 30]")
    ] = None,
    keep_runs: Annotated[
        int | None, typer.Option("--keep-runs", min=0, help="Keep this many of each plan.  [default: 100]")
    ] = None,
    payloads_only: Annotated[
        bool, typer.Option("--payloads-only", help="Forget what was said, keep the audit trail.")
    ] = False,
    store: Store = None,
    as_json: AsJson = False,
) -> None:
    """Forget ended runs that are older than --keep-days and not among the newest --keep-runs of their plan."""
    settings = settings_of(store)

    async def work() -> JsonValue:
        async with looking(settings) as asker:
            return await asker.ask(
                "gc",
                keep_runs=settings.keep_runs if keep_runs is None else keep_runs,
                keep_days=settings.keep_days if keep_days is None else keep_days,
                payloads_only=payloads_only,
                dry_run=dry_run,
            )

    told = cast(dict[str, JsonValue], run_async(work))
    if as_json:
        show_json(told)
        return
    runs = cast(list[str], told["runs"])
    for name in runs[:NAMED]:
        print(name)
    if len(runs) > NAMED:
        print(f"… and {len(runs) - NAMED} more")
    what = "payloads" if payloads_only else "runs"
    if dry_run:
        say(f"{len(runs)} {what} would be forgotten")
    else:
        say(f"{len(runs)} {what} forgotten, {cast(int, told['freed_bytes']):,} bytes freed")
