"""The rare changes that touch many steps at once: a patched plan, a quarantine. Counters are made anew."""

from orchestrator.core import facts as f
from orchestrator.core.settle import move
from orchestrator.core.state import SETTLED, UPSTREAM, RunState, Status, StepState, Unit
from orchestrator.ids import StepId
from orchestrator.plan.compiled import CompiledPlan, CompiledStep


def replace_plan(run: RunState, plan: CompiledPlan, touched: frozenset[StepId], at_s: float) -> None:
    """Put a patched plan under a run. What passed or runs stays; what failed upstream may run after all."""
    old = {state.spec.id: state for state in run.steps}
    for state in run.steps:
        if state.spec.id in touched or state.spec.id not in plan.by_id:
            run.retired[state.spec.id] = _attempts(state)
            for unit in state.all_units():
                move(run, unit, Status.CANCELLED, at_s)
    run.plan = plan
    run.quarantined -= touched  # what passes from here on is another result, and may be found wrong too
    run.revision += 1
    run.steps = [_carried(run, old.get(spec.id), spec, touched) for spec in plan.steps]
    for state in run.steps:
        for unit in state.all_units():
            if unit.replan == "news":
                unit.considered = True
                move(run, unit, Status.CHECKING, at_s)  # while it still shows whom it waited for
                unit.replan = ""
            elif unit.replan:
                unit.error = "refused"
                move(run, unit, Status.REJECTED, at_s)  # likewise
                unit.replan = ""
    recount(run)


def _attempts(state: StepState) -> int:
    return max((unit.attempt for unit in state.all_units()), default=state.base)


def _carried(run: RunState, state: StepState | None, spec: CompiledStep, touched: frozenset[StepId]) -> StepState:
    """A step as it was, or fresh under the new plan. Attempts count on, so that no old answer fits a new one."""
    upstream = state is not None and state.status is Status.SKIPPED and state.reason in UPSTREAM
    if state is None or spec.id in touched or upstream:
        made = _attempts(state) if state is not None else 0  # before a quarantine took its inputs back
        base = max(run.retired.get(spec.id, 0), made)
        return StepState(spec=spec, unmet=0, base=base, unit=None if spec.mapped else Unit(spec.index, attempt=base))
    state.spec = spec
    for unit in state.all_units():
        unit.step = spec.index
    return state


def locked(run: RunState, asking: StepId | None = None) -> set[StepId]:
    """Steps that no patch may touch: something of them, or of a step that follows their branches, passed or runs.

    What failed in the step that is `asking` for the patch does not lock it; its branches that passed or run do.
    """
    found: set[StepId] = set()
    for state in run.steps:
        under_way = any(
            unit.status is Status.PASSED or (unit.status is not Status.PENDING and not unit.settled)
            for unit in state.all_units()
            if not (state.spec.id == asking and unit.replan in ("step", "downstream"))
        )
        if state.status is Status.PASSED or under_way:
            found.add(state.spec.id)
            if state.spec.each >= 0:
                found.add(run.steps[state.spec.each].spec.id)
    return found


def built_on(run: RunState, state: StepState) -> tuple[StepId, ...]:
    """Every step below `state` that has started: what was built on its output, in the order of the plan."""
    found: set[int] = set()
    stack = [state.spec.index]
    while stack:
        for index in run.steps[stack.pop()].spec.dependents:
            if index not in found:
                found.add(index)
                stack.append(index)
    return tuple(run.steps[index].spec.id for index in sorted(found) if run.steps[index].started)


def quarantine(run: RunState, fact: f.StepQuarantined) -> None:
    """Take a passed result back, and everything that was built on it. After the end it is a record only."""
    run.quarantined |= {fact.step}
    if run.ended:
        return
    for name in (fact.step, *fact.affected):
        state = run.steps[run.plan.by_id[name]]
        reason = f"quarantined: {fact.reason}" if name == fact.step else "quarantined"
        status = Status.FAILED if name == fact.step else Status.SKIPPED
        for unit in state.all_units():
            move(run, unit, status, fact.at_s)
            unit.reason, unit.quarantined, unit.output = reason, True, None
            unit.release()
        state.status, state.reason, state.outputs = status, reason, None
        state.running = 0
        state.ready.clear()
        if state.units is not None:
            state.settled = state.failed = len(state.units)
            state.passed = state.gaps = 0
    recount(run)


def recount(run: RunState) -> None:
    """Work every counter out anew from the statuses: linear in steps and edges, for rare events only."""
    run.open = run.open_finally = run.finally_held = 0
    for state in run.steps:
        state.unmet, state.bad, state.good = tally(run, state)
        unsettled = state.status not in SETTLED
        if state.spec.finally_:
            run.open_finally += unsettled
            run.finally_held += state.spec.held if unsettled and not state.started else 0
        else:
            run.open += unsettled
    run.todo.clear()
    run.todo.extend(range(len(run.steps)))


def tally(run: RunState, state: StepState) -> tuple[int, int, int]:
    """Of the steps that `state` waits for: how many have not settled, failed, passed."""
    unmet = bad = good = 0
    for need in state.spec.needs:
        leader = run.steps[need]
        if leader.units is not None and state.spec.each == need:
            continue  # its branches are followed one by one
        settled = leader.status in SETTLED
        unmet += not settled
        bad += leader.status is Status.FAILED or (settled and leader.reason in UPSTREAM)
        good += leader.status is Status.PASSED
    return unmet, bad, good
