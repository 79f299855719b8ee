"""Shortening texts: facts are never lost, budgets hold, order stays, and relevance decides."""

from time import process_time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.errors import PromiseError
from orchestrator.plan.facts_kept import fact_of, kept_in
from workers.compression.context import Context
from workers.compression.text import CUT, passages_of, shortened, tokens_of

FILLER = [
    f"The {word} of the town was repaired after a long talk about nothing." for word in ("bridge", "road", "wall")
]
FACTS = [
    fact_of(text) for text in ("Never ship to Oslo before 14 May.", "The ceiling is 12,000 euros.", "Ask Ms. Hale.")
]
SENTENCES = st.lists(
    st.sampled_from([*FILLER, *(fact.text for fact in FACTS), "Heat pumps cost 900 euros."]), min_size=1
)


@given(SENTENCES, st.integers(0, 200), st.integers(1, 3))
def test_a_fact_that_was_there_is_there_and_the_rest_is_within_the_budget(
    said: list[str], tokens: int, pieces: int
) -> None:
    texts = [" ".join(said[n::pieces]) for n in range(pieces)]
    found = shortened(texts, "heat pumps", tokens, FACTS)
    whole = "\n".join(texts)
    assert found.facts == tuple(fact for fact in FACTS if kept_in(whole, (fact,)))
    assert kept_in(found.text, found.facts)
    protected = sum(tokens_of(fact.text) + 1 for fact in found.facts)
    marks = found.text.count(CUT) * (tokens_of(CUT) + 1) + len(texts)
    if tokens_of(whole) > tokens:
        assert tokens_of(found.text) <= max(tokens, protected) + marks
    else:
        assert (found.texts, found.cut) == (tuple(texts), (0,) * pieces)


@given(SENTENCES)
def test_what_is_kept_stands_in_its_order(said: list[str]) -> None:
    found = shortened([" ".join(said)], "heat pumps", 30)
    kept = [line for line in passages_of(found.text) if line != CUT]
    rest = iter(passages_of(" ".join(said)))
    assert all(line in rest for line in kept)


def test_what_is_asked_for_is_kept_before_what_is_not() -> None:
    text = " ".join([*FILLER, "Heat pumps cost 900 euros.", *FILLER])
    assert shortened([text], "price of heat pumps", 12).text == f"{CUT}\nHeat pumps cost 900 euros.\n{CUT}"


def test_a_number_that_the_agent_used_keeps_where_it_came_from() -> None:
    text = " ".join([*FILLER, "Report R-77 lists 4512 units.", "Heat pumps cost 900 euros."])
    assert "4512" not in shortened([text], "heat pumps", 8).text
    assert "Report R-77 lists 4512 units." in shortened([text], "heat pumps", 8, (), ["4512"]).text


def test_a_fact_whose_parts_stand_apart_is_carried_as_a_sentence() -> None:
    fact = fact_of("Never ship to Oslo. The date is 14 May.", "Oslo", "14")
    text = " ".join(["Never ship to Oslo.", *FILLER, "The date is 14 May.", *FILLER])
    assert kept_in(shortened([text], "bridges", 1, [fact]).text, [fact])


def test_the_passage_that_says_a_fact_is_kept_and_not_one_with_its_numbers_in_another_place() -> None:
    fact = fact_of("The fee of Acme is 120 EUR.")
    text = "\n".join(["The fee of Acme is 120 EUR.", *FILLER, "Acme lost 120 EUR in court.", *FILLER])
    assert "The fee of Acme is 120 EUR." in shortened([text], "bridges", 8, [fact]).text
    later = f"{text}\nIn 2027 the fee of Acme is 120 EUR."
    assert "In 2027 the fee of Acme is 120 EUR." in shortened([later], "bridges", 8, [fact]).text


def test_a_text_with_many_numbers_is_looked_through_once() -> None:
    fact = fact_of("Use rule 1")
    seconds = []
    for count in (20_000, 80_000):
        began = process_time()
        assert not kept_in("12 " * count, [fact])
        seconds.append(process_time() - began)
    assert seconds[1] < 10 * seconds[0]


def test_the_same_sentence_in_two_texts_is_kept_once() -> None:
    found = shortened(
        ["Heat pumps cost 900 euros. " + FILLER[0], "Heat pumps cost 900 euros. " + FILLER[1]], "heat", 14
    )
    assert found.text.count("900") == 1
    assert found.cut == (1, 2)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"tokens": 10}, "a context of 10 tokens"),
        ({"tokens": 1_000, "turns_whole": 0}, "turns_whole is 0"),
        ({"tokens": 1_000, "pinned": (" ",)}, "the pinned fact"),
        ({"tokens": 1_000, "pinned": ("a 1",) * 101}, "101 pinned facts"),
    ],
)
def test_a_context_that_cannot_be_is_refused(given: dict[str, object], said: str) -> None:
    with pytest.raises(PromiseError, match=said):
        Context(**given)  # type: ignore[arg-type]  # that is the test
