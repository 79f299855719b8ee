"""Draws that depend on names alone: equal names give equal draws, whatever runs first, beside, or again."""

import hashlib
import random

_SCALE = 2.0**-64


def number(*names: object) -> int:
    """A whole number from 0 to 2**64 - 1, uniform over different names."""
    text = "\x1f".join(map(str, names))
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "big")


def uniform(*names: object) -> float:
    """A draw from [0, 1)."""
    return number(*names) * _SCALE


def beta(mean: float, rho: float, *names: object) -> float:
    """A draw from the Beta distribution with this mean and intra-class correlation `rho` in [0, 1); rho 0: the mean.

    alpha = mean (1/rho - 1), beta = (1 - mean)(1/rho - 1).

    Raises:
        ValueError: `mean` is outside [0, 1] or `rho` outside [0, 1).
    """
    if not 0.0 <= mean <= 1.0 or not 0.0 <= rho < 1.0:
        raise ValueError(f"mean {mean} and rho {rho} must lie in [0, 1] and [0, 1)")
    if rho == 0.0 or mean in {0.0, 1.0}:
        return mean
    size = 1.0 / rho - 1.0
    return random.Random(number(*names)).betavariate(mean * size, (1.0 - mean) * size)


def exponential(mean: float, *names: object) -> float:
    """A draw from the exponential distribution, in the unit of `mean`."""
    return random.Random(number(*names)).expovariate(1.0 / mean)
