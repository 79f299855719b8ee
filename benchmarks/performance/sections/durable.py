"""Section durable: every step on SQLite; time per step, and bytes on disk beside the canonical JSON of the events."""

from benchmarks.performance.cell import Job
from benchmarks.performance.registry import LANGGRAPH_FORMS, OURS, Contestant, chosen
from benchmarks.performance.report import Report, at_least, at_most, ratio, table
from benchmarks.performance.runner import Options, Series, measure_all

SIZES = (("chain", 100), ("chain", 300), ("chain", 1_000), ("fanout", 1_000))
QUICK_SIZES = (("chain", 30), ("fanout", 50))
LEAST_OVER_LANGGRAPH = {"chain": 5.0, "fanout": 10.0}
MOST_OVER_RAW = 3.0
MOST_STORAGE = 1.5
MICRO = 1e6
SEMANTICS = """What a commit means: raw-*-normal and langgraph-send-normal run SQLite with WAL and synchronous NORMAL:
committed survives kill -9, not a power cut. raw-*-full and LangGraph's saver as it comes (WAL, FULL) survive both.
DBOS keeps the rollback journal and FULL. LangGraph runs with durability=sync: the commit precedes the next superstep.
`repeat` is plain sqlite3 doing as many commits and rows as ours did in that shape, one after the other, in the mode of
the row's name."""


def wall_us(series: Series) -> float:
    """Wall time per nominal step, building and running, the database already open; microseconds."""
    return series.median("wall_s") / series.median("steps") * MICRO


def run(options: Options) -> Report:
    """Measure and compare."""
    report = Report(title="durable: no-op steps on SQLite; wall µs per step (database opened beforehand)")
    for shape, size in QUICK_SIZES if options.quick else SIZES:
        people = chosen("durable", options.contestants)
        found = measure_all([(who, Job(measure="durable", shape=shape, size=size), "") for who in people], options)
        repeats = _repeat_ours(shape, size, people, options)
        report.series += [*found, *repeats]
        report.tables.append(_table(shape, size, found, repeats))
        measured = {series.contestant: wall_us(series) for series in found if series.ok}
        if OURS not in measured or options.quick:
            continue
        ours = measured[OURS]
        forms = [measured[form] for form in LANGGRAPH_FORMS if form in measured]
        if forms:
            title = f"{shape} {size:,}: LangGraph's sync saver, faster form / ours, wall"
            report.verdicts.append(at_least(title, min(forms) / ours, LEAST_OVER_LANGGRAPH[shape]))
        for series in repeats:
            if series.ok and series.contestant == "repeat-normal":
                title = f"{shape} {size:,}: ours / raw sqlite3 doing the same commits (NORMAL), wall"
                raw_us = series.median("wall_s") / size * MICRO
                report.verdicts.append(at_most(title, ours / raw_us, MOST_OVER_RAW))
        stored = next(series for series in found if series.contestant == OURS)
        title = f"{shape} {size:,}: database bytes / canonical JSON of the events"
        grown = stored.median("stored_bytes") / stored.median("canonical_bytes")
        report.verdicts.append(at_most(title, grown, MOST_STORAGE))
    report.tables.append(SEMANTICS)
    return report


def _repeat_ours(shape: str, size: int, people: list[Contestant], options: Options) -> list[Series]:
    """Count the commits of ours in a run of its own, then let raw sqlite3 do as many in both modes."""
    ours = [who for who in people if who.name == OURS]
    if not ours:
        return []
    single = Options(
        sections=options.sections,
        shapes=options.shapes,
        contestants=options.contestants,
        quick=options.quick,
        reps=1,
        cell_budget_s=options.cell_budget_s,
        scratch=options.scratch,
    )
    counting = Job(measure="durable", shape=shape, size=size, count_commits=True)
    counted = measure_all([(ours[0], counting, "commits counted")], single)[0]
    counted.contestant = "ours, counting"
    if not counted.ok:
        return [counted]
    commits, rows = int(counted.median("commits")), int(counted.median("events"))
    row_bytes = max(1, int(counted.median("canonical_bytes") / rows))
    wanted = [
        (
            Contestant(name=f"repeat-{mode}", module="raw_sqlite", measures=frozenset()),
            Job(measure="repeat", variant=f"same-{mode}", commits=commits, rows=rows, row_bytes=row_bytes),
            f"{commits:,} commits, {rows:,} rows of {row_bytes} B; synchronous of ours: {counted.facts[0]['pragmas']}",
        )
        for mode in ("normal", "full")
    ]
    return [counted, *measure_all(wanted, options)]


def _table(shape: str, size: int, found: list[Series], repeats: list[Series]) -> str:
    ours = next((wall_us(series) for series in found if series.contestant == OURS and series.ok), None)
    rows = []
    for series in [*found, *repeats]:
        if series.job.get("count_commits"):
            if not series.ok:
                rows.append([series.contestant, *["-"] * 6, series.reason])
            continue
        if not series.ok:
            rows.append([series.contestant, *["-"] * 6, series.reason])
            continue
        wall = series.median("wall_s") / size * MICRO
        note = series.note
        if "canonical_bytes" in series.facts[0]:
            grown = series.median("stored_bytes") / series.median("canonical_bytes")
            json_bytes = series.median("canonical_bytes") / size
            note = f"events are {json_bytes:,.0f} B/step of JSON, stored {grown:.2f} times that"
        rows.append(
            [
                series.contestant,
                f"{wall:,.1f}",
                f"{series.median('cpu_s') / size * MICRO:,.1f}",
                f"{1 / wall * MICRO:,.0f}",
                ratio(wall, ours),
                f"{series.median('stored_bytes') / size:,.0f}",
                str(len(series.facts)),
                note,
            ]
        )
    header = [f"{shape} {size:,}", "wall µs", "CPU µs", "steps/s", "/ ours", "file B/step", "n", "note"]
    return table(header, rows)
