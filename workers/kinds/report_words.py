"""Words and figures that both forms of the report share: units, headline, what to look at first."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from workers.kinds.records import SEVERITIES, Finding, Severity
from workers.kinds.spdx import RISKS
from workers.kinds.summary import Row, Summary

TOP = 10  #: rows of the lists of the biggest and the slowest
SIGNS: dict[Severity, str] = {"high": "▲", "medium": "◆", "low": "○"}  #: told apart without colour


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What is written down, with where and when."""

    summary: Summary
    run_id: str
    key: str
    written_at: str  #: UTC, to the second


def anchor(key: str) -> str:
    """The id of a package's row: safe in an address, whatever a package calls itself."""
    return "package-" + re.sub(r"[^a-z0-9-]", "_", key)


def size(number: int | None) -> str:
    """Bytes for people: `412 B`, `3.1 KB`, `27.4 MB` (powers of 1000); a dash where it is not known."""
    if number is None:
        return "—"
    value, unit = float(number), "B"
    for larger in ("KB", "MB", "GB"):
        if value < 999.5:
            break
        value, unit = value / 1000, larger
    return f"{value:.0f} {unit}" if unit == "B" or value >= 99.95 else f"{value:.1f} {unit}"


def duration(us: int | None) -> str:
    """Microseconds as milliseconds or seconds; a dash where it is not known."""
    if us is None:
        return "—"
    return f"{us / 1e6:.2f} s" if us >= 999_500 else f"{us / 1000:.0f} ms" if us >= 9_950 else f"{us / 1000:.1f} ms"


def count(number: int, one: str, many: str = "") -> str:
    """`1 gap`, `3 gaps`."""
    return f"{number} {one if number == 1 else many or one + 's'}"


def headline(summary: Summary) -> str:
    """The audit in one sentence, worst first."""
    counts = summary.counts
    parts = [f"{counts.licensed} of {count(counts.packages, 'licence')} known"]
    high = counts.by_severity.get("high", 0)
    parts.insert(0 if high else 1, f"{count(high, 'finding')} of high severity")
    parts.append(count(counts.unmet, "unmet requirement") if counts.unmet else "every requirement met")
    parts.append(count(counts.gaps, "gap") if counts.gaps else "no gaps")
    return "; ".join(parts)


def findings(summary: Summary, severity: Severity | None = None) -> list[tuple[Row, Finding]]:
    """All findings with their packages, gravest first."""
    pairs = [(row, finding) for row in summary.rows for finding in row.findings if severity in (None, finding.severity)]
    return sorted(pairs, key=lambda pair: (SEVERITIES.index(pair[1].severity), pair[0].key, pair[1].path, pair[1].line))


def place(finding: Finding) -> str:
    """`file:line`, or the file alone, or nothing for a finding about the whole package."""
    return f"{finding.path}:{finding.line}" if finding.line else finding.path


def biggest(summary: Summary) -> list[Row]:
    """The heaviest packages."""
    return sorted((row for row in summary.rows if row.size_bytes), key=lambda row: -(row.size_bytes or 0))[:TOP]


def slowest(summary: Summary) -> list[Row]:
    """The packages that take longest to import."""
    return sorted((row for row in summary.rows if row.import_us), key=lambda row: -(row.import_us or 0))[:TOP]


def by_risk(summary: Summary) -> list[tuple[str, list[Row]]]:
    """Packages by what their licences ask, heaviest first; those without a known licence last."""
    groups = [
        (risk, [row for row in summary.rows if row.licence and row.licence.risk == risk]) for risk in reversed(RISKS)
    ]
    unknown = [row for row in summary.rows if row.licence is None]
    return [(risk, rows) for risk, rows in groups if rows] + ([("unknown", unknown)] if unknown else [])


def pulled_in(row: Row) -> Sequence[str]:
    """The path that brings a package in, without itself; empty for a root."""
    return row.path[:-1]


def worst(rows: Iterable[Finding]) -> Severity | None:
    """The gravest severity among findings."""
    return min((finding.severity for finding in rows), key=SEVERITIES.index, default=None)


def tally(row: Row) -> str:
    """`▲1 ◆3` and so on; empty without findings."""
    numbers = [
        (SIGNS[severity], sum(finding.severity == severity for finding in row.findings)) for severity in SEVERITIES
    ]
    return " ".join(f"{sign}{number}" for sign, number in numbers if number)


def licence_words(row: Row) -> tuple[str, str]:
    """The licence, and what says so."""
    if row.licence is None:
        return "unknown", ""
    where = f"{row.licence.source}:{row.licence.line}" if row.licence.line else row.licence.source
    return row.licence.spdx, where


HOW = (
    "A licence counts only when a quoted metadata field or file line says it, and a second worker found it.",
    "Sizes are real bytes on disk of the files that RECORD lists; a second worker counted again and agrees.",
    "Import cost is the better of two runs of `python -X importtime` in a fresh interpreter, dependencies included.",
    "Findings are patterns, not proof: each quotes its line, and a second worker found it again. Read before you act.",
    "Every step of a dependency path is a requirement in the metadata on disk.",
    "What could not be found out is listed under gaps; nothing is guessed.",
)
