"""`orchestrator eval`: whether a plan is right on a test set, and whether it got worse."""

from datetime import UTC
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from orchestrator.cli.access import AsJson, Pools, Store, holding, run_async, settings_of
from orchestrator.cli.console import columns, money, one_line, paint, say, show_json, span

if TYPE_CHECKING:
    from orchestrator.plan.models import Plan
    from orchestrator.service.evaluation.cases import Case, EvalSet
    from orchestrator.service.evaluation.report import CaseReport, Comparison, Report
    from orchestrator.service.evaluation.statistics import Interval
    from orchestrator.settings import Settings

SHOWN = 20  #: cases that are named, of each kind


def evaluate(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A *.eval.yaml file.")],
    pools: Pools = None,
    store: Store = None,
    repeat: Annotated[int | None, typer.Option(min=1, max=20, help="Runs per case, instead of the file's.")] = None,
    parallel: Annotated[int, typer.Option(min=1, max=1_000, help="Runs at the same time.")] = 4,
    baseline: Annotated[Path | None, typer.Option(help="A saved report to compare with.")] = None,
    save: Annotated[Path | None, typer.Option(help="Write the report there; it is a baseline for later.")] = None,
    strict: Annotated[
        bool, typer.Option("--strict", help="Fail when any case is wrong that the baseline had right.")
    ] = False,
    every: Annotated[
        str | None, typer.Option(metavar="CRON", help="Stay, and evaluate at these times, such as '0 7 * * *'.")
    ] = None,
    collect: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Run nothing; write cases of rated and quarantined runs of the plan there."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Run a test set: the report to stdout, progress to stderr. Each run is in the journal, with whether it was right.

    Exit codes: 0 as good as it has to be, 1 worse than the baseline beyond chance, or below the file's `pass_at`,
    2 usage or an invalid file, 6 the store is not reachable.
    """
    if strict and baseline is None:
        raise typer.BadParameter("it needs --baseline", param_hint="--strict")
    settings = settings_of(store, pools)
    from orchestrator.plan.files import load_plan
    from orchestrator.service.evaluation.cases import read_set
    from orchestrator.service.evaluation.running import check_inputs

    one = read_set(file)
    plan = load_plan(file.parent / one.plan)
    if collect is not None:
        _collect(settings, one, plan, file, collect)
        return
    check_inputs(one, plan, str(file))
    before = _baseline(baseline)
    if before is not None:
        from orchestrator.service.evaluation.report import check_baseline

        check_baseline(before, plan.name, [case.id for case in one.cases])

    async def once() -> bool:
        from orchestrator.service.evaluation.report import compare

        report = await _run(settings, one, plan, repeat, parallel)
        comparison = compare(report, before) if before is not None else None
        if save is not None:
            save.write_text(report.model_dump_json(indent=2) + "\n")
        _show(report, comparison, one.pass_at, as_json=as_json)
        broken = comparison is not None and (comparison.worse or (strict and bool(comparison.broken)))
        return not broken and report.accuracy.value >= one.pass_at

    if every is None:
        raise typer.Exit(0 if run_async(once) else 1)

    async def stay() -> None:
        async for moment in _moments(every):
            say(f"{moment}: {one.name}")
            await once()

    run_async(stay)


async def _moments(cron: str):  # type: ignore[no-untyped-def]  # of datetimes; the library is imported late
    """The times that a cron expression names, each when it has come."""
    from datetime import datetime

    import anyio
    from cronsim import CronSim, CronSimError

    from orchestrator.errors import PromiseError

    try:
        times = CronSim(cron, datetime.now(UTC))
    except CronSimError as error:
        raise PromiseError(f"--every {cron!r} is no time: {error}", "write five fields, such as '0 7 * * *'") from None
    for moment in times:
        left_s = (moment - datetime.now(UTC)).total_seconds()
        if left_s < 0:
            continue  # the evaluation before took longer
        await anyio.sleep(left_s)
        yield moment


async def _run(settings: "Settings", one: "EvalSet", plan: "Plan", repeat: int | None, parallel: int) -> "Report":
    from orchestrator.service.evaluation.running import evaluate as run_set

    count = 0

    def tell(case: "Case", found: "CaseReport") -> None:
        nonlocal count
        count += 1
        mark = paint("✓", "good") if found.right else paint("✗", "bad")
        why = f"  {one_line(found.reasons[0])}" if found.reasons else ""
        say(f"{mark}  {count}/{len(one.cases)} {case.id}{why}")

    async with holding(settings) as engine:
        return await run_set(engine.runs, one, plan, repeat=repeat, parallel=parallel, tell=tell)


def _collect(settings: "Settings", one: "EvalSet", plan: "Plan", file: Path, out: Path) -> None:
    from orchestrator.service.evaluation.cases import EvalSet, dump_set, read_set
    from orchestrator.service.evaluation.collecting import collect, merged

    async def found() -> "list[Case]":
        async with holding(settings) as engine:
            return await collect(engine.runs.journal, plan.name)

    cases = run_async(found)
    if out.exists():
        told, new = merged(read_set(out), cases)
    elif cases:
        name = out.name.split(".", 1)[0]
        given = {"version": 1, "name": name, "plan": str((file.parent / one.plan).resolve()), "cases": tuple(cases)}
        told, new = EvalSet.model_validate(given), len(cases)
    else:
        say("no run of this plan was rated or quarantined; nothing was written")
        return
    out.write_text(dump_set(told))
    say(f"{new} new cases in {out}, {len(told.cases)} in all; make better expectations of those that you keep")


def _baseline(path: Path | None) -> "Report | None":
    if path is None:
        return None
    from orchestrator.errors import PromiseError
    from orchestrator.service.evaluation.report import read_report

    try:
        return read_report(path.read_text(), str(path))
    except OSError as error:
        raise PromiseError(f"the baseline {path} cannot be read: {error.strerror}", "save one: --save FILE") from None


def _show(report: "Report", comparison: "Comparison | None", pass_at: float, *, as_json: bool) -> None:
    if as_json:
        from orchestrator.service.evaluation.report import document

        show_json(document(report, comparison))
        return
    right = sum(case.right for case in report.cases.values())
    rows = [
        ["set", report.set],
        ["plan", f"{report.plan} {report.plan_digest[-12:]}"],
        ["right", f"{right} of {len(report.cases)}: {_percent(report.accuracy)}"],
        ["cost", money(report.usd) or "nothing"],
        ["slowest", span(max(case.seconds for case in report.cases.values()))],
    ]
    if comparison is not None:
        word = "worse" if comparison.worse else "no worse than chance explains"
        rows.append(["change", f"{_points(comparison.change)} over {comparison.shared} cases: {word}"])
        rows += [["broken", name] for name in comparison.broken[:SHOWN]]
        rows += [["fixed", name] for name in comparison.fixed[:SHOWN]]
    if report.accuracy.value < pass_at:
        rows.append(["below", f"pass_at {pass_at:.0%}"])
    print("\n".join(columns(rows)))


def _percent(found: "Interval") -> str:
    return f"{found.value:.1%} [{found.low:.1%}, {found.high:.1%}]"


def _points(found: "Interval") -> str:
    return f"{found.value * 100:+.1f} points [{found.low * 100:+.1f}, {found.high * 100:+.1f}]"
