"""Facts to bytes and back, and every way in which bytes can be wrong."""

import json
import re
from dataclasses import fields, replace
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic_core import PydanticSerializationError

from orchestrator.core import codec
from orchestrator.core.codec import CODEC_VERSION, LAYOUTS, Parts, check_fact, decode, encode, without_payload
from orchestrator.core.event import canonical_event
from orchestrator.core.facts import (
    FACT_BY_KIND,
    FACTS,
    CheckVerdict,
    Fact,
    ModelCalled,
    RunEnded,
    StepExpanded,
    StepProgress,
    StepQuarantined,
)
from orchestrator.core.shapes import shape_of
from orchestrator.core.values import VALUE_DEPTH_MAX, check_values, json_of
from orchestrator.errors import JournalCorrupt, ValueRefused
from orchestrator.ids import RunId, StepId
from orchestrator.ports.journal import Recorded
from orchestrator.testing.facts import DIGEST, accepted, any_fact, ended, json_values, passed, produced

RUN = RunId("run-1")


def odd_values() -> st.SearchStrategy[object]:
    """Mostly values that must be refused, at any depth."""
    plain = st.floats() | st.text(st.characters()) | st.integers(2**1000, 2**1030) | st.binary() | st.none()
    return st.recursive(
        plain,
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text() | st.integers(), inner, max_size=2),
        max_leaves=5,
    )


def back(fact: Fact, epoch: int = 1) -> codec.Decoded:
    header, payload = encode(fact, epoch)
    return decode(RUN, 7, header, payload, had_payload=payload is not None)


def test_a_payload_that_says_nothing_is_not_kept_and_its_fact_comes_back_all_the_same() -> None:
    quiet = StepProgress(at_s=1.0, step=StepId("a"), attempt=1, fraction=0.5)
    check_fact(quiet)
    header, payload = encode(quiet, 1)
    assert payload is None
    found = decode(RUN, 7, header, None, had_payload=False)
    assert (found.fact, found.forgotten) == (quiet, False)
    check_fact(replace(quiet, message="half"))
    assert encode(replace(quiet, message="half"), 1)[1] is not None
    with pytest.raises(ValueRefused):
        check_fact(replace(quiet, fraction=float("nan")))  # its header is looked at although its payload is empty


@given(any_fact())
def test_every_fact_comes_back_exactly(fact: Fact) -> None:
    found = back(fact, epoch=5)
    assert (found.epoch, found.forgotten) == (5, False)
    assert found.fact == fact
    assert repr(found.fact) == repr(fact)  # tuples stay tuples, -0.0 keeps its sign, True is not 1
    check_fact(fact)


@given(any_fact())
def test_a_fact_without_its_payload_still_reads(fact: Fact) -> None:
    header, payload = encode(fact, 1)
    if payload is None:
        return
    assert decode(RUN, 7, header, None, had_payload=True) == codec.Decoded(
        fact=without_payload(fact), epoch=1, forgotten=True
    )


def test_the_bytes_are_small_and_plain() -> None:
    header, payload = encode(produced({"é": [1, 2.5, None]}), 3)
    assert header == (
        b'[2,"step.produced",3,2.0,"worker-1","draft",-1,1,0,"sha256:' + b"0" * 64 + b'",0.0,0.0,0,false]'
    )
    assert payload == '[{"é":[1,2.5,null]}]'.encode()
    assert encode(passed(), 1)[1] is None
    assert encode(RunEnded(at_s=1.0, status="failed", usd=0.0, tokens=0, steps=0), 1)[1] is None


def test_the_layout_names_every_field_once() -> None:
    assert set(LAYOUTS) == set(FACT_BY_KIND)
    for cls in FACTS:
        layout = LAYOUTS[cls.KIND]
        assert sorted([*layout.header, *layout.payload]) == sorted(field.name for field in fields(cls))


PASSED = json.loads(encode(passed(), 1)[0])


