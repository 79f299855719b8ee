"""How a run comes to its end: limits, cancellation, `finally` steps, the result."""

from orchestrator.core import commands as c
from orchestrator.core import facts as f
from orchestrator.core.scope import gaps_of, output_of
from orchestrator.core.state import UPSTREAM, Status, StepState, Unit
from orchestrator.core.turn import Turn
from orchestrator.errors import ExpressionError
from orchestrator.ids import JsonValue, StepId
from orchestrator.plan import limits


def may_start(turn: Turn, state: StepState) -> bool:
    """Whether a first dispatch fits the budget; meeting the limit is recorded. `finally` steps always may."""
    run = turn.run
    if state.spec.finally_:
        return True
    if run.limit or run.cancelled:
        return False
    ledger = run.ledger
    own = 2 if state.spec.kind == "plan" else 1  # a sub-plan needs a step of its own too
    if ledger.steps + ledger.steps_reserved + run.finally_held + own > ledger.steps_limit:
        hit_limit(turn, "steps")
        return False
    spent = ledger.spent_out()
    if spent is not None:
        hit_limit(turn, spent)
        return False
    return True


def hit_limit(turn: Turn, limit: str) -> None:
    """Record that a limit is reached; what follows is up to the plan's `on_limit`."""
    run = turn.run
    if run.limit or run.cancelled or run.accepted is None:
        return
    turn.emit(f.LimitHit(at_s=turn.now_s, limit=limit, policy=run.accepted.on_limit))  # type: ignore[arg-type]  # callers pass limit names
    if run.limit_policy == "ask":
        expires = turn.now_s + limits.ASK_EXPIRES_S
        turn.emit(
            f.ApprovalAsked(
                at_s=turn.now_s,
                step=StepId(""),
                subject="budget",
                choices=("extend", "stop"),
                then="stop",
                expires_at_s=expires,
                ask=f"The budget of {limit} is used up. Grant it once more?",
                show={"limit": limit, "usd": run.ledger.usd, "tokens": run.ledger.tokens, "steps": run.ledger.steps},
            )
        )
        turn.ask(c.SetTimer(kind="approval", at_s=expires))


def check_limits(turn: Turn) -> None:
    """Carry out what a limit, an answer about it, or a cancellation asks for."""
    run = turn.run
    if run.budget_answer is not None and run.limit:
        if run.budget_answer.choice == "extend":
            assert run.accepted is not None
            by = {"usd": run.accepted.usd, "tokens": run.accepted.tokens, "steps": run.accepted.steps}
            amount = float(by.get(run.limit, run.accepted.wall_s))
            turn.emit(f.LimitExtended(at_s=turn.now_s, limit=run.limit, by=amount))  # type: ignore[arg-type]  # a limit's name
        else:
            turn.emit(f.LimitHit(at_s=turn.now_s, limit=run.limit, policy="stop"))  # type: ignore[arg-type]  # a limit's name
    if run.cancelled and not run.swept:
        run.swept = True
        _sweep(turn, "cancel")
    elif run.limit and not run.limit_swept and run.limit_policy != "ask":
        run.limit_swept = True
        if run.limit_policy == "stop":
            _sweep(turn, f"budget.{run.limit}")
        else:
            _leave_out(turn)


def _sweep(turn: Turn, reason: str) -> None:
    """Cancel everything that has not settled, `finally` steps aside."""
    for state in turn.run.steps:
        if state.spec.finally_ or state.status not in (Status.PENDING, Status.RUNNING):
            continue
        for unit in state.all_units():
            if not unit.settled:
                turn.revoke(state, unit)
                turn.emit(
                    f.StepCancelled(
                        at_s=turn.now_s, step=state.spec.id, branch=unit.branch, attempt=unit.attempt, reason=reason
                    )
                )
        if state.status in (Status.PENDING, Status.RUNNING):
            turn.emit(f.StepCancelled(at_s=turn.now_s, step=state.spec.id, reason=reason))


def _leave_out(turn: Turn) -> None:
    """Degrade: what has not started becomes a gap; under `steps`, what runs may go on, retries included."""
    run = turn.run
    reason = f"budget.{run.limit}"
    for state in run.steps:
        if state.spec.finally_ or state.status not in (Status.PENDING, Status.RUNNING):
            continue
        for unit in state.all_units():
            if not unit.settled and _leaves(run.limit, unit):
                turn.revoke(state, unit)
                _gap(turn, state, unit, reason)
        if state.spec.mapped and state.units is None:
            turn.emit(f.StepGap(at_s=turn.now_s, step=state.spec.id, reason=reason))


