"""Ours against each other architecture, paired by instance: what comparing with the single agent leaves open."""

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from benchmarks.architectures.model import CLASSES, Case
from benchmarks.architectures.record import Episode
from benchmarks.architectures.statistics import holm, mcnemar

OURS: Final = "ours"


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """Ours and one other on the same instances of one class."""

    klass: str
    other: str
    n: int
    only_ours: int
    only_other: int
    p: float  #: adjusted by Holm over all pairs of a report
    cost: float | None  #: ours over the other, in money per task; None where the other cost nothing

    @property
    def difference(self) -> float:
        """In success."""
        return (self.only_ours - self.only_other) / self.n


def pairs(episodes: Sequence[Episode], cases: Mapping[str, Case]) -> list[Pair]:
    """One pair per class and other architecture; none without ours."""
    first = [one for one in episodes if one.trial == 0]
    names = [name for name in dict.fromkeys(one.architecture for one in first) if name != OURS]
    found = []
    for klass in CLASSES:
        by_name: dict[str, dict[str, Episode]] = {}
        for one in first:
            if cases[one.case].klass == klass:
                by_name.setdefault(one.architecture, {})[one.case] = one
        ours = by_name.get(OURS, {})
        found += [pair for name in names if (pair := _pair(klass, name, ours, by_name.get(name, {})))]
    adjusted = holm([one.p for one in found])
    return [dataclasses.replace(one, p=p) for one, p in zip(found, adjusted, strict=True)]


def _pair(klass: str, name: str, ours: Mapping[str, Episode], other: Mapping[str, Episode]) -> Pair | None:
    shared = [case for case in ours if case in other]
    if not shared:
        return None
    more = sum(ours[case].success is True and other[case].success is not True for case in shared)
    less = sum(ours[case].success is not True and other[case].success is True for case in shared)
    spent = sum(other[case].usd for case in shared)
    return Pair(
        klass=klass,
        other=name,
        n=len(shared),
        only_ours=more,
        only_other=less,
        p=mcnemar(more, less),
        cost=sum(ours[case].usd for case in shared) / spent if spent else None,
    )


def pair_rows(found: Sequence[Pair]) -> tuple[list[str], list[list[str]]]:
    """The pairs as a table."""
    header = ["class", "ours against", "n", "difference", "+ / −", "p (Holm)", "cost"]
    return header, [
        [
            one.klass,
            one.other,
            str(one.n),
            f"{one.difference:+.3f}",
            f"+{one.only_ours} −{one.only_other}",
            f"{one.p:.3f}" if one.p >= 0.001 else "< 0.001",
            "–" if one.cost is None else f"{one.cost:.2f}",
        ]
        for one in found
    ]
