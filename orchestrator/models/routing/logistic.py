"""A small logistic regression: standardised features, ridge penalty, Newton's method.

Exact, so that equal data give equal weights; plain Python, so that a base installation can learn.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import exp, sqrt
from typing import Final

Row = Sequence[float]

RIDGE: Final = 1.0  #: penalty on each squared weight, in units of one example
ROUNDS_MAX: Final = 25
DONE: Final = 1e-8  #: largest change of a weight after which nothing more would change
CLAMP: Final = 6.0  #: standard deviations: one odd text moves a score no further


@dataclass(frozen=True, slots=True, kw_only=True)
class Logistic:
    """A fitted model. `weights` are of standardised features; `bias` of none."""

    means: tuple[float, ...]
    scales: tuple[float, ...]
    weights: tuple[float, ...]
    bias: float

    def probability(self, row: Row) -> float:
        """How likely the answer is yes, 0 to 1."""
        return _sigmoid(self.bias + sum(w * x for w, x in zip(self.weights, self._standard(row), strict=True)))

    def _standard(self, row: Row) -> list[float]:
        return [_clamped((x - m) / s) for x, m, s in zip(row, self.means, self.scales, strict=True)]


def fit(rows: Sequence[Row], answers: Sequence[bool], ridge: float = RIDGE) -> Logistic:
    """The model of least penalised loss, by Newton's method.

    Source: iteratively reweighted least squares, as in Hastie, Tibshirani and Friedman, The Elements of Statistical
    Learning, 2nd edition, section 4.4.1.

    Raises:
        ValueError: no examples, or rows of unequal length.
    """
    if not rows or len(rows) != len(answers):
        raise ValueError(f"{len(rows)} examples and {len(answers)} answers; give as many, and at least one")
    size, count = len(rows[0]), len(rows)
    means = [sum(row[i] for row in rows) / count for i in range(size)]
    scales = [sqrt(sum((row[i] - means[i]) ** 2 for row in rows) / count) or 1.0 for i in range(size)]
    standard = [[1.0, *(_clamped((x - m) / s) for x, m, s in zip(row, means, scales, strict=True))] for row in rows]
    weights = [0.0] * (size + 1)
    for _ in range(ROUNDS_MAX):
        step = _newton(standard, answers, weights, ridge)
        weights = [w + d for w, d in zip(weights, step, strict=True)]
        if max(map(abs, step)) < DONE:
            break
    return Logistic(means=tuple(means), scales=tuple(scales), weights=tuple(weights[1:]), bias=weights[0])


def _newton(rows: list[list[float]], answers: Sequence[bool], weights: list[float], ridge: float) -> list[float]:
    size = len(weights)
    slope = [0.0] + [-ridge * w for w in weights[1:]]
    curve = [[0.0] * size for _ in range(size)]
    for row, answer in zip(rows, answers, strict=True):
        p = _sigmoid(sum(w * x for w, x in zip(weights, row, strict=True)))
        short, bend = (1.0 if answer else 0.0) - p, max(p * (1.0 - p), 1e-9)
        for i, x in enumerate(row):
            slope[i] += short * x
            if x:
                bent, line = bend * x, curve[i]
                for j in range(i + 1):
                    line[j] += bent * row[j]
    for i in range(size):
        curve[i][i] += ridge if i else 1e-9
        for j in range(i):
            curve[j][i] = curve[i][j]
    return _solved(curve, slope)


def _solved(matrix: list[list[float]], right: list[float]) -> list[float]:
    """The solution of a symmetric positive definite system, by Cholesky's decomposition."""
    size = len(right)
    lower = [[0.0] * size for _ in range(size)]
    for i in range(size):
        for j in range(i + 1):
            rest = matrix[i][j] - sum(lower[i][k] * lower[j][k] for k in range(j))
            lower[i][j] = sqrt(max(rest, 1e-12)) if i == j else rest / lower[j][j]
    half = [0.0] * size
    for i in range(size):
        half[i] = (right[i] - sum(lower[i][k] * half[k] for k in range(i))) / lower[i][i]
    found = [0.0] * size
    for i in reversed(range(size)):
        found[i] = (half[i] - sum(lower[k][i] * found[k] for k in range(i + 1, size))) / lower[i][i]
    return found


def _sigmoid(x: float) -> float:
    return 1.0 / (1.0 + exp(-x)) if x >= 0 else exp(x) / (1.0 + exp(x))


def _clamped(x: float) -> float:
    return min(max(x, -CLAMP), CLAMP)
