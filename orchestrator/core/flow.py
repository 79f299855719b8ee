"""When steps start: joins, conditions, branches, dispatch. Each step is looked at only when something it waits for changed."""

from typing import cast

from orchestrator.core import commands as c
from orchestrator.core import facts as f
from orchestrator.core.finish import may_start
from orchestrator.core.policy import share_of
from orchestrator.core.scope import unit_scope
from orchestrator.core.state import RunState, Status, StepState, Unit
from orchestrator.core.turn import Turn
from orchestrator.errors import ExpressionError
from orchestrator.ids import Digest, JsonValue, RunId
from orchestrator.plan import limits
from orchestrator.plan.models import Plan, digest_of

NO_INPUT = digest_of({})
EMPTY_LIST = digest_of([])


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
    if state.unmet and not spec.early:
        return "wait"
    mapped = [run.steps[need] for need in spec.needs if run.steps[need].spec.mapped]
    if not mapped:
        met = state.good >= spec.join_at_least
    else:
        met = all(leader.passed >= spec.join_at_least for leader in mapped) and all(
            run.steps[need].status in (Status.PASSED, Status.GAP, Status.SKIPPED)
            for need in spec.needs
            if not run.steps[need].spec.mapped
        )
    return "go" if met else "wait" if state.unmet else "join_unmet"


def _start(turn: Turn, state: StepState) -> None:
    spec, run = state.spec, turn.run
    try:
        if (
            spec.when is not None
            and not spec.when_per_branch
            and not _true(spec.when.evaluate(run.scope), spec.when.text)
        ):
            turn.emit(f.StepSkipped(at_s=turn.now_s, step=spec.id, reason="condition"))
            return
        if not spec.mapped:
            assert state.unit is not None
            if not may_start(turn, state):
                return
            dispatch(turn, state, state.unit, cause="first", rung=-1)
            _cancel_rest(turn, state)
            return
        items: list[JsonValue] = []
        if spec.each >= 0:
            count = len(run.steps[spec.each].units or ())
        else:
            assert spec.over is not None
            found = spec.over.resolve(run.scope)
            if not isinstance(found, list):
                raise ExpressionError(str(spec.over.source), f"foreach needs a list, not {_kind(found)}")
            if len(found) > limits.BRANCHES_MAX:
                raise ExpressionError(str(spec.over.source), f"{len(found)} items; at most {limits.BRANCHES_MAX}")
            items, count = found, len(found)
    except ExpressionError as error:
        turn.emit(f.StepFailed(at_s=turn.now_s, step=spec.id, cause=str(error)))
        return
    turn.emit(f.StepExpanded(at_s=turn.now_s, step=spec.id, count=count, items=items))
    _cancel_rest(turn, state)


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
    for need in state.spec.needs:
        leader = turn.run.steps[need]
        others = (turn.run.steps[index] for index in leader.spec.dependents if index != state.spec.index)
        if leader.status not in (Status.PENDING, Status.RUNNING) or any(
            not o.started and o.status is Status.PENDING for o in others
        ):
            continue
        for unit in leader.all_units():
            if not unit.settled:
                turn.revoke(leader, unit)
                turn.emit(
                    f.StepCancelled(
                        at_s=turn.now_s,
                        step=leader.spec.id,
                        branch=unit.branch,
                        attempt=unit.attempt,
                        reason="join_met",
                    )
                )
        if leader.units is None and leader.status is Status.PENDING:
            turn.emit(f.StepCancelled(at_s=turn.now_s, step=leader.spec.id, reason="join_met"))


