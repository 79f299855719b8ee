"""Section growth: how the cost of a whole run grows with its steps, as the exponent of a fit in log-log."""

import math

from benchmarks.performance.cell import Job
from benchmarks.performance.registry import OURS, chosen
from benchmarks.performance.report import Report, at_most, table
from benchmarks.performance.runner import Options, Series, measure_all

SIZES = (1_000, 3_000, 10_000, 30_000, 100_000)
QUICK_SIZES = (100, 300, 1_000)
SHAPES = ("fanout", "dag")
MOST_EXPONENT = 1.05


def exponent(points: list[tuple[float, float]]) -> float:
    """Slope of ln(cost) over ln(steps) by least squares.

    Raises:
        ValueError: fewer than two distinct sizes.
    """
    if len({size for size, _ in points}) < 2:
        raise ValueError("an exponent needs at least two sizes")
    xs, ys = [math.log(size) for size, _ in points], [math.log(cost) for _, cost in points]
    mean_x, mean_y = sum(xs) / len(xs), sum(ys) / len(ys)
    upper = sum((x - mean_x) * (y - mean_y) for x, y in zip(xs, ys, strict=True))
    return upper / sum((x - mean_x) ** 2 for x in xs)


def run(options: Options) -> Report:
    """Measure and fit."""
    report = Report(title="growth: CPU of a whole run (build and run) over its number of steps")
    sizes = QUICK_SIZES if options.quick else SIZES
    people = chosen("growth", options.contestants)
    for shape in SHAPES:
        wanted = [(who, Job(measure="steps", shape=shape, size=size), "") for size in sizes for who in people]
        found = measure_all(wanted, options)
        report.series += found
        rows = []
        for who in people:
            mine = [series for series in found if series.contestant == who.name]
            rows.append([who.name, *(_cell(series) for series in mine), *_fit(mine)])
            if who.name == OURS and not options.quick and all(series.ok for series in mine):
                points = [(series.median("steps"), series.median("cpu_s")) for series in mine]
                report.figures[f"exponent_{shape}"] = exponent(points)
                title = f"{shape}: exponent of ours, {sizes[0]:,} to {sizes[-1]:,} steps,"
                report.verdicts.append(at_most(title, exponent(points), MOST_EXPONENT, digits=3))
        header = [f"{shape}, µs/step", *(f"{size:,}" for size in sizes), "exponent", "note"]
        report.tables.append(table(header, rows))
    return report


def _cell(series: Series) -> str:
    return f"{series.median('cpu_s') / series.median('steps') * 1e6:,.1f}" if series.ok else "-"


def _fit(series: list[Series]) -> list[str]:
    points = [(one.median("steps"), one.median("cpu_s")) for one in series if one.ok]
    reasons = "; ".join(sorted({one.reason for one in series if one.reason}))
    return [f"{exponent(points):.3f}" if len(points) > 1 else "-", reasons]
