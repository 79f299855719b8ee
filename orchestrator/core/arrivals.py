"""What each input may meet, and the fact it becomes; see `positions` for which of them still count."""

from collections.abc import Callable, Sequence
from typing import Final, TypeVar, cast

from orchestrator.core import commands as c
from orchestrator.core import facts as f
from orchestrator.core import planning
from orchestrator.core.climb import waited
from orchestrator.core.finish import hit_limit, met, stood_still
from orchestrator.core.inputs import Input, TimerFired
from orchestrator.core.positions import NOBODY, Pair, at_work, find
from orchestrator.core.rebuild import built_on, locked
from orchestrator.core.reports import (
    book_late,
    charge,
    noticed,
    reserve,
    sign_of_life,
    started,
    tool_called,
    tool_intended,
)
from orchestrator.core.sending import wall_left_s
from orchestrator.core.settle import charge_of, check_charge, unit_or_none
from orchestrator.core.state import Status, Unit
from orchestrator.core.turn import Turn
from orchestrator.errors import IllegalTransition
from orchestrator.plan.patch import Patch

E = TypeVar("E", bound=Input)


def _accepted(turn: Turn, event: f.RunAccepted) -> Sequence[Pair]:
    if turn.run.accepted is None:
        turn.emit(event)
    elif turn.run.accepted.run != event.run:
        raise IllegalTransition("", f"run {turn.run.run_id}", f"acceptance of {event.run}")
    return NOBODY


def _pinned(turn: Turn, event: f.SessionPinned) -> Sequence[Pair]:
    run = turn.run
    if run.frozen or run.pinned is not None:
        return NOBODY
    if run.accepted is None:
        raise IllegalTransition("", "not accepted", f"session {event.session}")
    turn.emit(event)
    return NOBODY


def _frozen(turn: Turn, event: f.PlanFrozen) -> Sequence[Pair]:
    run = turn.run
    if run.frozen:
        return NOBODY
    if run.accepted is None or event.digest != run.plan.digest:
        raise IllegalTransition("", "plan " + run.plan.digest, f"plan {event.digest}")
    turn.emit(event)
    return NOBODY


def _taken_over(turn: Turn, event: f.StepExpanded | f.StepReused) -> Sequence[Pair]:
    """What a retry or fork takes over from another run, before its own plan is frozen: parents come first."""
    run = turn.run
    state = run.step(event.step)
    if run.frozen:
        return NOBODY
    expanding = isinstance(event, f.StepExpanded)
    leader = run.steps[state.spec.each] if state is not None and state.spec.each >= 0 else None
    if state is None or (expanding and not state.spec.mapped) or (leader is not None and leader.units is None):
        raise IllegalTransition(str(event.step), "without all it waits for", f"{type(event).__name__} before its plan")
    if expanding:
        if state.units is None:
            turn.emit(event)
        return NOBODY
    unit = state.find(event.branch)
    if unit is None:
        raise IllegalTransition(str(event.step), "without this branch", f"{type(event).__name__} [{event.branch}]")
    if not unit.settled:
        turn.emit(event)
    return NOBODY


def _adopted(turn: Turn, event: f.RunAdopted) -> Sequence[Pair]:
    if not turn.run.ended and event.epoch > turn.run.epoch:
        turn.emit(event)
    return NOBODY


def _answer(turn: Turn, event: f.StepProduced | f.AttemptFailed) -> Sequence[Pair]:
    pair = at_work(turn, event)
    if pair is not None:
        turn.emit(event)
        return (pair,)
    book_late(turn, event, charge_of(event))
    return NOBODY


def _lost(turn: Turn, event: f.LeaseLost) -> Sequence[Pair]:
    pair = at_work(turn, event)
    if pair is None:
        return NOBODY
    turn.revoke(*pair)
    turn.emit(event)
    return (pair,)


def _verdict(turn: Turn, event: f.CheckVerdict) -> Sequence[Pair]:
    pair = find(turn, event)
    if pair is not None and event.attempt == pair[1].attempt:
        _, unit = pair
        if unit.status is Status.RUNNING:
            raise IllegalTransition(str(event.step), "running", f"verdict of check {event.check}")
        if event == unit.last_broken:
            return NOBODY
        if unit.status is Status.CHECKING and unit.check_sent and event.check >= unit.check:
            if event.check > unit.check:
                raise IllegalTransition(str(event.step), f"check {unit.check}", f"verdict of check {event.check}")
            turn.emit(event)
            return (pair,)
    book_late(turn, event, check_charge(event, unit_or_none(turn.run, event)))
    return NOBODY