def _branches(turn: Turn, state: StepState) -> None:
    spec, run = state.spec, turn.run
    assert state.units is not None
    while state.ready and state.running < spec.max_parallel and state.status is Status.RUNNING:
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
    if state.settled == len(state.units) and state.status is Status.RUNNING:
        if state.failed:
            first = next(
                u
                for u in state.units
                if u.status is Status.FAILED or u.status is Status.SKIPPED and u.reason != "condition"
            )
            cause = f"{state.failed} of {len(state.units)} branches failed; the first: [{first.branch}] {first.reason}"
            turn.emit(f.StepFailed(at_s=turn.now_s, step=spec.id, cause=cause))
        else:
            digest = digest_of([unit.digest for unit in state.units]) if state.units else EMPTY_LIST
            turn.emit(f.StepPassed(at_s=turn.now_s, step=spec.id, digest=digest, degraded=state.degraded))


def _follow(turn: Turn, state: StepState, unit: Unit, leader: Unit) -> None:
    """A branch whose leader did not pass shares its fate."""
    name = turn.run.plan.steps[state.spec.each].id
    if leader.status is Status.GAP:
        turn.emit(
            f.StepGap(at_s=turn.now_s, step=state.spec.id, branch=unit.branch, reason=f"{name}[{unit.branch}] is a gap")
        )
    elif leader.status is Status.SKIPPED and leader.reason == "condition":
        turn.emit(f.StepSkipped(at_s=turn.now_s, step=state.spec.id, branch=unit.branch, reason="condition"))
    else:
        turn.emit(f.StepSkipped(at_s=turn.now_s, step=state.spec.id, branch=unit.branch, reason="upstream_failed"))


def prepare(run: RunState, state: StepState, unit: Unit) -> None:
    """Work out a unit's inputs from what has passed.

    Raises:
        ExpressionError: a reference has no value.
    """
    scope = unit_scope(run, state, unit)
    args = cast(dict[str, JsonValue], state.spec.args.resolve(scope))
    text: str | None = None
    if state.spec.instruction is not None:
        text, blocks = state.spec.instruction.render(scope)
        args = {**blocks, **args}
    unit.args, unit.text = args, text


def _digest_inputs(unit: Unit) -> Digest:
    if unit.text is not None:
        return digest_of({"task": unit.text, "with": unit.args})
    return digest_of(unit.args) if unit.args else NO_INPUT


def dispatch(turn: Turn, state: StepState, unit: Unit, *, cause: str, rung: int) -> None:
    """Send the next attempt of a unit: to a pool, to a person, or as a sub-plan."""
    spec, run = state.spec, turn.run
    attempt = unit.attempt + 1
    where = {"step": spec.id, "branch": unit.branch, "attempt": attempt}
    try:
        if unit.args is None:
            prepare(run, state, unit)
        digest = unit.input_digest or _digest_inputs(unit)
        key = spec.effect_key.resolve(unit_scope(run, state, unit)) if spec.effect_key is not None else None
        show = spec.show.resolve(unit_scope(run, state, unit)) if spec.show is not None else None
    except ExpressionError as error:
        turn.emit(
            f.StepFailed(at_s=turn.now_s, step=spec.id, branch=unit.branch, attempt=unit.attempt, cause=str(error))
        )
        return
    if key is not None:
        turn.emit(f.EffectIntended(at_s=turn.now_s, key=str(key), **where))  # type: ignore[arg-type]  # where holds the three names
    pool = unit.pool or spec.pool
    tier = unit.tier or spec.tier
    for sample in range(spec.samples):
        turn.emit(
            f.StepDispatched(
                at_s=turn.now_s,
                step=spec.id,
                branch=unit.branch,
                attempt=attempt,
                sample=sample,
                pool=pool,
                tier=tier,
                digest=Digest(digest),
                rung=rung,
                cause=cause,  # type: ignore[arg-type]  # callers pass the literals
            )
        )
    if spec.kind == "human":
        _ask_person(turn, state, unit, show)
    elif spec.step.plan is not None:
        _start_child(turn, state, unit, spec.step.plan)
    else:
        for sample in range(spec.samples):
            turn.ask(work(turn, state, unit, sample))


