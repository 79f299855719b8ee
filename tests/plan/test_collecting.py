"""The collector while large plans are made: held inside, put back after, and what is left is old at once."""

import gc
from collections.abc import Iterator

import pytest

from orchestrator.plan import collecting
from orchestrator.plan.collecting import undisturbed


@pytest.fixture(autouse=True)
def young_again() -> Iterator[None]:
    gc.collect()
    yield
    assert gc.isenabled()
    gc.unfreeze()


def is_old(made: object) -> bool:
    return any(one is made for one in gc.get_objects(generation=2))


def test_what_a_large_plan_leaves_is_old_at_once() -> None:
    with undisturbed():
        assert not gc.isenabled()
        made = [[number] for number in range(collecting._MANY)]

    assert is_old(made)
    assert gc.get_freeze_count() == 0


def test_a_few_objects_stay_young() -> None:
    with undisturbed():
        made = [[1], [2]]

    assert not is_old(made)


def test_what_the_host_has_frozen_stays_frozen() -> None:
    gc.freeze()
    with undisturbed():
        made = [[number] for number in range(collecting._MANY)]

    assert not is_old(made)
    assert gc.get_freeze_count() > 0


def test_a_collector_that_is_off_stays_off() -> None:
    gc.disable()
    try:
        with undisturbed():
            pass
        assert not gc.isenabled()
    finally:
        gc.enable()
