"""The audit as one self-contained HTML page: no script, no asset, nothing that a package says can become markup."""

import html
import re
from collections.abc import Iterable, Iterator

from workers.kinds import report_words as words
from workers.kinds.records import Finding
from workers.kinds.report_style import CSS
from workers.kinds.report_words import Report
from workers.kinds.spdx import RISK_MEANING
from workers.kinds.summary import Row

# Should any markup slip through in spite of the escaping, this keeps it from loading or running anything.
_POLICY = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"


def render(report: Report) -> str:
    """The whole page."""
    body = "\n".join(_body(report))
    key = html.escape(report.key).replace("--", "- -")
    return (
        f'<!doctype html>\n<!-- {key} -->\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta name="referrer" content="no-referrer">\n'
        f"<title>Dependency audit: {_text(words.headline(report.summary))}</title>\n<style>{CSS}</style>\n</head>\n"
        f"<body>\n<main>\n{body}\n</main>\n</body>\n</html>\n"
    )


def _text(value: object) -> str:
    return html.escape(" ".join(str(value).split()))


def _code(value: str) -> str:
    return f"<code>{_text(value)}</code>"


def _body(report: Report) -> Iterator[str]:
    summary, counts = report.summary, report.summary.counts
    yield f'<header><h1>Dependency audit</h1><p class="headline">{_text(_sentence(words.headline(summary)))}</p>'
    yield f'<p class="soft">{words.count(counts.packages, "package")}: {_text(summary.source)} ·'
    yield f" Python {_text(summary.python)} in {_code(summary.prefix)} · written {_text(report.written_at)} ·"
    yield f" run {_code(report.run_id)}</p>"
    links = [("first", "Look here first"), ("licences", "Licences"), ("weight", "Biggest and slowest")]
    links += [("packages", "Packages"), ("findings", "Findings"), ("method", "How this was checked")]
    yield "<nav>" + "".join(f'<a href="#{target}">{name}</a>' for target, name in links) + "</nav>"
    high, medium = counts.by_severity.get("high", 0), counts.by_severity.get("medium", 0)
    tiles = [
        (str(counts.packages), "packages"),
        (f"{counts.licensed}", f"licences known, {counts.by_text} from their text alone"),
        (words.size(counts.total_bytes), "on disk"),
        (str(counts.findings), f"findings, {high} high and {medium} medium"),
        (str(counts.unmet), "requirements not met"),
        (str(counts.gaps), "gaps: asked and not answered"),
    ]
    yield (
        '<ul class="tiles">'
        + "".join(f"<li><b>{_text(value)}</b><span>{_text(name)}</span></li>" for value, name in tiles)
        + "</ul></header>"
    )
    yield from _first(report)
    yield from _licences(report)
    yield from _weight(report)
    yield from _packages(report)
    yield from _findings(report)
    yield from _rest(report)


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:] + "."


def _first(report: Report) -> Iterator[str]:
    summary = report.summary
    items = [f"{_sign(finding)} {_link(row)}: {_finding(finding)}" for row, finding in words.findings(summary, "high")]
    items += [
        f"<b>{_text(need.key)}</b> requires {_code(need.requirement)}: {_text(need.reason)}" for need in summary.unmet
    ]
    items += [
        f'<span class="sign">gap</span> <b>{_text(lack.package)}</b>, {_text(lack.what)}: {_text(lack.reason)}'
        for lack in summary.gaps
    ]
    yield '<section id="first"><h2>Look here first</h2>'
    yield _list(items) if items else "<p>Nothing: no finding of high severity, no gap, no unmet requirement.</p>"
    yield "</section>"


def _licences(report: Report) -> Iterator[str]:
    groups = words.by_risk(report.summary)
    yield '<section id="licences"><h2>Licences</h2>'
    spans = [f'<i style="flex:{len(rows)};background:var(--r-{risk.replace(" ", "-")})"></i>' for risk, rows in groups]
    yield f'<div class="split" aria-hidden="true">{"".join(spans)}</div><ul class="plain">'
    for risk, rows in groups:
        meaning = RISK_MEANING.get(risk, "Neither metadata nor licence text says it.")
        swatch = f'<span class="swatch" style="background:var(--r-{risk.replace(" ", "-")})"></span>'
        yield f"<li>{swatch}<b>{_text(risk.capitalize())}</b>, {words.count(len(rows), 'package')}. {_text(meaning)}"
        yield f"<br><small>{', '.join(_link(row) for row in rows)}</small></li>"
    yield "</ul></section>"


def _weight(report: Report) -> Iterator[str]:
    big, slow = words.biggest(report.summary), words.slowest(report.summary)
    yield '<section id="weight"><div class="two"><div><h2>Biggest</h2><ol class="bars">'
    yield from _bars((row, row.size_bytes or 0, words.size(row.size_bytes), _parts(row)) for row in big)
    yield '</ol></div><div><h2>Slowest to import</h2><ol class="bars time">'
    yield from _bars((row, row.import_us or 0, words.duration(row.import_us), _slow_parts(row)) for row in slow)
    yield "</ol></div></div></section>"


