"""Which turns a run sees, what is condensed when, and that no pinned fact and no missing turn goes unsaid."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from orchestrator.ids import RunId
from orchestrator.plan.facts_kept import fact_of, lost_from
from orchestrator.ports.sessions import SessionHead, Summary, Turn
from orchestrator.sessions.changes import new_session
from orchestrator.sessions.desk import session_key
from orchestrator.sessions.summary import TURNS_BYTES_MAX, Fold, fold_of
from orchestrator.sessions.view import view_of
from orchestrator.sessions.window import bytes_of, cut_to, tokens_of, window_of
from orchestrator.settings import SessionSettings

KEY = session_key("s", "default")
ROOMY = SessionSettings(window_turns=500, window_tokens=10**9, window_bytes=1 << 22)


def turns_of(*contents: str) -> list[Turn]:
    """Turns that say this, by a user and an assistant in turn."""
    return [
        Turn(
            number=number,
            role="user" if number % 2 else "assistant",
            content=content,
            run_id=RunId(f"r{number}"),
            at_s=0.0,
            tokens=0,
        )
        for number, content in enumerate(contents, start=1)
    ]


def head_of(turns: int, **summary: object) -> SessionHead:
    """A session of so many turns."""
    return replace(new_session(KEY, 0.0), turns=turns, summary=Summary(**summary))  # type: ignore[arg-type]  # its fields


def numbers(turns: list[Turn]) -> list[int]:
    """Their numbers."""
    return [turn.number for turn in turns]


@pytest.mark.parametrize(
    ("limits", "seen"),
    [
        ({}, [1, 2, 3, 4, 5, 6]),
        ({"window_turns": 5}, [3, 4, 5, 6]),
        ({"window_turns": 4}, [5, 6]),  # an answer without its question is not shown
        ({"window_turns": 3}, [5, 6]),
        ({"window_turns": 1}, []),
        ({"window_bytes": 300, "turn_bytes_max": 256}, [5, 6]),
        ({"window_bytes": 301, "turn_bytes_max": 256}, [5, 6]),
        ({"window_bytes": 501, "turn_bytes_max": 256}, [3, 4, 5, 6]),
        ({"window_tokens": 3 * 42 + 1}, [5, 6]),
        ({"window_tokens": 9}, []),
    ],
)
def test_each_limit_holds_and_the_newest_stay(limits: dict[str, int], seen: list[int]) -> None:
    turns = turns_of(*["x" * 100] * 6)
    settings = SessionSettings.model_validate(
        {"window_turns": 500, "window_tokens": 10**9, "window_bytes": 1 << 22, **limits}
    )
    assert numbers(window_of(turns, "y", settings)) == seen


def test_sizes_are_estimated_high() -> None:
    assert (bytes_of("é"), tokens_of(""), tokens_of("abc"), tokens_of("abcd")) == (2, 8, 9, 10)


def test_a_turn_that_no_window_could_hold_is_refused_by_the_settings() -> None:
    with pytest.raises(ValidationError, match="turn_bytes_max 1000 is over window_bytes 999"):
        SessionSettings(turn_bytes_max=1000, window_bytes=999)


@given(text=st.text(max_size=400), most=st.integers(80, 300))
def test_what_is_cut_fits_and_says_so(text: str, most: int) -> None:
    cut = cut_to(text, most, RunId("run-1"))
    assert bytes_of(cut) <= most
    if bytes_of(text) <= most:
        assert cut == text
    else:
        assert cut.endswith("\n… (cut here; the whole answer is that of run run-1)")
        assert text.startswith(cut.partition("\n… (cut here")[0])


SIZES = st.lists(st.integers(0, 400), max_size=40).map(lambda sizes: sizes[: len(sizes) // 2 * 2])
LIMITS = st.builds(
    SessionSettings,
    window_turns=st.integers(1, 50),
    window_tokens=st.integers(1, 3_000),
    window_bytes=st.integers(512, 8_000),
    turn_bytes_max=st.just(512),
)


@given(sizes=SIZES, asked=st.integers(0, 500), settings=LIMITS, share=st.sampled_from([0.5, 1.0]))
def test_a_window_is_the_longest_end_that_fits(
    sizes: list[int], asked: int, settings: SessionSettings, share: float
) -> None:
    turns, question = turns_of(*("x" * size for size in sizes)), "q" * asked

    def fits(seen: list[Turn]) -> bool:
        said = [*(turn.content for turn in seen), question]
        return (
            len(said) <= int(settings.window_turns * share)
            and sum(map(tokens_of, said)) <= settings.window_tokens * share
            and sum(map(bytes_of, said)) <= settings.window_bytes * share
        )

    seen = window_of(turns, question, settings, share)

    assert seen == turns[len(turns) - len(seen) :]
    assert not seen or fits(seen)
    assert len(seen) % 2 == 0
    longer = turns[len(turns) - len(seen) - 2 :]
    assert len(seen) == len(turns) or not fits(longer)


@given(
    sizes=SIZES,
    settings=LIMITS,
    text=st.sampled_from(["", "They spoke of tea.", "Ann pays 40.", "- the code is 7\n- Ann pays 40"]),
    upto=st.integers(0, 20),
    missed=st.integers(0, 3),
)
def test_a_view_holds_every_pinned_fact_and_counts_every_turn_that_is_missing(
    sizes: list[int], settings: SessionSettings, text: str, upto: int, missed: int
) -> None:
    turns = turns_of(*("x" * size for size in sizes))
    upto = min(upto // 2 * 2, len(turns)) if text else 0
    facts = (fact_of("Ann pays 40"), fact_of("the code is 7"), fact_of("never on a Sunday"))
    head = replace(head_of(len(turns), text=text, upto=upto, missed=min(missed, upto), refused="why not"), facts=facts)

    view = view_of(head, turns[-settings.window_turns :], "q", settings)

    assert lost_from(view.summary, facts) == ()
    covered = upto - min(missed, upto)
    assert view.dropped == len(turns) - len(view.turns) - covered
    assert ("neither shown nor summarised: why not" in view.summary) is (view.dropped > 0)
    assert all(turn.number > upto for turn in view.turns)


def test_what_is_missing_is_said_in_words() -> None:
    settings = SessionSettings(window_turns=3)
    turns = turns_of(*"abcdef")
    assert view_of(head_of(6), turns, "q", settings).summary == (
        "4 earlier turns are neither shown nor summarised: no model summarised them"
    )
    one = view_of(head_of(6, text="S", upto=4, missed=1, version=1), turns, "q", settings)
    assert one.summary == "S\n\n1 earlier turn is neither shown nor summarised: no model summarised them"
    assert view_of(head_of(2), turns[:2], "q", settings).summary == ""


def test_nothing_is_condensed_before_the_window_is_full_and_then_half_of_it() -> None:
    settings = SessionSettings(window_turns=10)
    turns = turns_of(*(str(number) for number in range(1, 13)))

    assert fold_of(head_of(8), turns[:8], "q", settings) is None
    fold = fold_of(head_of(10), turns[:10], "q", settings)
    assert fold == Fold(turns=tuple(turns[:6]), upto=6, missed=0)
    assert fold_of(head_of(10, text="S", upto=6, tried_upto=6), turns[:10], "q", settings) is None
    assert fold_of(head_of(12, tried_upto=6), turns, "q", settings) is None, "it was refused; asked again at 8 more"


def test_of_too_much_at_once_the_newest_is_condensed_and_the_rest_counted() -> None:
    size = TURNS_BYTES_MAX // 4
    turns = turns_of(*["x" * size] * 8)
    fold = fold_of(head_of(8), turns, "q", SessionSettings(window_turns=1))
    assert fold == Fold(turns=tuple(turns[4:]), upto=8, missed=4)


@given(sizes=SIZES, settings=LIMITS, upto=st.integers(0, 20), tried=st.integers(0, 40))
def test_what_is_condensed_is_never_condensed_again_and_never_left_out(
    sizes: list[int], settings: SessionSettings, upto: int, tried: int
) -> None:
    turns = turns_of(*("x" * size for size in sizes))
    upto = min(upto // 2 * 2, len(turns))
    head = head_of(len(turns), upto=upto, tried_upto=max(min(tried, len(turns)), upto))

    fold = fold_of(head, turns, "q", settings)

    if fold is None:
        return
    assert numbers(list(fold.turns)) == list(range(upto + 1, fold.upto + 1))
    assert fold.upto > head.summary.tried_upto
    after = replace(head, summary=replace(head.summary, upto=fold.upto, tried_upto=fold.upto))
    assert fold_of(after, turns, "q", settings) is None
    assert view_of(after, turns, "q", settings).dropped == 0
