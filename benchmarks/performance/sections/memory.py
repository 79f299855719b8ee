"""Section memory: what a settled step of ours keeps in memory while its run is still held."""

from benchmarks.performance.cell import Job
from benchmarks.performance.registry import chosen
from benchmarks.performance.report import Report, at_most, table
from benchmarks.performance.runner import Options, measure_all

SIZES = (("fanout", 10_000), ("dag", 10_000))
QUICK_SIZES = (("fanout", 300), ("dag", 300))
MOST_BYTES = 4_096


def run(options: Options) -> Report:
    """Measure twice: resident memory undisturbed, and allocations counted by tracemalloc."""
    report = Report(title="memory: bytes per settled step with plan, run, journal and result still held (ours)")
    sizes = QUICK_SIZES if options.quick else SIZES
    people = chosen("memory", options.contestants)
    rows = []
    for shape, size in sizes:
        plain, traced = (
            measure_all(
                [(who, Job(measure="steps", shape=shape, size=size, trace_memory=trace), "") for who in people], options
            )
            for trace in (False, True)
        )
        report.series += [*plain, *traced]
        for resident, counted in zip(plain, traced, strict=True):
            if not (resident.ok and counted.ok):
                rows.append([f"{resident.contestant} {shape}", "-", "-", "-", resident.reason or counted.reason])
                continue
            rss = resident.median("rss_bytes") / size
            held = counted.median("held_bytes") / size
            peak = counted.median("peak_bytes") / size
            rows.append([f"{resident.contestant} {shape} {size:,}", f"{rss:,.0f}", f"{held:,.0f}", f"{peak:,.0f}", ""])
            if not options.quick:
                title = f"{shape} {size:,}: bytes per settled step, the larger of RSS difference and tracemalloc,"
                report.verdicts.append(at_most(title, max(rss, held), MOST_BYTES, digits=0))
    header = ["", "RSS difference", "tracemalloc held", "tracemalloc peak", "note"]
    report.tables.append(table(header, rows))
    return report
