"""What each input may meet: the position rule, and the fact it becomes.

A unit's position is (attempt, phase). An input of an older position is a late duplicate and changes nothing;
one of a newer position is impossible, so it is our bug.
"""

from collections.abc import Callable, Sequence
from typing import Final, TypeVar, cast

from orchestrator.core import facts as f
from orchestrator.core.climb import waited
from orchestrator.core.finish import hit_limit
from orchestrator.core.flow import wall_left_s
from orchestrator.core.inputs import Input, TimerFired
from orchestrator.core.rebuild import built_on
from orchestrator.core.settle import charge_of
from orchestrator.core.state import Status, StepState, Unit
from orchestrator.core.turn import Turn
from orchestrator.errors import IllegalTransition
from orchestrator.plan.models import digest_of

Pair = tuple[StepState, Unit]
E = TypeVar("E", bound=Input)
NOBODY: Final[Sequence[Pair]] = ()


def _find(turn: Turn, event: f.StepFact | TimerFired) -> Pair | None:
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
        raise IllegalTransition(str(event.step), f"{unit.status} in attempt {unit.attempt}", _name(event))
    return state, unit


def _name(event: f.StepFact | TimerFired) -> str:
    return f"{type(event).__name__} of attempt {event.attempt}"


def _at_work(turn: Turn, event: f.StepFact | TimerFired) -> Pair | None:
    """The unit, when it runs this very attempt and this sample has not been answered; None for a late input."""
    pair = _find(turn, event)
    if pair is None:
        return None
    _, unit = pair
    if event.attempt < unit.attempt or unit.status is not Status.RUNNING:
        return None
    if unit.samples is None:
        if event.sample:
            raise IllegalTransition(str(event.step), "one sample", f"{_name(event)}, sample {event.sample}")
        return pair
    sample = unit.samples.get(event.sample)
    if sample is None:
        raise IllegalTransition(str(event.step), f"{len(unit.samples)} samples", f"sample {event.sample}")
    return None if sample.digest or sample.well is False else pair


def _record(turn: Turn, event: f.Fact) -> Sequence[Pair]:
    if not turn.run.ended:
        turn.emit(event)
    return NOBODY


def _answer(turn: Turn, event: f.StepProduced | f.AttemptFailed) -> Sequence[Pair]:
    pair = _at_work(turn, event)
    if pair is not None:
        turn.emit(event)
        return (pair,)
    if (event.usd or event.tokens) and not turn.run.ended:
        late = f.BudgetSettled(
            at_s=event.at_s,
            actor=event.actor,
            step=event.step,
            branch=event.branch,
            attempt=event.attempt,
            charge=charge_of(event),
            usd=event.usd,
            tokens=event.tokens,
        )
        turn.emit(late)  # the result is discarded, the money is gone all the same
    return NOBODY


def _lost(turn: Turn, event: f.LeaseLost) -> Sequence[Pair]:
    pair = _at_work(turn, event)
    if pair is None:
        return NOBODY
    turn.emit(event)
    return (pair,)


def _sign_of_life(turn: Turn, event: f.StepFact) -> Sequence[Pair]:
    if _at_work(turn, event) is not None:
        turn.emit(event)
    return NOBODY


def _charge(turn: Turn, event: f.BudgetSettled | f.ModelCalled) -> Sequence[Pair]:
    """Spending is real however late it is told; a charge that is known already counts once."""
    if _find(turn, event) is not None and event.charge not in turn.run.ledger.charged:
        turn.emit(event)
        spent = turn.run.ledger.spent_out()
        if spent is not None:
            hit_limit(turn, spent)
    return NOBODY


def _reserve(turn: Turn, event: f.BudgetReserved) -> Sequence[Pair]:
    """Granted only while the attempt runs and the budget has room; the shell reads the grant from the facts."""
    ledger = turn.run.ledger
    if _at_work(turn, event) is None or turn.run.limit_policy in ("stop", "degrade"):
        return NOBODY
    if event.usd > ledger.usd_left or event.tokens > ledger.tokens_left or event.charge in ledger.charged:
        return NOBODY
    turn.emit(event)
    return NOBODY