def _voted(turn: Turn, event: f.JudgeVoted) -> Sequence[Pair]:
    """A vote counts once, while this very judge is asked."""
    pair = find(turn, event)
    if pair is None:
        return NOBODY
    _, unit = pair
    asked = unit.status is Status.CHECKING and unit.check_sent and unit.check == event.check
    if asked and unit.attempt == event.attempt and event.number not in {vote.number for vote in unit.votes}:
        turn.emit(event)
    return NOBODY


def _child_ended(turn: Turn, event: f.ChildEnded) -> Sequence[Pair]:
    """The account of a sub-plan is settled however late it ends; who waits for it is told."""
    run = turn.run
    pair = find(turn, event)
    if event.child not in run.ledger.open:
        if event.child not in run.ledger.charged and not run.ended:
            raise IllegalTransition(str(event.step), "without this sub-plan", f"end of {event.child}")
        return NOBODY
    turn.emit(event)
    return NOBODY if pair is None else (pair,)


def _answered(turn: Turn, event: f.ApprovalAnswered) -> Sequence[Pair]:
    """An answer to the question that is open now; one that was given before it was asked is to an earlier question."""
    run = turn.run
    pair = find(turn, event) if event.step else None
    unit = pair[1] if pair is not None else None
    asked, answer = (unit.approval, unit.answer) if unit is not None else (run.budget_approval, run.budget_answer)
    if (pair is None and event.step) or run.ended or asked is None or answer is not None or event == run.last_answer:
        return NOBODY
    if event.choice in asked.choices and event.at_s >= asked.at_s and event.attempt in (0, asked.attempt):
        turn.emit(event)
        return (pair,) if pair is not None else NOBODY
    return NOBODY


def _cancel(turn: Turn, event: f.CancelRequested) -> Sequence[Pair]:
    if not turn.run.ended and not turn.run.cancelled:
        turn.emit(event)
    return NOBODY


def _patched(turn: Turn, event: f.PlanPatched) -> Sequence[Pair]:
    """A patch for the plan as it is, to steps that neither passed nor run; the step that asked for it may change."""
    run = turn.run
    asking: list[Pair] = []
    if event.asked_by is not None:
        state = run.step(event.asked_by)
        asking = [(state, unit) for unit in state.all_units() if unit.replan] if state is not None else []
        if not asking:
            return NOBODY  # it is not waited for any more
    elif event == run.last_patch:
        return NOBODY
    if run.ended or run.cancelled or event.base != run.plan.digest:
        return NOBODY
    late = sorted(locked(run, event.asked_by).intersection(Patch.model_validate(event.patch).touched()))
    if not late and run.open:
        turn.emit(event)
        return [(state, unit) for state in run.steps for unit in state.all_units() if _goes_on(unit)]
    why = f"the run has gone on meanwhile: {', '.join(late) or 'nothing is open any more'}"
    for state, unit in asking:
        turn.emit(
            f.ReplanRefused(at_s=event.at_s, step=state.spec.id, branch=unit.branch, attempt=unit.attempt, reason=why)
        )
    return asking


def _goes_on(unit: Unit) -> bool:
    """Whether a unit waited for the patch that has come."""
    return unit.status is Status.REJECTED or (unit.status is Status.CHECKING and unit.considered)


def _refused(turn: Turn, event: f.ReplanRefused) -> Sequence[Pair]:
    pair = find(turn, event)
    if pair is None or not pair[1].replan or event.attempt < pair[1].attempt or event == turn.run.last_refusal:
        return NOBODY
    turn.emit(event)
    return (pair,)


def _quarantined(turn: Turn, event: f.StepQuarantined) -> Sequence[Pair]:
    run = turn.run
    state = run.step(event.step)
    if state is None or state.status is not Status.PASSED or event.step in run.quarantined:
        return NOBODY
    affected = built_on(run, state)
    if not run.ended:
        for name in affected:
            for unit in run.steps[run.plan.by_id[name]].all_units():
                if not unit.settled:
                    turn.revoke(run.steps[run.plan.by_id[name]], unit)
    turn.emit(
        f.StepQuarantined(at_s=event.at_s, actor=event.actor, step=event.step, reason=event.reason, affected=affected)
    )
    return NOBODY


