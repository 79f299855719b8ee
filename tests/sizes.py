"""How large the tests are: one named set for every push, one for `make prove`.

ORCHESTRATOR_PROVE=full selects the full set; any other value than that or nothing is refused, so that a typing error
cannot pass for a proof.
"""

import os
from dataclasses import dataclass

__all__ = ["CI", "PROVE", "SIZES", "Sizes"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Sizes:
    """Counts that trade proof for time."""

    name: str
    hypothesis_examples: int  #: examples per property
    machine_steps: int  #: moves of one run of a state machine
    crash_stride: int  #: crash at every n-th append of a reference plan; 1 is all of them
    kill_points: int  #: moments at which a real child process is killed
    eager_runs: int  #: runs whose median start delay is taken
    fan_out: int  #: branches of the wide plans
    concurrent_runs: int  #: runs open at once in one process
    large_plan_steps: int  #: steps of the largest plans that are run to the end


CI = Sizes(
    name="ci",
    hypothesis_examples=50,
    machine_steps=30,
    crash_stride=1,
    kill_points=12,
    eager_runs=15,
    fan_out=300,
    concurrent_runs=300,
    large_plan_steps=2_000,
)

#: The sizes the project's promises are stated at.
PROVE = Sizes(
    name="prove",
    hypothesis_examples=2_000,
    machine_steps=100,
    crash_stride=1,
    kill_points=200,
    eager_runs=50,
    fan_out=10_000,
    concurrent_runs=10_000,
    large_plan_steps=100_000,
)


def _selected() -> Sizes:
    wanted = os.environ.get("ORCHESTRATOR_PROVE", "")
    if wanted not in {"", "full"}:
        raise ValueError(f"ORCHESTRATOR_PROVE is {wanted!r}; it may be 'full' or absent")
    return PROVE if wanted else CI


SIZES = _selected()
