"""`python -m benchmarks.cost.batch`: a process is killed at many moments of a batch, as Markdown on stdout."""

import argparse
import sys
from collections import Counter
from collections.abc import Sequence
from statistics import median
from time import monotonic
from typing import Final

from benchmarks.cost.batch.killing import Point, Size, begun, chosen, record_of, remembered

SHOWN_MAX: Final = 20  #: points in the report that did not hold


def report(size: Size, clean: Point, points: Sequence[Point], passed: int) -> str:
    """What a series came to."""
    seconds = [point.seconds for point in points]
    wrong = [point for point in points if point.wrong]
    rows = [
        f"{size.count:,} questions, of which {size.failing:,} fail in the batch; {passed:,} moments to die at.",
        "",
        "| | without a kill | over all points |",
        "| --- | --- | --- |",
        f"| processes killed | 0 | {sum(point.killed for point in points)} at {len(points)} moments |",
        f"| questions answered right | {clean.answered:,} | {min(p.answered for p in points):,} at every point |",
        f"| items handed over | {clean.handed_over:,} | {_span([point.handed_over for point in points])} |",
        f"| batches | {clean.batches} | {_span([point.batches for point in points])} |",
        f"| direct calls | {clean.direct} | {_span([point.direct for point in points])} |",
        f"| billed by the service, USD | {clean.billed_usd:.6f} | {sum(point.billed_usd for point in points):.6f} |",
        f"| booked in the journal, USD | {clean.booked_usd:.6f} | {sum(point.booked_usd for point in points):.6f} |",
        f"| seconds | {clean.seconds:.1f} | {median(seconds):.1f} at the median, {sum(seconds):.0f} in all |",
        "",
        "Killed " + ", ".join(f"{name} ({count})" for name, count in _where(points)) + ".",
        f"{len(wrong)} points did not hold.",
    ]
    return "\n".join([*rows, *(f"- at {one.at} ({one.moment}): {'; '.join(one.wrong)}" for one in wrong[:SHOWN_MAX])])


def _span(values: Sequence[int]) -> str:
    low, high = min(values), max(values)
    return f"{low:,}" if low == high else f"{low:,} to {high:,}"


def _where(points: Sequence[Point]) -> list[tuple[str, int]]:
    return sorted(Counter(point.moment for point in points if point.killed).items())


def main() -> int:
    """Run it; 1 where a point did not hold."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.cost.batch", description=__doc__)
    parser.add_argument("--items", type=int, default=1_000)
    parser.add_argument("--failing", type=int, default=50, help="of the items, in the batch; they are asked directly")
    parser.add_argument("--points", type=int, default=100, help="moments at which a process is killed")
    parser.add_argument("--fresh", action="store_true", help="also where the same code held before, in .prove")
    parser.add_argument("--minutes", type=float, help="stop after so long, and report; the same command goes on")
    given = parser.parse_args()
    began = monotonic()
    size = Size(count=given.items, failing=given.failing)
    file = record_of(size)
    if given.fresh:
        file.unlink(missing_ok=True)
    names, clean = begun(size, file)
    asked = [(at, names[at - 1]) for at in chosen(names, given.points)]
    asked.sort(key=lambda point: (point[1].endswith(" put"), point[0]))  # those that differ come first
    points: list[Point] = []
    for point, before in remembered(size, asked, file):
        points.append(point)
        said = "; ".join(point.wrong) or ("held before" if before else "held")
        print(
            f"{len(points)} of {len(asked)}: {point.moment}, {point.seconds:.1f} s: {said}", file=sys.stderr, flush=True
        )
        if given.minutes is not None and monotonic() - began >= 60 * given.minutes:
            break
    print(report(size, clean, points, len(names)))
    return 1 if clean.wrong or any(point.wrong for point in points) else 0


if __name__ == "__main__":
    sys.exit(main())
