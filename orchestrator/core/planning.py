"""What a supervisor says while it plans a goal or patches a plan: drafts, the pattern, and the plan itself."""

from collections.abc import Sequence

from orchestrator.core import facts as f
from orchestrator.core.positions import NOBODY, Pair, at_work, find
from orchestrator.core.state import Status
from orchestrator.core.turn import Turn


def drafted(turn: Turn, event: f.PlanDrafted) -> Sequence[Pair]:
    """A draft counts once, in its order, while the planner is waited for."""
    pair = at_work(turn, event) if event.purpose == "plan" else _replanning(turn, event)
    if pair is None:
        return NOBODY
    _, unit = pair
    if unit.sub is None and event.number == len(unit.drafts) + 1:
        turn.emit(event)
    return NOBODY


def _replanning(turn: Turn, event: f.PlanDrafted) -> Pair | None:
    pair = find(turn, event)
    if pair is None:
        return None
    _, unit = pair
    return pair if unit.status is Status.WAITING and unit.replan and unit.attempt == event.attempt else None


def pattern_chosen(turn: Turn, event: f.PatternChosen) -> Sequence[Pair]:
    """Decided once for each attempt at a goal."""
    pair = at_work(turn, event)
    if pair is not None and pair[1].pattern is None and pair[1].sub is None:
        turn.emit(event)
    return NOBODY


def goal_planned(turn: Turn, event: f.GoalPlanned) -> Sequence[Pair]:
    """The first plan counts, and its sub-plan is started."""
    pair = at_work(turn, event)
    if pair is None or pair[1].sub is not None or pair[0].spec.step.goal is None:
        return NOBODY
    turn.emit(event)
    return (pair,)
