"""Tables and verdicts as text: what a section hands back, and how it is printed."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from benchmarks.performance.runner import Series


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """One target figure beside what was measured."""

    target: str
    measured: str
    met: bool
    miss: str = ""  #: by how much, where it is missed

    def line(self) -> str:
        """The verdict as one line."""
        return f"{'MET   ' if self.met else 'MISSED'}  {self.target}: {self.measured}" + (
            f" ({self.miss})" if self.miss and not self.met else ""
        )


@dataclass(slots=True, kw_only=True)
class Report:
    """What one section found."""

    title: str
    tables: list[str] = field(default_factory=list)
    verdicts: list[Verdict] = field(default_factory=list)
    series: list[Series] = field(default_factory=list)
    figures: dict[str, object] = field(default_factory=dict)

    def failures(self) -> list[str]:
        """Cells that failed (not those that a contestant cannot express)."""
        return [f"{one.contestant}: {one.failure}" for one in self.series if one.failure]


def at_most(target: str, measured: float, bound: float, unit: str = "", digits: int = 2) -> Verdict:
    """`measured` must not exceed `bound`."""
    return Verdict(
        target=f"{target} at most {bound:g}{unit}",
        measured=f"{measured:,.{digits}f}{unit}",
        met=measured <= bound,
        miss=f"{measured / bound:.2f} times the bound",
    )


def at_least(target: str, measured: float, bound: float, unit: str = "", digits: int = 2) -> Verdict:
    """`measured` must reach `bound`."""
    return Verdict(
        target=f"{target} at least {bound:g}{unit}",
        measured=f"{measured:,.{digits}f}{unit}",
        met=measured >= bound,
        miss=f"{measured / bound:.2f} of the bound",
    )


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Aligned columns: the first to the left, the others to the right, a long last one to the left."""
    cells = [list(header), *[list(row) for row in rows]]
    last = len(header) - 1
    widths = [max(len(row[column]) for row in cells) for column in range(len(header))]
    lines = []
    for row in cells:
        texts = [
            text.ljust(widths[column]) if column in (0, last) else text.rjust(widths[column])
            for column, text in enumerate(row)
        ]
        lines.append("  ".join(texts).rstrip())
    lines.insert(1, "  ".join("-" * width for width in widths))
    return "\n".join(lines)


def ratio(value: float, floor: float | None) -> str:
    """`value / floor`, or a dash where there is no floor."""
    return f"{value / floor:.2f}" if floor else "-"
