"""The arithmetic of a choice between tiers: what a first tier with a check behind it costs, how often it ends right."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import sqrt
from typing import Final

Z95: Final = 1.645  #: standard deviations of a one-sided bound at 95 %


@dataclass(frozen=True, slots=True, kw_only=True)
class Gate:
    """How far the checks of a step can be believed. By default what passes them counts as right."""

    detection: float = 1.0  #: share of wrong outputs that are refused
    false_alarm: float = 0.0  #: share of right outputs that are refused

    def accepts(self, right: float) -> float:
        """The share of outputs that pass, where a share `right` is right."""
        return right * (1.0 - self.false_alarm) + (1.0 - right) * (1.0 - self.detection)

    def right(self, accepted: float) -> float:
        """The share of outputs that are right, where a share `accepted` passes; the inverse of `accepts`.

        0 for a gate that refuses right and wrong outputs alike: its verdicts say nothing.
        """
        told = self.detection - self.false_alarm
        return min(max((accepted - (1.0 - self.detection)) / told, 0.0), 1.0) if told > 0 else 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """What is known of a tier for one kind of work."""

    tier: str
    usd: float  #: of one attempt; any unit will do where all estimates share it
    right: float  #: share of attempts whose output is right, 0 to 1
    low: float  #: lower bound of it


@dataclass(frozen=True, slots=True, kw_only=True)
class Prospect:
    """What comes of beginning with a tier."""

    tier: str
    then: str  #: the tier it escalates to; empty for none
    usd: float  #: expected, the escalation included
    success: float  #: share that ends with a right output that passed
    low: float  #: lower bound of it


def prospect(first: Estimate, then: Estimate | None, gate: Gate) -> Prospect:
    """What to expect of `first`, whose refused outputs go to `then`. A cascade pays the first tier always."""
    refused = 1.0 - gate.accepts(first.right)
    usd = first.usd + (refused * then.usd if then is not None else 0.0)
    return Prospect(
        tier=first.tier,
        then=then.tier if then is not None else "",
        usd=usd,
        success=_success(first.right, then.right if then is not None else 0.0, gate),
        low=_success(first.low, then.low if then is not None else 0.0, gate),
    )


def _success(first: float, then: float, gate: Gate) -> float:
    well = 1.0 - gate.false_alarm
    return first * well + (1.0 - gate.accepts(first)) * then * well


def best(prospects: Sequence[Prospect], required: float) -> tuple[Prospect, bool]:
    """The cheapest whose lower bound reaches `required`, and True; where none does, the likeliest, and False.

    Raises:
        ValueError: there is none to choose from.
    """
    if not prospects:
        raise ValueError("no tier to choose from")
    able = [one for one in prospects if one.low >= required]
    if able:
        return min(able, key=lambda one: one.usd), True
    return max(prospects, key=lambda one: one.low), False


def lower_bound(well: int, count: int) -> float:
    """The one-sided 95 % lower bound of a share of which `well` of `count` were seen; 0 where nothing was.

    Source: Wilson's score interval (E. B. Wilson, Journal of the American Statistical Association 22, 1927).
    """
    if not count:
        return 0.0
    share, z2 = well / count, Z95 * Z95
    middle = share + z2 / (2 * count)
    spread = Z95 * sqrt(share * (1.0 - share) / count + z2 / (4.0 * count * count))
    return max((middle - spread) / (1.0 + z2 / count), 0.0)
