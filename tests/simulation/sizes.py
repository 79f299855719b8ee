"""How many schedules are played: a few at every push, the promised number where ORCHESTRATOR_PROVE is `full`."""

from dataclasses import dataclass

from tests.sizes import SIZES as NAMED

__all__ = ["SIZES", "SimulationSizes"]


@dataclass(frozen=True, slots=True, kw_only=True)
class SimulationSizes:
    """Counts that trade proof for time."""

    first: int  #: seed
    schedules: int
    edges: float  #: share of the legal moves that must be met
    pairs: float  #: share of the pairs of a fault and a phase
    bugs: int  #: planted ones that are looked for
    seeds: int  #: within which each is found


_CI = SimulationSizes(first=0, schedules=60, edges=0.4, pairs=0.4, bugs=8, seeds=1)
_PROVE = SimulationSizes(first=0, schedules=100_000, edges=1.0, pairs=0.9, bugs=1_000, seeds=10_000)
SIZES = _PROVE if NAMED.name == "prove" else _CI
