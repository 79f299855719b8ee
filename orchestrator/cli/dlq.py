"""`orchestrator dlq`: tasks that no worker could do."""

import json
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Final

import typer

from orchestrator.cli.access import AsJson, run_async
from orchestrator.cli.console import columns, date_time, paint, say, show_json
from orchestrator.cli.fleet_common import Transport, fleet_settings

if TYPE_CHECKING:
    from orchestrator.ids import JsonValue, PoolName
    from orchestrator.ports.dead_letters import DeadLetter, DeadLetters

LIST_MAX: Final = 10_000  #: as many as are kept of one pool
app = typer.Typer(rich_markup_mode=None, pretty_exceptions_enable=False, add_completion=False, no_args_is_help=True)
Letters = Annotated[list[str] | None, typer.Argument(metavar="[ID]...", help="As `dlq list` shows them: pool/entry.")]
Every = Annotated[bool, typer.Option("--all", help="All of them, or all of one pool with --pool.")]
OfPool = Annotated[str | None, typer.Option("--pool", metavar="P", help="Of this pool alone.")]


@app.callback()
def _dlq() -> None:
    """Look at tasks that no worker could do; put them back or delete them."""


@app.command("list")
def list_(
    pool: OfPool = None,
    limit: Annotated[int, typer.Option("--limit", min=1, max=LIST_MAX, help="At most so many, newest first.")] = 100,
    transport: Transport = None,
    as_json: AsJson = False,
) -> None:
    """List dead letters, the newest first. Exit codes: 0, 2 usage, 6 no server."""

    async def work() -> list["DeadLetter"]:
        async with _letters(transport) as letters:
            return list(await letters.list(_pool(pool), limit))

    found = run_async(work)
    if as_json:
        show_json([_document(letter) for letter in found])
        return
    rows = [("ID", "TASK", "GIVEN UP", "DELIVERIES", "REASON")]
    rows += [(one.id, one.task or "-", date_time(one.at_s), str(one.deliveries), one.reason) for one in found]
    for line in columns(rows) if found else ():
        print(line)
    say(f"{len(found)} dead letters")


@app.command()
def show(
    letter: Annotated[str, typer.Argument(metavar="ID", help="As `dlq list` shows it: pool/entry.")],
    transport: Transport = None,
    as_json: AsJson = False,
) -> None:
    """Show one dead letter with the task it holds. Exit codes: 0, 2 no such letter, 6 no server."""

    async def work() -> "DeadLetter":
        async with _letters(transport) as letters:
            return await letters.show(letter)

    found = run_async(work)
    document = _document(found, whole=True)
    if as_json:
        show_json(document)
        return
    for name, value in document.items():
        shown = json.dumps(value, ensure_ascii=False, indent=2) if isinstance(value, dict | list) else str(value)
        print(f"{name}: {shown}")
    if found.run:
        say(f"what its run makes of it: orchestrator why {found.run} {found.step}")


@app.command()
def requeue(letters: Letters = None, every: Every = False, pool: OfPool = None, transport: Transport = None) -> None:
    """Put dead letters back at the end of their queues. The run was told that the attempt failed, so the answer counts
    only where it still waits; else retry the run. Exit codes: 0, 2 usage or no such letter, 6 no server.
    """
    _each("requeue", "✓ queued", letters, every, pool, transport)


@app.command()
def drop(letters: Letters = None, every: Every = False, pool: OfPool = None, transport: Transport = None) -> None:
    """Delete dead letters. Exit codes: 0, 2 usage or no such letter, 6 no server."""
    _each("drop", "✓ deleted", letters, every, pool, transport)


def _each(verb: str, told: str, ids: list[str] | None, every: bool, pool: str | None, transport: str | None) -> None:
    if bool(ids) == every:
        raise typer.BadParameter("name letters, or --all", param_hint="ID")
    if pool is not None and not every:
        raise typer.BadParameter("--pool goes with --all", param_hint="--pool")

    async def work() -> int:
        from orchestrator.errors import WrongState

        refused = 0
        async with _letters(transport) as letters:
            for one in ids or [letter.id for letter in await letters.list(_pool(pool), LIST_MAX)]:
                try:
                    await (letters.requeue(one) if verb == "requeue" else letters.drop(one))
                except WrongState as error:
                    refused += 1
                    say(f"{paint('✗', 'bad', sys.stderr)} {error}")
                else:
                    say(f"{paint(told, 'good', sys.stderr)}  {one}")
        return refused

    raise typer.Exit(2 if run_async(work) else 0)


@asynccontextmanager
async def _letters(transport: str | None) -> AsyncIterator["DeadLetters"]:
    from orchestrator.fleet import open_dead_letters

    async with open_dead_letters(fleet_settings(None, transport, quiet=True)) as letters:
        yield letters


def _pool(name: str | None) -> "PoolName | None":
    from orchestrator.ids import PoolName

    return None if name is None else PoolName(name)


def _document(letter: "DeadLetter", *, whole: bool = False) -> dict[str, "JsonValue"]:
    document: dict[str, JsonValue] = asdict(letter)
    body = document.pop("body")
    if whole:
        try:
            document["task_sent"] = json.loads(str(body))
        except ValueError:
            document["task_sent"] = body
    return document
