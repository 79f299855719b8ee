"""What a supervisor says while it plans a goal or patches a plan: drafts, the pattern, and the plan itself."""

from collections.abc import Sequence

from orchestrator.core import facts as f
from orchestrator.core.positions import NOBODY, Pair, at_work, find
from orchestrator.core.state import Status
from orchestrator.core.turn import Turn
from orchestrator.errors import IllegalTransition


def drafted(turn: Turn, event: f.PlanDrafted) -> Sequence[Pair]:
    """A draft counts once, in its order, while the planner is waited for."""
    pair = _planning(turn, event) if event.purpose == "plan" else _replanning(turn, event)
    if pair is not None and event.number == len(pair[1].drafts) + 1:
        turn.emit(event)
    return NOBODY


def _planning(turn: Turn, event: f.PlanDrafted | f.PatternChosen | f.GoalPlanned) -> Pair | None:
    """The unit, when this very attempt at its goal has no plan yet; None for a late word.

    Raises:
        IllegalTransition: the step has no goal, so nobody was asked to plan one.
    """
    pair = at_work(turn, event)
    if pair is None:
        return None
    if pair[0].spec.step.goal is None:
        raise IllegalTransition(str(event.step), "without a goal", type(event).__name__)
    return pair if pair[1].sub is None else None


def _replanning(turn: Turn, event: f.PlanDrafted) -> Pair | None:
    """The unit, when a patch is waited for in this very attempt; None for a late word."""
    pair = find(turn, event)
    if pair is None:
        return None
    _, unit = pair
    return pair if unit.status is Status.WAITING and unit.replan and unit.attempt == event.attempt else None


def pattern_chosen(turn: Turn, event: f.PatternChosen) -> Sequence[Pair]:
    """Decided once for each attempt at a goal."""
    pair = _planning(turn, event)
    if pair is not None and pair[1].pattern is None:
        turn.emit(event)
    return NOBODY


def goal_planned(turn: Turn, event: f.GoalPlanned) -> Sequence[Pair]:
    """The first plan counts, and its sub-plan is started."""
    pair = _planning(turn, event)
    if pair is None:
        return NOBODY
    turn.emit(event)
    return (pair,)
