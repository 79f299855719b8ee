"""What is taken out of the journal on purpose: exports, reports of what people did, and what the law says must go."""

import os
import sys
import time
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TextIO, cast

import typer

from orchestrator.cli.access import AsJson, Asker, RunName, Store, looking, run_async, settings_of
from orchestrator.cli.console import columns, date_time, paint, say, show_json
from orchestrator.cli.people import who
from orchestrator.cli.times import between
from orchestrator.ids import JsonValue, RunId

if TYPE_CHECKING:
    from orchestrator.core.checkpoints import Ledger, Mark
    from orchestrator.settings import Settings

From = Annotated[str | None, typer.Option("--from", metavar="D", help="First day or moment, as 2026-11-27 (UTC).")]
To = Annotated[str | None, typer.Option("--to", metavar="D", help="Last day, which counts whole; or a moment.")]
Checkpoints = Annotated[
    Path | None,
    typer.Option("--checkpoints", metavar="F", help="File of signed checkpoints.  [default: beside the journal]"),
]
_DELETED_AT_ONCE = 5_000  #: runs in one request


def export(
    run: Annotated[str | None, typer.Argument(metavar="RUN", help="A run, with its sub-plans.")] = None,
    start: From = None,
    end: To = None,
    output: Annotated[Path | None, typer.Option("-o", "--output", metavar="F", help="A new file.")] = None,
    checkpoints: Checkpoints = None,
    store: Store = None,
) -> None:
    """Print every event of a run, or of all runs of some time, as JSON lines with what is needed to check the hashes.

    Runs are exported whole: half a chain proves nothing. With the key of checkpoints the export is signed, and that it
    was made, and by whom, goes into their file.
    """
    since, until = between(start, end)
    if (run is not None) == (since is not None or until is not None):
        raise typer.BadParameter("name a RUN, or a time with --from and --to", param_hint="RUN")
    settings = settings_of(store)
    sink = _new_file(output) if output is not None else sys.stdout

    async def work() -> int:
        from orchestrator.core.checkpoints import Mark
        from orchestrator.service.audit_ledger import keys_of
        from orchestrator.service.control_proof import line_of, seal_of

        keys = keys_of(os.environ)
        marks: dict[RunId, Mark] = {}
        async with looking(settings) as asker:
            async for event in asker.stream("export", run=run, since=since, until=until):
                document = cast(dict[str, JsonValue], event)
                print(line_of(document), file=sink)
                seq = cast(int, document["seq"])
                marks[RunId(str(document["run"]))] = Mark(seq=seq, hash=str(document["hash"]))
        about: dict[str, JsonValue] = {"run": run, "from": since, "to": until, "at": time.time(), "by": who()}
        print(line_of(seal_of(marks, keys, about)), file=sink)
        _remember("exported", settings, checkpoints, keys, marks, f"to {output or 'stdout'}")
        return sum(mark.seq for mark in marks.values())

    try:
        count = run_async(work)
    except BaseException:
        if output is not None:
            output.unlink()  # part of an export proves nothing
        raise
    finally:
        if output is not None:
            sink.close()
    say(f"{count} records; a stranger checks them with: orchestrator audit verify --file FILE")


def _new_file(path: Path) -> TextIO:
    from orchestrator.errors import PromiseError

    try:
        return path.open("x", encoding="utf-8")
    except FileExistsError:
        raise PromiseError(f"{path} exists", "name a file that does not") from None
    except OSError as error:
        raise PromiseError(f"{path} cannot be written: {error.strerror}", "name a file in a folder of yours") from None


def report(
    run: Annotated[str | None, typer.Argument(metavar="RUN", help="A run, with its sub-plans.  [default: all]")] = None,
    start: From = None,
    end: To = None,
    store: Store = None,
    as_json: AsJson = False,
) -> None:
    """Tell who started, answered, changed or stopped what, and what they were shown when they answered."""
    since, until = between(start, end)
    settings = settings_of(store)

    async def work() -> list[dict[str, JsonValue]]:
        async with looking(settings) as asker:
            found = [one async for one in asker.stream("deeds", run=run, since=since, until=until)]
        return sorted(cast(list[dict[str, JsonValue]], found), key=lambda deed: cast(float, deed["at"]))

    found = run_async(work)
    if as_json:
        show_json(cast(JsonValue, found))
        return
    rows = [
        [
            date_time(cast(float, deed["at"])), str(deed["who"]) or "?", str(deed["did"]),
            f"{deed['run']}{'/' if deed['step'] else ''}{deed['step']}", _line(deed),
        ]
        for deed in found
    ]  # fmt: skip
    print("\n".join(columns(rows)))


def _line(deed: dict[str, JsonValue]) -> str:
    saw = f" (saw: {deed['saw']})" if deed["saw"] else ""
    return " ".join(f"{deed['what']}{saw}".split())


