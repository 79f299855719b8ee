"""Commands about the journal file: backup, restore, gc."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast

import typer

from orchestrator.cli.access import AsJson, Store, file_of, looking, run_async, settings_of
from orchestrator.cli.audit_trail import Checkpoints, read_signed
from orchestrator.cli.console import interactive, paint, say, show_json
from orchestrator.cli.exits import Exit
from orchestrator.errors import PromiseError
from orchestrator.ids import JsonValue

if TYPE_CHECKING:
    from orchestrator.core.checkpoints import Ledger
    from orchestrator.settings import Settings

NAMED = 20  #: runs that `gc` names


Drill = Annotated[
    bool, typer.Option("--drill", help="Prove the copy: restore it elsewhere for a moment and check every record.")
]


def backup(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A file that does not exist yet.")],
    drill: Drill = False,
    checkpoints: Checkpoints = None,
    store: Store = None,
    as_json: AsJson = False,
) -> None:
    """Copy the journal while it is in use: whole, compact, and readable for you alone.

    Exit codes: 0 copied, and sound where it was drilled; 1 the copy is not sound; 2 usage.
    """
    settings = settings_of(store)
    ledger = read_signed(settings, checkpoints) if drill else None  # before the copy is made: it must hold all of it

    async def work() -> JsonValue:
        async with looking(settings) as asker:
            return await asker.ask("backup", file=str(file.absolute()))

    told = cast(dict[str, JsonValue], run_async(work))
    say(f"{paint('✓ copied', 'good', sys.stderr)}  {told['file']}  {told['bytes']:,} bytes")
    if drill:
        _drill(file.absolute(), settings, ledger, as_json=as_json)
    elif as_json:
        show_json(told)


def restore(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A copy that `backup` made.")],
    yes: Annotated[bool, typer.Option("--yes", help="Replace the journal that is there.")] = False,
    drill: Drill = False,
    checkpoints: Checkpoints = None,
    store: Store = None,
    as_json: AsJson = False,
) -> None:
    """Put a copy in the journal's place. What the journal held is gone afterwards. With --drill it stays as it is."""
    from orchestrator.app import restore_journal

    settings = settings_of(store)
    if drill:
        _drill(file, settings, read_signed(settings, checkpoints), as_json=as_json)
        return
    target = file_of(settings)
    if target is not None and target.exists() and not yes:
        if not interactive():
            raise PromiseError(f"{target} exists and would be lost", "say --yes to replace it, or back it up first")
        typer.confirm(f"{target} exists and would be lost. Replace it?", abort=True, err=True)
    say(f"{paint('✓ restored', 'good', sys.stderr)}  {restore_journal(settings, file)}")


def _drill(copy: Path, settings: "Settings", ledger: "Ledger | None", *, as_json: bool) -> None:
    from orchestrator.service.audit_drill import drill

    found = run_async(lambda: drill(copy, settings, ledger))
    if as_json:
        show_json(found.document(ledger))
    else:
        for one in cast(list[dict[str, JsonValue]], [*found.found.damaged, *found.broken]):
            what = one["reason"] if "reason" in one else f"{one['rule']}: {one['what']}"
            place = (
                f"run {one['run']}, record {one['record']}: " if one["run"] else ""
            )  # else the file itself is damaged
            print(f"{paint('✗', 'bad')} {place}{what}")
        sign = paint("✓ sound", "good", sys.stderr) if found.sound else paint("✗ not sound", "bad", sys.stderr)
        signed = f", nothing missing up to checkpoint {ledger.number}" if ledger is not None and found.sound else ""
        say(
            f"{sign}  {found.found.runs} runs, {found.found.records} records{signed}; "
            f"restored in {found.restore_s:.2f} s, checked in {found.verify_s:.2f} s"
        )
    if not found.sound:
        raise typer.Exit(Exit.FAILED)


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
    checkpoints: Checkpoints = None,
    store: Store = None,
    as_json: AsJson = False,
) -> None:
    """Forget ended runs that are older than --keep-days and not among the newest --keep-runs of their plan."""
    settings = settings_of(store)

    async def work() -> tuple[list[str], int]:
        from orchestrator.cli.audit_trail import delete

        runs_kept = settings.keep_runs if keep_runs is None else keep_runs
        days = settings.keep_days if keep_days is None else keep_days
        async with looking(settings) as asker:
            names = cast(list[str], await asker.ask("gc", keep_runs=runs_kept, keep_days=days))
            if dry_run:
                return names, 0
            why = f"gc: older than {days:g} days and not among the newest {runs_kept} of its plan"
            return names, await delete(asker, names, settings, checkpoints, why, payloads_only=payloads_only)

    runs, freed = run_async(work)
    if as_json:
        show_json({"runs": [*runs], "freed_bytes": freed, "dry_run": dry_run})
        return
    for name in runs[:NAMED]:
        print(name)
    if len(runs) > NAMED:
        print(f"… and {len(runs) - NAMED} more")
    what = "payloads" if payloads_only else "runs"
    if dry_run:
        say(f"{len(runs)} {what} would be forgotten")
    else:
        say(f"{len(runs)} {what} forgotten, {freed:,} bytes freed")
