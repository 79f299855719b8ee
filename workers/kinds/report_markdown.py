"""The audit as Markdown, for a repository, a ticket or a terminal."""

import re
from collections.abc import Iterator

from workers.kinds import report_words as words
from workers.kinds.report_words import Report
from workers.kinds.spdx import RISK_MEANING
from workers.kinds.summary import Row


def render(report: Report) -> str:
    """The whole file. Whatever a package says of itself is escaped: it cannot become markup."""
    return "\n".join(_lines(report)) + "\n"


def text(value: str) -> str:
    """Plain words: line breaks become spaces, and no character keeps a meaning in Markdown or HTML."""
    return re.sub(r"([\\`*_\[\]<>|#~&!])", r"\\\1", " ".join(value.split()))


def code(value: str) -> str:
    """A code span that also stands in a table, with a fence longer than any run of backticks inside."""
    inner = " ".join(value.split()).replace("|", "\\|") or " "
    fence = "`" * (max((len(run) for run in re.findall(r"`+", inner)), default=0) + 1)
    return f"{fence} {inner} {fence}" if "`" in inner else f"{fence}{inner}{fence}"


def _lines(report: Report) -> Iterator[str]:
    summary, counts = report.summary, report.summary.counts
    yield f"<!-- {report.key.replace('-->', '')} -->"
    yield "# Dependency audit"
    yield ""
    yield f"**{text(words.headline(summary))}**"
    yield ""
    yield f"{words.count(counts.packages, 'package')}: {text(summary.source)}, Python {text(summary.python)}"
    yield f"in {code(summary.prefix)}, {words.size(counts.total_bytes)} on disk."
    yield f"Written {report.written_at}, run {code(report.run_id)}."
    yield ""
    yield from _first(report)
    yield from _licences(report)
    yield from _top(report)
    yield from _packages(report)
    yield from _findings(report)
    yield from _rest(report)


def _first(report: Report) -> Iterator[str]:
    summary = report.summary
    high = words.findings(summary, "high")
    yield "## Look here first"
    yield ""
    if not (high or summary.gaps or summary.unmet):
        yield "Nothing: no finding of high severity, no gap, no unmet requirement."
    for row, finding in high:
        where = f"{text(finding.rule)}, {code(words.place(finding))}"
        yield f"- {words.SIGNS['high']} **{text(row.name)}**, {where}: {code(finding.quote)}"
    for need in summary.unmet:
        yield f"- **{text(need.key)}** requires {code(need.requirement)}: {text(need.reason)}"
    for lack in summary.gaps:
        yield f"- gap: **{text(lack.package)}**, {text(lack.what)}: {text(lack.reason)}"
    yield ""


def _licences(report: Report) -> Iterator[str]:
    yield "## Licences"
    yield ""
    yield "| What they ask | Packages | Which |"
    yield "| --- | ---: | --- |"
    for risk, rows in words.by_risk(report.summary):
        meaning = RISK_MEANING.get(risk, "Neither metadata nor licence text says it.")
        named = ", ".join(_link(row) for row in rows)
        yield f"| **{risk}**: {text(meaning)} | {len(rows)} | {named} |"
    yield ""


def _top(report: Report) -> Iterator[str]:
    yield "## Biggest and slowest"
    yield ""
    yield "| Biggest | Size | | Slowest to import | Time |"
    yield "| --- | ---: | --- | --- | ---: |"
    big, slow = words.biggest(report.summary), words.slowest(report.summary)
    for at in range(max(len(big), len(slow))):
        left = f"{_link(big[at])} | {words.size(big[at].size_bytes)}" if at < len(big) else " | "
        right = f"{_link(slow[at])} | {words.duration(slow[at].import_us)}" if at < len(slow) else " | "
        yield f"| {left} | | {right} |"
    yield ""


def _packages(report: Report) -> Iterator[str]:
    yield "## Packages"
    yield ""
    yield "| Package | Version | Licence | Said by | Size | Import | Pulled in by | Findings |"
    yield "| --- | --- | --- | --- | ---: | ---: | --- | --- |"
    for row in report.summary.rows:
        licence, where = words.licence_words(row)
        path = " › ".join(text(key) for key in words.pulled_in(row)) or ("(root)" if row.path else "")
        cells = [f'<a id="{words.anchor(row.key)}"></a>{text(row.name)}', text(row.version), text(licence), text(where)]
        cells += [words.size(row.size_bytes), words.duration(row.import_us), path, words.tally(row)]
        yield "| " + " | ".join(cells) + " |"
    yield ""


def _findings(report: Report) -> Iterator[str]:
    yield "## Findings"
    yield ""
    signs = ", ".join(f"{sign} {severity}" for severity, sign in words.SIGNS.items())
    yield f"{signs}. A finding is a place to read, not a verdict."
    yield ""
    for row in report.summary.rows:
        if not row.findings:
            continue
        yield f"### {text(row.name)} {text(row.version)}"
        yield ""
        for finding in row.findings:
            where = f" {code(words.place(finding))}" if finding.path else ""
            said = f"{text(finding.rule)}{where}: {code(finding.quote)}"
            yield f"- {words.SIGNS[finding.severity]} {said}; {text(finding.why)}"
        if row.findings_dropped:
            yield f"- and {row.findings_dropped} more"
        yield ""


def _rest(report: Report) -> Iterator[str]:
    summary = report.summary
    if summary.cycles:
        yield "## Circles"
        yield ""
        yield from (f"- {' ↔ '.join(text(key) for key in cycle)}" for cycle in summary.cycles)
        yield ""
    if summary.remarks:
        yield "## Remarks"
        yield ""
        yield from (f"- {text(remark)}" for remark in summary.remarks)
        yield ""
    yield "## How this was checked"
    yield ""
    yield from (f"- {line}" for line in words.HOW)


def _link(row: Row) -> str:
    return f"[{text(row.name)}](#{words.anchor(row.key)})"
