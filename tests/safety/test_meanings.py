"""Kinds that no form tells are struck by whoever knows meanings, a sentence at a time: streams as the whole text."""

import random
import re
import subprocess
import sys
from collections.abc import Iterable

import pytest

from orchestrator import Engine
from orchestrator.app.safety import guards_of, passed_inputs
from orchestrator.errors import PromiseError
from orchestrator.ports.recogniser import Found
from orchestrator.safety.pii_guard import PiiGuard, SlowPiiGuard
from orchestrator.safety.recognisers import KINDS
from orchestrator.safety.redactor import Redactor
from orchestrator.safety.segments import SEGMENT_CHARS_MAX, segments
from orchestrator.settings import PiiSettings, PresidioSettings, SafetySettings
from tests.safety.test_guards import desk, frozen, output_of, ran, trips

ALL = (*KINDS, "person", "place")
NAMES = re.compile(r"\b(Ann(?: Lee)?|Bob)\b")


class Names:
    """Knows two people; a name counts only where its sentence has a verb: what is looked at is the sentence."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    def found(self, text: str, kinds: Iterable[str]) -> list[Found]:
        self.asked.append(text)
        if "person" not in kinds or "wrote" not in text:
            return []
        return [(match.start(), match.end(), "person") for match in NAMES.finditer(text)]


def redactor(**more: object) -> Redactor:
    return Redactor(ALL, recogniser=Names(), **more)  # type: ignore[arg-type]  # options of it


def test_names_are_struck_beside_what_has_a_form() -> None:
    assert redactor().text("Ann Lee wrote to ann@example.org. Bob is away.") == (
        "[person] wrote to [email]. Bob is away."
    )
    assert redactor().value({"Ann wrote": ["Bob wrote", 7]}) == {"[person] wrote": ["[person] wrote", 7]}


def test_of_a_name_that_touches_a_find_the_rest_is_struck() -> None:
    class Wide(Names):
        def found(self, text: str, kinds: Iterable[str]) -> list[Found]:
            return [(0, len(text), "person")]

    assert Redactor(ALL, recogniser=Wide()).text("Ann Lee ann@example.org 77") == "[person][email] 77"


@pytest.mark.parametrize("seed", range(16))
def test_a_stream_is_struck_as_the_whole_text_is(seed: int) -> None:
    chance = random.Random(seed)
    parts = ["Ann ", "Lee ", "wrote ", "Bob", ". ", "! ", "\n", "to ann@example.org ", "x" * 300 + " ", "y" * 1500,
             "4111 1111 1111 1111 ", "password: hunter2hunter2 ", "..  ", "Ann. Wrote", "a "]  # fmt: skip
    text = "".join(chance.choices(parts, k=chance.randint(1, 30)))
    stream, out, at = redactor().stream(), [], 0
    while at < len(text):
        size = chance.choice((1, 2, 7, 40, 900))
        out.append(stream.feed(text[at : at + size]))
        at += size
    assert "".join([*out, stream.end()]) == redactor().text(text)


def test_a_stream_is_shown_sentence_by_sentence_and_never_holds_more_than_is_named() -> None:
    stream = redactor().stream()
    assert stream.feed("Ann wrote. ") == ""
    assert stream.feed("And") == "[person] wrote. "
    shown = "".join(stream.feed("word ") for _ in range(4_000))
    assert len("And" + "word " * 4_000) - len(shown) <= 8 * 2_048 + 2 * SEGMENT_CHARS_MAX


def test_pieces_are_whole_sentences_and_bounded() -> None:
    text = "One. Two!\nThree? four" + "z" * 2_500
    cut = [text[start:end] for start, end in segments(text)]
    assert cut[:3] == ["One. ", "Two!\n", "Three? "]
    assert all(0 < len(piece) <= SEGMENT_CHARS_MAX for piece in cut)
    assert text.startswith("".join(cut))
    assert len(text) - len("".join(cut)) <= SEGMENT_CHARS_MAX


def test_a_kind_that_nobody_finds_is_refused() -> None:
    with pytest.raises(ValueError, match="nobody is there who finds the kind 'person'"):
        Redactor(("person",))
    with pytest.raises(PromiseError, match="no form tells the kind 'place'"):
        PiiGuard("redact", kinds=("place",))
    with pytest.raises(PromiseError, match="kind 'shoe' is not known"):
        PiiGuard("redact", kinds=("shoe",), recogniser=Names())  # type: ignore[arg-type]  # on purpose


def test_without_the_extra_or_the_model_settings_that_ask_for_names_are_refused_with_the_remedy() -> None:
    pii = PiiSettings(gives="redact", kinds=("person",))
    for model, what in (("no_such_model", "no_such_model|presidio-analyzer"), ("../x", "x|presidio-analyzer")):
        asked = SafetySettings(pii=pii, presidio=PresidioSettings(model=model))
        with pytest.raises(PromiseError, match=what) as refused:
            guards_of(asked)("desk")
        assert "hierarchical-orchestrator[presidio]" in refused.value.remedy
        with pytest.raises(PromiseError):
            passed_inputs(asked.model_copy(update={"inputs": "redact"}), {"a": "b"})
    only = SafetySettings(pools={"desk": pii}, presidio=PresidioSettings(model="no_such_model"))
    assert guards_of(only)("other") == []
    with pytest.raises(PromiseError):
        guards_of(only)("desk")


def test_who_asks_for_no_names_loads_nothing() -> None:
    code = "import orchestrator.app.safety, sys; print([m for m in sys.modules if 'presidio' in m or m == 'spacy'])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.anyio
@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_a_guard_that_knows_names_stands_in_a_run_like_any_other() -> None:
    guard = SlowPiiGuard(PiiGuard("placeholders", "redact", kinds=ALL, recogniser=Names()))
    pool, given = desk(guard)
    async with Engine(pools=[pool], store="memory:") as engine:
        result, facts = await ran(engine, frozen("Bob wrote"))
    assert re.fullmatch(r"\[person-[0-9a-f]{10}\] wrote", str(given[0]))
    assert output_of(result) == "[person] wrote and [card]"
    assert trips(facts) == [
        ("pii", "input", "change", ("1 person",)), ("pii", "output", "change", ("1 card", "1 person")),
    ]  # fmt: skip
