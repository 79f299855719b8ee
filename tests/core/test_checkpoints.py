"""Signed checkpoints: every change of a ledger is found, and so is every run that is not as it says."""

import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.core.checkpoints import RUNS_MAX, Found, Ledger, Mark, key_id, lacks, line_of, mac_of
from orchestrator.errors import CheckpointBroken
from orchestrator.ids import RunId

KEY, OTHER = "k" * 32, "o" * 32
A, B, C = RunId("a"), RunId("b"), RunId("c")


def mark(seq: int, digit: str = "1") -> Mark:
    return Mark(seq=seq, hash=digit * 64)


def lines() -> list[str]:
    ledger = Ledger((KEY,))
    return [
        *ledger.sign("checkpoint", {A: mark(3), B: mark(5)}, at_s=1.0),
        *ledger.sign("forgotten", {B: mark(5)}, at_s=2.0, by="ann", reason="asked by a court", payloads_only=True),
        *ledger.sign("exported", {A: mark(3)}, at_s=3.0, by="bob"),
        *ledger.sign("forgotten", {A: mark(3)}, at_s=4.0, by="gc"),
        *ledger.sign("checkpoint", {C: mark(9, "2")}, at_s=5.0),
    ]


LINES = lines()


def read(told: list[str], *keys: str) -> Ledger:
    ledger = Ledger(keys or (KEY,))
    for line in told:
        ledger.add(line)
    return ledger


def test_lines_add_up() -> None:
    ledger = read(LINES)
    assert (ledger.number, ledger.at_s, ledger.mac) == (5, 5.0, json.loads(LINES[-1])["mac"])
    assert ledger.expected == {B: mark(5), C: mark(9, "2")}
    assert (ledger.gone, ledger.emptied) == ({A: mark(3)}, {B: mark(5)})


def test_a_line_is_written_one_way_and_read_back_as_it_was() -> None:
    ledger = Ledger((KEY,))
    assert [line_of(ledger.add(line)) for line in LINES] == LINES


def test_the_formula_is_the_one_that_is_documented() -> None:
    told = json.loads(LINES[0])
    mac = told.pop("mac")
    assert mac == mac_of(KEY, told)
    assert told == {
        "v": 1, "number": 1, "at": 1.0, "kind": "checkpoint", "runs": {"a": [3, "1" * 64], "b": [5, "1" * 64]},
        "by": "", "reason": "", "payloads_only": False, "before": "0" * 64, "key": key_id(KEY),
    }  # fmt: skip


def test_keys_change_and_old_ones_still_verify() -> None:
    ledger = Ledger((OTHER, KEY))
    ledger.add(LINES[0])
    (new,) = ledger.sign("checkpoint", {}, at_s=6.0)
    assert json.loads(new)["key"] == key_id(OTHER)
    assert read([LINES[0], new], KEY, OTHER).number == 2
    with pytest.raises(CheckpointBroken, match=f"1: it was signed with the key {key_id(KEY)}, which was not given"):
        read(LINES, OTHER)


@pytest.mark.parametrize("keys", [(), ("short",), (KEY, "k" * 31)])
def test_a_key_that_protects_nothing_is_refused(keys: tuple[str, ...]) -> None:
    with pytest.raises(ValueError, match="at least 32 characters"):
        Ledger(keys)


def test_many_runs_take_several_lines() -> None:
    runs = {RunId(str(n)): mark(1) for n in range(RUNS_MAX + 1)}
    signed = Ledger((KEY,)).sign("checkpoint", runs, at_s=1.0)
    assert [len(json.loads(line)["runs"]) for line in signed] == [RUNS_MAX, 1]
    assert read(signed).expected == runs


@given(st.integers(0, len(LINES) - 1), st.data())
def test_any_flipped_bit_is_found(at: int, data: st.DataObject) -> None:
    raw = bytearray(LINES[at].encode())
    bit = data.draw(st.integers(0, len(raw) * 8 - 1))
    raw[bit // 8] ^= 1 << bit % 8
    with pytest.raises(CheckpointBroken):
        read([*LINES[:at], raw.decode("utf-8", "surrogateescape"), *LINES[at + 1 :]])


@given(st.permutations(range(len(LINES))))
def test_any_other_order_is_found(order: list[int]) -> None:
    told = [LINES[at] for at in order]
    if told == LINES:
        assert read(told).number == len(LINES)
        return
    with pytest.raises(CheckpointBroken, match="the line is missing"):
        read(told)


@pytest.mark.parametrize("at", range(len(LINES) - 1))
def test_a_line_that_is_missing_is_found(at: int) -> None:
    with pytest.raises(CheckpointBroken) as caught:
        read(LINES[:at] + LINES[at + 1 :])
    assert caught.value.number == at + 1


def changed(**values: object) -> str:
    return json.dumps({**json.loads(LINES[0]), **values}, sort_keys=True, separators=(",", ":"))


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("{", "is no JSON"),
        ("[" * 100_000, "is no JSON"),
        ("[]", "is no checkpoint"),
        (changed(v=2), "its version is 2; this release reads 1"),
        (changed(kind="granted"), "missing or mistyped"),
        (changed(number="1"), "missing or mistyped"),
        (changed(runs={"a": [0, "1" * 64]}), "no record with its hash"),
        (changed(runs={"a": [1, "1"]}), "no record with its hash"),
        (changed(runs={"a": 1}), "no record with its hash"),
        (changed(more=1), "not written as checkpoints are"),
        (LINES[0].replace(":", ": ", 1), "not written as checkpoints are"),
        (changed(by="eve"), "the signature does not fit"),
    ],
)
def test_a_line_that_is_none_is_refused(line: str, reason: str) -> None:
    with pytest.raises(CheckpointBroken, match=reason) as caught:
        read([line])
    assert caught.value.number == 1
    assert str(caught.value).startswith("checkpoint 1: ")


SOUND = {
    B: Found(hash="1" * 64, last_seq=7, emptied=True),
    C: Found(hash="2" * 64, last_seq=9),
}


def test_a_journal_that_is_as_the_ledger_says_lacks_nothing() -> None:
    assert list(lacks(read(LINES), SOUND)) == []
    assert list(lacks(read(LINES), {**SOUND, A: Found(hash="1" * 64, last_seq=3)})) == []


def test_what_is_not_as_signed_is_named() -> None:
    ledger = read(LINES)
    assert list(lacks(ledger, {})) == [
        (B, 1, "the whole run is missing; signed up to record 5, and nobody asked to delete it"),
        (C, 1, "the whole run is missing; signed up to record 9, and nobody asked to delete it"),
    ]
    found = {
        A: Found(hash="3" * 64, last_seq=3),
        B: replace(SOUND[B], last_seq=4, hash=None),
        C: replace(SOUND[C], hash="1" * 64),
    }
    assert list(lacks(ledger, found)) == [
        (B, 5, "the end was cut off: it was signed up to record 5"),
        (C, 9, "the hash is not the one that was signed: the run was written anew"),
        (A, 3, "it was deleted on somebody's word, and another run has its name"),
    ]
    assert list(lacks(ledger, {**SOUND, C: replace(SOUND[C], emptied=True)})) == [
        (C, 1, "what it said was deleted, and no signed line says who asked for that"),
    ]
