"""Moving units between statuses and settling them, with every count that depends on it."""

from orchestrator.core import facts as f
from orchestrator.core.state import ACTIVE, UPSTREAM, RunState, Status, StepState, Unit


def unit_of(run: RunState, fact: f.StepFact) -> tuple[StepState, Unit]:
    """The unit that a fact speaks of. It exists: the fact that made it came before."""
    state = run.steps[run.plan.by_id[fact.step]]
    unit = state.unit if state.units is None else state.units[fact.branch]
    assert unit is not None, "a fact about a branch follows the fact that made it"
    return state, unit


def unit_or_none(run: RunState, fact: f.StepFact) -> Unit | None:
    """The unit that a late fact speaks of; None when a patch has taken it away."""
    state = run.step(fact.step)
    return state.find(fact.branch) if state is not None else None


def occupied(unit: Unit, status: Status) -> bool:
    """Whether a unit keeps the clocks going in a status: at work, checked, between two tries, with the planner."""
    return status in ACTIVE or (status is Status.WAITING and bool(unit.replan))


def with_person(unit: Unit, status: Status) -> bool:
    """Whether a unit waits for a person in a status, so that its clocks stand still."""
    return status is Status.WAITING and not unit.replan


def move(run: RunState, unit: Unit, status: Status, at_s: float) -> None:
    """Change a unit's status and keep the counts of working and waiting units; the wall clock pauses by them."""
    was = unit.status
    if was is status:
        return
    run.active += occupied(unit, status) - occupied(unit, was)
    if with_person(unit, was):
        run.waiting -= 1
        unit.paused_s += at_s - unit.waiting_at_s
    if with_person(unit, status):
        run.waiting += 1
        unit.waiting_at_s = at_s
    unit.status = status
    pause(run, at_s)


def working(run: RunState) -> int:
    """Units at work: an output whose judge waits for a person's word on the budget is not."""
    if run.budget_approval is None or run.budget_answer is not None:
        return run.active
    units = (unit for state in run.steps for unit in state.all_units())
    return run.active - sum(unit.status is Status.CHECKING and not unit.check_sent for unit in units)


def pause(run: RunState, at_s: float) -> None:
    """The wall clock stands still while everything open waits for a person."""
    if working(run) == 0 and run.waiting > 0:
        if run.paused_at_s is None:
            run.paused_at_s = at_s
    elif run.paused_at_s is not None:
        run.paused_s += at_s - run.paused_at_s
        run.paused_at_s = None


def settle(run: RunState, fact: f.StepFact, status: Status, reason: str = "") -> None:
    """A unit, or a step as a whole, is done."""
    state = run.steps[run.plan.by_id[fact.step]]
    unit = state.find(fact.branch)
    if unit is None:
        settle_step(run, state, status, reason)
        return
    unit.reason = reason
    move(run, unit, status, fact.at_s)
    unit.release()
    if status is not Status.PASSED:
        unit.output = None
    if state.units is None:
        state.degraded = unit.degraded
        settle_step(run, state, status, reason)
        return
    if unit.first_at_s >= 0:
        state.running -= 1
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
    """A step is done as a whole: tell the steps that wait for it."""
    state.status = status
    state.reason = reason
    if state.spec.finally_:
        run.open_finally -= 1
        run.finally_held -= 0 if state.started else state.spec.held
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


def check_charge(fact: f.CheckVerdict, unit: Unit | None) -> str:
    """The charge of a verdict: one per time the check was asked."""
    broken = unit.broken if unit is not None and fact.attempt == unit.attempt else 0
    return f"{charge_of(fact)}?{fact.check}.{broken}"


def spend(run: RunState, unit: Unit | None, charge: str, usd: float, tokens: int, *, calls: int = 0) -> None:
    """Book a charge once, on the run and on the unit it was spent for."""
    if run.ledger.settle(charge, usd, tokens, calls=calls) and unit is not None:
        unit.usd += usd
        unit.tokens += tokens
