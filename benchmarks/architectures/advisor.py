"""The advisor: from measured runs to an architecture per class of tasks, with its uncertainty and baselines."""

import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from benchmarks.architectures.chance import number
from benchmarks.architectures.model import Case
from benchmarks.architectures.published import THRESHOLD
from benchmarks.architectures.record import Episode
from benchmarks.architectures.statistics import clopper_pearson

CANDIDATES: Final = (
    "single",
    "independent-vote",
    "debate",
    "centralised",
    "hybrid",
    "ours",
    "best-of-n",
    "equal-budget",
)
TEAMS: Final = ("independent-vote", "debate", "centralised", "hybrid", "ours")
SIMPLER: Final = {name: at for at, name in enumerate(CANDIDATES)}  #: ties go to the simpler one
RESAMPLES: Final = 500

Cell = dict[str, float]
Table = dict[str, dict[str, Cell]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Advice:
    """What to use for a class of tasks."""

    klass: str
    architecture: str
    confidence: float  #: share of resampled pilots that choose the same
    success: float
    interval: tuple[float, float]  #: Clopper-Pearson, 95 %
    baselines: dict[str, tuple[str, float]]  #: rule -> what it would choose, and that one's success
    n: int


def table(episodes: Sequence[Episode], cases: Mapping[str, Case]) -> Table:
    """class -> architecture -> {successes, n, tokens, usd}: what a supervisor's choice of pattern reads.

    `tokens` and `usd` are means per instance.
    """
    found: dict[str, dict[str, list[Episode]]] = defaultdict(lambda: defaultdict(list))
    for one in episodes:
        if one.trial == 0:
            found[cases[one.case].klass][one.architecture].append(one)
    return {
        klass: {
            name: {
                "successes": sum(one.success is True for one in done),
                "n": len(done),
                "tokens": round(sum(one.tokens for one in done) / len(done), 1),
                "usd": round(sum(one.usd for one in done) / len(done), 8),
            }
            for name, done in sorted(by_name.items())
        }
        for klass, by_name in sorted(found.items())
    }


def write_table(path: Path, found: Table, *, agent: str) -> None:
    """The table as a file, with whose agents they were: simulated ones say so."""
    path.write_text(json.dumps({"agents": agent, "classes": found}, indent=1, sort_keys=True) + "\n", encoding="utf-8")


def advise(episodes: Sequence[Episode], cases: Mapping[str, Case], seed: int) -> list[Advice]:
    """One piece of advice per class. Needs the same instances under every architecture."""
    first = [one for one in episodes if one.trial == 0 and one.architecture in CANDIDATES]
    by_class: dict[str, dict[str, dict[str, bool]]] = defaultdict(lambda: defaultdict(dict))
    by_family: dict[str, dict[str, dict[str, bool]]] = defaultdict(lambda: defaultdict(dict))
    for one in first:
        by_class[cases[one.case].klass][one.architecture][one.case] = one.success is True
        by_family[cases[one.case].family][one.architecture][one.case] = one.success is True
    found = []
    for klass, outcomes in sorted(by_class.items()):
        names = sorted(set.intersection(*[set(one) for one in outcomes.values()]))
        if not names:
            continue
        chosen = best(outcomes, names)
        same = 0
        for sample in range(RESAMPLES):
            drawn = [names[number("pilot", seed, klass, sample, at) % len(names)] for at in range(len(names))]
            same += best(outcomes, drawn) == chosen
        hits = sum(outcomes[chosen][name] for name in names)
        found.append(
            Advice(
                klass=klass,
                architecture=chosen,
                confidence=same / RESAMPLES,
                success=hits / len(names),
                interval=clopper_pearson(hits, len(names)),
                baselines=_baselines(klass, outcomes, by_family, cases, names),
                n=len(names),
            )
        )
    return found


def best(outcomes: Mapping[str, Mapping[str, bool]], names: Sequence[str]) -> str:
    """The architecture that solves most of these instances; the simpler one of equals."""
    return min(outcomes, key=lambda name: (-sum(outcomes[name][one] for one in names), SIMPLER[name]))


def _baselines(
    klass: str,
    outcomes: Mapping[str, Mapping[str, bool]],
    by_family: Mapping[str, Mapping[str, Mapping[str, bool]]],
    cases: Mapping[str, Case],
    names: Sequence[str],
) -> dict[str, tuple[str, float]]:
    def rate(name: str) -> float:
        return sum(outcomes[name][one] for one in names) / len(names) if name in outcomes else 0.0

    found: dict[str, tuple[str, float]] = {}
    if "single" in outcomes:
        found["always single"] = ("single", rate("single"))
    members = [family for family in by_family if any(cases[one].family == family for one in names)]
    winners = {family: best(by_family[family], sorted(next(iter(by_family[family].values())))) for family in members}
    hits = sum(
        by_family[family][winners[family]][one] for family in members for one in by_family[family][winners[family]]
    )
    found["majority per benchmark"] = (
        ", ".join(f"{family}: {name}" for family, name in winners.items()),
        hits / len(names),
    )
    team = next((name for name in ("centralised", *TEAMS) if name in outcomes), "single")
    rule = "single" if rate("single") >= THRESHOLD else team
    found["45 % rule"] = (rule, rate(rule))
    return found


def advice_rows(found: Sequence[Advice]) -> tuple[list[str], list[list[str]]]:
    """The advisor's table."""
    header = [
        "class",
        "use",
        "chosen again in resamples",
        "success",
        "95 % (exact)",
        "n",
        "always single",
        "majority per benchmark",
        "45 % rule",
    ]
    body = [
        [
            one.klass,
            one.architecture,
            f"{one.confidence:.0%}",
            f"{one.success:.3f}",
            f"{one.interval[0]:.2f} – {one.interval[1]:.2f}",
            str(one.n),
            *[
                f"{one.baselines[rule][1]:.3f}" + (f" ({one.baselines[rule][0]})" if rule != "always single" else "")
                if rule in one.baselines
                else "–"
                for rule in ("always single", "majority per benchmark", "45 % rule")
            ],
        ]
        for one in found
    ]
    return header, body
