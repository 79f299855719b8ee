"""What the check of kept facts lets through, and what it refuses."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.plan.facts_kept import Fact, Lost, fact_of, kept_in, literals_of, lost_from, told


@pytest.mark.parametrize(
    ("text", "literals"),
    [
        ("The budget is 40,000 EUR until 2026-03-14.", ("40,000", "EUR", "2026-03-14")),
        ("Ann Lee pays 12.5% on invoice INV-2041", ("Ann", "Lee", "12.5%", "INV-2041")),
        ("Never write to ann@example.com", ("ann@example.com",)),
        ('The word is "open sesame", said by O\'Neill', ("open sesame", "O'Neill")),
        ("it costs -3 or $7", ("-3", "$7")),
        ("they like tea", ("they like tea",)),
    ],
)
def test_the_literals_of_a_fact(text: str, literals: tuple[str, ...]) -> None:
    assert literals_of(text) == literals


BUDGET = fact_of("The budget is 40,000 EUR.")
CALLS = fact_of("Ann must not be called before 9.")


@pytest.mark.parametrize(
    ("text", "lost"),
    [
        ("They agreed on a budget of 40000 eur. Nothing else.", ()),
        ("a budget of 40 000 EUR", ()),
        ("a budget of 40,000.50 EUR", ("40,000",)),
        ("a budget of 140,000 EUR", ("40,000",)),
        ("a budget of -40,000 EUR", ("40,000",)),
        ("a budget of 40,000 USD", ("EUR",)),
        ("", ("40,000", "EUR")),
    ],
)
def test_a_number_is_kept_as_itself_or_is_lost(text: str, lost: tuple[str, ...]) -> None:
    reason = f"it lost {', '.join(lost)}"
    assert lost_from(text, [BUDGET]) == ((Lost(fact=BUDGET, missing=lost, reason=reason),) if lost else ())


def test_a_range_is_no_minus() -> None:
    assert kept_in("between 3-5 pieces", [fact_of("at most 5")])
    assert not kept_in("minus: -5 pieces", [fact_of("at most 5")])


def test_literals_that_were_moved_apart_are_lost() -> None:
    owes = (fact_of("Bob owes 40"), fact_of("Eve owes 50"))

    assert lost_from("Bob owes 40. Eve owes 50.", owes) == ()
    assert lost_from("Bob and Eve owe money. It is 40 and 50.", owes) == (
        Lost(fact=owes[0], missing=(), reason="Bob, 40 stand in different sentences"),
        Lost(fact=owes[1], missing=(), reason="Eve, 50 stand in different sentences"),
    )


def test_a_denial_is_part_of_a_fact() -> None:
    assert lost_from("Ann can be called before 9.", [CALLS]) == (
        Lost(fact=CALLS, missing=(), reason="its denial is gone"),
    )
    assert kept_in("Don't call Ann before 9.", [CALLS])
    assert told(lost_from("Ann: 9.", [CALLS])) == "'Ann must not be called before 9.': its denial is gone"


def test_a_fact_of_two_sentences_may_stand_in_two() -> None:
    assert kept_in("Eve: 50. Later, Bob: 40.", [fact_of("Bob owes 40. Eve owes 50.")])


@pytest.mark.parametrize(
    ("text", "literals", "words"),
    [
        ("", (), "1 to 2,000 characters"),
        ("x" * 2_001, (), "not 2,001"),
        ("Bob owes 40", ("41",), "'41' does not occur"),
        ("Bob owes 40", ("",), "'' does not occur"),
        (" ".join(map(str, range(100, 140))), tuple(map(str, range(100, 140))), "at most 32 literals"),
    ],
)
def test_what_is_no_fact_is_refused(text: str, literals: tuple[str, ...], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        fact_of(text, *literals)


SENTENCES = st.text(
    alphabet=st.characters(max_codepoint=0x3FF, categories=("L", "N", "Zs"), include_characters="-%$.,'"),
    min_size=1,
    max_size=60,
).filter(lambda text: bool(text.strip()))


@given(text=SENTENCES, around=st.lists(st.sampled_from(["They spoke of tea.", "Much was said.", ""]), max_size=4))
def test_a_fact_told_word_for_word_on_a_line_of_its_own_is_always_kept(text: str, around: list[str]) -> None:
    fact = fact_of(text)
    assert kept_in("\n".join([*around, fact.text, *around]), [fact])


@given(number=st.integers(0, 10**9), other=st.integers(0, 10**9))
def test_another_number_is_never_taken_for_the_one_of_the_fact(number: int, other: int) -> None:
    fact = fact_of(f"the price is {number}")
    assert kept_in(f"it costs {other} now", [fact]) is (number == other)
    assert kept_in(f"it costs {other:,} now", [fact]) is (number == other)
    assert lost_from("no price", [fact])[0].fact == Fact(text=f"the price is {number}", literals=(str(number),))
