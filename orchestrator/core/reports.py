"""What a worker says on its way: signs of life, tools, and the money it asks for and spends."""

from collections.abc import Sequence
from dataclasses import replace

from orchestrator.core import facts as f
from orchestrator.core.closing import short_of
from orchestrator.core.finish import hit_limit, may_spend
from orchestrator.core.positions import NOBODY, Pair, at_work, find
from orchestrator.core.state import Status
from orchestrator.core.turn import Turn


def sign_of_life(turn: Turn, event: f.StepProgress) -> Sequence[Pair]:
    """Progress counts while the attempt runs."""
    if at_work(turn, event) is not None:
        turn.emit(event)
    return NOBODY


def started(turn: Turn, event: f.StepStarted) -> Sequence[Pair]:
    """A worker begins a sample of an attempt once."""
    pair = at_work(turn, event)
    if pair is not None and not pair[1].begun >> event.sample & 1:
        turn.emit(event)
    return NOBODY


def tool_called(turn: Turn, event: f.ToolCalled) -> Sequence[Pair]:
    """Evidence is a set: the same result of the same tool, told twice, is told once."""
    pair = at_work(turn, event)
    if pair is not None and {"tool": event.tool, "result": event.result} not in (pair[1].evidence or ()):
        turn.emit(event)
    return NOBODY


def noticed(turn: Turn, event: f.GuardTripped | f.ToolFailed) -> Sequence[Pair]:
    """What a guard found, and a call of a tool that came to nothing, count while the attempt runs."""
    if at_work(turn, event) is not None:
        turn.emit(event)
    return NOBODY


def tool_intended(turn: Turn, event: f.ToolIntended) -> Sequence[Pair]:
    """Granted only while the attempt runs: of one that was given up, a tool must not act any more."""
    if at_work(turn, event) is not None:
        turn.emit(event)
    return NOBODY


def charge(turn: Turn, event: f.BudgetSettled | f.ModelCalled) -> Sequence[Pair]:
    """Spending is real however late it is told, also after the end; a charge that is known already counts once.

    A call of which nobody can say whether it was billed is booked with all that had been set aside for it.
    """
    find(turn, event)  # refuses what cannot be
    ledger = turn.run.ledger
    if event.charge not in ledger.charged:
        held = ledger.open.get(event.charge)
        if isinstance(event, f.ModelCalled) and event.unknown and held is not None:
            most = max(held.tokens - event.tokens_in, event.tokens_out)
            event = replace(event, usd=max(held.usd, event.usd), tokens_out=most)
        turn.emit(event)
        spent = ledger.spent_out()
        if spent is not None:
            hit_limit(turn, spent)
    return NOBODY


def reserve(turn: Turn, event: f.BudgetReserved) -> Sequence[Pair]:
    """Granted only while the attempt, a check of it, or its planner runs and the budget has room; the shell finds a
    grant in `ledger.open`."""
    run, ledger = turn.run, turn.run.ledger
    pair = at_work(turn, event) or _asked(turn, event)
    if pair is None or not may_spend(run, pair[0]) or short_of(run, pair[0], event.usd, event.tokens) is not None:
        return NOBODY
    if event.charge not in ledger.charged and event.charge not in ledger.open:
        turn.emit(event)
    return NOBODY


def _asked(turn: Turn, event: f.BudgetReserved) -> Pair | None:
    """The unit, when a pool, a model or the planner has been asked about this very attempt."""
    pair = find(turn, event)
    if pair is None:
        return None
    _, unit = pair
    checked = unit.status is Status.CHECKING and unit.check_sent
    replanned = unit.status is Status.WAITING and unit.replan
    return pair if unit.attempt == event.attempt and (checked or replanned) else None


def book_late(turn: Turn, event: f.StepProduced | f.AttemptFailed | f.CheckVerdict, charge: str) -> None:
    """The result is discarded, the money is gone all the same: also after the end, once per charge."""
    if (event.usd or event.tokens) and charge not in turn.run.ledger.charged:
        turn.emit(
            f.BudgetSettled(
                at_s=event.at_s,
                actor=event.actor,
                step=event.step,
                branch=event.branch,
                attempt=event.attempt,
                charge=charge,
                usd=event.usd,
                tokens=event.tokens,
            )
        )