def _verdict(turn: Turn, event: f.CheckVerdict) -> Sequence[Pair]:
    pair = _find(turn, event)
    if pair is None:
        return NOBODY
    _, unit = pair
    late = event.attempt < unit.attempt or unit.settled or unit.status is not Status.CHECKING
    if late or event.check < unit.check or not unit.check_sent:
        return NOBODY
    if event.check > unit.check:
        raise IllegalTransition(str(event.step), f"check {unit.check}", f"verdict of check {event.check}")
    turn.emit(event)
    return (pair,)


def _child_ended(turn: Turn, event: f.ChildEnded) -> Sequence[Pair]:
    pair = _at_work(turn, event)
    if pair is None or pair[1].child != event.child:
        return NOBODY
    state, unit = pair
    turn.emit(event)
    if event.status in ("succeeded", "degraded"):
        produced = f.StepProduced(
            at_s=event.at_s,
            step=event.step,
            branch=event.branch,
            attempt=event.attempt,
            digest=digest_of(event.output),
            started_at_s=unit.sent_at_s,
            degraded=event.status == "degraded",
            output=event.output,
        )
        turn.emit(produced)
    else:
        message = f"sub-plan {event.child} {event.status}" + (f": {event.reason}" if event.reason else "")
        turn.emit(
            f.AttemptFailed(
                at_s=event.at_s,
                step=event.step,
                branch=event.branch,
                attempt=event.attempt,
                error="child",
                message=message,
            )
        )
    return (pair,)


def _answered(turn: Turn, event: f.ApprovalAnswered) -> Sequence[Pair]:
    run = turn.run
    if not event.step:
        asked = run.budget_approval
        if asked is not None and run.budget_answer is None and event.choice in asked.choices and not run.ended:
            turn.emit(event)
        return NOBODY
    pair = _find(turn, event)
    if pair is None:
        return NOBODY
    _, unit = pair
    if unit.approval is None or unit.answer is not None or event.choice not in unit.approval.choices:
        return NOBODY
    if event.attempt and event.attempt < unit.attempt:
        return NOBODY
    turn.emit(event)
    return (pair,)


def _cancel(turn: Turn, event: f.CancelRequested) -> Sequence[Pair]:
    if not turn.run.ended and not turn.run.cancelled:
        turn.emit(event)
    return NOBODY


def _patched(turn: Turn, event: f.PlanPatched) -> Sequence[Pair]:
    if turn.run.ended or event.base != turn.run.plan.digest:
        return NOBODY
    turn.emit(event)
    return [(state, unit) for state in turn.run.steps for unit in state.all_units() if unit.status is Status.REJECTED]


def _refused(turn: Turn, event: f.ReplanRefused) -> Sequence[Pair]:
    pair = _find(turn, event)
    if pair is None or not pair[1].replan or event.attempt < pair[1].attempt:
        return NOBODY
    turn.emit(event)
    return (pair,)


def _quarantined(turn: Turn, event: f.StepQuarantined) -> Sequence[Pair]:
    run = turn.run
    state = run.step(event.step)
    if state is None or (state.status is not Status.PASSED and not run.ended):
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
    pair = _find(turn, event)
    if pair is None:
        return NOBODY
    state, unit = pair
    if unit.status is Status.BACKOFF and unit.attempt == event.attempt and event.at_s >= unit.until_s:
        waited(turn, state, unit)
    return NOBODY


def _timed_out(turn: Turn, event: TimerFired) -> Sequence[Pair]:
    pair = _at_work(turn, event)
    if pair is None:
        return NOBODY
    state, unit = pair
    turn.revoke(state, unit)
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
    pair = _find(turn, event)
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
        _on(f.RunAccepted, _record),
        _on(f.PlanFrozen, _record),
        _on(f.StepReused, _record),
        _on(f.RunAdopted, _record),
        _on(f.StepProduced, _answer),
        _on(f.AttemptFailed, _answer),
        _on(f.LeaseLost, _lost),
        _on(f.StepStarted, _sign_of_life),
        _on(f.StepProgress, _sign_of_life),
        _on(f.ToolCalled, _sign_of_life),
        _on(f.ModelCalled, _charge),
        _on(f.BudgetSettled, _charge),
        _on(f.BudgetReserved, _reserve),
        _on(f.CheckVerdict, _verdict),
        _on(f.ChildEnded, _child_ended),
        _on(f.ApprovalAnswered, _answered),
        _on(f.CancelRequested, _cancel),
        _on(f.PlanPatched, _patched),
        _on(f.ReplanRefused, _refused),
        _on(f.StepQuarantined, _quarantined),
        _on(TimerFired, _timer),
    )
)
