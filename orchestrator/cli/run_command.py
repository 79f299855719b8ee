"""`orchestrator run`: a plan to its result."""

from pathlib import Path
from typing import Annotated

import typer

from orchestrator.cli.access import AsJson, Pools, Store, flags, holding, run_async, settings_of
from orchestrator.cli.fleet_common import Transport
from orchestrator.cli.talk import SessionId


def run(
    plan: Annotated[Path, typer.Argument(metavar="PLAN", help="A *.plan.yaml file.")],
    given: Annotated[
        list[str] | None,
        typer.Option("-i", "--input", metavar="K=V", help="An input; @file stands for a file's text. Repeatable."),
    ] = None,
    inputs: Annotated[
        Path | None, typer.Option("--inputs", metavar="FILE", help="Inputs as a JSON or YAML mapping.")
    ] = None,
    pools: Pools = None,
    store: Store = None,
    transport: Transport = None,
    budget_usd: Annotated[
        float | None, typer.Option("--budget-usd", min=0, help="USD at most, instead of the plan's budget.")
    ] = None,
    lane: Annotated[str, typer.Option(help="Queue priority: high, normal, low or batch.")] = "normal",
    idempotency_key: Annotated[
        str | None, typer.Option("--idempotency-key", help="The same key again gives the same run.")
    ] = None,
    as_json: AsJson = False,
    jsonl: Annotated[bool, typer.Option("--jsonl", help="Print events as JSON lines while they come.")] = False,
    session: SessionId = None,
    detach_on_wait: Annotated[
        bool, typer.Option("--detach-on-wait", help="End with exit code 4 instead of asking, when a person is needed.")
    ] = False,
) -> None:
    """Run a plan to its result: result to stdout, progress to stderr.

    Exit codes: 0 succeeded, 1 failed, 2 usage or invalid plan, 3 stopped by a budget, 4 waiting for an approval,
    5 cancelled, 6 the store is not reachable, 7 degraded: a result with named gaps.
    """
    if lane not in {"high", "normal", "low", "batch"}:
        raise typer.BadParameter("choose high, normal, low or batch", param_hint="--lane")
    if as_json and jsonl:
        raise typer.BadParameter("choose one of --json and --jsonl", param_hint="--json")
    settings = settings_of(store, pools)
    if transport is not None:
        settings = settings.model_copy(update={"transport": transport})

    from orchestrator.cli.inputs import read_inputs
    from orchestrator.plan.files import read_plan_file

    source = read_plan_file(plan)
    values = read_inputs(source.plan, given or (), inputs)

    async def work() -> int:
        from orchestrator.cli.drive import drive
        from orchestrator.cli.outcome import tell
        from orchestrator.cli.talk import finish, start
        from orchestrator.cli.view import view_for
        from orchestrator.plan.check import check_plan
        from orchestrator.plan.parts import Budget

        if settings.transport != "memory:":
            from orchestrator.cli.fleet_run import run_in_fleet

            return await run_in_fleet(
                settings,
                source,
                values,
                budget=Budget(usd=budget_usd) if budget_usd is not None else None,
                lane=lane,
                idempotency_key=idempotency_key,
                as_json=as_json,
                jsonl=jsonl,
                ask=not detach_on_wait,
                flags=flags(store, pools),
                session=session,
            )
        async with holding(settings) as engine:
            # Checked here first, so that issues say where they stand in the file.
            check_plan(source.plan, engine.registry, source.sources).raise_if_errors()
            started = await start(
                engine,
                source.plan,
                values,
                session=session,
                budget=Budget(usd=budget_usd) if budget_usd is not None else None,
                lane=lane,
                idempotency_key=idempotency_key,
            )
            view = view_for(jsonl=jsonl)
            driven = await drive(engine, started, view, drain_s=settings.drain_s, ask=not detach_on_wait)
            await finish(engine, session, started)
            return int(tell(driven, as_json=as_json, jsonl=jsonl, flags=flags(store, pools)))

    raise typer.Exit(run_async(work))
