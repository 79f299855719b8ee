"""Features, the classifier and the arithmetic of a choice, each against something that is known."""

import random
from itertools import pairwise
from math import isfinite

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.models.routing.expected import Estimate, Gate, best, lower_bound, prospect
from orchestrator.models.routing.features import NAMES, TEXT_CHARS_MAX, features_of, script_of
from orchestrator.models.routing.logistic import fit

SHARES = st.floats(0.0, 1.0)


@given(st.text(max_size=400))
def test_every_text_has_as_many_features_as_names_and_all_are_finite(text: str) -> None:
    found = features_of(text)
    assert len(found) == len(NAMES)
    assert all(isfinite(one) for one in found)
    assert features_of(text) == found


def test_features_tell_what_they_are_named_for() -> None:
    found = dict(zip(NAMES, features_of("Is 12 + 3,400 not 5?\nA. yes\nB. no"), strict=True))
    assert {name: round(found[name], 3) for name in ("log numbers", "log largest number", "question marks")} == {
        "log numbers": 1.386,
        "log largest number": 8.132,
        "question marks": 0.693,
    }
    assert found["words of negation"] == 2 / 6


def test_a_long_text_is_looked_at_in_part_and_its_length_counts_whole() -> None:
    short, long = features_of("word " * 2_000), features_of("word " * 4_000)
    assert len("word " * 2_000) > TEXT_CHARS_MAX
    assert short[0] < long[0]
    assert short[1:] == long[1:]


@pytest.mark.parametrize(
    ("text", "script"),
    [
        ("How many?", "latin"),
        ("Сколько их?", "cyrillic"),
        ("多少个苹果", "han"),
        ("いくつの林檎がありますか", "kana"),
        ("كم عددها", "arabic"),
        ("42 = 42", "other"),
    ],
)
def test_the_script_is_the_one_of_most_letters(text: str, script: str) -> None:
    assert script_of(text) == script


def test_the_classifier_finds_the_line_that_made_the_answers() -> None:
    chance = random.Random(7)
    rows = [(chance.gauss(0, 1), chance.gauss(5, 3), chance.random()) for _ in range(3_000)]
    answers = [chance.random() < 1 / (1 + 2.718281828 ** -(1.5 * a - 0.5 * (b - 5) / 3)) for a, b, _ in rows]
    model = fit(rows, answers)
    assert model == fit(rows, answers)
    assert model.weights[0] == pytest.approx(1.5, abs=0.15)
    assert model.weights[1] == pytest.approx(-0.5, abs=0.12)
    assert model.weights[2] == pytest.approx(0.0, abs=0.12)
    assert model.bias == pytest.approx(0.0, abs=0.15)


def test_answers_that_are_all_alike_and_features_that_never_change_are_no_trouble() -> None:
    model = fit([(1.0, 2.0)] * 10, [True] * 10)
    assert 0.9 < model.probability((1.0, 2.0)) < 1.0
    with pytest.raises(ValueError, match="0 examples"):
        fit([], [])


@given(SHARES, SHARES, SHARES, st.floats(0.0, 0.5), st.floats(0.0, 3.0), st.floats(0.0, 3.0))
def test_a_cascade_is_what_it_says_at_every_turn(
    weak: float, strong: float, detection: float, alarm: float, cheap: float, dear: float
) -> None:
    """Against the tree of all that can happen: right or wrong, accepted or refused, twice."""
    gate = Gate(detection=detection, false_alarm=alarm)
    found = prospect(
        Estimate(tier="cheap", usd=cheap, right=weak, low=weak),
        Estimate(tier="strong", usd=dear, right=strong, low=strong),
        gate,
    )
    usd = success = 0.0
    for right, p in ((True, weak), (False, 1 - weak)):
        for refused, q in ((True, alarm if right else detection), (False, 1 - (alarm if right else detection))):
            usd += p * q * (cheap + (dear if refused else 0.0))
            success += p * q * (strong * (1 - alarm) if refused else float(right))
    assert found.usd == pytest.approx(usd)
    assert found.success == pytest.approx(success) == found.low


@given(SHARES, st.floats(0.5, 1.0), st.floats(0.0, 0.4))
def test_what_passed_tells_what_was_right_where_the_gate_is_known(right: float, detection: float, alarm: float) -> None:
    gate = Gate(detection=detection, false_alarm=alarm)
    assert gate.right(gate.accepts(right)) == pytest.approx(right)


def test_a_gate_that_refuses_blindly_tells_nothing() -> None:
    assert Gate(detection=0.3, false_alarm=0.3).right(0.7) == 0.0


def test_the_cheapest_way_that_is_sure_enough_is_taken_and_else_the_surest() -> None:
    cheap = Estimate(tier="cheap", usd=1.0, right=0.6, low=0.5)
    strong = Estimate(tier="strong", usd=25.0, right=0.95, low=0.9)
    ways = [prospect(cheap, strong, Gate()), prospect(strong, None, Gate())]
    assert (ways[0].usd, ways[0].success, ways[0].low) == pytest.approx((11.0, 0.98, 0.95))
    assert best(ways, 0.9) == (ways[0], True)
    assert best(ways, 0.99) == (ways[0], False)
    assert best([prospect(cheap, None, Gate()), ways[1]], 0.9) == (ways[1], True)
    with pytest.raises(ValueError, match="no tier"):
        best([], 0.5)


def test_the_lower_bound_holds_as_often_as_it_says() -> None:
    chance, held, rounds = random.Random(3), 0, 4_000
    for _ in range(rounds):
        truth, count = chance.uniform(0.3, 0.95), chance.randint(30, 200)
        held += lower_bound(sum(chance.random() < truth for _ in range(count)), count) <= truth
    assert 0.93 < held / rounds < 0.98
    assert lower_bound(0, 0) == 0.0
    assert all(a < b for a, b in pairwise(lower_bound(n, 40) for n in range(1, 41)))
