"""The table of facts and what they change: the only way state is written, live and on replay alike."""

from collections.abc import Callable
from typing import Final, TypeVar, cast

from orchestrator.core import evolve_sides as sides
from orchestrator.core import evolve_steps as steps
from orchestrator.core import facts as f
from orchestrator.core.state import RunState

F = TypeVar("F", bound=f.Fact)
Rule = Callable[[RunState, f.Fact], None]


def _rule(kind: type[F], rule: Callable[[RunState, F], None]) -> tuple[type[f.Fact], Rule]:
    return kind, cast(Rule, rule)  # the table pairs each rule with its own fact


EVOLVE: Final[dict[type[f.Fact], Rule]] = dict(
    (
        _rule(f.RunAccepted, sides.on_accepted),
        _rule(f.SessionPinned, sides.on_session_pinned),
        _rule(f.PlanFrozen, sides.on_frozen),
        _rule(f.PlanPatched, sides.on_patched),
        _rule(f.RunAdopted, sides.on_adopted),
        _rule(f.LimitHit, sides.on_limit_hit),
        _rule(f.LimitExtended, sides.on_limit_extended),
        _rule(f.CancelRequested, sides.on_cancel),
        _rule(f.RunEnded, sides.on_ended),
        _rule(f.RunRated, sides.on_nothing),
        _rule(f.StepExpanded, steps.on_expanded),
        _rule(f.StepReused, steps.on_reused),
        _rule(f.StepDispatched, steps.on_dispatched),
        _rule(f.StepStarted, steps.on_started),
        _rule(f.StepProgress, sides.on_nothing),
        _rule(f.GuardTripped, sides.on_nothing),
        _rule(f.ToolIntended, sides.on_nothing),
        _rule(f.ToolCalled, steps.on_tool_called),
        _rule(f.ToolFailed, sides.on_nothing),
        _rule(f.ModelCalled, sides.on_model_called),
        _rule(f.EffectIntended, steps.on_effect_intended),
        _rule(f.EffectDone, steps.on_effect_done),
        _rule(f.StepProduced, steps.on_produced),
        _rule(f.AttemptFailed, steps.on_attempt_failed),
        _rule(f.LeaseLost, steps.on_lease_lost),
        _rule(f.CheckVerdict, steps.on_verdict),
        _rule(f.JudgeVoted, steps.on_voted),
        _rule(f.StepRejected, steps.on_rejected),
        _rule(f.StepBackoff, steps.on_backoff),
        _rule(f.StepEscalated, steps.on_escalated),
        _rule(f.StepPassed, steps.on_passed),
        _rule(f.StepSkipped, steps.on_skipped),
        _rule(f.StepGap, steps.on_gap),
        _rule(f.StepFailed, steps.on_failed),
        _rule(f.StepCancelled, steps.on_cancelled),
        _rule(f.StepQuarantined, sides.on_quarantined),
        _rule(f.ChildStarted, sides.on_child_started),
        _rule(f.ChildEnded, sides.on_child_ended),
        _rule(f.ApprovalAsked, sides.on_asked),
        _rule(f.ApprovalAnswered, sides.on_answered),
        _rule(f.ApprovalExpired, sides.on_answered),
        _rule(f.ReplanAsked, sides.on_replan_asked),
        _rule(f.ReplanRefused, sides.on_replan_refused),
        _rule(f.BudgetReserved, sides.on_reserved),
        _rule(f.BudgetSettled, sides.on_settled),
        _rule(f.PlanDrafted, sides.on_drafted),
        _rule(f.PatternChosen, sides.on_pattern),
        _rule(f.TierChosen, sides.on_tier_chosen),
        _rule(f.GoalPlanned, sides.on_goal_planned),
    )
)


def evolve(run: RunState, fact: f.Fact) -> None:
    """Bring the state up to a fact that is, or is about to be, in the journal."""
    EVOLVE[type(fact)](run, fact)
