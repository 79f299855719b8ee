"""How a run comes to its end: limits, cancellation, `finally` steps, the result."""

from orchestrator.core import commands as c
from orchestrator.core import facts as f
from orchestrator.core.closing import MONEY, closes, kept_back
from orchestrator.core.facts import LimitName
from orchestrator.core.result import result
from orchestrator.core.state import RunState, Status, StepState, Unit
from orchestrator.core.turn import Turn
from orchestrator.plan import limits


def may_start(turn: Turn, state: StepState) -> bool:
    """Whether a first dispatch fits the budget; meeting the limit is recorded. `finally` steps always may.

    Where only the shares of running sub-plans are in the way, the step waits until they return what they did not use.
    """
    run = turn.run
    if turn.hold:
        return False
    if state.spec.finally_:
        return True
    if run.cancelled or (run.limit and not _spared(run, state)):
        return False
    ledger = run.ledger
    own = 2 if state.spec.kind in ("plan", "goal") else 1  # a sub-plan needs a step of its own too
    room = ledger.steps_limit - ledger.steps - run.finally_held - own
    if room < ledger.steps_reserved:
        if room >= 0:
            run.held |= {state.spec.index}
        else:
            hit_limit(turn, "steps")
            _leave_spared(turn, state, "steps")
        return False
    return not _spent_out(turn, state)


def may_go_on(turn: Turn, state: StepState) -> bool:
    """Whether a further attempt of something that was started fits the budget; `steps` counts first ones only."""
    if state.spec.finally_:
        return True
    run = turn.run
    return (run.limit in ("", "steps") or _spared(run, state)) and not _spent_out(turn, state)


def _spared(run: RunState, state: StepState) -> bool:
    """Whether a closing step goes on although a limit of money is met: a share of it was kept back for this step."""
    return run.limit in MONEY and run.limit_policy == "degrade" and closes(run, state)


def may_spend(run: RunState, state: StepState) -> bool:
    """Whether a call may be made for a step, if there is room for it."""
    return run.limit in ("", "steps") or _spared(run, state)


def _spent_out(turn: Turn, state: StepState) -> bool:
    run = turn.run
    spent = run.ledger.spent_out(kept_back(run, state))
    if spent is not None:
        hit_limit(turn, spent)
        _leave_spared(turn, state, run.limit)
    return spent is not None


def _leave_spared(turn: Turn, state: StepState, limit: str) -> None:
    """A closing step was spared when a limit of money was met, and cannot start all the same: it is left out too."""
    if not _spared(turn.run, state):
        return
    for unit in state.all_units():
        if unit.status is Status.PENDING:
            leave_gap(turn, state, unit, f"budget.{limit}")


def hit_limit(turn: Turn, limit: LimitName) -> None:
    """Record that a limit is reached; what follows is up to the plan's `on_limit`.

    Money and wall time also end what the limit of steps let go on, and wall time what money did.
    """
    run = turn.run
    if run.cancelled or run.accepted is None or run.ended:
        return
    ends_more = run.limit_policy == "degrade" and run.limit != limit and (limit == "wall" or run.limit == "steps")
    if run.limit and not ends_more:
        return
    turn.emit(f.LimitHit(at_s=turn.now_s, limit=limit, policy=run.accepted.on_limit))


def limit_due(run: RunState) -> bool:
    """Whether a limit was met and what follows from it has not been done."""
    if not run.limit or run.cancelled:
        return False
    return run.budget_approval is None if run.limit_policy == "ask" else not run.limit_swept


def check_limits(turn: Turn) -> bool:
    """Carry out what a limit, an answer about it, or a cancellation asks for. True: the budget was extended."""
    run = turn.run
    if run.cancelled:
        if not run.swept:
            run.swept = True
            _sweep(turn, "cancel")
        return False
    if run.limit_policy == "ask":
        if run.budget_approval is None:
            _ask_for_more(turn)
        if run.budget_answer is None:
            return False
        assert run.accepted is not None
        limit: LimitName = run.limit  # type: ignore[assignment]  # a limit's name: the policy is that of a limit
        if run.budget_answer.choice == "extend":
            accepted = run.accepted
            amounts = {"usd": accepted.usd, "tokens": accepted.tokens, "steps": accepted.steps, "wall": accepted.wall_s}
            amounts["calls"] = accepted.calls or 0
            turn.emit(f.LimitExtended(at_s=turn.now_s, limit=limit, by=float(amounts[limit])))
            return True
        turn.emit(f.LimitHit(at_s=turn.now_s, limit=limit, policy="stop"))
    if run.limit and not run.limit_swept:
        run.limit_swept = True
        if run.limit_policy == "stop":
            _sweep(turn, f"budget.{run.limit}")
        else:
            _leave_out(turn)
    return False