def total_left_s(turn: Turn, state: StepState, unit: Unit) -> float:
    """Seconds left of a step's total time; time spent waiting for people does not count."""
    return state.spec.timeout.total - (turn.now_s - unit.first_at_s - unit.paused_s)


def work(turn: Turn, state: StepState, unit: Unit, sample: int) -> c.Dispatch:
    """The command that sends one sample of a unit's current attempt."""
    spec, run = state.spec, turn.run
    assert unit.args is not None
    key = None
    if spec.effect_key is not None:
        key = str(spec.effect_key.resolve(unit_scope(run, state, unit)))
    return c.Dispatch(
        step=spec.id,
        branch=unit.branch,
        attempt=unit.attempt,
        sample=sample,
        purpose="work",
        check=0,
        pool=unit.pool or spec.pool,
        function=spec.step.call,
        instruction=unit.text,
        args=unit.args,
        tier=unit.tier or spec.tier,
        reasons=unit.reasons,
        idempotency_key=key,
        timeout_s=min(spec.timeout.attempt, max(total_left_s(turn, state, unit), 0.001)),
        idle_s=spec.timeout.idle,
        output_schema=spec.step.output,
    )


def _ask_person(turn: Turn, state: StepState, unit: Unit, show: JsonValue) -> None:
    human = state.spec.step.human
    assert human is not None
    expires = turn.now_s + human.expires
    turn.emit(
        f.ApprovalAsked(
            at_s=turn.now_s,
            step=state.spec.id,
            branch=unit.branch,
            attempt=unit.attempt,
            subject="step",
            choices=human.choices,
            then=None if human.then == "fail" else human.then,
            expires_at_s=expires,
            ask=human.ask,
            show=show,
        )
    )
    turn.ask(c.SetTimer(kind="approval", at_s=expires, step=state.spec.id, branch=unit.branch, attempt=unit.attempt))


def child_id(run: RunState, state: StepState, unit: Unit) -> RunId:
    """The run id of a sub-plan: the same each time the same attempt is looked at."""
    at = f"[{unit.branch}]" if unit.branch >= 0 else ""
    again = f"#{unit.attempt}" if unit.attempt > 1 else ""
    return RunId(f"{run.run_id}.{state.spec.id}{at}{again}")


def wall_left_s(turn: Turn) -> float:
    """Seconds left of the run's wall time."""
    run = turn.run
    assert run.accepted is not None
    return run.ledger.wall_s - (turn.now_s - run.accepted.at_s - run.paused_s)


def _start_child(turn: Turn, state: StepState, unit: Unit, plan: Plan) -> None:
    run = turn.run
    asked = state.spec.step.budget or plan.budget
    waiting = sum(
        other.spec.kind == "plan" and other.status is Status.PENDING for other in run.steps if other is not state
    ) + len(state.ready)
    share = share_of(run.ledger, asked, wall_left_s(turn), waiting, len(plan.steps), run.finally_held)
    child = child_id(run, state, unit)
    turn.emit(
        f.ChildStarted(
            at_s=turn.now_s,
            step=state.spec.id,
            branch=unit.branch,
            attempt=unit.attempt,
            child=child,
            usd=share.usd,
            tokens=share.tokens,
            wall_s=share.wall_s,
            steps=share.steps,
        )
    )
    turn.ask(start_child(state, unit, plan, *run.ledger.open[child], wall_s=share.wall_s))


def start_child(
    state: StepState, unit: Unit, plan: Plan, usd: float, tokens: int, steps: int, *, wall_s: float
) -> c.StartChild:
    """The command that starts, or starts again, a unit's sub-plan."""
    assert unit.child is not None and unit.args is not None
    return c.StartChild(
        step=state.spec.id,
        branch=unit.branch,
        attempt=unit.attempt,
        child=unit.child,
        plan=plan,
        inputs=unit.args,
        usd=usd,
        tokens=tokens,
        wall_s=wall_s,
        steps=steps,
    )