@pytest.mark.parametrize(
    ("header", "payload", "reason"),
    [
        (b"", None, "EOF"),
        (b"{", None, "EOF"),
        (b"\xff", None, "expected value"),
        (b'"text"', None, "an array of at least 3"),
        (b"[1,2]", None, "an array of at least 3"),
        (b'["1","step.passed",1]', None, "begin with version"),
        (b"[1,2,3]", None, "begin with version"),
        (b'[1,"step.passed",null]', None, "begin with version"),
        (b'[0,"step.passed",1]', None, "codec version 0"),
        (b'[9,"step.passed",1]', None, f"codec version 9; this release reads 1 to {CODEC_VERSION}"),
        (b'[1,"step.invented",1]', None, "knows the kind 'step.invented'"),
        (json.dumps(PASSED[:-1]).encode(), None, "7 fields instead of the 8 of at_s, actor"),
        (json.dumps([*PASSED, 1]).encode(), None, "9 fields instead of the 8"),
        (json.dumps([*PASSED[:3], "soon", *PASSED[4:]]).encode(), None, "field at_s: a number"),
        (json.dumps([*PASSED[:3], True, *PASSED[4:]]).encode(), None, "field at_s: a number"),
        (json.dumps([*PASSED[:3], None, *PASSED[4:]]).encode(), None, "field at_s: a number"),
        (b'[1,"step.passed",1,NaN,"","a",-1,1,0,"d",false]', None, "expected value"),
        (json.dumps([*PASSED[:-1], 0]).encode(), None, "field degraded: true or false"),
        (json.dumps([*PASSED[:5], 4, *PASSED[6:]]).encode(), None, "field step: text"),
        (json.dumps([*PASSED[:6], 1.5, *PASSED[7:]]).encode(), None, "field branch: an integer"),
        (encode(produced(1), 1)[0], None, "step.produced without the fields output"),
        (encode(produced(1), 1)[0], b"[1,2]", "2 fields instead of the 1 of output"),
        (encode(produced(1), 1)[0], b"1", "an array"),
        (encode(passed(), 1)[0], b"[1]", "1 fields instead of the 0"),
        (encode(accepted(), 1)[0], b"[[]]", "field inputs: an object"),
        (encode(accepted(), 1)[0].replace(b'"degrade"', b"[]"), b"[{}]", "field on_limit: one of"),
        (encode(ended(), 1)[0].replace(b"succeeded", b"perfect"), b'[1,[],""]', "field status: one of"),
        (encode(ended(), 1)[0], b'[1,{},""]', "field gaps: a list"),
        (encode(ended(), 1)[0], b'[1,[3],""]', "field gaps: an object"),
        (encode(StepExpanded(at_s=1.0, step=StepId("a"), count=1, items=[1]), 1)[0], b"[3]", "field items: a list"),
    ],
)
def test_a_record_of_the_wrong_form_is_corrupt(header: bytes, payload: bytes | None, reason: str) -> None:
    with pytest.raises(JournalCorrupt, match=reason) as caught:
        decode(RUN, 7, header, payload, had_payload=payload is not None)
    assert (caught.value.run_id, caught.value.seq) == (RUN, 7)


def test_an_older_version_is_brought_up_step_by_step(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(codec, "CODEC_VERSION", 1)
    old_header, old_payload = encode(produced({"a": 1}), 4)
    untouched = encode(passed(), 4)[0]

    def rename(parts: Parts) -> Parts:  # version 2 called it step.made, and kept the output apart from a comment
        assert parts.payload is not None
        return Parts(kind="step.made", header=parts.header, payload=(*parts.payload, "no comment"))

    def restore(parts: Parts) -> Parts:
        assert parts.payload is not None
        return Parts(kind="step.produced", header=(*parts.header[:-1], True), payload=parts.payload[:1])

    monkeypatch.setattr(codec, "CODEC_VERSION", 3)
    monkeypatch.setattr(codec, "UPCASTERS", {(1, "step.produced"): rename, (2, "step.made"): restore})

    found = decode(RUN, 1, old_header, old_payload, had_payload=True)

    assert found == codec.Decoded(fact=replace(produced({"a": 1}), degraded=True), epoch=4, forgotten=False)
    assert decode(RUN, 1, untouched, None, had_payload=False).fact == passed()
    assert json.loads(encode(passed(), 4)[0])[0] == 3


def test_a_model_call_of_the_first_version_says_what_it_said() -> None:
    header = b'[1,"model.called",3,2.0,"w1","a",-1,1,0,"m","ok",0.5,10,5,"c1"]'

    found = decode(RUN, 1, header, None, had_payload=False)

    assert found.fact == ModelCalled(
        at_s=2.0,
        actor="w1",
        step=StepId("a"),
        attempt=1,
        model="m",
        outcome="ok",
        usd=0.5,
        tokens_in=10,
        tokens_out=5,
        charge="c1",
    )


class Loud(str):
    __slots__ = ()


class Huge(int):
    __slots__ = ()


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (float("nan"), "nan is no number"),
        (float("inf"), "inf is no number"),
        ("\udc80", "surrogate"),
        ("a\0", "NUL"),
        ("é\0", "NUL"),
        (2**1023, "more than 1023 bits"),
        (-(2**1023), "more than 1023 bits"),
        (b"", "bytes is not plain JSON"),
        ({1, 2}, "set is not plain JSON"),
        (Decimal("1.5"), "Decimal is not plain JSON"),
        (Loud("a\0"), "NUL"),
        (Huge(2**1023), "more than 1023 bits"),
        ({1: 2}, "a key is int"),
        ({"a\0": 2}, "NUL"),
        ([[{"a": [float("nan")]}]], "nan is no number"),
    ],
)
def test_values_are_refused_at_any_depth(value: object, reason: str) -> None:
    for wrapped in (value, [value], {"a": value}, (1, [value, 2])):
        with pytest.raises(ValueRefused, match=f"^place: .*{reason}"):
            check_values("place", [1, wrapped])
        with pytest.raises(ValueRefused, match=f"^place: .*{reason}"):
            json_of("place", (1, wrapped))


