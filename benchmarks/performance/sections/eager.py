"""Section eager: beside a 1 s sibling, how soon after a 50 ms step the step that needs only it starts."""

import statistics
from dataclasses import replace

from benchmarks.performance.cell import Job
from benchmarks.performance.registry import OURS, chosen
from benchmarks.performance.report import Report, at_most, table
from benchmarks.performance.runner import Options, measure_all, number

RUNS = {OURS: 50, "anyio": 10, "langgraph-static": 3}
QUICK_RUNS = 2
MOST_DELAY_MS = 10.0


def run(options: Options) -> Report:
    """Measure one process per contestant; the runs inside it follow each other."""
    report = Report(title="eager: delay from the end of a 50 ms step to the start of its only dependent, 1 s sibling")
    wanted = [
        (who, Job(measure="eager", runs=QUICK_RUNS if options.quick else RUNS[who.name]), "")
        for who in chosen("eager", options.contestants)
    ]
    found = measure_all(wanted, replace(options, reps=1))
    report.series += found
    rows = []
    for one in found:
        if not one.ok:
            rows.append([one.contestant, "-", "-", "-", one.reason])
            continue
        delays = one.facts[0]["delays_s"]
        assert isinstance(delays, list)
        delays_ms = sorted(number(delay) * 1e3 for delay in delays)
        median_ms = statistics.median(delays_ms)
        rows.append([one.contestant, f"{median_ms:.3f}", f"{delays_ms[-1]:.3f}", str(len(delays_ms)), ""])
        if one.contestant == OURS and not options.quick:
            title = f"median of {len(delays_ms)} delays"
            report.verdicts.append(at_most(title, median_ms, MOST_DELAY_MS, " ms", 3))
    report.tables.append(table(["", "median ms", "longest ms", "runs", "note"], rows))
    return report
