"""Redaction at a sink: texts, JSON and streams cut anywhere say the same, and what was struck stays struck."""

import json
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.ports.redaction import CLEAR
from orchestrator.safety.recognisers import KINDS
from orchestrator.safety.redactor import DEPTH_MAX, HELD_CHARS_MAX, Redactor
from tests.safety.samples import GOOD, NEAR

REDACTOR = Redactor(secrets={"canary": "swordfish-7781-under-the-bridge"})
WORDS = [
    "the",
    "order",
    "Tel.",
    "call",
    "BSN",
    "Bearer",
    "password:",
    "password =",
    "\n",
    "A",
    "12",
    "x@",
    "IBAN",
    ",",
    ".",
]


def streamed(text: str, cuts: list[int], redactor: Redactor = REDACTOR) -> str:
    stream = redactor.stream()
    edges = sorted({0, len(text), *(cut % (len(text) + 1) for cut in cuts)})
    pieces = [text[a:b] for a, b in pairwise(edges)]
    return "".join([*map(stream.feed, pieces), stream.end()])


@pytest.mark.parametrize(("kind", "text", "find"), GOOD)
def test_every_form_is_struck(kind: str, text: str, find: str) -> None:
    assert find in text
    assert Redactor().text(text) == text.replace(find, f"[{kind}]")


@pytest.mark.parametrize("text", NEAR)
def test_what_only_looks_like_it_stays(text: str) -> None:
    assert Redactor().text(text) == text


texts = st.lists(
    st.sampled_from(
        [text for _, text, _ in GOOD]
        + [find for _, _, find in GOOD]
        + NEAR
        + WORDS
        + ["swordfish-7781-under-the-bridge"]
    )
    | st.text(max_size=6),
    max_size=7,
).flatmap(lambda parts: st.sampled_from([" ", "", "  ", "\n"]).map(lambda between: between.join(parts)))


@given(texts, st.lists(st.integers(0, 2_000), max_size=12))
def test_a_stream_cut_anywhere_says_what_the_whole_says(text: str, cuts: list[int]) -> None:
    assert streamed(text, cuts) == REDACTOR.text(text)


@given(texts)
def test_a_stream_of_single_characters_says_it_too(text: str) -> None:
    assert streamed(text, list(range(len(text)))) == REDACTOR.text(text)


@given(texts)
def test_what_was_struck_is_left_alone(text: str) -> None:
    once = REDACTOR.text(text)
    assert "swordfish-7781-under-the-bridge" not in once
    twice = REDACTOR.text(once)  # a mark is short, so a word may now stand near enough to name a number
    assert [twice.count(f"[{kind}]") >= once.count(f"[{kind}]") for kind in (*KINDS, "secret canary")] == [True] * 8


def test_prose_is_held_back_by_no_more_than_a_word() -> None:
    stream = REDACTOR.stream()
    given_out = 0
    text = "Heat pumps move heat from a cold place to a warm one, and need little current to do so. " * 20
    for at in range(0, len(text), 7):
        given_out += len(stream.feed(text[at : at + 7]))
        assert at + 7 - given_out < 30, text[at : at + 30]
    assert given_out + len(stream.end()) == len(text)


def test_a_run_without_a_blank_is_not_held_for_ever() -> None:
    stream = REDACTOR.stream()
    out = [stream.feed("a" * 1_000) for _ in range(40)]
    assert max(1_000 * (n + 1) - len("".join(out[: n + 1])) for n in range(40)) <= HELD_CHARS_MAX + 1_000
    assert "".join(out) + stream.end() == "a" * 40_000


def test_values_are_struck_in_texts_names_and_numbers_and_not_changed() -> None:
    value = {"ann@example.org": ["4111 1111 1111 1111", 4111111111111111, True, None, 2.5, {"n": 7}]}
    kept = json.dumps(value)
    assert REDACTOR.value(value) == {"[email]": ["[card]", "[card]", True, None, 2.5, {"n": 7}]}
    assert json.dumps(value) == kept
    deep: object = "ann@example.org"
    for _ in range(DEPTH_MAX + 5):
        deep = [deep]
    assert "ann" not in json.dumps(REDACTOR.value(deep))  # type: ignore[arg-type]  # JSON


def test_a_secret_that_would_strike_words_is_refused() -> None:
    with pytest.raises(ValueError, match="'pin' has fewer than 6"):
        Redactor(secrets={"pin": "1234"})


def test_the_clear_redactor_changes_nothing() -> None:
    stream = CLEAR.stream()
    assert (CLEAR.text("ann@example.org"), CLEAR.value(["x"]), stream.feed("x"), stream.end()) == (
        "ann@example.org", ["x"], "x", "",
    )  # fmt: skip