def _leaves(limit: str, unit: Unit) -> bool:
    if unit.status is Status.PENDING or limit == "wall":
        return True
    return limit != "steps" and unit.status in (Status.BACKOFF, Status.REJECTED)


def _gap(turn: Turn, state: StepState, unit: Unit, reason: str) -> None:
    turn.emit(f.StepGap(at_s=turn.now_s, step=state.spec.id, branch=unit.branch, attempt=unit.attempt, reason=reason))


def finish(turn: Turn) -> None:
    """When nothing is open any more: let the `finally` steps run, then end the run."""
    run = turn.run
    if run.open or run.ended or not run.frozen:
        return
    if not run.finally_on:
        run.finally_on = True
        run.todo.extend(state.spec.index for state in run.steps if state.spec.finally_)
    if run.todo or run.open_finally:
        return
    turn.emit(_result(turn))
    turn.ask(c.Finish())


def missing(turn: Turn) -> list[tuple[StepId, int | None, str]]:
    """Every gap and every failed step: step, branch, reason. Skips by condition are not missing."""
    found: list[tuple[StepId, int | None, str]] = []
    for state in turn.run.steps:
        if state.spec.mapped and state.units is not None:
            for gap in gaps_of(state):
                assert isinstance(gap, dict)
                index = gap["index"]
                found.append((state.spec.id, index if isinstance(index, int) else None, str(gap["reason"])))
        elif state.status in (Status.GAP, Status.FAILED):
            found.append((state.spec.id, None, state.reason))
        elif state.status is Status.SKIPPED and state.reason in UPSTREAM:
            found.append((state.spec.id, None, state.reason))
        elif state.degraded:
            found.append((state.spec.id, None, "ended with gaps of its own"))
    return found


def _result(turn: Turn) -> f.RunEnded:
    run = turn.run
    status, output, reason = _outcome(turn)
    gaps: tuple[dict[str, JsonValue], ...] = tuple(
        {"step": step, "branch": branch, "reason": why} for step, branch, why in missing(turn)
    )
    if status == "succeeded" and gaps:
        status = "degraded"
    return f.RunEnded(
        at_s=turn.now_s,
        status=status,  # type: ignore[arg-type]  # `_outcome` gives the words of a result
        usd=run.ledger.usd,
        tokens=run.ledger.tokens,
        steps=run.ledger.steps,
        output=output,
        gaps=() if status == "cancelled" else gaps,
        reason=reason,
    )


def _outcome(turn: Turn) -> tuple[str, JsonValue, str]:
    run, plan = turn.run, turn.run.plan
    if run.cancelled:
        return "cancelled", None, run.cancel_reason
    needed = [run.steps[index] for index in plan.result_steps]
    if run.limit and (run.limit_policy == "stop" or not _present(needed, plan.result is not None)):
        return "stopped", _partial(turn), f"budget.{run.limit}"
    for state in needed:
        if state.status is Status.FAILED or (state.status is Status.SKIPPED and state.reason in UPSTREAM):
            return "failed", None, _cause(turn, state)
    if plan.result is None:
        return "succeeded", _partial(turn), ""
    try:
        return "succeeded", plan.result.resolve(run.scope), ""
    except ExpressionError as error:
        return "failed", None, f"result: {error}"


def _present(needed: list[StepState], named: bool) -> bool:
    """Whether a run that met a limit still has its result: the steps it names have all passed, at least in part."""
    if not named:
        return any(state.status is Status.PASSED for state in needed)
    return all(state.status is Status.PASSED and (state.passed or not state.spec.mapped) for state in needed)


def _partial(turn: Turn) -> JsonValue:
    return {
        state.spec.id: output_of(state)
        for state in turn.run.steps
        if state.status is Status.PASSED or (state.spec.mapped and state.passed)
    }


def _cause(turn: Turn, state: StepState) -> str:
    """The failure at the root: follow skips up to the step that really failed."""
    seen: set[int] = set()
    while state.status is Status.SKIPPED and state.spec.index not in seen:
        seen.add(state.spec.index)
        above = [turn.run.steps[need] for need in state.spec.needs]
        bad = [s for s in above if s.status is Status.FAILED or (s.status is Status.SKIPPED and s.reason in UPSTREAM)]
        if not bad:
            return f"{state.spec.id}: {state.reason}"
        state = next((s for s in bad if s.status is Status.FAILED), bad[0])
    return f"{state.spec.id}: {state.reason}"
