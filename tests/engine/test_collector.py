"""The collector is patient while engines are open, and as it was afterwards."""

import gc
from collections.abc import Iterator

import pytest

from orchestrator.engine.collector import patient_collector


@pytest.fixture(autouse=True)
def thresholds() -> Iterator[None]:
    before = gc.get_threshold()
    yield
    gc.set_threshold(*before)


def test_thresholds_are_raised_inside_and_put_back_after_the_last() -> None:
    gc.set_threshold(700, 10, 10)
    with patient_collector():
        assert gc.get_threshold() == (10_000, 10, 10)
        with patient_collector():
            assert gc.get_threshold() == (10_000, 10, 10)
        assert gc.get_threshold() == (10_000, 10, 10)
    assert gc.get_threshold() == (700, 10, 10)


@pytest.mark.parametrize("own", [(50_000, 20, 20), (0, 10, 10)])
def test_a_host_with_thresholds_of_its_own_keeps_them(own: tuple[int, int, int]) -> None:
    gc.set_threshold(*own)
    with patient_collector():
        assert gc.get_threshold() == own
    assert gc.get_threshold() == own


def test_what_the_host_sets_meanwhile_stays() -> None:
    gc.set_threshold(700, 10, 10)
    with patient_collector():
        gc.set_threshold(5_000, 10, 10)
    assert gc.get_threshold() == (5_000, 10, 10)
