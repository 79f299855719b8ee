"""Intervals for shares and for their differences, so that chance is not taken for progress."""

from dataclasses import dataclass
from math import sqrt
from typing import Final

Z95: Final = 1.959963984540054  #: of the normal distribution, for 95 % in the middle


@dataclass(frozen=True, slots=True, kw_only=True)
class Interval:
    """A figure, and where it lies with 95 % confidence."""

    value: float
    low: float
    high: float


def share(right: int, all_: int) -> Interval:
    """A share with its interval by Wilson's score.

    Raises:
        ValueError: there is nothing, or more is right than there is.

    Source: Wilson, "Probable inference, the law of succession, and statistical inference", JASA 22, 1927.
    """
    if not 0 <= right <= all_ or all_ < 1:
        raise ValueError(f"{right} of {all_} is no share")
    p, n, z = right / all_, all_, Z95
    middle = (p + z * z / (2 * n)) / (1 + z * z / n)
    half = z * sqrt(p * (1 - p) / n + z * z / (4 * n * n)) / (1 + z * z / n)
    return Interval(value=p, low=min(max(middle - half, 0.0), p), high=max(min(middle + half, 1.0), p))


def difference(both: int, only_new: int, only_old: int, neither: int) -> Interval:
    """How much larger the share of right cases is now, for the same cases then and now.

    `both` were right then and are now, `only_new` are right now alone, `only_old` were right then alone.

    Source: Newcombe, "Improved confidence intervals for the difference between binomial proportions based on paired
    data", Statistics in Medicine 17, 1998; method 10.
    """
    n = both + only_new + only_old + neither
    new, old = share(both + only_new, n), share(both + only_old, n)
    product = (both + only_new) * (only_old + neither) * (both + only_old) * (only_new + neither)
    phi = 0.0
    if product > 0:
        covariance = float(both * neither - only_new * only_old)
        if covariance > 0:
            covariance = max(covariance - n / 2, 0)
        phi = covariance / sqrt(product)
    down = _apart(new.value - new.low, old.high - old.value, phi)
    up = _apart(new.high - new.value, old.value - old.low, phi)
    value = new.value - old.value
    return Interval(value=value, low=max(value - down, -1.0), high=min(value + up, 1.0))


def _apart(a: float, b: float, phi: float) -> float:
    return sqrt(max(a * a - 2 * phi * a * b + b * b, 0.0))


__all__ = ["Interval", "difference", "share"]