def _ask_for_more(turn: Turn) -> None:
    run = turn.run
    expires = turn.now_s + limits.ASK_EXPIRES_S
    turn.emit(
        f.ApprovalAsked(
            at_s=turn.now_s,
            step=f.NO_STEP,
            subject="budget",
            choices=("extend", "stop"),
            then="stop",
            expires_at_s=expires,
            ask=f"The budget of {run.limit} is used up. Grant it once more?",
            show={"limit": run.limit, "usd": run.ledger.usd, "tokens": run.ledger.tokens, "steps": run.ledger.steps},
        )
    )
    turn.ask(c.SetTimer(kind="approval", at_s=expires))


def _sweep(turn: Turn, reason: str) -> None:
    """Cancel everything that has not settled, `finally` steps aside."""
    for state in turn.run.steps:
        if state.spec.finally_ or state.status not in (Status.PENDING, Status.RUNNING):
            continue
        for unit in state.all_units():
            if not unit.settled:
                cancel(turn, state, unit, reason)
        if state.spec.mapped:
            turn.emit(f.StepCancelled(at_s=turn.now_s, step=state.spec.id, reason=reason))


def cancel(turn: Turn, state: StepState, unit: Unit, reason: str) -> None:
    """Take back whatever is under way for a unit, and end it."""
    turn.revoke(state, unit)
    turn.emit(
        f.StepCancelled(at_s=turn.now_s, step=state.spec.id, branch=unit.branch, attempt=unit.attempt, reason=reason)
    )


def _leave_out(turn: Turn) -> None:
    """Degrade: what has not started becomes a gap; under `steps`, what runs may go on, retries included."""
    run = turn.run
    reason = f"budget.{run.limit}"
    for state in run.steps:
        if state.spec.finally_ or state.status not in (Status.PENDING, Status.RUNNING):
            continue
        if _spared(run, state) and run.ledger.spent_out() is None:
            continue
        for unit in state.all_units():
            if not unit.settled and _leaves(run.limit, unit):
                turn.revoke(state, unit)
                leave_gap(turn, state, unit, reason)
        if state.spec.mapped and state.units is None:
            turn.emit(f.StepGap(at_s=turn.now_s, step=state.spec.id, reason=reason))


def _leaves(limit: str, unit: Unit) -> bool:
    if unit.status is Status.PENDING or limit == "wall":
        return True
    return limit != "steps" and unit.status in (Status.BACKOFF, Status.REJECTED)


def leave_gap(turn: Turn, state: StepState, unit: Unit, reason: str) -> None:
    """Go on without a unit."""
    turn.emit(f.StepGap(at_s=turn.now_s, step=state.spec.id, branch=unit.branch, attempt=unit.attempt, reason=reason))


def met(turn: Turn, event: f.LimitHit) -> tuple[()]:
    """A judge or a planner found no room for a call; only the shell, which asked for it, can see that."""
    hit_limit(turn, event.limit)
    return ()


def stood_still(turn: Turn, event: f.LimitExtended) -> tuple[()]:
    """The wall clock of a run stands still while all its sub-plans wait for people; only its shell can see that."""
    run = turn.run
    if event.limit == "wall" and not (run.limit or run.cancelled or run.ended):
        turn.emit(event)
    return ()


def finish(turn: Turn) -> None:
    """When nothing is open any more: let the `finally` steps run, then end the run."""
    run = turn.run
    if run.open or run.ended:
        return
    if not run.finally_on:
        run.finally_on = True
        run.todo.extend(state.spec.index for state in run.steps if state.spec.finally_)
    if run.todo or run.open_finally:
        return
    turn.emit(result(run, turn.now_s))
    turn.ask(c.Finish())
