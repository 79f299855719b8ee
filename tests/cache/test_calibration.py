"""The bound on wrong answers: nothing is served on few observations, and the bound holds whatever the true curve."""

import random
from math import exp

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.models.cache.calibration import SEEN_MIN, serving_chance
from orchestrator.ports.cache import Observation

seen = st.lists(
    st.builds(Observation, similarity=st.integers(60, 100).map(lambda n: n / 100), same=st.booleans()), max_size=40
)


def right(similarity: float, times: int) -> list[Observation]:
    return [Observation(similarity=similarity, same=True)] * times


def test_few_observations_serve_nothing() -> None:
    assert serving_chance(right(0.9, SEEN_MIN - 1), 0.99, 0.05) == 0.0
    assert 0 < serving_chance(right(0.9, SEEN_MIN), 0.99, 0.05) < 0.5
    assert serving_chance(right(0.9, 400), 0.9, 0.0) == 0.0


def test_more_agreement_serves_more_often_and_one_fault_costs_much() -> None:
    chances = [serving_chance(right(0.9, times), 0.9, 0.02) for times in (6, 20, 60, 200, 500)]
    assert chances == sorted(chances)
    assert chances[-1] == 1.0
    spoilt = [*right(0.9, 200), Observation(similarity=0.9, same=False)]
    assert serving_chance(spoilt, 0.9, 0.02) < chances[3]


@given(seen, st.integers(60, 100), st.sampled_from([0.01, 0.05, 0.1]))
def test_a_chance_is_one_and_grows_with_the_similarity_and_the_bound(
    observed: list[Observation], at: int, delta: float
) -> None:
    low, high = serving_chance(observed, at / 100, delta), serving_chance(observed, min(at + 5, 100) / 100, delta)
    assert 0.0 <= low <= high <= 1.0
    assert low <= serving_chance(observed, at / 100, 2 * delta)


@pytest.mark.parametrize(("steep", "at"), [(8.0, 0.7), (20.0, 0.85), (50.0, 0.8)])
def test_wrong_answers_stay_below_the_bound(steep: float, at: float) -> None:
    chance, delta = random.Random(11), 0.05
    wrong = asked = 0
    for _ in range(12):
        observed: list[Observation] = []
        for _ in range(80):
            similarity = round(chance.uniform(0.6, 1.0), 2)
            same = chance.random() < 1 / (1 + exp(-steep * (similarity - at)))
            asked += 1
            if chance.random() < serving_chance(observed, similarity, delta):
                wrong += not same
            else:
                observed.append(Observation(similarity=similarity, same=same))
    assert asked == 960
    assert wrong / asked <= delta
