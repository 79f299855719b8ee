"""Section gateway: what the model gateway adds to a call of the bare client, and to the first text of a stream."""

from dataclasses import replace

from benchmarks.performance.cell import Job
from benchmarks.performance.registry import chosen
from benchmarks.performance.report import Report, at_most, table
from benchmarks.performance.runner import Options, measure_all

RUNS, QUICK_RUNS = 400, 20
MOST_OVERHEAD_MS = 1.0
MOST_FIRST_TEXT_MS = 5.0
MODES = {"at_once": "whole answer", "stream": "20 chunks"}


def run(options: Options) -> Report:
    """Measure both ways in turn in one process, the endpoint in another."""
    report = Report(title="gateway: one call after the other against an instant endpoint on loopback; median ms")
    job = Job(measure="gateway", runs=QUICK_RUNS if options.quick else RUNS)
    found = measure_all([(who, job, "") for who in chosen("gateway", options.contestants)], replace(options, reps=1))
    report.series += found
    rows = []
    for one in found:
        if not one.ok:
            rows.append([one.contestant, "-", "-", "-", one.reason])
            continue
        for mode, label in MODES.items():
            for way in ("bare", "gateway"):
                wall, cpu, first = (one.median(f"{mode}_{way}_{what}") * 1e3 for what in ("wall_s", "cpu_s", "first_s"))
                shown = f"{first:.3f}" if mode == "stream" else ""
                rows.append([label, way, f"{wall:.3f}", f"{cpu:.3f}", shown])
            wall, cpu, first = (one.median(f"{mode}_more_{what}") * 1e3 for what in ("wall_s", "cpu_s", "first_s"))
            shown = f"{first:.3f}" if mode == "stream" else ""
            rows.append([label, "more, in pairs", f"{wall:.3f}", f"{cpu:.3f}", shown])
            if not options.quick:
                more = one.median(f"{mode}_more_wall_s") * 1e3
                report.verdicts.append(at_most(f"{label}: gateway - bare client", more, MOST_OVERHEAD_MS, " ms", 3))
        if not options.quick:
            more = one.median("stream_more_first_s") * 1e3
            report.verdicts.append(at_most("first text: gateway - bare client", more, MOST_FIRST_TEXT_MS, " ms", 3))
        wall_s, grown = one.median("together_wall_s"), one.median("together_bytes") / 2**20
        report.tables.append(f"1,000 streamed calls at once: {wall_s:.2f} s, {grown:.0f} MiB more at the peak")
    report.tables.insert(0, table(["", "way", "wall ms", "CPU ms", "first text ms"], rows))
    return report
