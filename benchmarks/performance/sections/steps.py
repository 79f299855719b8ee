"""Section steps: microseconds per no-op step, every contestant on every shape, memory journal and gate on for ours."""

import statistics

from benchmarks.performance.cell import Job
from benchmarks.performance.registry import FLOOR, LANGGRAPH_FORMS, OURS, chosen
from benchmarks.performance.report import Report, at_least, at_most, ratio, table
from benchmarks.performance.runner import Options, Series, measure_all

SIZES = (("fanout", 1_000), ("fanout", 10_000), ("chain", 1_000), ("dag", 10_000))
QUICK_SIZES = (("fanout", 200), ("chain", 200), ("dag", 300))
LEAST_RATIO, LEAST_MEAN = 2.0, 5.0  #: LangGraph's faster form / ours: on any shape, and in the geometric mean
MOST_OVER_FLOOR = 4.0
MICRO = 1e6


def cpu_us(series: Series) -> float:
    """CPU of the whole process per nominal step, building and running, microseconds."""
    return series.median("cpu_s") / series.median("steps") * MICRO


def wall_us(series: Series) -> float:
    """Wall time per nominal step, building and running, microseconds."""
    return series.median("wall_s") / series.median("steps") * MICRO


def run_us(series: Series) -> float:
    """CPU per nominal step of the run alone, the graph built (and, where that is done, checked) before."""
    return cpu_us(series) - series.median("build_cpu_s") / series.median("steps") * MICRO


def run(options: Options) -> Report:
    """Measure and compare."""
    report = Report(title="steps: no-op steps, nothing durable; µs per step, building and running, fresh process each")
    sizes = [entry for entry in (QUICK_SIZES if options.quick else SIZES) if entry[0] in options.shapes]
    faster_forms: list[float] = []
    waves: list[float] = []
    runs_alone: list[float] = []
    for name, size in sizes:
        wanted = []
        for who in (who for who in chosen("steps", options.contestants) if name in who.shapes):
            smaller = who.reduced.get((name, size), size)
            note = "" if smaller == size else f"at {smaller:,} steps: grows quadratically"
            wanted.append((who, Job(measure="steps", shape=name, size=smaller), note))
        found = measure_all(wanted, options)
        report.series += found
        report.tables.append(_table(name, size, found))
        measured = {series.contestant: cpu_us(series) for series in found if series.ok}
        if OURS not in measured:
            continue
        if FLOOR in measured and not options.quick:
            title = f"{name} {size:,}: ours / bare anyio, CPU"
            alone = {series.contestant: run_us(series) for series in found if series.ok}
            report.verdicts.append(
                at_most(f"{title}, the scheduler alone", alone[OURS] / alone[FLOOR], MOST_OVER_FLOOR)
            )
            whole = measured[OURS] / measured[FLOOR]
            report.verdicts.append(at_most(f"{title}, the plan's building and checking too", whole, MOST_OVER_FLOOR))
        forms = [measured[form] for form in LANGGRAPH_FORMS if form in measured]
        if forms:
            faster_forms.append(min(forms) / measured[OURS])
            waves.append(min([*forms, measured.get("langgraph-waves", min(forms))]) / measured[OURS])
            alone = {series.contestant: run_us(series) for series in found if series.ok}
            runs_alone.append(min(alone[form] for form in LANGGRAPH_FORMS if form in alone) / alone[OURS])
            if not options.quick:
                title = f"{name} {size:,}: LangGraph's faster form / ours, CPU"
                report.verdicts.append(at_least(title, faster_forms[-1], LEAST_RATIO))
    if faster_forms:
        mean = statistics.geometric_mean(faster_forms)
        report.figures["langgraph_faster_form_over_ours"] = faster_forms
        report.tables.append(
            f"LangGraph's faster form / ours, geometric mean of {len(faster_forms)} shapes: {mean:.2f} (aim 10); "
            f"with langgraph-waves, a scheduler written by the user inside it: {statistics.geometric_mean(waves):.2f}; "
            f"runs alone, graphs built before: {statistics.geometric_mean(runs_alone):.2f}"
        )
        if not options.quick:
            report.verdicts.append(at_least("LangGraph's faster form / ours, geometric mean", mean, LEAST_MEAN))
    return report


def _table(name: str, size: int, found: list[Series]) -> str:
    floor = next((cpu_us(series) for series in found if series.contestant == FLOOR and series.ok), None)
    ours = next((cpu_us(series) for series in found if series.contestant == OURS and series.ok), None)
    rows = []
    for series in found:
        if not series.ok:
            rows.append([series.contestant, *["-"] * 8, series.reason])
            continue
        cpu = cpu_us(series)
        rows.append(
            [
                series.contestant,
                f"{cpu:,.1f}",
                f"{wall_us(series):,.1f}",
                f"{cpu - run_us(series):,.1f}",
                f"{run_us(series):,.1f}",
                ratio(cpu, floor),
                ratio(cpu, ours),
                f"{series.median('rss_bytes') / series.median('steps'):,.0f}",
                str(len(series.facts)),
                series.note,
            ]
        )
    header = [
        f"{name} {size:,}",
        "CPU µs",
        "wall µs",
        "CPU build",
        "CPU run",
        "/ anyio",
        "/ ours",
        "RSS B/step",
        "n",
        "note",
    ]
    return table(header, rows)
