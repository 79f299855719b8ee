"""Moving units between statuses and settling them, with every count that depends on it."""

from orchestrator.core import facts as f
from orchestrator.core.state import ACTIVE, UPSTREAM, RunState, Status, StepState, Unit


def unit_of(run: RunState, fact: f.StepFact) -> tuple[StepState, Unit]:
    state = run.steps[run.plan.by_id[fact.step]]
    unit = state.unit if state.units is None else state.units[fact.branch]
    assert unit is not None, "a fact about a branch follows the fact that made it"
    return state, unit


def move(run: RunState, unit: Unit, status: Status, at_s: float) -> None:
    """Change a unit's status and keep the counts of working and waiting units; the wall clock pauses by them."""
    was = unit.status
    if was is status:
        return
    run.active += (status in ACTIVE) - (was in ACTIVE)
    run.waiting += (status is Status.WAITING) - (was is Status.WAITING)
    if was is Status.WAITING:
        unit.paused_s += at_s - unit.waiting_at_s
    if status is Status.WAITING:
        unit.waiting_at_s = at_s
    unit.status = status
    pause(run, at_s)


def pause(run: RunState, at_s: float) -> None:
    """The wall clock stands still while everything open waits for a person."""
    if run.active == 0 and run.waiting > 0:
        if run.paused_at_s is None:
            run.paused_at_s = at_s
    elif run.paused_at_s is not None:
        run.paused_s += at_s - run.paused_at_s
        run.paused_at_s = None


def settle(run: RunState, fact: f.StepFact, status: Status, reason: str = "") -> None:
    """A unit, or a step as a whole, is done."""
    state = run.steps[run.plan.by_id[fact.step]]
    unit = state.find(fact.branch)
    if unit is None or (state.units is not None and fact.branch < 0):
        settle_step(run, state, status, reason)
        return
    if unit.first_at_s >= 0 and state.units is not None:
        state.running -= 1
    unit.reason = reason
    unit.effect_open = False
    move(run, unit, status, fact.at_s)
    unit.release()
    if status is not Status.PASSED:
        unit.output = None
    if state.units is None:
        state.degraded = unit.degraded
        settle_step(run, state, status, reason)
        return
    state.settled += 1
    state.passed += status is Status.PASSED
    state.gaps += status is Status.GAP
    state.failed += status is Status.FAILED or (status is Status.SKIPPED and reason in UPSTREAM)
    state.degraded = state.degraded or unit.degraded or status is Status.GAP
    run.todo.append(state.spec.index)
    for index in state.spec.each_dependents:
        follower = run.steps[index]
        if follower.units is not None:
            follower.ready.append(fact.branch)
            run.todo.append(index)
    run.todo.extend(state.spec.early_dependents)


def settle_step(run: RunState, state: StepState, status: Status, reason: str) -> None:
    state.status = status
    state.reason = reason
    if state.spec.finally_:
        run.open_finally -= 1
        run.finally_held -= not state.started
    else:
        run.open -= 1
    if state.units is not None:
        state.outputs = [unit.output if unit.status is Status.PASSED else None for unit in state.units]
        state.ready.clear()
    bad = status is Status.FAILED or (status is Status.SKIPPED and reason in UPSTREAM)
    good = status is Status.PASSED
    expanded = state.units is not None
    for index in state.spec.dependents:
        follower = run.steps[index]
        if not (expanded and follower.spec.each == state.spec.index):
            follower.unmet -= 1
            follower.bad += bad
            follower.good += good
        run.todo.append(index)


def charge_of(fact: f.StepFact) -> str:
    """The charge under which the cost of an answer is booked: one per task."""
    at = f"[{fact.branch}]" if fact.branch >= 0 else ""
    return f"{fact.step}{at}#{fact.attempt}.{fact.sample}"


def spend(run: RunState, unit: Unit, charge: str, usd: float, tokens: int) -> None:
    if (usd or tokens or charge in run.ledger.open) and run.ledger.settle(charge, usd, tokens):
        unit.usd += usd
        unit.tokens += tokens
