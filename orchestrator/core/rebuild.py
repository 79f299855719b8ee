"""The rare changes that touch many steps at once: a patched plan, a quarantine. Counters are made anew."""

from orchestrator.core import facts as f
from orchestrator.core.settle import move
from orchestrator.core.state import SETTLED, UPSTREAM, RunState, Status, StepState, Unit
from orchestrator.plan.compiled import CompiledPlan, CompiledStep
from orchestrator.ids import StepId


def replace_plan(run: RunState, plan: CompiledPlan, touched: frozenset[str], at_s: float) -> None:
    """Put a patched plan under a run. What passed or runs stays; what failed upstream may run after all."""
    old = {state.spec.id: state for state in run.steps}
    for state in run.steps:
        if state.spec.id in touched or state.spec.id not in plan.by_id:
            for unit in state.all_units():
                move(run, unit, Status.CANCELLED, at_s)
    run.plan = plan
    run.revision += 1
    run.steps = [_carried(old.get(spec.id), spec, touched) for spec in plan.steps]
    for state in run.steps:
        for unit in state.all_units():
            if unit.replan:
                unit.replan = ""
                unit.error = "refused"
                move(run, unit, Status.REJECTED, at_s)
    recount(run)


def _carried(state: StepState | None, spec: CompiledStep, touched: frozenset[str]) -> StepState:
    """A step's state under the new plan: as it was, or fresh with its attempts counted on."""
    upstream = state is not None and state.status is Status.SKIPPED and state.reason in UPSTREAM
    if state is None or spec.id in touched or upstream:
        fresh = StepState(spec=spec, unmet=0, unit=None if spec.mapped else Unit(spec.index))
        if state is not None and state.unit is not None and fresh.unit is not None:
            fresh.unit.attempt = state.unit.attempt
        return fresh
    state.spec = spec
    for unit in state.all_units():
        unit.step = spec.index
    return state


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
            state.settled, state.passed, state.failed = len(state.units), 0, len(state.units)
    recount(run)


def recount(run: RunState) -> None:
    """Work every counter out anew from the statuses: linear in steps and edges, for rare events only."""
    run.open = run.open_finally = run.finally_held = 0
    for state in run.steps:
        state.unmet = state.bad = state.good = 0
        for need in state.spec.needs:
            leader = run.steps[need]
            expanded = leader.units is not None and state.spec.each == need
            state.unmet += leader.status not in SETTLED and not expanded
            if leader.status in SETTLED and not expanded:
                state.bad += leader.status is Status.FAILED or (
                    leader.status is Status.SKIPPED and leader.reason in UPSTREAM
                )
                state.good += leader.status is Status.PASSED
        unsettled = state.status not in SETTLED
        if state.spec.finally_:
            run.open_finally += unsettled
            run.finally_held += unsettled and not state.started
        else:
            run.open += unsettled
    run.todo.clear()
    run.todo.extend(range(len(run.steps)))
