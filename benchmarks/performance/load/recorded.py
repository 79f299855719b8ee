"""The last measurement of the rungs, kept beside this file, and the table that docs/scaling.md shows of it."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from benchmarks.performance.load.figures import Row

FILE = Path(__file__).with_name("measured.json")
HEAD = (
    "Rung", "Users", "Processes", "Answers a second", "Submit p50 / p95", "Job p50 / p95", "Turn p50 / p95",
    "Job above the model p50", "Without the model", "Refused (told in p95)", "Errors", "Processor an answer", "Memory",
    "Machine busy before",
)  # fmt: skip
LADDER = (10, 100, 1_000, 10_000)  #: users of one service beside the model alone
LADDER_HEAD = (
    "Users", "Answers a second", "Submit p50 / p95 / p99", "Turn above the model p50 / p95 / p99",
    "Job above the model p50 / p95 / p99", "Model alone p50 / p95 / p99", "Refused", "Errors", "Processor an answer",
    "Memory a user", "Machine busy before",
)  # fmt: skip
MACHINE = ("cpu", "cores", "memory_gib", "python", "sqlite")


def record(row: Row, load: Mapping[str, object], machine: Mapping[str, object], path: Path = FILE) -> None:
    """Put a crowd's figures in the place of those of the same rung and crowd before."""
    rows = [one for one in read(path) if _place(one) != _place({**load, **row})]
    rows.append({**load, **row, "machine": {name: machine[name] for name in (*MACHINE, "load_at_start")}})
    rows.sort(key=_place)
    path.write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")


def read(path: Path = FILE) -> list[Row]:
    """All rows, by rung and crowd."""
    found: list[Row] = json.loads(path.read_text(encoding="utf-8")) if path.exists() else []
    return found


def of_rungs(rows: Sequence[Row]) -> list[Row]:
    """The rows of rungs."""
    return [row for row in rows if row["rung"]]


def of_one_process(rows: Sequence[Row]) -> list[Row]:
    """The rows of one process far beyond what it can do, by how many requests it works on at once."""
    return [row for row in rows if not row["rung"] and row["users"] not in LADDER]


def of_ladder(rows: Sequence[Row]) -> list[Row]:
    """The rows of one process, from 10 to 10,000 users."""
    return [row for row in rows if not row["rung"] and row["users"] in LADDER]


def table(rows: Sequence[Row]) -> str:
    """The figures in Markdown."""
    lines = [_line(HEAD), _line(["---"] * len(HEAD)), *(_line(_cells(row)) for row in rows)]
    return "\n".join(lines)


def ladder_table(rows: Sequence[Row]) -> str:
    """The figures of `of_ladder` in Markdown."""
    lines = [_line(LADDER_HEAD), _line(["---"] * len(LADDER_HEAD)), *(_line(_steps(row)) for row in rows)]
    return "\n".join(lines)


def conditions(rows: Sequence[Row]) -> str:
    """Where and under what load the rows were measured, a line for each that differs."""
    said: dict[str, list[str]] = {}
    for row in rows:
        load = row["machine"]
        assert isinstance(load, dict), "facts by name"
        text = (
            f"{load['cores']} cores ({load['cpu']}), {load['memory_gib']} GiB, {load['python']}; "
            f"stand-in model {_number(row['latency_s'])} s; each user {row['turns']} questions, "
            f"{_number(row['think_s'])} s apart on average; {_number(row['common'], 100)} % of the questions of jobs "
            "are among ten that many ask"
        )
        name = f"rung {row['rung']:,}" if row["rung"] else "no rung"
        said.setdefault(text, []).append(f"{name} with {row['users']:,} users")
    return "\n".join(f"- {', '.join(dict.fromkeys(places))}: {text}." for text, places in said.items())


def _place(row: Mapping[str, object]) -> tuple[object, object, object]:
    return (row["rung"], row["users"], row.get("at_once", 0))


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _cells(row: Row) -> list[str]:
    answers, machine = _int(row["answers"]), row["machine"]
    assert isinstance(machine, dict), "facts by name"
    busy = machine["load_at_start"]
    refused = row["refused"]
    assert isinstance(refused, dict), "counts by status"
    told = f" ({_two(row['refusal_ms'])[1]})" if refused else ""
    errors = row["errors"]
    assert isinstance(errors, dict), "counts by kind"
    return [
        f"{row['rung']:,}" if row["rung"] else f"none, {row['at_once']:,} at once",
        f"{row['users']:,}",
        f"{row['processes']}",
        f"{row['per_second']}",
        " / ".join(_two(row["submit_ms"])),
        " / ".join(_two(row["job_ms"])),
        " / ".join(_two(row["turn_ms"])),
        _two(row["job_overhead_ms"])[0],
        f"{row['spared']} jobs",
        f"{sum(refused.values()):,}{told}",
        f"{sum(errors.values()):,} of {answers + sum(errors.values()):,}",
        f"{_float(row['service_cpu_s']) / answers * 1e3:.0f} ms" if answers else "nothing",
        f"{_float(row['memory_peak_mib']):,.0f} MiB",
        f"{busy[0]:.1f}",
    ]


def _steps(row: Row) -> list[str]:
    timed = (row["submit_ms"], row["turn_overhead_ms"], row["job_overhead_ms"], row["direct_ms"])
    cells = dict(zip(HEAD, _cells(row), strict=True))
    refused = cells["Refused (told in p95)"]
    return [
        *(cells[name] for name in ("Users", "Answers a second")),
        *(" / ".join(_ms(found[name]) for name in ("p50", "p95", "p99")) for found in timed if isinstance(found, dict)),
        *(refused, cells["Errors"], cells["Processor an answer"]),
        f"{_float(row['memory_per_user_kib']):.0f} KiB",
        cells["Machine busy before"],
    ]


def _two(found: object) -> tuple[str, str]:
    assert isinstance(found, dict), "percentiles"
    return (_ms(found["p50"]), _ms(found["p95"])) if found else ("nothing", "nothing")


def _ms(value: float) -> str:
    return f"{value / 1e3:,.1f} s" if value >= 10_000 else f"{value:,.0f} ms"


def _number(value: object, times: float = 1.0) -> str:
    return f"{_float(value) * times:g}"


def _int(value: object) -> int:
    assert isinstance(value, int), "a count"
    return value


def _float(value: object) -> float:
    assert isinstance(value, int | float), "a number"
    return float(value)
