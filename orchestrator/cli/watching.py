"""`watch` and `events`: a run as its facts come in, wherever it is driven."""

import contextlib
import json
from typing import TYPE_CHECKING, Annotated, cast

import typer

from orchestrator.cli.access import RunName, Store, looking, run_async, settings_of
from orchestrator.ids import JsonValue

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from orchestrator.cli.view import View
    from orchestrator.core.summary import RunTally


def events(
    run: RunName,
    jsonl: Annotated[bool, typer.Option("--jsonl", help="One JSON document per line.")] = False,
    after: Annotated[int, typer.Option(min=0, help="Only those with a higher number.")] = 0,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Those to come too, until the run is over.")] = False,
    store: Store = None,
) -> None:
    """Print a run's events: a line for people each, or with --jsonl whole."""
    settings = settings_of(store)

    async def work() -> None:
        async with looking(settings) as asker:
            async for event in asker.stream("events", run=run, after=after, follow=follow):
                print(json.dumps(event, ensure_ascii=False) if jsonl else _line(cast(dict[str, JsonValue], event)))

    run_async(work)


def _line(event: dict[str, JsonValue]) -> str:
    from orchestrator.cli.console import clock_time, one_line

    at_s, branch = event["at"], event["branch"]
    step = str(event["step"] or "") + (f"[{branch}]" if isinstance(branch, int) and branch >= 0 else "")
    attempt = f"#{event['attempt']}" if event["attempt"] else ""
    data = one_line(json.dumps(event["data"], ensure_ascii=False), 100) if event["data"] else ""
    time = clock_time(at_s) if isinstance(at_s, int | float) else ""
    return f"{event['seq']:>6}  {time}  {event['kind']:<18}  {step + attempt:<20}  {data}".rstrip()


def watch(run: RunName, store: Store = None) -> None:
    """Follow a run until it ends, from a second terminal; Ctrl-C leaves the run alone. Exit code: the run's."""
    settings = settings_of(store)

    async def work() -> int:
        from orchestrator.cli.console import say
        from orchestrator.cli.drive import Driven
        from orchestrator.cli.outcome import tell
        from orchestrator.cli.view import view_for
        from orchestrator.core.summary import RunTally
        from orchestrator.ids import RunId

        counted = RunTally()
        view = view_for(jsonl=False)
        detail: dict[str, JsonValue] = {}
        after, over = 0, False
        try:
            while not over:
                async with looking(settings) as asker:
                    shown = cast(dict[str, JsonValue], await asker.ask("show", run=run))
                    detail = cast(dict[str, JsonValue], shown["detail"])
                    events = asker.stream("events", run=detail["run"], after=after, follow=bool(detail["driven"]))
                    after, over = await _follow(events, counted, view, after)
        finally:
            view.close()
        driven = Driven(RunId(str(detail["run"])), counted)
        if counted.ended is None:
            driven.questions = cast(list[JsonValue], detail["questions"])
            if not driven.questions:
                say(f"nobody drives this run now; go on with: orchestrator resume {detail['run']}")
                return 0
        return int(tell(driven, as_json=False, jsonl=True))

    raise typer.Exit(run_async(work))


async def _follow(
    events: "AsyncGenerator[JsonValue, None]", counted: "RunTally", view: "View", after: int
) -> tuple[int, bool]:
    """Show events as they come; the number of the last, and whether that was all: an owner may end before that."""
    import anyio

    from orchestrator.cli.drive import DRAW_S
    from orchestrator.errors import OwnerUnreachable
    from orchestrator.service.control_wire import record_of

    async def draw() -> None:
        while True:
            view.refresh()
            await anyio.sleep(DRAW_S)

    over = False
    async with anyio.create_task_group() as group:
        group.start_soon(draw)
        with contextlib.suppress(OwnerUnreachable):
            async for event in events:
                record = record_of(event)
                after = record.seq
                counted.add(record)
                view.add(record, counted)
            over = True
        group.cancel_scope.cancel()
    return after, over
