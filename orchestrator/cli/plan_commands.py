"""`orchestrator plan`: check, draw, schema, diff, estimate."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast

import typer

from orchestrator.cli.access import AsJson, Pools, Store, engine_of, looking, run_async, settings_of
from orchestrator.cli.console import clean, columns, paint, say, show_json, span
from orchestrator.cli.exits import Exit
from orchestrator.ids import JsonValue

if TYPE_CHECKING:
    from orchestrator.errors import PlanIssue
    from orchestrator.plan.drawing import NodeState
    from orchestrator.plan.models import Plan
    from orchestrator.plan.report import Report

EDGES_SHOWN = 60
app = typer.Typer(rich_markup_mode=None, pretty_exceptions_enable=False, add_completion=False, no_args_is_help=True)
PlanFile = Annotated[Path, typer.Argument(metavar="PLAN", help="A *.plan.yaml file.")]


@app.callback()
def _plan() -> None:
    """Check, draw, compare and price plans. Nothing is started, and nothing is paid."""


@app.command()
def check(plan: PlanFile, pools: Pools = None, as_json: AsJson = False) -> None:
    """Tell everything that can be known before a run: mistakes with their place, limits in force, edges, price range.

    Exit codes: 0 the plan may run, 2 it may not.
    """
    from orchestrator.errors import PlanError
    from orchestrator.plan.check import check_plan
    from orchestrator.plan.files import read_plan_file

    registry = engine_of(settings_of(None, pools)).registry
    try:
        source = read_plan_file(plan)
    except PlanError as error:
        if not as_json:
            raise
        show_json({"valid": False, "errors": _issues(error.issues), "warnings": []})
        raise typer.Exit(Exit.USAGE) from None
    report = check_plan(source.plan, registry, source.sources)
    if as_json:
        show_json(_document(source.plan, report))
    else:
        _print(source.plan, report)
    raise typer.Exit(Exit.USAGE if report.errors else Exit.OK)


def _issues(issues: Sequence["PlanIssue"]) -> list[JsonValue]:
    return [
        {
            "message": issue.message,
            "file": issue.file,
            "line": issue.line,
            "column": issue.column,
            "path": issue.path,
            "expected": issue.expected,
        }
        for issue in issues
    ]


def _document(plan: "Plan", report: "Report") -> JsonValue:
    estimate = report.estimate
    return {
        "valid": not report.errors,
        "plan": plan.name,
        "digest": plan.digest,
        "errors": _issues(report.errors),
        "warnings": _issues(report.warnings),
        "in_force": [{"path": one.path, "value": one.value, "default": one.default} for one in report.in_force],
        "edges": [
            {"from": edge.source, "to": edge.target, "kind": edge.kind, "where": edge.origin, "text": edge.text}
            for edge in report.edges
        ],
        "critical_path": [*report.critical_path],
        "critical_path_s": report.critical_path_s,
        "estimate": {
            "steps_least": estimate.steps_least,
            "steps_most": estimate.steps_most,
            "wall_most_s": estimate.wall_most_s,
            "usd_least": estimate.usd_least,
            "usd_most": estimate.usd_most,
            "unknown": [*estimate.unknown],
        },
    }


def _print(plan: "Plan", report: "Report") -> None:
    for issue in report.errors:
        print(f"{paint('error', 'bad')}  {issue.render()}")
    for issue in report.warnings:
        print(f"{paint('warning', 'warn')}  {issue.render()}")
    if report.errors:
        say(f"{paint('✗', 'bad', sys.stderr)} {len(report.errors)} mistakes; nothing was started")
        return
    print(f"{paint('✓', 'good')} {paint(plan.name, 'bold')}  {len(plan.steps)} steps  {plan.digest}")
    print(paint("\nlimits in force", "bold"))
    rows = [(f"  {one.path}", one.value, "default" if one.default else "") for one in report.in_force]
    print("\n".join(columns(rows)))
    print(paint("\nedges", "bold"))
    edges = [
        (f"  {edge.source} → {edge.target}", "explicit" if edge.kind == "needs" else "inferred", f"{edge.origin}")
        for edge in report.edges[:EDGES_SHOWN]
    ]
    print("\n".join(columns(edges)) if edges else "  none: every step may start at once")
    if len(report.edges) > EDGES_SHOWN:
        print(f"  … and {len(report.edges) - EDGES_SHOWN} more; --json lists them all")
    print(paint("\ncritical path", "bold"))
    names = report.critical_path if len(report.critical_path) <= 12 else (*report.critical_path[:12], "…")
    print(f"  {' → '.join(names)}  at most {span(report.critical_path_s)}")
    print(paint("\nrange", "bold"))
    print("\n".join("  " + line for line in report.estimate.render().splitlines()))


@app.command()
def draw(
    plan: Annotated[Path | None, typer.Argument(metavar="[PLAN]", help="A *.plan.yaml file; not with --run.")] = None,
    form: Annotated[str, typer.Option("--format", help="tree, mermaid or dot.")] = "tree",
    run: Annotated[str | None, typer.Option("--run", metavar="RUN", help="Draw a run as it stands.")] = None,
    store: Store = None,
) -> None:
    """Draw a plan, or a run as it stands: a tree, Mermaid text, or DOT text."""
    if form not in {"tree", "mermaid", "dot"}:
        raise typer.BadParameter("choose tree, mermaid or dot", param_hint="--format")
    if (plan is None) is (run is None):
        raise typer.BadParameter("name a PLAN file, or --run RUN", param_hint="PLAN")
    from orchestrator.plan import drawing
    from orchestrator.plan.files import load_plan

    states: dict[str, NodeState] | None = None
    if plan is not None:
        drawn = load_plan(plan)
    else:
        assert run is not None, "one of both is given"
        drawn, states = run_async(lambda: _of_run(run, store))
    text = {"tree": drawing.tree, "mermaid": drawing.mermaid, "dot": drawing.dot}[form](drawn, states)
    print(text, end="")


async def _of_run(run: str, store: str | None) -> "tuple[Plan, dict[str, NodeState]]":
    """The plan of a run with its patches, and how far each step is."""
    from orchestrator.core.summary import RunTally
    from orchestrator.engine.recovery import machine_of
    from orchestrator.plan.drawing import STATUS_MARKS, NodeState
    from orchestrator.ports.journal import Recorded
    from orchestrator.service.control_wire import record_of

    counted = RunTally()
    records: list[Recorded] = []
    async with looking(settings_of(store)) as asker:
        async for event in asker.stream("events", run=run):
            records.append(record_of(event))
            counted.add(records[-1])
    plan = machine_of(records).state.plan.plan
    states = {
        name: NodeState(
            status=step.whole.status.value if step.whole.status.value in STATUS_MARKS else "running",
            attempts=step.attempts,
            branches=dict(step.counts) if step.branches is not None else None,
            note=f"{step.usd:.4f} USD" if step.usd else "",
        )
        for name, step in counted.steps.items()
    }
    return plan, states


@app.command()
def schema() -> None:
    """Print the JSON Schema of plan files (2020-12), for editors."""
    from orchestrator.plan.schema_file import plan_schema_text

    print(plan_schema_text(), end="")


@app.command()
def diff(
    before: Annotated[Path, typer.Argument(metavar="BEFORE")],
    after: Annotated[Path, typer.Argument(metavar="AFTER")],
    as_json: AsJson = False,
) -> None:
    """Tell what changed between two plans, key by key. Plans of equal digest have no difference."""
    from orchestrator.plan.diff import diff as compare
    from orchestrator.plan.diff import render
    from orchestrator.plan.files import load_plan

    changes = compare(load_plan(before), load_plan(after))
    if as_json:
        show_json(
            [
                {"kind": one.kind, "path": one.path, "step": one.step, "before": one.before, "after": one.after}
                for one in changes
            ]
        )
    elif changes:
        print(clean(render(changes)).rstrip("\n"))
    else:
        say("no difference")


@app.command()
def estimate(
    plan: PlanFile,
    pools: Pools = None,
    store: Annotated[
        str | None, typer.Option(metavar="URL", help="Tell too what earlier runs in this store lead to expect.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Tell how many steps, how long and how dear a run can be; what is not known is said.

    With --store, earlier runs of a plan of this name say what it is likely to cost.
    """
    from dataclasses import asdict

    from orchestrator.plan.estimate import estimate as price
    from orchestrator.plan.files import load_plan

    loaded = load_plan(plan)
    found = price(loaded, engine_of(settings_of(None, pools)).registry)
    likely = None if store is None else _forecast(loaded, store)
    if as_json:
        told: dict[str, JsonValue] = {
            name: [*value] if isinstance(value, tuple) else value for name, value in asdict(found).items()
        }
        show_json(told if likely is None else {**told, "forecast": likely})
    else:
        print(found.render())
        if likely is not None:
            from orchestrator.core.costs import rendered

            print(rendered(likely))


def _forecast(plan: "Plan", store: str) -> dict[str, JsonValue]:
    """What earlier runs in a store lead to expect."""
    settings = settings_of(store)

    async def work() -> JsonValue:
        async with looking(settings) as asker:
            return await asker.ask("forecast", plan=plan.canonical())

    return cast(dict[str, JsonValue], run_async(work))
