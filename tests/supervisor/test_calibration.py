"""From outputs of known truth to a threshold, its detection and its false alarms, with how sure they are."""

import pytest

from orchestrator.errors import PromiseError
from orchestrator.supervisor.calibration import calibrate

SCORED = [(0.95, True), (0.9, True), (0.85, True), (0.7, True), (0.8, False), (0.6, False), (0.4, False), (0.2, False)]


def test_the_lowest_threshold_that_keeps_enough_of_the_wrong_out() -> None:
    found = calibrate(SCORED, wrong_max=0.1, least=4)
    assert (found.pass_at, found.detection, found.false_alarm, found.wrong, found.right) == (0.85, 1.0, 0.25, 4, 4)
    assert found.gains
    assert found.detection_low == pytest.approx(0.5101, abs=1e-4)
    assert found.false_alarm_high == pytest.approx(0.6994, abs=1e-4)
    mild = calibrate(SCORED, wrong_max=0.25, least=4)
    assert (mild.pass_at, mild.detection, mild.false_alarm) == (0.7, 0.75, 0.0)


def test_what_passes_is_wrong_as_often_as_the_odds_say() -> None:
    found = calibrate([(0.9, False)] * 8 + [(0.1, False)] * 12 + [(0.9, True)] * 18 + [(0.1, True)] * 2, wrong_max=0.4)
    assert (found.detection, found.false_alarm) == (0.6, 0.1)
    assert found.wrong_share(0.3) == pytest.approx(0.3 * 0.4 / (0.3 * 0.4 + 0.7 * 0.9))


def test_a_judge_that_sees_no_difference_gains_nothing() -> None:
    found = calibrate([(0.9, False), (0.1, False)] * 10 + [(0.9, True), (0.1, True)] * 10, wrong_max=0.5)
    assert (found.detection, found.false_alarm, found.gains) == (0.5, 0.5, False)
    assert found.wrong_share(0.3) == pytest.approx(0.3)


@pytest.mark.parametrize(
    ("scored", "wrong_max"), [([], 0.05), (SCORED, 0.05), ([(1.5, True)] * 20, 0.05), ([(0.5, True)] * 40, 1.0)]
)
def test_too_little_is_refused_rather_than_guessed_from(scored: list[tuple[float, bool]], wrong_max: float) -> None:
    with pytest.raises(PromiseError):
        calibrate(scored, wrong_max=wrong_max)
