"""When an entry may answer a question that is only alike: a bound on wrong answers, learnt for each entry.

Whether the kept answer is right at similarity s is taken to be a logistic curve of s,
P(right | s) = 1 / (1 + exp(-g (s - t))). What was observed (s, right or not) gives a likelihood over thresholds t and
slopes g; the region of all (t, g) whose likelihood lies within a chi-square bound of the best holds the true curve with
confidence 1 - e. The lowest P(right | s) in that region, times 1 - e, bounds P(right) from below: call it a. An entry
that serves with probability d / (1 - a), and asks the model otherwise, gives at most d wrong answers per question; e is
taken where that is most.

Source: Schroeder et al., "vCache: Verified Semantic Prompt Caching", arXiv 2502.03771 (2025), sections 4 and 5. There
the slope is taken at its best estimate; here it is taken at its worst within the region too, because the estimate is
too sure of itself while there are few observations.
"""

from collections import Counter
from collections.abc import Sequence
from functools import lru_cache
from math import exp, log1p
from typing import Final

from orchestrator.ports.cache import Observation

SEEN_MIN: Final = 6  #: fewer observations never serve
#: Chances e that the region misses the curve, and how far below the best the log-likelihood may lie there: half of the
#: chi-square quantile of one degree of freedom at 1 - 2e, since P(right) at one s is one number, bounded on one side.
_REGIONS: Final = ((0.05, 1.353), (0.02, 2.109), (0.01, 2.706), (0.005, 3.317), (0.002, 4.142), (0.001, 4.775))
_SLOPES: Final = (4.0, 8.0, 16.0, 32.0, 64.0)
_THRESHOLDS: Final = tuple(i / 50 for i in range(-25, 71))  #: -0.5 to 1.4: from always right to never
_GRID: Final = tuple((slope, at) for slope in _SLOPES for at in _THRESHOLDS)


def serving_chance(seen: Sequence[Observation], similarity: float, delta: float) -> float:
    """The probability, 0 to 1, with which an entry may be served at a similarity, so that at most `delta` of all such
    questions are answered wrongly."""
    if delta >= 1:
        return 1.0  # any share is allowed: the guard alone decides
    if len(seen) < SEEN_MIN or delta <= 0:
        return 0.0
    counted = tuple((round(one.similarity, 2), one.same) for one in seen)
    return _chance(counted, round(similarity, 2), delta)


@lru_cache(maxsize=4_096)
def _chance(seen: tuple[tuple[float, bool], ...], similarity: float, delta: float) -> float:
    found = _likelihoods(tuple(sorted(seen)))
    best = max(found)
    most = 0.0
    for missed, depth in _REGIONS:
        lowest = min(
            _curve(slope, at, similarity)
            for (slope, at), likely in zip(_GRID, found, strict=True)
            if likely >= best - depth
        )
        wrong = 1.0 - (1.0 - missed) * lowest
        most = max(most, min(delta / wrong, 1.0) if wrong > 0 else 1.0)
    return most


@lru_cache(maxsize=1_024)
def _likelihoods(seen: tuple[tuple[float, bool], ...]) -> tuple[float, ...]:
    """The log-likelihood of what was seen at every point of the grid."""
    found = [0.0] * len(_GRID)
    for (similarity, same), times in Counter(seen).items():
        found = [so_far + times * more for so_far, more in zip(found, _row(similarity, same), strict=True)]
    return tuple(found)


@lru_cache(maxsize=512)
def _row(similarity: float, same: bool) -> tuple[float, ...]:
    return tuple(_log_curve(slope, at, similarity, same) for slope, at in _GRID)


def _curve(slope: float, at: float, similarity: float) -> float:
    return 1.0 / (1.0 + exp(-slope * (similarity - at)))


def _log_curve(slope: float, at: float, similarity: float, same: bool) -> float:
    turn = slope * (similarity - at)
    turn = turn if same else -turn
    return -log1p(exp(-turn)) if turn > -30 else turn
