"""kill -9 at moments all over a run: every question is answered once, none handed over twice, the bill is right."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.cost.batch import killing
from benchmarks.cost.batch.killing import ROOT, Point, Size, begun, chosen, remembered
from tests.sizes import SIZES

COUNT, FAILING, POINTS = (1_000, 50, 100) if SIZES.name == "prove" else (12, 1, 3)


def test_a_process_that_is_killed_anywhere_is_followed_by_one_that_pays_for_nothing_twice() -> None:
    sizes = ("--items", str(COUNT), "--failing", str(FAILING), "--points", str(POINTS))
    command = [sys.executable, "-m", "benchmarks.cost.batch", *sizes]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=3_600, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert len(done.stderr.splitlines()) == POINTS
    assert "0 points did not hold." in done.stdout
    assert f"| questions answered right | {COUNT:,} | {COUNT:,} at every point |" in done.stdout
    assert f"| items handed over | {COUNT:,} | {COUNT:,} |" in done.stdout
    killed = re.search(rf"processes killed \| 0 \| (\d+) at {POINTS} moments", done.stdout)
    assert killed is not None
    assert int(killed[1]) >= POINTS // 2, done.stdout


def point(at: int, moment: str, *wrong: str) -> Point:
    return Point(
        at=at,
        moment=moment,
        killed=at > 0,
        answered=1,
        handed_over=1,
        batches=1,
        direct=0,
        billed_usd=0.5,
        booked_usd=0.5,
        seconds=1.0,
        wrong=wrong,
    )


def test_a_series_goes_on_where_it_was_interrupted_and_asks_again_what_did_not_hold(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[int] = []

    def killed_at(size: Size, at: int, moment: str) -> Point:
        made.append(at)
        return point(at, moment, *(("it broke",) if at == 2 else ()))

    monkeypatch.setattr(killing, "killed_at", killed_at)
    monkeypatch.setattr(killing, "moments", lambda size: (["a", "b", "c"], point(0, "none")))
    size, file = Size(count=1, failing=0), tmp_path / "new" / "series.jsonl"
    assert begun(size, file) == (["a", "b", "c"], point(0, "none"))
    found = remembered(size, [(1, "a"), (2, "b"), (3, "c")], file)
    assert [next(found)[1], next(found)[1]] == [False, False]
    monkeypatch.setattr(killing, "moments", None)  # it keeps to those that it began with
    assert begun(size, file) == (["a", "b", "c"], point(0, "none"))
    assert [known for _, known in remembered(size, [(1, "a"), (2, "b"), (3, "c")], file)] == [True, False, False]
    assert made == [1, 2, 2, 3]


def test_moments_around_hand_overs_come_before_those_that_are_all_alike() -> None:
    names = ["before put", "after put"] * 500 + ["before submit", "after submit", "before claim", "after claim"]
    found = chosen(names, 10)
    assert found[-4:] == [1001, 1002, 1003, 1004]
    assert found[:6] == [1, 200, 400, 600, 800, 1000]
    assert chosen(names[-4:], 10) == [1, 2, 3, 4]
    assert len(chosen([*names[:2], *names[-4:] * 20], 10)) == 10
