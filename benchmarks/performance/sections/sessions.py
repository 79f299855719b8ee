"""Section sessions: many runs of three sleeping steps at once in one process; what is left beside the sleeping."""

from benchmarks.performance.cell import Job
from benchmarks.performance.registry import OURS, chosen
from benchmarks.performance.report import Report, at_most, ratio, table
from benchmarks.performance.runner import Options, measure_all

RUNS, SLEEP_S = 10_000, 2.0
QUICK_RUNS, QUICK_SLEEP_S = 200, 0.1
STEPS = 3
PEER = "langgraph-static"
MOST_EXCESS_RATIO = 0.2
MOST_STALL_S = 0.5
MOST_KIB = 40.0


def run(options: Options) -> Report:
    """Measure and compare."""
    runs, sleep_s = (QUICK_RUNS, QUICK_SLEEP_S) if options.quick else (RUNS, SLEEP_S)
    ideal_s = STEPS * sleep_s
    report = Report(title=f"sessions: {runs:,} concurrent runs of {STEPS} steps that sleep {sleep_s:g} s, one process")
    job = Job(measure="sessions", runs=runs, sleep_s=sleep_s)
    found = measure_all([(who, job, "") for who in chosen("sessions", options.contestants)], options)
    report.series += found
    excess_s = {one.contestant: one.median("wall_s") - ideal_s for one in found if one.ok}
    rows = []
    for one in found:
        if not one.ok:
            rows.append([one.contestant, *["-"] * 8, one.reason])
            continue
        rows.append(
            [
                one.contestant,
                f"{one.median('wall_s'):.2f}",
                f"{excess_s[one.contestant]:.2f}",
                ratio(excess_s[one.contestant], excess_s.get(PEER)),
                f"{one.median('cpu_s') / runs * 1e3:.2f}",
                f"{one.median('stall_max_s') * 1e3:,.0f}",
                f"{one.median('stall_p99_s') * 1e3:,.0f}",
                f"{one.median('peak_bytes_per_run') / 1024:.1f}",
                str(len(one.facts)),
                "",
            ]
        )
        if one.contestant == OURS and not options.quick:
            if PEER in excess_s:
                share = excess_s[OURS] / excess_s[PEER]
                report.verdicts.append(at_most("excess over 6 s / LangGraph's excess", share, MOST_EXCESS_RATIO))
            report.verdicts.append(at_most("longest stall of the loop", one.median("stall_max_s"), MOST_STALL_S, " s"))
            kib = one.median("peak_bytes_per_run") / 1024
            report.verdicts.append(at_most("memory per run (peak RSS difference)", kib, MOST_KIB, " KiB", 1))
    header = ["", "wall s", "excess s", "/ langgraph", "CPU ms/run", "stall max ms", "p99 ms", "KiB/run", "n", "note"]
    report.tables.append(table(header, rows))
    return report
