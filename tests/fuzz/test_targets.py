"""Text of strangers becomes a value or an error of ours, within bars of time and memory; nothing else, and no hang."""

import time

import pytest

from orchestrator.errors import PlanError
from tests.fuzz.fuzzer import FULL, INPUTS, MEMORY_BYTES, Stuck, Target, check, input_of, run
from tests.fuzz.targets import TARGETS


@pytest.mark.parametrize("name", sorted(TARGETS))
def test_every_input_ends_as_a_value_or_as_an_error_of_ours(name: str) -> None:
    found = run(TARGETS[name])
    assert found["value"], f"nothing that was fed was ever taken: {found}"
    assert FULL or found.total() == INPUTS
    assert found.total() > found["value"], f"nothing that was fed was ever refused: {found}"


@pytest.mark.parametrize("name", sorted(TARGETS))
def test_an_input_is_the_same_whenever_it_is_asked_for(name: str) -> None:
    target = TARGETS[name]
    kept = target.corpus()
    assert [input_of(target, number) for number in range(len(kept))] == kept
    assert [input_of(target, number) for number in range(60)] == [
        input_of(target, number, kept) for number in range(60)
    ]
    assert len({input_of(target, number) for number in range(100)}) > 80


def loud(feed: object, **more: float) -> Target:
    return Target(name="answer", feed=feed, words=(), **more)  # type: ignore[arg-type]  # a function


def test_the_fuzzer_itself_finds_a_foreign_error_a_slow_input_a_large_one_and_a_hang(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def foreign(data: bytes) -> None:
        raise KeyError(data)

    def slow(data: bytes) -> None:
        end_s = time.process_time() + 0.02
        while time.process_time() < end_s:
            pass

    def large(data: bytes) -> None:
        bytearray(2 * MEMORY_BYTES)

    def hang(data: bytes) -> None:
        while True:
            try:
                while True:
                    pass
            except Exception:  # noqa: BLE001  # as bad code does; it must not help
                continue

    def refused(data: bytes) -> None:
        raise PlanError(())

    for feed, told in ((foreign, "KeyError"), (slow, "s of processor time"), (large, "bytes for b'x'")):
        with pytest.raises(AssertionError, match=told):
            check(loud(feed, cpu_s=0.01 if feed is slow else 1.0), b"x", weighed=True)
    monkeypatch.setattr("tests.fuzz.fuzzer.STUCK_S", 0.05)
    with pytest.raises(AssertionError, match=r"Stuck: still busy after 0\.05 s"):
        check(loud(hang), b"x", weighed=False)
    assert check(loud(refused), b"x", weighed=True) == "PlanError"
    assert not issubclass(Stuck, Exception)
