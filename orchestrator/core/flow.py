"""When steps start: joins, conditions, branches. Each step is looked at only when something it waits for changed."""

from orchestrator.core import facts as f
from orchestrator.core.finish import cancel, leave_gap, may_start
from orchestrator.core.scope import unit_scope
from orchestrator.core.sending import dispatch
from orchestrator.core.state import SETTLED, UPSTREAM, RunState, Status, StepState, Unit
from orchestrator.core.turn import Turn
from orchestrator.errors import ExpressionError
from orchestrator.ids import JsonValue
from orchestrator.plan import limits
from orchestrator.plan.models import digest_of


def look(turn: Turn, state: StepState) -> None:
    """Do whatever is due for a step: skip it, start it, start its next branches, settle it."""
    if state.status is Status.PENDING:
        if state.spec.finally_ and not turn.run.finally_on:
            return
        joined = join_of(turn.run, state)
        if joined == "go":
            _start(turn, state)
        elif joined != "wait":
            turn.emit(f.StepSkipped(at_s=turn.now_s, step=state.spec.id, reason=joined))
    if state.units is not None and state.status is Status.RUNNING:
        _branches(turn, state)


def join_of(run: RunState, state: StepState) -> str:
    """`wait`, `go`, or the reason to skip."""
    spec = state.spec
    if spec.join_at_least == 0:
        return "upstream_failed" if state.bad else "go" if state.unmet == 0 else "wait"
    if state.unmet and not (spec.early and _has_branches(run, state)):
        return "wait"
    leaders = [run.steps[need] for need in spec.needs if need != spec.each]
    mapped = [leader for leader in leaders if leader.spec.mapped]
    if mapped:
        met = all(
            leader.passed >= spec.join_at_least if leader.spec.mapped else _tolerable(leader) for leader in leaders
        )
    else:
        met = state.good >= spec.join_at_least or not leaders
    return "go" if met else "wait" if state.unmet else "join_unmet"


def _has_branches(run: RunState, state: StepState) -> bool:
    """Whether a step that follows branches one by one can know how many there are."""
    return state.spec.each < 0 or run.steps[state.spec.each].units is not None


def _tolerable(state: StepState) -> bool:
    """Settled, and not failed."""
    return state.status in (Status.PASSED, Status.GAP) or (
        state.status is Status.SKIPPED and state.reason not in UPSTREAM
    )


def _start(turn: Turn, state: StepState) -> None:
    """The join is met: ask the condition, then dispatch the step or make its branches."""
    spec, run = state.spec, turn.run
    try:
        when = None if spec.when_per_branch else spec.when
        if when is not None and not _true(when.evaluate(run.scope), when.text):
            turn.emit(f.StepSkipped(at_s=turn.now_s, step=spec.id, reason="condition"))
            return
        if not spec.mapped:
            assert state.unit is not None
            if may_start(turn, state):
                dispatch(turn, state, state.unit, cause="first", rung=-1)
                _cancel_rest(turn, state)
            return
        items = _items(run, state)
    except ExpressionError as error:
        turn.emit(f.StepFailed(at_s=turn.now_s, step=spec.id, cause=str(error)))
        return
    count = len(items) if spec.each < 0 else len(run.steps[spec.each].units or ())
    turn.emit(f.StepExpanded(at_s=turn.now_s, step=spec.id, count=count, items=items))
    _cancel_rest(turn, state)


def _items(run: RunState, state: StepState) -> list[JsonValue]:
    """The items of a mapped step; none under `each`, where the outputs of the branches are the items.

    Raises:
        ExpressionError: there is no list, or it is too long.
    """
    over = state.spec.over
    if over is None:
        return []
    found = over.resolve(run.scope)
    if not isinstance(found, list):
        raise ExpressionError(str(over.source), f"foreach needs a list, not {_kind(found)}")
    if len(found) > limits.BRANCHES_MAX:
        raise ExpressionError(str(over.source), f"{len(found)} items; at most {limits.BRANCHES_MAX}")
    return found


