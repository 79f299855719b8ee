"""The benchmarks of cost at a size of minutes' fractions: intervals, and a replay whose books agree."""

import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.cost.cache.measures import Labelled, wilson
from benchmarks.cost.replay.workload import SHARES, requests

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize(
    ("hits", "of", "low", "high"), [(0, 464, 0.0, 0.00821), (50, 100, 0.40383, 0.59617), (10, 10, 0.72247, 1.0)]
)
def test_intervals_are_those_of_the_book(hits: int, of: int, low: float, high: float) -> None:
    assert wilson(hits, of) == pytest.approx((low, high), abs=1e-5)


def test_a_policy_is_counted_on_both_kinds() -> None:
    found = Labelled([(0.9, True), (0.5, True), (0.95, False)], lambda item: item[1]).under(
        "p", lambda item: item[0] > 0.8
    )
    assert (found.hits.count, found.hits.of, found.wrong.count, found.wrong.of) == (1, 2, 1, 1)
    assert found.precision == 0.5


def test_the_workload_is_the_same_each_time_and_has_every_kind() -> None:
    assert requests(200, 3) == requests(200, 3) != requests(200, 4)
    assert {one.kind for one in requests(200, 3)} == set(SHARES)


@pytest.mark.parametrize("way", ["off", "exact"])
def test_a_replay_ends_with_the_journal_and_the_endpoint_in_agreement(way: str) -> None:
    command = [sys.executable, "-m", "benchmarks.cost.replay", "--requests", "40", "--only", way]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"{way}: cache" in done.stdout


def test_success_is_never_chosen_on_the_requests_it_is_shown_on() -> None:
    command = [sys.executable, "-m", "benchmarks.cost.replay.calibrate", "--seeds", "101", "7"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=120)
    assert (done.returncode, done.stdout) == (2, "")
    assert "7 is the seed of the replay: choose on others" in done.stderr
