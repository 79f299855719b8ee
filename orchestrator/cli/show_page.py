"""`orchestrator show RUN --html FILE`: the run and its sub-plans as one HTML file that needs no server."""

import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, cast

from orchestrator.cli.access import Asker, looking, run_async
from orchestrator.cli.console import say
from orchestrator.errors import PromiseError
from orchestrator.ids import JsonValue

if TYPE_CHECKING:
    from orchestrator.ports.journal import Recorded
    from orchestrator.settings import Settings

Document = dict[str, JsonValue]


def write_page(settings: "Settings", run: str, target: str) -> None:
    """Write the file; `-` is standard output.

    Raises:
        PromiseError: the run's payloads were deleted, or the file cannot be written.
        RunNotFound: no such run.
    """
    from orchestrator.service.page.offline import offline_file

    records, below = run_async(lambda: _read(settings, run))
    text = offline_file(records, below, made_at_s=time.time())
    if target == "-":
        sys.stdout.write(text)
        return
    path = Path(target)
    try:
        path.write_text(text, "utf-8")
    except OSError as error:
        raise PromiseError(
            f"{target} cannot be written: {error.strerror}", "name a file in a folder of yours"
        ) from None
    more = f" with {len(below)} sub-plan{'s' if len(below) != 1 else ''}" if below else ""
    say(f"{path}: run {records[0].run_id}{more}, {len(text.encode()):,} bytes; open it in any browser")


async def _read(settings: "Settings", run: str) -> "tuple[list[Recorded], dict[str, list[Recorded]]]":
    from orchestrator.service.page.offline import RUNS_MAX

    async with looking(settings) as asker:
        name, children = await _look(asker, run)
        records = await _records(asker, name)
        below: dict[str, list[Recorded]] = {}
        todo = children
        while todo and len(below) < RUNS_MAX:
            child, more = await _look(asker, todo.pop(0))
            below[child] = await _records(asker, child)
            todo += more
        return records, below


async def _look(asker: Asker, run: str) -> tuple[str, list[str]]:
    """The run's whole id, and its sub-plans."""
    detail = cast(Document, cast(Document, await asker.ask("show", run=run))["detail"])
    return str(detail["run"]), cast(list[str], detail["children"])


async def _records(asker: Asker, run: str) -> "list[Recorded]":
    from orchestrator.service.control_wire import record_of

    return [record_of(cast(Document, event)) async for event in asker.stream("events", run=run, after=0, follow=False)]
