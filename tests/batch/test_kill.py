"""kill -9 at moments all over a run: every question is answered once, none handed over twice, the bill is right."""

from benchmarks.cost.batch.killing import Size, chosen, killed_at, moments, remembered
from tests.sizes import SIZES

FULL = SIZES.name == "prove"
SIZE, POINTS = (Size(count=1_000, failing=50), 100) if FULL else (Size(count=12, failing=1), 4)


def test_a_process_that_is_killed_anywhere_is_followed_by_one_that_pays_for_nothing_twice() -> None:
    names, clean = moments(SIZE)
    assert clean.wrong == ()
    points = [(at, names[at - 1]) for at in chosen(names, POINTS)]
    assert len(set(points)) == POINTS
    held = [one for one, _ in remembered(SIZE, points)] if FULL else [killed_at(SIZE, *point) for point in points]
    assert {point.at: point.wrong for point in held if point.wrong} == {}
    assert sum(point.killed for point in held) >= POINTS // 2


def test_moments_around_hand_overs_come_before_those_that_are_all_alike() -> None:
    names = ["before put", "after put"] * 500 + ["before submit", "after submit", "before claim", "after claim"]
    found = chosen(names, 10)
    assert found[-4:] == [1001, 1002, 1003, 1004]
    assert found[:6] == [1, 200, 400, 600, 800, 1000]
    assert chosen(names[-4:], 10) == [1, 2, 3, 4]
    assert len(chosen([*names[:2], *names[-4:] * 20], 10)) == 10
