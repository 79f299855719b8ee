"""The position rule: which unit an input speaks of, and whether it still can be meant.

A unit's position is (attempt, phase). An input of an older position is a late duplicate and changes nothing;
one of a newer position is impossible, so it is our bug.
"""

from collections.abc import Sequence
from typing import Final

from orchestrator.core import facts as f
from orchestrator.core.inputs import TimerFired
from orchestrator.core.state import Status, StepState, Unit
from orchestrator.core.turn import Turn
from orchestrator.errors import IllegalTransition

Pair = tuple[StepState, Unit]
NOBODY: Final[Sequence[Pair]] = ()


def find(turn: Turn, event: f.StepFact | TimerFired) -> Pair | None:
    """The unit an input speaks of; None when the run has ended or a patch has dropped it.

    Raises:
        IllegalTransition: there never was such a unit, or it has not come to this attempt.
    """
    run = turn.run
    if run.ended:
        return None
    state = run.step(event.step)
    unit = state.find(event.branch) if state is not None else None
    if state is None or unit is None:
        if run.revision:
            return None
        raise IllegalTransition(str(event.step), "unknown", type(event).__name__)
    if event.attempt > unit.attempt:
        raise IllegalTransition(str(event.step), f"{unit.status} in attempt {unit.attempt}", _named(event))
    return state, unit


def _named(event: f.StepFact | TimerFired) -> str:
    return f"{type(event).__name__} of attempt {event.attempt}"


def at_work(turn: Turn, event: f.StepFact | TimerFired) -> Pair | None:
    """The unit, when it runs this very attempt and this sample has not been answered; None for a late input."""
    pair = find(turn, event)
    if pair is None:
        return None
    _, unit = pair
    if event.attempt < unit.attempt or unit.status is not Status.RUNNING:
        return None
    if unit.samples is None:
        if event.sample:
            raise IllegalTransition(str(event.step), "one sample", f"{_named(event)}, sample {event.sample}")
        return pair
    sample = unit.samples.get(event.sample)
    if sample is None:
        raise IllegalTransition(str(event.step), f"{len(unit.samples)} samples", f"sample {event.sample}")
    return None if sample.digest or sample.well is False else pair
