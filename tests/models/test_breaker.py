"""The circuit breaker, state by state, on a clock that is moved by hand."""

import pytest

from orchestrator.models.breaker import Breaker


class Hands:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Hands:
    return Hands()


@pytest.fixture
def breaker(clock: Hands) -> Breaker:
    return Breaker(3, 30.0, clock)


def fail(breaker: Breaker, times: int) -> None:
    for _ in range(times):
        entered = breaker.enter()
        assert entered is not None
        breaker.failed(entered)


def test_it_opens_after_failures_in_a_row(breaker: Breaker) -> None:
    fail(breaker, 2)
    assert (breaker.state, breaker.lets_through) == ("closed", True)
    fail(breaker, 1)
    assert (breaker.state, breaker.lets_through, breaker.enter(), breaker.opens_in_s) == ("open", False, None, 30.0)


def test_a_success_between_failures_starts_the_count_anew(breaker: Breaker) -> None:
    fail(breaker, 2)
    assert breaker.enter()
    breaker.succeeded()
    fail(breaker, 2)
    assert breaker.state == "closed"


def test_after_a_while_one_call_probes(breaker: Breaker, clock: Hands) -> None:
    fail(breaker, 3)
    clock.now = 30.0
    assert breaker.state == "half_open"
    assert [breaker.enter(), breaker.enter()] == ["probe", None]
    breaker.succeeded()
    assert (breaker.state, breaker.enter()) == ("closed", "call")


def test_a_probe_that_fails_opens_it_again(breaker: Breaker, clock: Hands) -> None:
    fail(breaker, 3)
    clock.now = 31.0
    fail(breaker, 1)
    assert (breaker.state, breaker.opens_in_s) == ("open", 30.0)


def test_a_probe_that_was_never_sent_leaves_the_place_to_another(breaker: Breaker, clock: Hands) -> None:
    fail(breaker, 3)
    clock.now = 31.0
    assert breaker.enter() == "probe"
    breaker.left("probe")
    assert (breaker.state, breaker.enter()) == ("half_open", "probe")


def test_calls_from_before_the_opening_do_not_prolong_it(breaker: Breaker, clock: Hands) -> None:
    assert [breaker.enter() for _ in range(5)] == ["call"] * 5
    for _ in range(3):
        breaker.failed("call")
    clock.now = 20.0
    for _ in range(2):
        breaker.failed("call")
    assert breaker.opens_in_s == 10.0


def test_calls_from_before_the_opening_do_not_make_room_for_a_second_probe(breaker: Breaker, clock: Hands) -> None:
    assert [breaker.enter() for _ in range(5)] == ["call"] * 5
    for _ in range(3):
        breaker.failed("call")
    clock.now = 30.0
    assert breaker.enter() == "probe"
    breaker.left("call")
    breaker.failed("call")
    assert (breaker.state, breaker.enter()) == ("half_open", None)
