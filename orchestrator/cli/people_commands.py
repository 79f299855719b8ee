"""Commands by which people change runs: approve, cancel, quarantine."""

import sys
from typing import TYPE_CHECKING, Annotated, cast

import typer

from orchestrator.cli.access import Asker, Pools, RunName, Store, acting, flags, run_async, settings_of
from orchestrator.cli.console import mark, paint, say
from orchestrator.cli.exits import OF_STATUS
from orchestrator.cli.people import who
from orchestrator.ids import JsonValue

if TYPE_CHECKING:
    from orchestrator.app import Engine
    from orchestrator.settings import Settings

Document = dict[str, JsonValue]


def approve(
    run: RunName,
    step: Annotated[str, typer.Argument(metavar="STEP", help="Which step asks: `draft`, `draft[3]`, or `budget`.")],
    choice: Annotated[str, typer.Option("--choice", help="One of the choices that are offered.")],
    reason: Annotated[str, typer.Option("--reason", help="Why; it goes into the audit trail.")] = "",
    resume: Annotated[
        bool, typer.Option("--resume/--no-resume", help="Drive the run on to its end, when nobody else drives it.")
    ] = True,
    pools: Pools = None,
    store: Store = None,
) -> None:
    """Answer a question that a run waits for, and let it go on. Exit code: the run's, when it is driven on here."""
    settings = settings_of(store, pools)

    async def work() -> int:
        async with acting(settings) as found:
            if isinstance(found, Asker):
                told = await found.ask("approve", run=run, step=step, choice=choice, reason=reason, by=who())
                document = cast(Document, told)
                say(f"{paint('✓ answered', 'good', sys.stderr)}  {step}: {choice}")
                say(
                    f"process {found.owner_pid} drives the run on; follow it with: orchestrator watch {document['run']}"
                )
                return 0
            return await _approve_here(found, settings)

    async def _approve_here(engine: "Engine", settings: "Settings") -> int:
        from orchestrator.cli.drive import drive
        from orchestrator.cli.outcome import tell
        from orchestrator.cli.view import view_for
        from orchestrator.engine.handle import Run
        from orchestrator.service.control_args import ApproveArgs
        from orchestrator.service.control_desk import Desk

        desk = Desk(engine.runs.journal, engine.registry, engine.runs)
        row = await desk.row(run)
        top = await desk.row(row.run_id.split(".")[0])
        if not resume and await desk.elsewhere(top) is None:
            await engine.runs.drain(0.0)  # only the answer is wanted: nothing is sent to workers
        await desk.approve(ApproveArgs(run=row.run_id, step=step, choice=choice, reason=reason, by=who()))
        say(f"{paint('✓ answered', 'good', sys.stderr)}  {step}: {choice}")
        away = await desk.elsewhere(top)
        if away is not None:
            say(f"{away} drives the run on; follow it with: orchestrator watch {top.run_id}{flags(store, pools)}")
            return 0
        more = flags(store, pools)
        if not resume:
            top = await desk.row(top.run_id)
            if top.status != "open":
                say(f"{mark(top.status, sys.stderr)}  {top.run_id}: nothing was left to do")
                return int(OF_STATUS[top.status])
            say(f"go on with: orchestrator resume {top.run_id}{more}")
            return 0
        handle, view = Run(engine.runs, top.run_id), view_for(jsonl=False)
        driven = await drive(engine, handle, view, drain_s=settings.drain_s, again=True)
        return int(tell(driven, as_json=False, jsonl=False, flags=more))

    raise typer.Exit(run_async(work))


def cancel(
    run: RunName,
    reason: Annotated[str, typer.Option("--reason", help="Why; it goes into the audit trail.")] = "",
    pools: Pools = None,
    store: Store = None,
) -> None:
    """Cancel a run. Once this returns nothing new is started; steps marked `finally` still run."""
    settings = settings_of(store, pools)

    async def work() -> None:
        from orchestrator.service.control_args import CancelArgs
        from orchestrator.service.control_desk import Desk

        async with acting(settings) as found:
            if isinstance(found, Asker):
                told = cast(Document, await found.ask("cancel", run=run, reason=reason, by=who()))
            else:
                desk = Desk(found.runs.journal, found.registry, found.runs)
                row = await desk.row(run)
                told = cast(Document, await desk.cancel(CancelArgs(run=row.run_id, reason=reason, by=who())))
                driver = found.runs.driver(row.run_id)
                if driver is not None:
                    await driver.finished()
                status = (await desk.row(row.run_id)).status
                told["status"] = told["status"] if status == "open" else status
            if told["status"] in {"cancelling", "cancelled"} and not told["over"]:
                say(f"{mark(str(told['status']), sys.stderr)}  {told['run']}")
            else:
                say(f"{told['run']} had ended already: {told['status']}; nothing has changed")

    run_async(work)


def quarantine(
    run: RunName,
    step: Annotated[str, typer.Argument(metavar="STEP")],
    reason: Annotated[str, typer.Option("--reason", help="What is wrong with the result.")],
    pools: Pools = None,
    store: Store = None,
) -> None:
    """Take a passed result back that turned out wrong, with everything built on it.

    In an open run those steps fail. After the end it is an audit record, and `retry` runs those steps again.
    """
    settings = settings_of(store, pools)

    async def work() -> None:
        from orchestrator.service.control_args import QuarantineArgs
        from orchestrator.service.control_desk import Desk

        async with acting(settings) as found:
            if isinstance(found, Asker):
                told = await found.ask("quarantine", run=run, step=step, reason=reason, by=who())
            else:
                desk = Desk(found.runs.journal, found.registry, found.runs)
                told = await desk.quarantine(QuarantineArgs(run=run, step=step, reason=reason, by=who()))
        document = cast(Document, told)
        affected = [str(name) for name in cast(list[JsonValue], document["affected"])]
        say(f"{paint('✗ quarantined', 'bad', sys.stderr)}  {step} of {document['run']}")
        say(f"  built on it: {', '.join(affected) or 'nothing'}")
        say(f"  to run it again, once the run has ended: orchestrator retry {document['run']} --from-failed")

    run_async(work)