def forget(
    run: RunName,
    reason: Annotated[str, typer.Option("--reason", help="On whose word, and why. It is kept, so name no person.")],
    whole: Annotated[bool, typer.Option("--whole", help="Delete the records too, not only what they say.")] = False,
    checkpoints: Checkpoints = None,
    store: Store = None,
) -> None:
    """Delete what an ended run and its sub-plans said, as the law may ask. The chain of hashes stays and verifies.

    A signed line of the checkpoints says that it was asked for, by whom and why. Copies made before hold it still, and
    so does the conversation of a turn, with what its later turns saw: that is named.
    """
    if not reason.strip():
        raise typer.BadParameter("say on whose word, and why", param_hint="--reason")
    settings = settings_of(store)

    async def work() -> tuple[int, int, list[str]]:
        from orchestrator.errors import JournalCorrupt, WrongState
        from orchestrator.service.audit_examine import examine
        from orchestrator.service.audit_ledger import keys_of, must_have

        keys = keys_of(os.environ)
        must_have(keys, "a deletion is signed")
        async with looking(settings) as asker:
            found = await examine(asker, run=run)
            if found.damaged:
                one = cast(dict[str, JsonValue], found.damaged[0])
                raise JournalCorrupt(str(one["run"]), cast(int, one["record"]), str(one["reason"]))
            for name in found.open:
                raise WrongState(f"run {name}", "open", "cancel it or let it end before forgetting it")
            names = [*found.heads]
            sessions = [
                str(cast(dict[str, JsonValue], document["data"])["session"])
                async for document in _documents(asker, run)
                if document["kind"] == "session.pinned" and document["data"] is not None
            ]
            freed = await delete(asker, names, settings, checkpoints, reason, payloads_only=not whole)
        return len(names), freed, sessions

    count, freed, sessions = run_async(work)
    what = "deleted" if whole else "deleted what it said"
    say(f"{paint('✓ ' + what, 'good', sys.stderr)}  {count} runs, {freed:,} bytes")
    for session in sessions:
        say(f"  it was a turn of the conversation {session}, which holds it still: delete that with its runs too")


async def _documents(asker: Asker, run: str) -> AsyncIterator[dict[str, JsonValue]]:
    async for event in asker.stream("export", run=run):
        yield cast(dict[str, JsonValue], event)


async def delete(
    asker: Asker,
    runs: Sequence[str],
    settings: "Settings",
    checkpoints: Path | None,
    reason: str,
    *,
    payloads_only: bool,
) -> int:
    """Delete ended runs; where there are checkpoints, a signed line says so first. Return the bytes freed.

    Raises:
        PromiseError: there are checkpoints, and no key to sign with: what is gone would look like damage.
        WrongState: a run is still open.
    """
    from orchestrator.core.checkpoints import Mark
    from orchestrator.service.audit_examine import examine
    from orchestrator.service.audit_ledger import keys_of, ledger_file, must_have

    keys, path = keys_of(os.environ), ledger_file(settings, checkpoints)
    if path.exists():
        must_have(keys, f"{path} would miss what is deleted")
    if keys and runs:
        wanted = set(runs)
        found = await examine(asker)
        heads: dict[RunId, Mark] = {name: mark for name, mark in found.heads.items() if name in wanted}
        _remember("forgotten", settings, checkpoints, keys, heads, reason, payloads_only=payloads_only)
    freed = 0
    for at in range(0, len(runs), _DELETED_AT_ONCE):
        part: JsonValue = [*runs[at : at + _DELETED_AT_ONCE]]
        told = await asker.ask("forget", runs=part, payloads_only=payloads_only)
        freed += cast(int, cast(dict[str, JsonValue], told)["freed_bytes"])
    return freed


def _remember(
    kind: str,
    settings: "Settings",
    checkpoints: Path | None,
    keys: tuple[str, ...],
    marks: "dict[RunId, Mark]",
    reason: str,
    *,
    payloads_only: bool = False,
) -> None:
    from orchestrator.core.checkpoints import CheckpointKind
    from orchestrator.service.audit_ledger import ledger_file, writing

    if not keys:
        return
    with writing(ledger_file(settings, checkpoints), keys) as held:
        word = cast(CheckpointKind, kind)
        held.write(
            held.ledger.sign(word, marks, at_s=time.time(), by=who(), reason=reason, payloads_only=payloads_only)
        )


def read_signed(settings: "Settings", named: Path | None, at_least: int = 0) -> "Ledger | None":
    """The checkpoints to hold the journal against; None where there are none, or no key to check them with."""
    from orchestrator.errors import CheckpointBroken, PromiseError
    from orchestrator.service.audit_ledger import KEY_VARIABLE, keys_of, ledger_file, must_have, read_ledger

    keys, path = keys_of(os.environ), ledger_file(settings, named)
    if named is not None or at_least:
        must_have(keys, "checkpoints were to be looked at")
        if named is not None and not named.exists():
            raise PromiseError(f"{named} is not there", "name the file of checkpoints")
    elif not keys:
        if path.exists():
            say(f"{path} was not looked at: {KEY_VARIABLE} holds its key")
        return None
    ledger = read_ledger(path, keys)
    if ledger.number < at_least:
        raise CheckpointBroken(
            ledger.number + 1, f"the end of {path} was cut off: it should go to {at_least} or further"
        )
    return ledger