def _true(value: JsonValue, text: str) -> bool:
    if not isinstance(value, bool):
        raise ExpressionError(text, f"a condition must give true or false, not {_kind(value)}")
    return value


def _kind(value: JsonValue) -> str:
    return {"NoneType": "null", "dict": "a mapping", "str": "a text", "list": "a list", "bool": "true or false"}.get(
        type(value).__name__, "a number"
    )


def _cancel_rest(turn: Turn, state: StepState) -> None:
    """An early join is met: what it no longer waits for is cancelled, where nobody else needs it."""
    if not state.spec.early:
        return
    run = turn.run
    for need in state.spec.needs:
        leader = run.steps[need]
        if leader.status in SETTLED or need == state.spec.each or _needed(run, leader, state):
            continue
        for unit in leader.all_units():
            if not unit.settled:
                cancel(turn, leader, unit, "join_met")


def _needed(run: RunState, leader: StepState, but: StepState) -> bool:
    """Whether the result, or a step other than `but`, still wants what `leader` gives."""
    if run.plan.result is not None and leader.spec.index in run.plan.result_steps:
        return True
    others = [run.steps[index] for index in leader.spec.dependents if index != but.spec.index]
    return any(
        other.status not in SETTLED and (not other.started or other.spec.each == leader.spec.index) for other in others
    )


def _branches(turn: Turn, state: StepState) -> None:
    """Start branches that may start, and settle the step when all of them have."""
    spec, run = state.spec, turn.run
    assert state.units is not None
    while state.ready and state.running < spec.max_parallel:
        unit = state.units[state.ready[0]]
        if unit.status is not Status.PENDING:
            state.ready.popleft()
            continue
        if spec.each >= 0:
            leader = (run.steps[spec.each].units or [])[unit.branch]
            if leader.status is not Status.PASSED:
                state.ready.popleft()
                _follow(turn, state, unit, leader)
                continue
        if not may_start(turn, state):
            return
        state.ready.popleft()
        try:
            when = spec.when if spec.when_per_branch else None
            if when is not None and not _true(when.evaluate(unit_scope(run, state, unit)), when.text):
                turn.emit(f.StepSkipped(at_s=turn.now_s, step=spec.id, branch=unit.branch, reason="condition"))
                continue
        except ExpressionError as error:
            turn.emit(f.StepFailed(at_s=turn.now_s, step=spec.id, branch=unit.branch, cause=str(error)))
            continue
        dispatch(turn, state, unit, cause="first", rung=-1)
    if state.settled == len(state.units):
        _settle(turn, state, state.units)


def _settle(turn: Turn, state: StepState, units: list[Unit]) -> None:
    """All branches have settled."""
    if state.failed:
        first = next(u for u in units if u.status is Status.FAILED or _upstream(u))
        cause = f"{state.failed} of {len(units)} branches failed; the first: [{first.branch}] {first.reason}"
        turn.emit(f.StepFailed(at_s=turn.now_s, step=state.spec.id, cause=cause))
        return
    digest = digest_of([unit.digest if unit.status is Status.PASSED else None for unit in units])
    turn.emit(f.StepPassed(at_s=turn.now_s, step=state.spec.id, digest=digest, degraded=state.degraded))


def _upstream(unit: Unit) -> bool:
    return unit.status is Status.SKIPPED and unit.reason in UPSTREAM


def _follow(turn: Turn, state: StepState, unit: Unit, leader: Unit) -> None:
    """A branch whose leader did not pass shares its fate."""
    name = turn.run.plan.steps[state.spec.each].id
    if leader.status is Status.GAP:
        leave_gap(turn, state, unit, f"{name}[{unit.branch}] is a gap")
        return
    reason = "condition" if leader.status is Status.SKIPPED and leader.reason == "condition" else "upstream_failed"
    turn.emit(f.StepSkipped(at_s=turn.now_s, step=state.spec.id, branch=unit.branch, reason=reason))