def _bars(rows: Iterable[tuple[Row, int, str, str]]) -> Iterator[str]:
    most = 0
    for row, value, shown, note in rows:
        most = most or value or 1
        share = max(round(100 * value / most, 1), 0.5)
        yield f"<li><span>{_link(row)} <small>{_text(note)}</small></span><span>{_text(shown)}</span>"
        yield f'<i style="width:{share}%"></i></li>'


def _parts(row: Row) -> str:
    heaviest = sorted(row.size_parts, key=lambda part: -part.bytes)[:2]
    return ", ".join(f"{part.kind} {words.size(part.bytes)}" for part in heaviest)


def _slow_parts(row: Row) -> str:
    return "most in " + ", ".join(module.module for module in row.slowest[:2]) if row.slowest else ""


def _packages(report: Report) -> Iterator[str]:
    yield '<section id="packages"><h2>Packages</h2><table class="cards"><caption>A path begins at a root, which nothing'
    yield " else needs, and leads down to the package.</caption><thead><tr>"
    heads = ["Package", "Licence", "Size", "Import", "Pulled in by", "Findings"]
    yield "".join(f'<th scope="col"{_numeric(head)}>{head}</th>' for head in heads) + "</tr></thead><tbody>"
    yield from (_package(row) for row in report.summary.rows)
    yield "</tbody></table></section>"


def _numeric(head: str) -> str:
    return ' class="num"' if head in ("Size", "Import") else ""


def _package(row: Row) -> str:
    home = html.escape(row.homepage, quote=True)
    # Only web addresses become links: `javascript:` and the like stay text.
    web = re.fullmatch(r"https?://[^\s\"'<>]{1,500}", row.homepage) is not None
    name = f'<a href="{home}" rel="noreferrer noopener">{_text(row.name)}</a>' if web else _text(row.name)
    notes = [row.summary] + [lack.reason for lack in row.lacks] + (["editable install"] if row.editable else [])
    about = "".join(f"<small>{_text(note)}</small>" for note in notes if note)
    licence, where = words.licence_words(row)
    via = words.pulled_in(row)
    path = " › ".join(_text(key) for key in via) if via else ("a root" if row.path else "")
    others = len(row.required_by) - 1
    path += f"<small>and {words.count(others, 'other')}</small>" if via and others > 0 else ""
    tally = f'<a href="#findings-{words.anchor(row.key)}">{_text(words.tally(row))}</a>' if row.findings else ""
    return (
        f'<tr id="{words.anchor(row.key)}"><th scope="row">{name}'
        f' <span class="soft">{_text(row.version)}</span>{about}</th>'
        f'<td data-label="Licence">{_text(licence)}<small>{_text(where)}</small></td>'
        f'<td data-label="Size" class="num">{words.size(row.size_bytes)}</td>'
        f'<td data-label="Import" class="num">{words.duration(row.import_us)}</td>'
        f'<td data-label="Pulled in by" class="wide">{path}</td><td data-label="Findings">{tally}</td></tr>'
    )


def _findings(report: Report) -> Iterator[str]:
    yield '<section id="findings"><h2>Findings</h2>'
    signs = ", ".join(
        f'<span class="sign {severity}">{sign} {severity}</span>' for severity, sign in words.SIGNS.items()
    )
    yield f"<p>{signs}. A finding is a place to read, not a verdict.</p>"
    for row in sorted(
        (row for row in report.summary.rows if row.findings),
        key=lambda row: (words.worst(row.findings) != "high", row.key),
    ):
        opened = " open" if words.worst(row.findings) == "high" else ""
        yield f'<details id="findings-{words.anchor(row.key)}"{opened}><summary><h3>{_text(row.name)}</h3>'
        yield f'<span class="soft">{_text(row.version)}</span> {_text(words.tally(row))}</summary>'
        items = [f"{_sign(finding)} {_finding(finding)}" for finding in row.findings]
        items += [f"and {row.findings_dropped} more"] if row.findings_dropped else []
        yield _list(items) + "</details>"
    yield "</section>"


def _rest(report: Report) -> Iterator[str]:
    summary = report.summary
    if summary.cycles:
        yield (
            "<section><h2>Circles</h2>"
            + _list(" ↔ ".join(_text(key) for key in cycle) for cycle in summary.cycles)
            + "</section>"
        )
    if summary.remarks:
        yield "<section><h2>Remarks</h2>" + _list(_text(remark) for remark in summary.remarks) + "</section>"
    yield (
        '<section id="method"><h2>How this was checked</h2>'
        + _list(_text(line).replace("`", "") for line in words.HOW)
        + "</section>"
    )


def _list(items: Iterable[str]) -> str:
    return '<ul class="plain">' + "".join(f"<li>{item}</li>" for item in items) + "</ul>"


def _sign(finding: Finding) -> str:
    return f'<span class="sign {finding.severity}">{words.SIGNS[finding.severity]} {finding.severity}</span>'


def _finding(finding: Finding) -> str:
    where = f" {_code(words.place(finding))}" if finding.path else ""
    quote = f"<blockquote>{_code(finding.quote)}</blockquote>" if finding.quote else ""
    return f"<b>{_text(finding.rule)}</b>{where}{quote}<small>{_text(finding.why)}</small>"


def _link(row: Row) -> str:
    return f'<a href="#{words.anchor(row.key)}">{_text(row.name)}</a>'