def _timer(turn: Turn, event: TimerFired) -> Sequence[Pair]:
    if event.kind == "wall":
        turn.wall_armed = False
        if not turn.run.ended and turn.run.paused_at_s is None and wall_left_s(turn) <= 0:
            hit_limit(turn, "wall")
        return NOBODY
    if event.kind == "approval":
        return _expired(turn, event)
    if event.kind == "attempt":
        return _timed_out(turn, event)
    pair = find(turn, event)
    if pair is None:
        return NOBODY
    state, unit = pair
    if unit.status is Status.BACKOFF and unit.attempt == event.attempt and event.at_s >= unit.until_s:
        waited(turn, state, unit)
    return NOBODY


def _timed_out(turn: Turn, event: TimerFired) -> Sequence[Pair]:
    pair = at_work(turn, event)
    if pair is None:
        return NOBODY
    state, unit = pair
    if unit.samples is None:
        turn.revoke(state, unit)
    else:
        turn.ask(c.Revoke(step=event.step, branch=event.branch, attempt=event.attempt, sample=event.sample))
    limit = state.spec.timeout
    idle = f"no sign of life for {limit.idle:g} s" if event.idle and limit.idle else ""
    turn.emit(
        f.AttemptFailed(
            at_s=event.at_s,
            step=event.step,
            branch=event.branch,
            attempt=event.attempt,
            sample=event.sample,
            error="timeout",
            message=idle or f"no answer within {event.at_s - unit.sent_at_s:.3g} s",
        )
    )
    return (pair,)


def _expired(turn: Turn, event: TimerFired) -> Sequence[Pair]:
    run = turn.run
    if not event.step:
        asked = run.budget_approval
        if asked is not None and run.budget_answer is None and event.at_s >= asked.expires_at_s and not run.ended:
            turn.emit(f.ApprovalExpired(at_s=event.at_s, step=event.step, choice=asked.then))
        return NOBODY
    pair = find(turn, event)
    if pair is None:
        return NOBODY
    _, unit = pair
    if unit.approval is None or unit.answer is not None or unit.attempt != event.attempt:
        return NOBODY
    if event.at_s < unit.approval.expires_at_s:
        return NOBODY
    turn.emit(
        f.ApprovalExpired(
            at_s=event.at_s,
            step=event.step,
            branch=event.branch,
            attempt=event.attempt,
            choice=unit.approval.then,
        )
    )
    return (pair,)


Arrival = Callable[[Turn, Input], Sequence[Pair]]


def _on(kind: type[E], arrival: Callable[[Turn, E], Sequence[Pair]]) -> tuple[type[Input], Arrival]:
    return cast(type[Input], kind), cast(Arrival, arrival)  # the table pairs each arrival with its own input


ARRIVALS: Final[dict[type[Input], Arrival]] = dict(
    (
        _on(f.RunAccepted, _accepted),
        _on(f.SessionPinned, _pinned),
        _on(f.PlanFrozen, _frozen),
        _on(f.StepExpanded, _taken_over),
        _on(f.StepReused, _taken_over),
        _on(f.RunAdopted, _adopted),
        _on(f.StepProduced, _answer),
        _on(f.AttemptFailed, _answer),
        _on(f.LeaseLost, _lost),
        _on(f.StepStarted, started),
        _on(f.StepProgress, sign_of_life),
        _on(f.ToolIntended, tool_intended),
        _on(f.ToolCalled, tool_called),
        _on(f.ToolFailed, noticed),
        _on(f.GuardTripped, noticed),
        _on(f.ModelCalled, charge),
        _on(f.BudgetSettled, charge),
        _on(f.BudgetReserved, reserve),
        _on(f.CheckVerdict, _verdict),
        _on(f.JudgeVoted, _voted),
        _on(f.ChildEnded, _child_ended),
        _on(f.ApprovalAnswered, _answered),
        _on(f.CancelRequested, _cancel),
        _on(f.LimitExtended, stood_still),
        _on(f.PlanPatched, _patched),
        _on(f.ReplanRefused, _refused),
        _on(f.PlanDrafted, planning.drafted),
        _on(f.PatternChosen, planning.pattern_chosen),
        _on(f.GoalPlanned, planning.goal_planned),
        _on(f.LimitHit, met),
        _on(f.StepQuarantined, _quarantined),
        _on(TimerFired, _timer),
    )
)
