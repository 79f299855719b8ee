"""Hits and wrong serves on labelled pairs under a policy, each with its interval."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from math import sqrt
from typing import Generic, TypeVar

Z95 = 1.959964
T = TypeVar("T")


def wilson(hits: int, of: int) -> tuple[float, float]:
    """The 95 % interval of a share. Source: Wilson, J. Am. Stat. Assoc. 22 (1927), 209."""
    if not of:
        return 0.0, 1.0
    share, square = hits / of, Z95 * Z95
    middle = (share + square / (2 * of)) / (1 + square / of)
    half = Z95 / (1 + square / of) * sqrt(share * (1 - share) / of + square / (4 * of * of))
    return max(middle - half, 0.0), min(middle + half, 1.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Share:
    """How many of how many."""

    count: int
    of: int

    def __str__(self) -> str:
        low, high = wilson(self.count, self.of)
        rate = self.count / self.of if self.of else 0.0
        return f"{rate:6.1%} ({self.count:>3}/{self.of:<3}; {low:.1%} to {high:.1%})"


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """A policy on a set."""

    policy: str
    hits: Share  #: of pairs with one answer: served
    wrong: Share  #: of traps: served

    @property
    def precision(self) -> float | None:
        """Of what was served, the share that was right; None where nothing was."""
        served = self.hits.count + self.wrong.count
        return self.hits.count / served if served else None


class Labelled(Generic[T]):
    """Items with a label."""

    def __init__(self, items: Iterable[T], same: Callable[[T], bool]) -> None:
        self.items, self._same = list(items), same

    def under(self, policy: str, serves: Callable[[T], bool]) -> Measured:
        """Serve every item by `serves`, and count."""
        served = {label: [serves(item) for item in self.items if self._same(item) is label] for label in (True, False)}
        return Measured(
            policy=policy,
            hits=Share(count=sum(served[True]), of=len(served[True])),
            wrong=Share(count=sum(served[False]), of=len(served[False])),
        )


def table(title: str, rows: list[Measured]) -> str:
    """Lines for people."""
    width = max(len(row.policy) for row in rows)
    lines = [
        title,
        f"{'policy':<{width}}  {'hits of pairs with one answer':<34}  {'traps served wrongly':<34}  right of served",
    ]
    for row in rows:
        right = "-" if row.precision is None else f"{row.precision:.1%}"
        lines.append(f"{row.policy:<{width}}  {row.hits!s:<34}  {row.wrong!s:<34}  {right}")
    return "\n".join(lines)
