"""How the storm judges what the low lane had to wait for."""

import pytest

from tests.fleet.storm.door_check import judged

LANE = "went before one of the low lane, of"


@pytest.mark.parametrize(
    ("counts", "told", "wrong"),
    [
        ([10] * 190 + [900] * 10, (10, 900), []),
        ([10] * 170 + [547] * 30, (547, 547), [f"547 tasks {LANE} 9 in ten at most; 300 may"]),
        ([10] * 12 + [547] * 2, (547, 547), []),  # one job of few was hit by a fault
        ([10] * 6 + [547] * 8, (547, 547), [f"547 tasks {LANE} 5 in ten at most; 300 may"]),
    ],
)  # fmt: skip
def test_one_job_that_a_fault_hit_is_not_the_lane(counts: list[int], told: tuple[int, int], wrong: list[str]) -> None:
    found: list[str] = []

    assert judged(counts, found) == told
    assert found == wrong
