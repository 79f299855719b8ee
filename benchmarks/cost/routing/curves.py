"""Quality against the share of strong calls, and what is read off it: APGR and CPT, with intervals.

PGR (performance gap recovered) is (quality - weak) / (strong - weak); APGR its mean over all shares; CPT(x) the least
share of strong calls that reaches a PGR of x. Source: Ong et al., "RouteLLM", arXiv 2406.18665 (2024), section 3.
"""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from benchmarks.cost.routing.outcomes import Outcome

BOOTSTRAPS: Final = 200
SHARES: Final = tuple(n / 10 for n in range(11))


@dataclass(frozen=True, slots=True, kw_only=True)
class Curve:
    """What one way of ordering questions is worth: those with the highest score go to the strong model first."""

    apgr: float
    cpt80: float | None  #: None: never reached
    cpt100: float | None
    quality: tuple[float, ...]  #: at `SHARES`


def curve(outcomes: Sequence[Outcome], scores: Sequence[float], picks: Sequence[int]) -> Curve:
    """The curve over the questions `picks`, which may hold a question several times. Ties go by position."""
    order = sorted(picks, key=lambda i: (-scores[i], i))
    count = len(order)
    right = sum(outcomes[i].weak for i in order)
    weak, strong = right, sum(outcomes[i].strong for i in order)
    gap = strong - weak
    area, before, marks, rights = 0.0, 0.0, {0.8: None, 1.0: None}, [right]
    found: dict[float, float | None] = dict(marks)
    for number, i in enumerate(order, 1):
        right += outcomes[i].strong - outcomes[i].weak
        rights.append(right)
        pgr = (right - weak) / gap if gap else 0.0
        area += (pgr + before) / 2 / count
        before = pgr
        for mark, reached in found.items():
            if reached is None and pgr >= mark - 1e-12:
                found[mark] = number / count
    quality = tuple(rights[round(share * count)] / count for share in SHARES)
    return Curve(apgr=area, cpt80=found[0.8], cpt100=found[1.0], quality=quality)


@dataclass(frozen=True, slots=True, kw_only=True)
class Interval:
    """A figure and what 95 % of resampled ones lie within."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.value:.3f} [{self.low:.3f}, {self.high:.3f}]"


def resampled(outcomes: Sequence[Outcome], seed: int) -> list[list[int]]:
    """Draws of whole subjects with replacement: questions of one subject are alike, so they come and go together."""
    chance = random.Random(seed)
    members: dict[str, list[int]] = {}
    for i, one in enumerate(outcomes):
        members.setdefault(one.subject, []).append(i)
    names = sorted(members)
    return [[i for name in chance.choices(names, k=len(names)) for i in members[name]] for _ in range(BOOTSTRAPS)]


def interval(value: float, draws: Sequence[float]) -> Interval:
    """The percentile interval of draws."""
    ordered = sorted(draws)
    at = [ordered[min(int(q * len(ordered)), len(ordered) - 1)] for q in (0.025, 0.975)]
    return Interval(value=value, low=at[0], high=at[1])


def with_intervals(
    outcomes: Sequence[Outcome], scores: Sequence[float], draws: Sequence[Sequence[int]]
) -> tuple[Curve, Interval, Interval]:
    """A curve, its APGR and its CPT(80 %); a draw that never reaches 80 % counts as a share of 1."""
    whole = curve(outcomes, scores, range(len(outcomes)))
    others = [curve(outcomes, scores, draw) for draw in draws]
    cpts = [1.0 if one.cpt80 is None else one.cpt80 for one in others]
    cpt = 1.0 if whole.cpt80 is None else whole.cpt80
    return whole, interval(whole.apgr, [one.apgr for one in others]), interval(cpt, cpts)
