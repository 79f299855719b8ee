"""Reads what a comparison of architectures has measured into rules for a host's own tasks. Data in, data out."""

from collections.abc import Mapping
from math import sqrt
from typing import Final, cast

from orchestrator.errors import PromiseError
from orchestrator.ids import JsonValue
from orchestrator.ports.planner import Pattern
from orchestrator.supervisor.patterns import Measured, TaskClass

LEAST: Final = 20  #: instances of a class behind one number; fewer decide nothing
CLASSES: Final[Mapping[str, TaskClass]] = {"decomposable": "parallel", "sequential": "sequential"}
#: what a comparison calls an architecture -> the pattern that comes nearest
PATTERN_OF: Final[Mapping[str, Pattern]] = {
    "single": "one_agent",
    "best-of-n": "one_agent",
    "independent-concat": "fan_out",
    "independent-vote": "fan_out",
    "debate": "fan_out",
    "centralised": "fan_out",
    "hybrid": "fan_out",
    "ours": "fan_out",
}
Z: Final = 1.96  #: of a 95 % interval


def measured_from(document: JsonValue, *, source: str, simulated: bool = False) -> Measured:
    """The best pattern by class of task, from the `advice.json` of a comparison.

    A pattern is taken over one agent only where its success is higher beyond both 95 % intervals; a class where
    nothing is sure is left to the table. Simulated agents prove a harness and not a model: they are refused unless
    `simulated` says that they are meant.

    Raises:
        PromiseError: it is no such document, or its agents were simulated.
    """
    if not isinstance(document, dict) or not isinstance(document.get("classes"), dict):
        raise PromiseError("this is no advice of a comparison", "hand over what `advice.json` holds")
    agents = str(document.get("agents", ""))
    if agents.startswith("simulated") and not simulated:
        raise PromiseError(f"its agents were {agents[:40]}", "compare with models of your own, or say simulated=True")
    best: dict[TaskClass, Pattern] = {}
    for name, cells in cast(dict[str, JsonValue], document["classes"]).items():
        kind = CLASSES.get(name)
        if kind is not None and isinstance(cells, dict):
            pattern = _best(kind, {one: _share(cell) for one, cell in cells.items()})
            if pattern is not None:
                best[kind] = pattern
    return Measured(best=best, source=source)


def _share(cell: JsonValue) -> tuple[int, int]:
    if not isinstance(cell, dict):
        return 0, 0
    hits, of = cell.get("successes"), cell.get("n")
    plain = type(hits) in (int, float) and type(of) in (int, float)
    return (int(cast(float, hits)), int(cast(float, of))) if plain else (0, 0)


def _best(kind: TaskClass, cells: Mapping[str, tuple[int, int]]) -> Pattern | None:
    """One agent unless something else is surely better; None where too little is known."""
    hits, of = cells.get("single", (0, 0))
    if of < LEAST:
        return None
    bar = _interval(hits, of)
    known = {name: _interval(*cell) for name, cell in cells.items() if cell[1] >= LEAST and name in PATTERN_OF}
    better = {name: ends for name, ends in known.items() if ends[0] > bar[1]}
    if better:
        winner = PATTERN_OF[max(better, key=lambda name: better[name])]
        return "chain" if winner == "fan_out" and kind == "sequential" else winner
    beaten = all(ends[1] < bar[0] for name, ends in known.items() if PATTERN_OF[name] != "one_agent")
    return "one_agent" if beaten and len(known) > 1 else None


def _interval(hits: int, of: int) -> tuple[float, float]:
    """The 95 % interval of a share. Source: E. B. Wilson, JASA 22, 1927."""
    share, square = hits / of, Z * Z
    middle = (share + square / (2 * of)) / (1 + square / of)
    half = Z * sqrt(share * (1 - share) / of + square / (4 * of * of)) / (1 + square / of)
    return middle - half, middle + half