def test_what_cannot_be_written_is_refused_whatever_the_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_: object) -> bytes:
        raise PydanticSerializationError("a reason of its own")

    monkeypatch.setattr("orchestrator.core.values.to_json", fail)
    with pytest.raises(ValueRefused, match="place: a reason of its own"):
        json_of("place", (1,))


def test_values_at_the_edge_pass() -> None:
    edge = (2**1023 - 1, -0.0, 1.7976931348623157e308, 5e-324, "\U0010ffff\ud7ff", True, None, Loud("a"), Huge(7), (1,))
    check_values("place", edge)
    assert json.loads(json_of("place", edge)) == [*edge[:-1], [1]]
    assert json.loads(json_of("place", ("\\u0000", "7" * 5_000))) == ["\\u0000", "7" * 5_000]


def test_the_deepest_value_is_the_same_for_both_ways_of_looking() -> None:
    for wrap in (lambda inner: [inner], lambda inner: {"a": inner}):
        nested: object = 1
        for _ in range(VALUE_DEPTH_MAX):
            nested = wrap(nested)
        check_values("place", [nested])
        fact = produced(nested)  # type: ignore[arg-type] # a list in a list
        assert back(fact).fact == fact
        for look in (check_values, json_of):
            with pytest.raises(ValueRefused, match="nested more than"):
                look("place", (wrap(nested),))


@given(st.tuples(json_values() | odd_values()))
def test_the_fast_and_the_thorough_look_agree(values: tuple[object]) -> None:
    try:
        check_values("place", values)
    except ValueRefused as refused:
        with pytest.raises(ValueRefused, match=re.escape(refused.reason)):
            json_of("place", values)
    else:
        assert json.loads(json_of("place", values)) == list(values)


def test_annotations_that_facts_cannot_use_are_refused_at_import() -> None:
    for annotation in (bytes, set[int], int | str, list[int], dict[str, int], tuple[int, str]):
        with pytest.raises(TypeError, match="a fact cannot hold"):
            shape_of(annotation)


def recorded(fact: Fact, *, forgotten: bool = False) -> Recorded:
    return Recorded(run_id=RUN, seq=3, epoch=2, fact=fact, prev_hash="a" * 64, hash="b" * 64, forgotten=forgotten)


def test_the_canonical_event_of_a_step() -> None:
    assert canonical_event(recorded(replace(produced({"a": 1}), usd=0.25, tokens=12))) == {
        "run": "run-1",
        "seq": 3,
        "epoch": 2,
        "kind": "step.produced",
        "at": 2.0,
        "actor": "worker-1",
        "step": "draft",
        "branch": -1,
        "attempt": 1,
        "sample": 0,
        "cost": {"usd": 0.25, "tokens": 12},
        "digest": DIGEST,
        "data": {"started_at_s": 0.0, "usd": 0.25, "tokens": 12, "degraded": False, "output": {"a": 1}},
        "prev_hash": "a" * 64,
        "hash": "b" * 64,
    }


def test_the_canonical_event_of_a_run() -> None:
    event = canonical_event(recorded(accepted()))
    assert {name: event[name] for name in ("step", "branch", "attempt", "sample", "cost", "digest")} == {
        **dict.fromkeys(("step", "branch", "attempt", "sample", "cost", "digest"))
    }
    assert canonical_event(recorded(without_payload(ended()), forgotten=True))["forgotten"] is True


def test_only_what_a_fact_itself_cost_is_its_cost() -> None:
    verdict = CheckVerdict(
        at_s=1.0, step=StepId("a"), check=1, name="judge", verdict="pass", digest=DIGEST, usd=0.5, tokens=3
    )
    costs = [
        canonical_event(recorded(fact))["cost"] for fact in (verdict, replace(verdict, usd=0.0, tokens=0), ended())
    ]
    assert costs == [{"usd": 0.5, "tokens": 3}, None, None]


@given(any_fact())
def test_every_canonical_event_is_json_with_the_promised_names(fact: Fact) -> None:
    event = canonical_event(recorded(fact))
    assert json.loads(json.dumps(event, allow_nan=False)) == event
    assert {"run", "seq", "at", "step", "attempt", "actor", "cost", "digest", "prev_hash"} <= set(event)


def test_tuples_come_back_as_tuples_and_lists_as_lists() -> None:
    fact = StepQuarantined(at_s=1.0, step=StepId("a"), reason="r", affected=(StepId("b"), StepId("c")))
    assert back(fact).fact == fact


def test_lists_come_back_as_lists_and_whole_numbers_as_the_fractions_they_stand_for() -> None:
    fact = StepExpanded(at_s=2, step=StepId("a"), count=2, items=[1, [2]])
    assert repr(back(fact).fact) == repr(replace(fact, at_s=2.0))
