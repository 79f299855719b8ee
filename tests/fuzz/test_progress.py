"""A long proof goes on where it stopped, with what it had found until then, and starts over when the source changes."""

from pathlib import Path

import pytest

from tests.fuzz import progress
from tests.fuzz.progress import Progress, report_of


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "KEPT", tmp_path / "kept")
    monkeypatch.setattr(progress, "_state", lambda kept: f"state{len(kept)}")


def fed(proof: Progress, most: int, until: int | None = None) -> list[int]:
    """The numbers up to the one at which it is interrupted."""
    numbers = []
    for number in proof.numbers(most):
        if number == until:
            break
        numbers.append(number)
        proof.found["value"] += 1
    return numbers


def test_it_goes_on_where_it_stopped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "KEPT_EACH", 10)
    assert fed(Progress("entry", [], full=True), 50, until=25) == [*range(25)]
    again = Progress("entry", [], full=True)
    assert (again.first, again.found) == (20, {"value": 20})  # what was fed since the last note is fed once more
    assert fed(again, 50) == [*range(20, 50)]
    done = Progress("entry", [], full=True)
    assert (done.first, done.found) == (50, {"value": 50})
    assert fed(done, 50) == []
    assert fed(Progress("entry", [b"new"], full=True), 3) == [0, 1, 2]


def test_a_small_run_keeps_nothing() -> None:
    assert fed(Progress("entry", [], full=False), 3) == [0, 1, 2]
    assert not progress.KEPT.exists()


def test_the_report_counts_the_longest_range_of_each_target() -> None:
    note = {"target": "entry", "date": "2026-01-02", "outcomes": {"value": 7, "Undecodable": 2}}
    told = report_of([{**note, "next": 9}, {**note, "next": 4, "outcomes": {}}], 10)["targets"]
    assert told == {
        "entry": {
            "inputs": 9, "reached": False, "date": "2026-01-02", "outcomes": {"Undecodable": 2, "value": 7},
        }
    }  # fmt: skip
