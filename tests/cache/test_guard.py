"""What the guard lets through and what it refuses; on the labelled pairs it lets no trap through."""

import json
from itertools import combinations
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.models.cache.guard import differs

PAIRS = Path(__file__).resolve().parents[2] / "benchmarks" / "cost" / "cache" / "pairs.jsonl"


@pytest.mark.parametrize(
    ("kept", "asked", "why"),
    [
        ("Where is order 48213?", "Where is order 48231?", "numbers, dates, codes or units: 48213 / 48231"),
        ("Which foods contain nuts?", "Which foods don't contain nuts?", "negation"),
        ("Is it safe to mix them?", "Is it unsafe to mix them?", "opposites: saf, unsaf"),
        ("Convert dollars to euros.", "Convert euros to dollars.", "the order of the words"),
        ("Which employees finished?", "Which employees finished all of it?", "scope: none / all"),
        ("May staff work abroad?", "Must staff work abroad?", "may or must: may / must"),
        ("Who chairs the board?", "Where does the board meet?", "what is asked for: who / where"),
        ("What is the capital of Niger?", "What is the capital of Nigeria?", "words: niger / nigeria"),
        ("Who is the chair?", "Who was the chair?", "tense: present / past"),
        ("How do I opt in?", "How do I opt out?", "scope: none / out"),
        ("Did the cut follow sales?", "Was the cut followed by sales?", "scope: none / done by"),
        ("How do I move from Linear to Jira?", "How do I move to Linear from Jira?", "the direction"),
        ("Has the road been closed?", "Will the road be closed?", "tense: open / future"),
        ("Cancel my subscription", "How do I cancel my subscription?", "what is asked for: none / how"),
        ("Wie hoch ist die Gebühr 漢?", "Wie hoch ist die Gebühr 字?", "other letters than Latin"),
        ("x" * 601, "x" * 601, "too long to be compared"),
    ],
)
def test_what_decides_an_answer_may_not_differ(kept: str, asked: str, why: str) -> None:
    assert differs(kept, asked) == why


@pytest.mark.parametrize(
    ("kept", "asked"),
    [
        ("How do I reset my password?", "um, how can I reset my password please?"),
        ("What is the fee for 1,000 euros?", "what's the cost for 1000 EUR"),
        ("Where is the nearest shop?", "Where's the nearest store?"),
    ],
)
def test_other_words_for_the_same_are_let_through(kept: str, asked: str) -> None:
    assert differs(kept, asked) == ""


def test_no_labelled_trap_passes_and_some_paraphrases_do() -> None:
    rows = [json.loads(line) for line in PAIRS.read_text(encoding="utf-8").splitlines()]
    passed = {
        kind: sum(not differs(row["a"], row["b"]) for row in rows if row["kind"] == kind)
        for kind in ("trap", "paraphrase")
    }
    assert len(rows) == 328
    assert passed["trap"] == 0
    assert passed["paraphrase"] >= 50


def test_no_question_of_the_set_is_served_with_the_answer_to_any_other() -> None:
    answers: dict[str, str] = {}
    for row in (json.loads(line) for line in PAIRS.read_text(encoding="utf-8").splitlines()):
        answers[row["a"]] = row["a"]
        answers[row["b"]] = row["a"] if row["kind"] == "paraphrase" else row["b"]
    alike = [
        (one, other)
        for one, other in combinations(sorted(answers), 2)
        if answers[one] != answers[other] and not differs(one, other)
    ]
    assert (len(answers), alike) == (492, [])


@given(st.text(max_size=200), st.text(max_size=200))
def test_any_texts_can_be_compared_either_way_and_a_text_never_differs_from_itself(one: str, other: str) -> None:
    assert bool(differs(one, other)) == bool(differs(other, one))
    assert differs(one, one) in {"", "other letters than Latin"}
