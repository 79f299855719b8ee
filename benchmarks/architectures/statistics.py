"""Intervals and paired tests for counts, exact and without a library of statistics."""

import math
from fractions import Fraction
from statistics import NormalDist

Interval = tuple[float, float]
_STEPS = 300  #: of the continued fraction; it converges in O(sqrt(max(a, b)))
_HALVINGS = 100  #: of a bisection in [0, 1]: below the spacing of floats


def wilson(successes: int, n: int, level: float = 0.95) -> Interval:
    """Wilson's score interval for a share; (0, 1) when nothing was observed.

    Source: Wilson, J. Am. Stat. Assoc. 22 (1927) 209.

    Raises:
        ValueError: `successes` is not within 0..n, or `level` not within (0, 1).
    """
    _check(successes, n, level)
    if n == 0:
        return 0.0, 1.0
    z = NormalDist().inv_cdf(0.5 + level / 2)
    share, z2 = successes / n, z * z
    middle = (share + z2 / (2 * n)) / (1 + z2 / n)
    half = z / (1 + z2 / n) * math.sqrt(share * (1 - share) / n + z2 / (4 * n * n))
    return (0.0 if successes == 0 else middle - half), (1.0 if successes == n else middle + half)


def clopper_pearson(successes: int, n: int, level: float = 0.95) -> Interval:
    """The exact interval for a share: covers at least `level`, whatever the truth.

    Source: Clopper and Pearson, Biometrika 26 (1934) 404; bounds as quantiles of Beta distributions.

    Raises:
        ValueError: as `wilson`.
    """
    _check(successes, n, level)
    tail = (1 - level) / 2
    low = 0.0 if successes == 0 else beta_quantile(tail, successes, n - successes + 1)
    high = 1.0 if successes == n else beta_quantile(1 - tail, successes + 1, n - successes)
    return low, high


def mcnemar(only_first: int, only_second: int) -> float:
    """Two-sided exact p-value that two arms, paired by instance, succeed equally often.

    Takes the discordant pairs only; a sign test with p = 1/2. 1.0 when there are none.

    Source: McNemar, Psychometrika 12 (1947) 153; exact form by the binomial distribution.

    Raises:
        ValueError: a count is negative.
    """
    if only_first < 0 or only_second < 0:
        raise ValueError(f"counts are 0 or more, not {only_first} and {only_second}")
    n, few = only_first + only_second, min(only_first, only_second)
    # Whole numbers until the last division, so that no size of n can underflow.
    return min(1.0, float(Fraction(2 * sum(math.comb(n, k) for k in range(few + 1)), 2**n)))


def holm(p_values: list[float]) -> list[float]:
    """p-values adjusted for their number, in the same order.

    Source: Holm, Scand. J. Statist. 6 (1979) 65.
    """
    order = sorted(range(len(p_values)), key=p_values.__getitem__)
    adjusted, highest = [0.0] * len(p_values), 0.0
    for rank, at in enumerate(order):
        highest = max(highest, min(1.0, (len(p_values) - rank) * p_values[at]))
        adjusted[at] = highest
    return adjusted


def mean_and_error(values: list[float]) -> tuple[float, float]:
    """Mean and its standard error; the error is infinite below two values.

    Raises:
        ValueError: no values.
    """
    if not values:
        raise ValueError("a mean needs a value")
    n = len(values)
    mean = math.fsum(values) / n
    if n == 1:
        return mean, math.inf
    return mean, math.sqrt(math.fsum((value - mean) ** 2 for value in values) / (n - 1) / n)


def beta_cdf(x: float, a: float, b: float) -> float:
    """The regularised incomplete beta function I_x(a, b), by Lentz's continued fraction.

    Source: DLMF 8.17.22; Lentz, Applied Optics 15 (1976) 668.

    Raises:
        ValueError: `a` or `b` is not above 0.
    """
    if a <= 0 or b <= 0:
        raise ValueError(f"I_x(a, b) needs a and b above 0, not {a} and {b}")
    if x <= 0.0 or x >= 1.0:
        return float(x >= 1.0)
    front = math.exp(math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b) + a * math.log(x) + b * math.log1p(-x))
    if x < (a + 1) / (a + b + 2):
        return front * _fraction(x, a, b) / a
    return 1.0 - front * _fraction(1.0 - x, b, a) / b


def beta_quantile(p: float, a: float, b: float) -> float:
    """The x with I_x(a, b) = p."""
    low, high = 0.0, 1.0
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        if beta_cdf(middle, a, b) < p:
            low = middle
        else:
            high = middle
    return (low + high) / 2


def _fraction(x: float, a: float, b: float) -> float:
    tiny = 1e-300
    c, d = 1.0, 1.0 - (a + b) * x / (a + 1)
    d = 1.0 / (d if abs(d) > tiny else tiny)
    found = d
    for m in range(1, _STEPS):
        for term in (
            m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m)),
            -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1)),
        ):
            d = 1.0 + term * d
            d = 1.0 / (d if abs(d) > tiny else tiny)
            c = 1.0 + term / c
            c = c if abs(c) > tiny else tiny
            found *= c * d
        if abs(c * d - 1.0) < 1e-15:
            break
    return found


def _check(successes: int, n: int, level: float) -> None:
    if not 0 <= successes <= n:
        raise ValueError(f"{successes} successes of {n}")
    if not 0 < level < 1:
        raise ValueError(f"the level is {level}; it lies between 0 and 1")
