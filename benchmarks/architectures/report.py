"""The report as Markdown, CSV, JSON and one HTML page. No clock is read: equal results give equal bytes."""

import csv
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from html import escape
from pathlib import Path
from typing import Any

from benchmarks.architectures import svg
from benchmarks.architectures.advisor import Advice, advice_rows
from benchmarks.architectures.faults import Recovered
from benchmarks.architectures.pairs import Pair, pair_rows
from benchmarks.architectures.published import paper_rows, published
from benchmarks.architectures.recovery import Planted, killed_rows, planted_rows
from benchmarks.architectures.statistics import holm
from benchmarks.architectures.summary import Row
from benchmarks.architectures.sweep import Point

COLUMNS = (
    "architecture", "n", "success", "95 % (exact)", "vs single (p, Holm)", "turns", "O %", "E_c", "c", "R cos / dup",
    "A_e task / trace", "A_casc", "absorbed", "info gain", "catch / fix / alarm", "wrong delivered", "no answer",
    "tokens", "per M tokens", "USD", "path s", "speed-up",
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """Everything that is said, and nothing that differs between two equal runs."""

    title: str
    agents: str  #: `simulated`, or the name of a model; stands in every table
    command: str  #: repeats it
    suite: Mapping[str, Any]
    rows: Sequence[Row]
    points: Sequence[Point] = ()
    advice: Sequence[Advice] = ()
    power: Mapping[str, Mapping[int, float]] = field(default_factory=dict)
    pairs: Sequence[Pair] = ()  #: ours against each other architecture
    planted: Sequence[Planted] = ()
    killed: Recovered | None = None
    notes: Sequence[str] = ()  #: what the reader must know: stopped by a budget, small n


def write(report: Report, folder: Path) -> list[Path]:
    """All forms of a report, and each plot as a file of its own."""
    pictures = plots(report)
    files = {
        "report.md": markdown(report, list(pictures)),
        "report.html": html(report, pictures),
        "results.csv": as_csv(report),
        "results.json": as_json(report),
        **{f"{name}.svg": picture + "\n" for name, picture in pictures.items()},
    }
    written = []
    for name, text in files.items():
        path = folder / name
        path.write_text(text, encoding="utf-8")
        written.append(path)
    return written


def _n(value: float | None, digits: int = 2) -> str:
    return "–" if value is None else f"{value:,.{digits}f}"


def cells(row: Row, adjusted: float | None) -> list[str]:
    """One row as texts, in the order of COLUMNS."""
    low, high = row.exact
    paired = (
        "–"
        if row.mcnemar is None or row.architecture == "single"
        else f"+{row.only_this} −{row.only_single}, {_n(adjusted, 3)}"
    )
    return [
        row.architecture,
        str(row.n),
        _n(row.success, 3),
        f"{low:.2f} – {high:.2f}",
        paired,
        _n(row.turns, 1),
        _n(row.overhead_percent, 0),
        _n(row.efficiency, 3),
        _n(row.density),
        f"{_n(row.redundancy_cosine)} / {_n(row.redundancy_shared)}",
        f"{_n(row.amplification_task)} / {_n(row.amplification_trace, 1)}",
        _n(row.cascade),
        _n(row.absorption),
        _n(row.information_gain),
        f"{_n(row.catch)} / {_n(row.fix)} / {_n(row.false_alarm)}",
        _n(row.wrong_delivered, 3),
        _n(row.no_answer, 3),
        _n(row.tokens, 0),
        _n(row.success_per_million_tokens, 1),
        _n(row.usd, 5),
        _n(row.seconds, 1),
        _n(row.speed_up),
    ]


def groups(report: Report) -> list[tuple[str, list[list[str]]]]:
    """Tables by scope and group: title and rows of texts."""
    found: dict[tuple[str, str], list[Row]] = {}
    for row in report.rows:
        found.setdefault((row.scope, row.group), []).append(row)
    order = {"all": 0, "class": 1, "family": 2}
    tables = []
    for (scope, group), members in sorted(found.items(), key=lambda pair: order[pair[0][0]]):
        compared = [row for row in members if row.architecture != "single" and row.mcnemar is not None]
        adjusted = dict(
            zip([row.architecture for row in compared], holm([row.mcnemar or 0.0 for row in compared]), strict=True)
        )
        name = "All tasks" if scope == "all" else f"{scope.capitalize()}: {group}"
        tables.append((f"{name} ({report.agents})", [cells(row, adjusted.get(row.architecture)) for row in members]))
    return tables


def _table(header: Sequence[str], body: Sequence[Sequence[str]]) -> str:
    lines = ["| " + " | ".join(header) + " |", "| " + " | ".join("---" for _ in header) + " |"]
    return "\n".join([*lines, *["| " + " | ".join(row) + " |" for row in body]])


def kind_rows(report: Report) -> tuple[list[str], list[list[str]]]:
    """Turns by kind, over all tasks."""
    members = [row for row in report.rows if row.scope == "all"]
    kinds = sorted({kind for row in members for kind in row.turns_by_kind})
    return ["architecture", *kinds, "messages", "route"], [
        [
            row.architecture,
            *[_n(row.turns_by_kind.get(kind, 0.0), 1) for kind in kinds],
            _n(row.delivered_messages, 1),
            ", ".join(f"{name} {count}" for name, count in row.routes.items()) or "–",
        ]
        for row in members
    ]


def sweep_rows(report: Report) -> tuple[list[str], list[list[str]]]:
    """Every point of the sweep."""
    header = [
        "parameter",
        "value",
        "class",
        "architecture",
        "success",
        "95 % (Wilson)",
        "wrong delivered",
        "turns",
        "USD",
    ]
    return header, [
        [
            one.parameter,
            f"{one.value:g}",
            one.klass,
            one.architecture,
            f"{one.success:.3f}",
            f"{one.interval[0]:.2f} – {one.interval[1]:.2f}",
            f"{one.wrong_delivered / one.n:.3f}",
            f"{one.turns:.1f}",
            f"{one.usd:.5f}",
        ]
        for one in report.points
    ]


def losses(report: Report) -> list[str]:
    """Where ours does worse than the single agent, said aloud: in the matrix and in the sweep."""
    found = []
    for row in report.rows:
        base = next(
            (r for r in report.rows if (r.scope, r.group, r.architecture) == (row.scope, row.group, "single")), None
        )
        if row.architecture == "ours" and base is not None and row.success < base.success:
            found.append(f"{row.scope} {row.group}: {row.success:.3f} against {base.success:.3f}")
    for one in report.points:
        for rival in ("single", "best-of-n", "equal-budget"):
            other = next(
                (
                    p
                    for p in report.points
                    if (p.parameter, p.value, p.klass, p.architecture) == (one.parameter, one.value, one.klass, rival)
                ),
                None,
            )
            if one.architecture == "ours" and other is not None and one.successes < other.successes:
                where = f"{one.parameter} = {one.value:g}, {one.klass}"
                found.append(f"{where}: {one.success:.3f} against {other.success:.3f} of {rival}")
    return found


def plots(report: Report) -> dict[str, str]:
    """The pictures, by name of file."""
    whole = [row for row in report.rows if row.scope == "all"]
    classes = [row for row in report.rows if row.scope == "class"]
    found: dict[str, str] = {}
    if whole:
        found["success-against-cost"] = svg.scatter(
            f"Success against cost ({report.agents})",
            "USD per task",
            "success, 95 % exact",
            {row.architecture: (row.usd, row.success, row.exact) for row in whole},
        )
        found["success-by-class"] = svg.bars(
            f"Success by class ({report.agents})",
            "success",
            {
                group: {row.architecture: row.success for row in classes if row.group == group}
                for group in dict.fromkeys(row.group for row in classes)
            },
        )
        found["cost-of-coordination"] = svg.bars(
            f"Turns per task by kind ({report.agents})",
            "turns",
            {row.architecture: row.turns_by_kind for row in whole},
            stacked=True,
        )
    for parameter in dict.fromkeys(one.parameter for one in report.points):
        mine = [one for one in report.points if one.parameter == parameter]
        series: dict[str, list[tuple[float, float]]] = {}
        for one in mine:
            base = next(
                (p for p in mine if (p.value, p.klass, p.architecture) == (one.value, one.klass, "single")), None
            )
            if one.architecture == "ours" and base is not None:
                series.setdefault(one.klass, []).append((one.value, one.success - base.success))
        if series:
            title = f"Ours against the single agent over {parameter} ({report.agents}); below 0 it loses"
            found[f"sweep-{parameter.replace('_', '-')}"] = svg.lines(
                title, parameter, "difference in success", series, zero=True
            )
        if parameter == "detect":
            contained: dict[str, list[tuple[float, float]]] = {}
            for one in mine:
                if one.klass == mine[0].klass:
                    contained.setdefault(one.architecture, []).append((one.value, one.wrong_delivered / one.n))
            found["containment"] = svg.lines(
                f"Wrong answers delivered over detection, {mine[0].klass} ({report.agents})",
                "detection rate",
                "wrong delivered",
                contained,
            )
    return found


def sections(report: Report) -> list[tuple[str, str, list[str], list[list[str]]]]:
    """Title, remark and table of every section."""
    found: list[tuple[str, str, list[str], list[list[str]]]] = []
    if report.advice:
        remark = "Measured on these instances; a choice that resamples seldom repeat is no finding."
        found.append((f"What to use ({report.agents})", remark, *advice_rows(report.advice)))
    found += [(title, "", list(COLUMNS), body) for title, body in groups(report)]
    if report.pairs:
        remark = (
            "The same instances under both. +: solved by ours alone; −: by the other alone. p by McNemar's exact test, "
            "adjusted by Holm over this table; cost is money of ours per task over the other's."
        )
        found.append((f"Ours against each other architecture ({report.agents})", remark, *pair_rows(report.pairs)))
    if report.planted:
        remark = "The first answer to the first step is wrong in every task; the same tasks and seeds as without."
        found.append((f"Recovery from a planted wrong answer ({report.agents})", remark, *planted_rows(report.planted)))
    if report.killed:
        found.append(("Recovery from killed workers (real processes, SIGKILL)", "", *killed_rows(report.killed)))
    found.append((f"Turns by kind ({report.agents})", "", *kind_rows(report)))
    if report.power:
        most = max(k for one in report.power.values() for k in one)
        header = ["architecture", *[f"pass^{k}" for k in range(1, most + 1)]]
        body = [[name, *[_n(one.get(k), 3) for k in range(1, most + 1)]] for name, one in report.power.items()]
        found.append((f"All of k repetitions succeed ({report.agents})", "", header, body))
    if report.points:
        found.append(
            (f"Sweep ({report.agents})", "One parameter at a time, the others as in the suite.", *sweep_rows(report))
        )
    found.append(("Table 5 of the paper by these functions", published().source, *paper_rows()))
    return found


def intro(report: Report) -> list[str]:
    """What stands above all tables."""
    lines = [f"Agents: {report.agents}.", f"Repeat it: `{report.command}`", *report.notes]
    if report.agents.startswith("simulated"):
        lines.append(
            "A simulation shows how architectures and scheduler behave under written assumptions. "
            "It says nothing of the quality of any model."
        )
    elif report.agents.startswith("real"):
        lines.append(
            "The steps of a task, and which needs which, come with the task: the lead of the plan-DAG is asked for a "
            "plan and pays for it, but its answer is not used. Compared is how work is organised, not how well a model "
            "plans."
        )
    return lines


def markdown(report: Report, pictures: Sequence[str]) -> str:
    """The report as Markdown; pictures lie beside it."""
    parts = [f"# {report.title}", *intro(report)]
    parts += [f"![{name}]({name}.svg)" for name in pictures]
    worse = losses(report)
    parts += ["## Where ours loses", "\n".join(f"- {line}" for line in worse) or "Nowhere in this matrix and sweep."]
    for title, remark, header, body in sections(report):
        parts += [f"## {title}", *([remark] if remark else []), _table(header, body)]
    return "\n\n".join(parts) + "\n"


def html(report: Report, pictures: Mapping[str, str]) -> str:
    """The report as one page that needs nothing else."""
    worse = losses(report)
    parts = [f"<h1>{escape(report.title)}</h1>", *[f"<p>{escape(line)}</p>" for line in intro(report)]]
    parts += [f"<figure>{picture}</figure>" for picture in pictures.values()]
    parts += [
        "<h2>Where ours loses</h2>",
        "<ul>"
        + "".join(f"<li>{escape(line)}</li>" for line in worse or ["Nowhere in this matrix and sweep."])
        + "</ul>",
    ]
    for title, remark, header, body in sections(report):
        head = "".join(f"<th>{escape(name)}</th>" for name in header)
        lines = "".join("<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>" for row in body)
        parts.append(
            f"<h2>{escape(title)}</h2>{f'<p>{escape(remark)}</p>' if remark else ''}"
            f"<div class=t><table><tr>{head}</tr>{lines}</table></div>"
        )
    suite = escape(json.dumps(report.suite, indent=1, sort_keys=True))
    parts.append(f"<h2>The suite, as it was read</h2><details><summary>JSON</summary><pre>{suite}</pre></details>")
    style = (
        "body{font:15px/1.5 sans-serif;margin:2em auto;max-width:1100px;padding:0 1em;color:#222}"
        "table{border-collapse:collapse;font-size:12px}figure{margin:1em 0;max-width:760px}.t{overflow-x:auto}"
        "td,th{border:1px solid #ccc;padding:3px 7px;text-align:right;white-space:nowrap}"
        "td:first-child,th:first-child{text-align:left}"
    )
    return (
        f"<!doctype html>\n<html lang=en><meta charset=utf-8><title>{escape(report.title)}</title>"
        f"<style>{style}</style>\n" + "\n".join(parts) + "\n</html>\n"
    )


def as_csv(report: Report) -> str:
    """Every row with every figure in full; mappings and pairs as JSON."""
    out = io.StringIO()
    names = [one.name for one in fields(Row)]
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(["agents", *names])
    for row in report.rows:
        plain = asdict(row)
        writer.writerow(
            [
                report.agents,
                *[json.dumps(plain[name]) if isinstance(plain[name], dict | tuple) else plain[name] for name in names],
            ]
        )
    return out.getvalue()


def as_json(report: Report) -> str:
    """Everything, for programs."""
    plain = {
        "title": report.title,
        "agents": report.agents,
        "command": report.command,
        "suite": report.suite,
        "notes": list(report.notes),
        "rows": [asdict(row) for row in report.rows],
        "pairs": [asdict(one) for one in report.pairs],
        "planted": [asdict(one) for one in report.planted],
        "killed": dict(zip(*[killed_rows(report.killed)[0], killed_rows(report.killed)[1][0]], strict=True))
        if report.killed
        else None,
        "sweep": [asdict(point) for point in report.points],
        "advice": [asdict(one) for one in report.advice],
        "pass_k": {name: {str(k): value for k, value in one.items()} for name, one in report.power.items()},
    }
    return json.dumps(plain, indent=1, sort_keys=True, ensure_ascii=False) + "\n"
