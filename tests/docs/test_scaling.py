"""docs/scaling.md shows the last recorded measurement and names every setting of its rungs."""

import json
import re
from pathlib import Path

import pytest

from benchmarks.performance.load import recorded, rungs

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "scaling.md"
ROW = {
    "rung": 10, "users": 2, "latency_s": 1.0, "turns": 2, "think_s": 20.0, "common": 0.3, "processes": 1, "answers": 4,
    "per_second": 0.1, "submit_ms": {"p50": 1.4, "p95": 12_000.0}, "refusal_ms": {"p50": 1.0, "p95": 2.0},
    "turn_ms": {}, "job_ms": {"p50": 1_100.0, "p95": 1_200.0}, "job_overhead_ms": {"p50": 100.0, "p95": 200.0},
    "spared": 1, "refused": {"429": 1, "503": 2},
    "errors": {"submit: 500": 1}, "service_cpu_s": 0.1, "memory_peak_mib": 100.4,
}  # fmt: skip
MACHINE = {"cpu": "c", "cores": 2, "memory_gib": 4.0, "python": "p", "sqlite": "s", "load_at_start": [0.25, 1.0, 2.0]}


def part(name: str) -> str:
    """What stands between two marks of the page."""
    found = re.search(rf"<!-- {name} -->\n(.*?)<!-- /{name} -->", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    assert found is not None, name
    return found[1].strip()


@pytest.mark.parametrize(
    ("name", "rows"),
    [
        ("rungs", recorded.of_rungs(recorded.read())),
        ("one-process", recorded.of_one_process(recorded.read())),
        ("ladder", recorded.of_ladder(recorded.read())),
    ],
)
def test_the_tables_are_the_last_measurement(name: str, rows: list[recorded.Row]) -> None:
    again = "python -m benchmarks.performance.load --table prints what the page has to show"
    assert rows
    assert part(name) == (recorded.ladder_table if name == "ladder" else recorded.table)(rows), again
    assert part(f"{name}-conditions") == recorded.conditions(rows), again


def test_every_rung_was_measured_and_nobody_in_its_own_crowd_met_an_error() -> None:
    rows = recorded.of_rungs(recorded.read())
    assert {row["rung"] for row in rows} == {*rungs.numbers()}
    first = {row["rung"]: row for row in reversed(rows)}
    assert {row["rung"]: row["errors"] for row in first.values()} == {number: {} for number in rungs.numbers()}


def test_every_setting_of_a_rung_is_explained() -> None:
    text = PAGE.read_text(encoding="utf-8")
    for number in rungs.numbers():
        rung = rungs.read(number)
        assert f"deploy/rungs/{number}.env" in text
        for name in rung.values:
            assert name in text or f"…__{name.rpartition('__')[2]}" in text, name


def test_a_crowd_takes_the_place_of_the_same_one_measured_before(tmp_path: Path) -> None:
    file = tmp_path / "measured.json"
    for row in (ROW, {**ROW, "users": 1}, {**ROW, "answers": 5}):
        recorded.record(row, {}, MACHINE, file)

    assert [(row["rung"], row["users"], row["answers"]) for row in json.loads(file.read_text())] == [
        (10, 1, 4), (10, 2, 5)
    ]  # fmt: skip


def test_a_row_says_what_was_seen() -> None:
    row = {**ROW, "machine": MACHINE}
    assert recorded.table([row]).splitlines()[2] == (
        "| 10 | 2 | 1 | 0.1 | 1 ms / 12.0 s | 1,100 ms / 1,200 ms | nothing / nothing | 100 ms | 1 jobs | 3 (2 ms) | "
        "1 of 5 | 25 ms | 100 MiB | 0.2 |"
    )
    assert recorded.conditions([row]) == (
        "- rung 10 with 2 users: 2 cores (c), 4.0 GiB, p; stand-in model 1 s; each user 2 questions, 20 s apart on "
        "average; 30 % of the questions of jobs are among ten that many ask."
    )
