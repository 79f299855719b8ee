"""`orchestrator audit`: prove that the journal is whole, here or to a stranger."""

import os
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final, cast

import typer

from orchestrator.cli.access import AsJson, Store, looking, run_async, settings_of
from orchestrator.cli.audit_trail import Checkpoints, export, forget, read_signed, report
from orchestrator.cli.console import date_time, paint, say, show_json
from orchestrator.cli.exits import Exit
from orchestrator.cli.people import who
from orchestrator.cli.times import span
from orchestrator.ids import JsonValue

if TYPE_CHECKING:
    from orchestrator.core.checkpoints import Ledger
    from orchestrator.service.audit_examine import Examined

LINE_BYTES_MAX: Final = 64 << 20  #: one exported event
app = typer.Typer(rich_markup_mode=None, pretty_exceptions_enable=False, add_completion=False, no_args_is_help=True)
app.command()(export)
app.command()(report)
app.command()(forget)


@app.callback()
def _audit() -> None:
    """Prove that the journal is whole, or hand it to somebody who wants proof."""


@app.command()
def verify(
    run: Annotated[str | None, typer.Argument(metavar="RUN", help="A run, with its sub-plans.")] = None,
    every: Annotated[bool, typer.Option("--all", help="Every run of the store, and that none is missing.")] = False,
    day: Annotated[str | None, typer.Option("--day", metavar="D", help="Runs of a day, as 2026-11-27 (UTC).")] = None,
    file: Annotated[Path | None, typer.Option("--file", metavar="F", help="An export, instead of a store.")] = None,
    at_least: Annotated[
        int, typer.Option("--at-least", metavar="N", min=0, help="The newest checkpoint has this number or a higher.")
    ] = 0,
    checkpoints: Checkpoints = None,
    store: Store = None,
    as_json: AsJson = False,
) -> None:
    """Check every hash: each record is bound to its place, its content and the record before it.

    Where there are signed checkpoints and their key, also that nothing was cut off, taken out or written anew.
    Exit codes: 0 nothing was changed, 1 something was, 2 usage.
    """
    if sum((run is not None, every, day is not None, file is not None)) != 1:
        raise typer.BadParameter("name a RUN, or --all, or --file F, or --day D", param_hint="RUN")
    settings = settings_of(store)
    ledger = read_signed(settings, checkpoints, at_least)
    if file is not None:
        told = _verify_file(file, ledger)
    else:
        since, until = span(day, "--day") if day is not None else (None, None)

        async def work() -> "Examined":
            from orchestrator.service.audit_examine import examine

            async with looking(settings) as asker:
                return await examine(asker, ledger, run=run, since_s=since, until_s=until)

        told = run_async(work).document(ledger)
    damaged = cast(list[dict[str, JsonValue]], told["damaged"])
    if as_json:
        show_json(told)
    else:
        _tell(told, damaged, everything=every)
    raise typer.Exit(Exit.FAILED if damaged else Exit.OK)


def _tell(told: dict[str, JsonValue], damaged: list[dict[str, JsonValue]], *, everything: bool) -> None:
    for one in damaged:
        place = f"run {one['run']}, record {one['record']}: " if one["run"] else ""  # else the file itself is damaged
        print(f"{paint('✗', 'bad')} {place}{one['reason']}")
    sign = paint("✗ damaged", "bad", sys.stderr) if damaged else paint("✓ whole", "good", sys.stderr)
    say(f"{sign}  {told['runs']} runs, {told['records']} records")
    signed = cast(dict[str, JsonValue] | None, told.get("checkpoint"))
    if signed is not None:
        at = date_time(cast(float, signed["at"]))
        what = "nothing is missing up to" if everything and not damaged else "held against"
        newer = f"; {signed['newer']} runs began or went on since" if signed["newer"] else ""
        say(f"  {what} checkpoint {signed['number']} of {at}{newer}")
    if "signed" in told and not damaged:
        say({True: "  the signature fits", False: "  it is not signed", None: "  it is signed; no key to check that"}[
            cast(bool | None, told["signed"])
        ])  # fmt: skip
    for name, hash_ in cast(dict[str, str], told.get("heads", {})).items():
        say(f"  last hash of {name}: {hash_}")


@app.command()
def checkpoint(
    checkpoints: Checkpoints = None,
    store: Store = None,
    as_json: AsJson = False,
) -> None:
    """Sign what the journal holds now, once every hash of it was checked, so that nothing can go missing unseen.

    The key is in ORCHESTRATOR_AUDIT_KEY; keep it, and a copy of the file, where the journal is not.
    Exit codes: 0 signed, 1 something was changed and nothing was signed, 2 usage.
    """
    settings = settings_of(store)

    async def work() -> JsonValue:
        from orchestrator.service.audit_examine import examine, news
        from orchestrator.service.audit_ledger import keys_of, ledger_file, must_have, writing

        keys = keys_of(os.environ)
        must_have(keys, "a checkpoint is signed")
        with writing(ledger_file(settings, checkpoints), keys) as held:
            async with looking(settings) as asker:
                found = await examine(asker, held.ledger)
            named = news(held.ledger, found)
            if not found.damaged:
                held.write(held.ledger.sign("checkpoint", named, at_s=time.time(), by=who()))
            return {**found.document(held.ledger), "named": len(named), "file": str(held.path)}

    told = cast(dict[str, JsonValue], run_async(work))
    damaged = cast(list[dict[str, JsonValue]], told["damaged"])
    if as_json:
        show_json(told)
    elif damaged:
        _tell({**told, "checkpoint": None}, damaged, everything=False)
        say("nothing was signed")
    else:
        signed = cast(dict[str, JsonValue], told["checkpoint"])
        count = f"{told['named']} of {told['runs']} runs are new or went on"
        say(f"{paint('✓ signed', 'good', sys.stderr)}  checkpoint {signed['number']} in {told['file']}: {count}")
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


def _verify_file(path: Path, ledger: "Ledger | None") -> dict[str, JsonValue]:
    """Check an export with nothing but the file itself, and the checkpoints where there are some."""
    from orchestrator.core.checkpoints import Found, lacks
    from orchestrator.errors import JournalCorrupt, PromiseError
    from orchestrator.service.audit_ledger import keys_of
    from orchestrator.service.control_proof import Chains

    chains = Chains(keys_of(os.environ), ledger.expected if ledger is not None else None)
    damaged: list[JsonValue] = []
    try:
        with path.open("rb") as source:
            while line := source.readline(LINE_BYTES_MAX + 1):
                chains.add(line)
        chains.end()
    except OSError as error:
        raise PromiseError(
            f"{path} cannot be read: {error.strerror}", "name a file that `audit export` wrote"
        ) from None
    except JournalCorrupt as error:
        damaged = [{"run": error.run_id, "record": error.seq, "reason": error.reason}]
    if ledger is not None and not damaged:
        seen = {
            name: Found(hash=chains.marked.get(name), last_seq=last, emptied=name in chains.emptied)
            for name, last in chains.lasts.items()
        }
        damaged = [
            {"run": name, "record": record, "reason": reason}
            for name, record, reason in lacks(ledger, seen)
            if name in seen and name in ledger.expected
        ]
    return {**chains.document(), "damaged": damaged}
