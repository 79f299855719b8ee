"""`orchestrator audit`: prove that the journal is whole, here or to a stranger."""

import json
import sys
from pathlib import Path
from typing import Annotated, Final, cast

import typer

from orchestrator.cli.access import AsJson, RunName, Store, looking, run_async, settings_of
from orchestrator.cli.console import paint, say, show_json
from orchestrator.cli.exits import Exit
from orchestrator.ids import JsonValue

LINE_BYTES_MAX: Final = 64 << 20  #: one exported event
app = typer.Typer(rich_markup_mode=None, pretty_exceptions_enable=False, add_completion=False, no_args_is_help=True)


@app.callback()
def _audit() -> None:
    """Prove that the journal is whole, or hand it to somebody who wants proof."""


@app.command()
def verify(
    run: Annotated[str | None, typer.Argument(metavar="RUN", help="A run, with its sub-plans.")] = None,
    every: Annotated[bool, typer.Option("--all", help="Every run of the store.")] = False,
    file: Annotated[Path | None, typer.Option("--file", metavar="F", help="An export, instead of a store.")] = None,
    store: Store = None,
    as_json: AsJson = False,
) -> None:
    """Check every hash: each record is bound to its place, its content and the record before it.

    Exit codes: 0 nothing was changed, 1 something was, 2 usage.
    """
    if sum((run is not None, every, file is not None)) != 1:
        raise typer.BadParameter("name a RUN, or --all, or --file F", param_hint="RUN")
    if file is not None:
        told = _verify_file(file)
    else:
        settings = settings_of(store)

        async def work() -> JsonValue:
            async with looking(settings) as asker:
                return await asker.ask("verify", run=run)

        told = cast(dict[str, JsonValue], run_async(work))
    damaged = cast(list[dict[str, JsonValue]], told["damaged"])
    if as_json:
        show_json(told)
    else:
        for one in damaged:
            print(f"{paint('✗', 'bad')} run {one['run']}, record {one['record']}: {one['reason']}")
        sign = paint("✗ damaged", "bad", sys.stderr) if damaged else paint("✓ whole", "good", sys.stderr)
        say(f"{sign}  {told['runs']} runs, {told['records']} records")
        for name, hash_ in cast(dict[str, str], told.get("heads", {})).items():
            say(f"  last hash of {name}: {hash_}")
    raise typer.Exit(Exit.FAILED if damaged else Exit.OK)


@app.command()
def check(
    run: Annotated[str | None, typer.Argument(metavar="RUN", help="A run, with its sub-plans.")] = None,
    every: Annotated[bool, typer.Option("--all", help="Every run of the store.")] = False,
    store: Store = None,
    as_json: AsJson = False,
) -> None:
    """Check every rule of a run against its records: one acceptance, nothing read unpassed, no cent booked twice.

    `verify` says that nothing was changed since it was written; this says that what was written is right.
    Exit codes: 0 every rule is kept, 1 one is broken, 2 usage.
    """
    if (run is not None) == every:
        raise typer.BadParameter("name a RUN, or --all", param_hint="RUN")
    settings = settings_of(store)

    async def work() -> JsonValue:
        async with looking(settings) as asker:
            return await asker.ask("check", run=run)

    told = cast(dict[str, JsonValue], run_async(work))
    broken = cast(list[dict[str, JsonValue]], told["broken"])
    if as_json:
        show_json(told)
    else:
        for one in broken:
            at = f"[{one['branch']}]" if one["branch"] is not None else ""
            step = f", step {one['step']}{at}" if one["step"] is not None else ""
            print(f"{paint('✗', 'bad')} run {one['run']}, record {one['record']}{step}: {one['rule']}: {one['what']}")
        sign = paint("✗ broken", "bad", sys.stderr) if broken else paint("✓ every rule is kept", "good", sys.stderr)
        say(f"{sign}  {told['runs']} runs, {told['records']} records")
    raise typer.Exit(Exit.FAILED if broken else Exit.OK)


@app.command()
def export(
    run: RunName,
    output: Annotated[Path | None, typer.Option("-o", "--output", metavar="F", help="A new file.")] = None,
    store: Store = None,
) -> None:
    """Print every event of a run and its sub-plans as JSON lines, with what is needed to check the hashes."""
    settings = settings_of(store)
    sink = output.open("x", encoding="utf-8") if output is not None else sys.stdout

    async def work() -> int:
        count = 0
        async with looking(settings) as asker:
            async for event in asker.stream("export", run=run):
                print(json.dumps(event, ensure_ascii=False), file=sink)
                count += 1
        return count

    try:
        count = run_async(work)
    finally:
        if output is not None:
            sink.close()
    say(f"{count} records; a stranger checks them with: orchestrator audit verify --file FILE")


def _verify_file(path: Path) -> dict[str, JsonValue]:
    """Check an export with nothing but the file itself."""
    from orchestrator.errors import JournalCorrupt, PromiseError
    from orchestrator.service.control_proof import Chains

    chains = Chains()
    try:
        with path.open("rb") as source:
            while line := source.readline(LINE_BYTES_MAX + 1):
                chains.add(line)
    except OSError as error:
        raise PromiseError(
            f"{path} cannot be read: {error.strerror}", "name a file that `audit export` wrote"
        ) from None
    except JournalCorrupt as error:
        damaged: list[JsonValue] = [{"run": error.run_id, "record": error.seq, "reason": error.reason}]
        return {**chains.document(), "damaged": damaged}
    return chains.document()
