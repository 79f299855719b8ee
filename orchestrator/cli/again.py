"""Commands that let runs go on or begin again: resume, retry, fork."""

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Annotated

import typer

from orchestrator.cli.access import AsJson, Pools, RunName, Store, flags, holding, run_async, settings_of
from orchestrator.cli.console import say
from orchestrator.cli.people import who

if TYPE_CHECKING:
    from orchestrator.app import Engine
    from orchestrator.engine.handle import Run
    from orchestrator.engine.operations import Operations
    from orchestrator.ids import RunId
    from orchestrator.plan.parts import Budget
    from orchestrator.service.control_desk import Desk

BudgetUsd = Annotated[float | None, typer.Option("--budget-usd", min=0, help="USD at most, instead of what it had.")]
Jsonl = Annotated[bool, typer.Option("--jsonl", help="Print events as JSON lines while they come.")]


def resume(
    run: Annotated[str | None, typer.Argument(metavar="RUN", help="Every open run when left out.")] = None,
    pools: Pools = None,
    store: Store = None,
    as_json: AsJson = False,
    jsonl: Jsonl = False,
) -> None:
    """Go on with an open run, after a crash or an answer: what was journaled is not done again. Exit code: the run's.

    Without RUN every open run is driven to its end, one after the other on the screen, side by side in fact; the exit
    code is then that of the first that did not succeed.
    """
    settings = settings_of(store, pools)

    async def work() -> int:
        from orchestrator.cli.drive import drive
        from orchestrator.cli.outcome import tell
        from orchestrator.cli.view import view_for
        from orchestrator.engine.handle import Run
        from orchestrator.errors import WrongState
        from orchestrator.ports.journal import RunQuery
        from orchestrator.service.control_desk import Desk

        worst = 0
        async with holding(settings) as engine:
            desk = Desk(engine.runs.journal, engine.registry, engine.runs)
            if run is not None:
                rows = [await desk.row(run)]
                if rows[0].status != "open":
                    raise WrongState(f"run {rows[0].run_id}", rows[0].status, _retry_instead(rows[0].run_id))
                if rows[0].parent is not None:
                    rows = [await desk.row(rows[0].run_id.split(".")[0])]
            else:
                rows = (await engine.runs.journal.runs(RunQuery(status=("open",), top_level=True, limit=10_000)))[::-1]
            if not rows:
                say("no run is open")
                return 0
            for row in rows:
                await desk.take(row)
            for row in rows:
                handle = Run(engine.runs, row.run_id)
                driven = await drive(engine, handle, view_for(jsonl=jsonl), drain_s=settings.drain_s, again=True)
                code = int(tell(driven, as_json=as_json, jsonl=jsonl, flags=flags(store, pools)))
                worst = worst or code
                if driven.signal:
                    return code
        return worst

    raise typer.Exit(run_async(work))


def retry(
    run: RunName,
    step: Annotated[str | None, typer.Argument(metavar="STEP", help="Run this step again, and all below it.")] = None,
    from_failed: Annotated[bool, typer.Option("--from-failed", help="Run again whatever did not pass.")] = False,
    budget_usd: BudgetUsd = None,
    pools: Pools = None,
    store: Store = None,
    as_json: AsJson = False,
    jsonl: Jsonl = False,
) -> None:
    """Start a new run of an ended one: what passed is taken over, the rest runs again, quarantined results too."""
    if (step is None) is not from_failed:
        raise typer.BadParameter("name a STEP, or say --from-failed", param_hint="STEP")

    async def begin(operations: "Operations", desk: "Desk", run_id: "RunId") -> "Run":
        return await operations.retry(run_id, step=step, budget=_budget(budget_usd), by=who())

    _start(begin, run, store, pools, as_json=as_json, jsonl=jsonl)


def fork(
    run: RunName,
    step: Annotated[str, typer.Option("--from", metavar="STEP", help="Run this step again, and all below it.")],
    changes: Annotated[
        list[str] | None, typer.Option("--set", metavar="K=V", help="An input with another value. Repeatable.")
    ] = None,
    budget_usd: BudgetUsd = None,
    pools: Pools = None,
    store: Store = None,
    as_json: AsJson = False,
    jsonl: Jsonl = False,
) -> None:
    """Start a new run from a step of an ended one, with other inputs; what is not below the step is taken over."""

    async def begin(operations: "Operations", desk: "Desk", run_id: "RunId") -> "Run":
        from orchestrator.cli.inputs import read_inputs
        from orchestrator.engine.recovery import machine_of, read_all

        plan = machine_of(await read_all(desk.journal, run_id)).state.plan.plan
        values = read_inputs(plan, changes or ())
        return await operations.fork(run_id, step=step, inputs=values, budget=_budget(budget_usd), by=who())

    _start(begin, run, store, pools, as_json=as_json, jsonl=jsonl)


def _budget(usd: float | None) -> "Budget | None":
    from orchestrator.plan.parts import Budget

    return Budget(usd=usd) if usd is not None else None


def _retry_instead(run_id: str) -> str:
    return f"resume goes on with open runs only; `orchestrator retry {run_id} --from-failed` starts a new one"


def _start(
    begin: "Callable[[Operations, Desk, RunId], Awaitable[Run]]",
    run: str,
    store: str | None,
    pools: list[str] | None,
    *,
    as_json: bool,
    jsonl: bool,
) -> None:
    settings = settings_of(store, pools)

    async def started(engine: "Engine") -> "Run":
        from orchestrator.engine.operations import Operations
        from orchestrator.engine.recovery import machine_of, read_all
        from orchestrator.errors import WrongState
        from orchestrator.service.control_desk import Desk, must_know

        desk = Desk(engine.runs.journal, engine.registry, engine.runs)
        row = await desk.row(run)
        if row.status == "open":
            raise WrongState(f"run {row.run_id}", "open", "wait for its end, cancel it, or `orchestrator resume` it")
        must_know(machine_of(await read_all(desk.journal, row.run_id)).state.plan.plan, row.run_id, engine.registry)
        return await begin(Operations(engine.runs), desk, row.run_id)

    async def work() -> int:
        from orchestrator.cli.drive import drive
        from orchestrator.cli.outcome import tell
        from orchestrator.cli.view import view_for

        async with holding(settings) as engine:
            handle = await started(engine)
            driven = await drive(engine, handle, view_for(jsonl=jsonl), drain_s=settings.drain_s)
            return int(tell(driven, as_json=as_json, jsonl=jsonl, flags=flags(store, pools)))

    raise typer.Exit(run_async(work))
