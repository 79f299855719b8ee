"""The paper's published numbers, and what the harness's own functions make of them."""

import json
import math
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from benchmarks.architectures.metrics import amplification, efficiency, overhead_percent

SINGLE = "SAS"
TEAMS = ("Ind", "Dec", "Cen", "Hyb")
THRESHOLD = 0.45  #: the paper's rule: below this success of the single agent, use a team


@dataclass(frozen=True, slots=True, kw_only=True)
class Published:
    """Table 5, and success per benchmark, architecture and model."""

    source: str
    models: list[str]
    table5: dict[str, dict[str, float]]
    cells: dict[str, dict[str, list[float]]]


@cache
def published() -> Published:
    """The numbers as printed; 180 cells in the order of `models`."""
    return Published(**json.loads((Path(__file__).parent / "data" / "published.json").read_text(encoding="utf-8")))


def table5_overhead() -> dict[str, float]:
    """O % from Table 5's turns."""
    turns = published().table5["turns"]
    return {team: overhead_percent(turns[team], turns[SINGLE]) for team in TEAMS}


def table5_efficiency() -> dict[str, float]:
    """E_c from Table 5's turns and printed success rates."""
    turns, success = published().table5["turns"], published().table5["success"]
    return {team: efficiency(success[team], turns[team], turns[SINGLE]) for team in TEAMS}


def cell_amplification() -> dict[str, float]:
    """A_e on tasks: mean over the 36 cells of each team."""
    found = {}
    for team in TEAMS:
        ratios = [
            ratio
            for rates in published().cells.values()
            for success, single in zip(rates[team], rates[SINGLE], strict=True)
            if (ratio := amplification(success, single)) is not None
        ]
        found[team] = math.fsum(ratios) / len(ratios)
    return found


def relative_changes() -> list[float]:
    """Change of mean success against the single agent, in per cent: 4 benchmarks by 4 teams."""
    changes = []
    for rates in published().cells.values():
        single = math.fsum(rates[SINGLE]) / len(rates[SINGLE])
        changes += [(math.fsum(rates[team]) / len(rates[team]) / single - 1) * 100 for team in TEAMS]
    return changes


def mean_success() -> dict[str, float]:
    """Success per architecture over all cells."""
    found = {}
    for team in (SINGLE, *TEAMS):
        rates = [rate for cells in published().cells.values() for rate in cells[team]]
        found[team] = math.fsum(rates) / len(rates)
    return found


def threshold_hits() -> tuple[int, int, int]:
    """The 45 % rule on the cells: right calls of its sign, cells, and those of always the commoner sign."""
    hits = gains = total = 0
    for rates in published().cells.values():
        for at, single in enumerate(rates[SINGLE]):
            gain = max(rates[team][at] for team in TEAMS) > single
            hits += gain == (single < THRESHOLD)
            gains += gain
            total += 1
    return hits, total, max(gains, total - gains)


def best_per_cell() -> dict[str, dict[str, int]]:
    """How often each architecture is best, per benchmark; ties go to the simpler one."""
    found: dict[str, dict[str, int]] = {}
    for benchmark, rates in published().cells.items():
        counts = dict.fromkeys((SINGLE, *TEAMS), 0)
        for at in range(len(rates[SINGLE])):
            counts[max((SINGLE, *TEAMS), key=lambda team: rates[team][at])] += 1
        found[benchmark] = counts
    return found


def paper_rows() -> tuple[list[str], list[list[str]]]:
    """Table 5 of the paper, through the functions of this harness."""
    overhead, efficiency, table5 = table5_overhead(), table5_efficiency(), published().table5
    return ["", *TEAMS], [
        ["turns, printed", *[f"{table5['turns'][team]:.1f}" for team in TEAMS]],
        ["O %, from turns", *[f"{overhead[team]:.1f}" for team in TEAMS]],
        ["E_c, from turns and success", *[f"{efficiency[team]:.4f}" for team in TEAMS]],
    ]
