"""Calibrates a judge: from outputs of which the truth is known, the score from which on one may pass."""

from collections.abc import Iterable
from dataclasses import dataclass
from math import sqrt
from typing import Final

from orchestrator.errors import PromiseError

LEAST: Final = 20  #: known outputs of each kind; fewer say next to nothing
Z: Final = 1.96  #: of a 95 % interval


@dataclass(frozen=True, slots=True, kw_only=True)
class Calibration:
    """What a judge is worth with this threshold."""

    pass_at: float  #: 0 to 1
    detection: float  #: share of wrong outputs that are refused: d
    detection_low: float  #: lower end of its 95 % interval
    false_alarm: float  #: share of right outputs that are refused: f
    false_alarm_high: float  #: upper end of its 95 % interval
    wrong: int  #: known outputs behind these numbers
    right: int

    @property
    def gains(self) -> bool:
        """Whether the judge is better than chance: it refuses more of the wrong than of the right."""
        return self.detection > self.false_alarm

    def wrong_share(self, wrong_before: float) -> float:
        """Of outputs that are wrong with this share before the judge: the share of wrong among those that pass.

        odds after = odds before x (1 - d) / (1 - f). Retries do not change it.
        """
        passed_wrong = wrong_before * (1 - self.detection)
        passed = passed_wrong + (1 - wrong_before) * (1 - self.false_alarm)
        return passed_wrong / passed if passed else 0.0


def calibrate(scored: Iterable[tuple[float, bool]], *, wrong_max: float = 0.05, least: int = LEAST) -> Calibration:
    """The lowest threshold at which at most `wrong_max` of the wrong outputs pass; higher ones refuse more right ones.

    `scored` are pairs of the judge's score, 0 to 1, and whether the output was right.

    Raises:
        PromiseError: fewer than `least` outputs of a kind are known, or a number is out of range.
    """
    pairs = list(scored)
    if not 0 <= wrong_max < 1 or any(not 0 <= score <= 1 for score, _ in pairs):
        raise PromiseError(
            "a score or share is out of range", "use scores from 0 to 1, and wrong_max from 0 to below 1"
        )
    wrong = [score for score, well in pairs if not well]
    right = [score for score, well in pairs if well]
    if min(len(wrong), len(right)) < least:
        told = f"{len(right)} right and {len(wrong)} wrong outputs are known"
        raise PromiseError(told, f"score at least {least} of each, or lower `least` and trust the numbers less")
    allowed = wrong_max * len(wrong)
    steps = sorted({score for score, _ in pairs})
    fitting = (step for step in steps if sum(score >= step for score in wrong) <= allowed)
    pass_at = next(fitting, 1.0)
    refused_wrong, refused_right = sum(score < pass_at for score in wrong), sum(score < pass_at for score in right)
    return Calibration(
        pass_at=pass_at,
        detection=refused_wrong / len(wrong),
        detection_low=_wilson(refused_wrong, len(wrong))[0],
        false_alarm=refused_right / len(right),
        false_alarm_high=_wilson(refused_right, len(right))[1],
        wrong=len(wrong),
        right=len(right),
    )


def _wilson(count: int, of: int) -> tuple[float, float]:
    """The 95 % interval of a share. Source: E. B. Wilson, JASA 22, 1927."""
    share, square = count / of, Z * Z
    middle = (share + square / (2 * of)) / (1 + square / of)
    half = Z * sqrt(share * (1 - share) / of + square / (4 * of * of)) / (1 + square / of)
    return max(middle - half, 0.0), min(middle + half, 1.0)
