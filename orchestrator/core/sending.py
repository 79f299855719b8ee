"""Sending the next attempt of a unit: to a pool, to a person, or as a sub-plan."""

from collections.abc import Mapping
from typing import Final, Literal, cast

from orchestrator.core import commands as c
from orchestrator.core import facts as f
from orchestrator.core.closing import kept_back
from orchestrator.core.policy import share_of
from orchestrator.core.routing import choose_tier
from orchestrator.core.scope import unit_scope
from orchestrator.core.state import SETTLED, RunState, Status, StepState, Unit
from orchestrator.core.turn import Turn
from orchestrator.errors import ExpressionError
from orchestrator.ids import Digest, JsonValue, RunId
from orchestrator.plan.compiled import as_text
from orchestrator.plan.expressions import ValueTemplate
from orchestrator.plan.models import Plan, digest_of

NO_INPUT = digest_of({})
CLOCK_STEP_S = 1e-6  #: floats of seconds since 1970 are 2.4e-7 apart, and sums of some are off by a few of these
Cause = Literal["first", "ladder", "retry", "lost"]


def prepare(run: RunState, state: StepState, unit: Unit) -> None:
    """Work out a unit's inputs from what has passed.

    Raises:
        ExpressionError: a reference has no value.
    """
    scope = unit_scope(run, state, unit)
    args = cast(dict[str, JsonValue], state.spec.args.resolve(scope))
    text: str | None = None
    if state.spec.instruction is not None:
        text, blocks = state.spec.instruction.render(scope, trusted=not _is_child(run))
        args = {**blocks, **args}
    unit.args, unit.text = args, text


def _is_child(run: RunState) -> bool:
    return run.accepted is not None and run.accepted.parent is not None


def _key(template: ValueTemplate, scope: Mapping[str, object]) -> str:
    """The key of an effect: a text, or JSON as text.

    Raises:
        ExpressionError: a reference has no value, or the key would be empty and stand for every effect.
    """
    found = template.resolve(scope)
    if found is None or found == "":
        raise ExpressionError(str(template.source), "the key of an effect is empty")
    return as_text(found)


def _digest_inputs(unit: Unit) -> Digest:
    if unit.text is not None:
        return digest_of({"task": unit.text, "with": unit.args})
    return digest_of(unit.args) if unit.args else NO_INPUT


def dispatch(turn: Turn, state: StepState, unit: Unit, *, cause: Cause, rung: int) -> None:
    """Send the next attempt of a unit."""
    spec, run = state.spec, turn.run
    attempt = unit.attempt + 1
    show: JsonValue = None
    try:
        if unit.args is None:
            prepare(run, state, unit)
            unit.input_digest = ""
        digest = unit.input_digest or _digest_inputs(unit)
        if spec.effect_key is not None:
            key = unit.effect_key or _key(spec.effect_key, unit_scope(run, state, unit))
            turn.emit(f.EffectIntended(at_s=turn.now_s, step=spec.id, branch=unit.branch, attempt=attempt, key=key))
        if spec.show is not None:
            show = spec.show.resolve(unit_scope(run, state, unit))
        choose_tier(turn, state, unit)
    except ExpressionError as error:
        turn.emit(
            f.StepFailed(at_s=turn.now_s, step=spec.id, branch=unit.branch, attempt=unit.attempt, cause=str(error))
        )
        return
    for sample in range(spec.samples):
        turn.emit(
            f.StepDispatched(
                at_s=turn.now_s,
                step=spec.id,
                branch=unit.branch,
                attempt=attempt,
                sample=sample,
                pool=unit.pool or spec.pool,
                tier=unit.tier or spec.tier,
                digest=Digest(digest),
                rung=rung,
                cause=cause,
            )
        )
    if spec.kind == "human":
        _ask_person(turn, state, unit, show)
    elif spec.step.plan is not None:
        start_sub_plan(turn, state, unit, spec.step.plan)
    elif spec.step.goal is not None:
        turn.ask(plan_command(state, unit))
    else:
        for sample in range(spec.samples):
            turn.ask(work(turn, state, unit, sample))


def complete_samples(turn: Turn, state: StepState, unit: Unit) -> None:
    """Dispatch the samples of an attempt that a crash kept from being dispatched."""
    for sample in range(len(unit.samples or (0,)), state.spec.samples):
        turn.emit(
            f.StepDispatched(
                at_s=turn.now_s,
                step=state.spec.id,
                branch=unit.branch,
                attempt=unit.attempt,
                sample=sample,
                pool=unit.pool or state.spec.pool,
                tier=unit.tier or state.spec.tier,
                digest=Digest(unit.input_digest),
                rung=unit.rung,
                cause="lost",
            )
        )


def total_left_s(turn: Turn, state: StepState, unit: Unit) -> float:
    """Seconds left of a step's total time; time spent waiting for people does not count."""
    return state.spec.timeout.total - (turn.now_s - unit.first_at_s - unit.paused_s)


def work(turn: Turn, state: StepState, unit: Unit, sample: int) -> c.Dispatch:
    """The command that sends one sample of a unit's current attempt."""
    spec = state.spec
    assert unit.args is not None
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
        idempotency_key=unit.effect_key or None,
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
    """Seconds left of the run's wall time; it stands still while everything open waits for a person.

    Less than the clock can tell apart is nothing: a timer set for the end would fire too early for ever.
    """
    run = turn.run
    assert run.accepted is not None
    until_s = turn.now_s if run.paused_at_s is None else run.paused_at_s
    left_s = run.ledger.wall_s - (until_s - run.accepted.at_s - run.paused_s)
    return left_s if abs(left_s) > CLOCK_STEP_S else 0.0


def plan_command(state: StepState, unit: Unit) -> c.AskPlan:
    """The command that has a goal planned."""
    assert state.spec.step.goal is not None
    assert unit.args is not None
    return c.AskPlan(
        step=state.spec.id,
        branch=unit.branch,
        attempt=unit.attempt,
        goal=state.spec.step.goal,
        args=unit.args,
        reasons=unit.reasons,
        drafts=unit.drafts,
        pattern=unit.pattern,
    )


def start_sub_plan(turn: Turn, state: StepState, unit: Unit, plan: Plan) -> None:
    """Set a share of the budget aside and start a sub-plan: a written one, or the plan of a goal."""
    run = turn.run
    asked = state.spec.step.budget or plan.budget
    others = [other for other in run.steps if other is not state and other.status not in SETTLED]
    beside = any(other.spec.kind not in _INNER and not other.spec.finally_ for other in others)
    waiting = _wanting(run, unit)
    kept = kept_back(run, state)._replace(steps=run.finally_held)
    share = share_of(run.ledger, asked, wall_left_s(turn), waiting + beside, len(plan.steps), kept)
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
            calls=share.calls,
        )
    )
    turn.ask(start_child(run, state, unit, plan, wall_s=share.wall_s))


_INNER: Final = ("plan", "goal")
_WANTING: Final = frozenset({Status.RUNNING, Status.BACKOFF, Status.WAITING, Status.REJECTED})


def _wanting(run: RunState, but: Unit) -> int:
    """How many others will want a share for a sub-plan: not begun, being planned, or to be tried again.

    A goal is planned for a while before its sub-plan starts: the first of several that has its plan must not take what
    the others, and their planners, live on.
    """
    found = 0
    for state in run.steps:
        if state.spec.kind not in _INNER or state.status in SETTLED:
            continue
        if state.status is Status.PENDING:
            found += 1
            continue
        found += len(state.ready)
        found += sum(
            unit is not but and unit.status in _WANTING and (unit.child is None or unit.child not in run.ledger.open)
            for unit in state.all_units()
        )
    return found


def start_child(run: RunState, state: StepState, unit: Unit, plan: Plan, *, wall_s: float) -> c.StartChild:
    """The command that starts, or starts again, a unit's sub-plan with the share that is set aside for it."""
    assert unit.child is not None
    held = run.ledger.open[unit.child]
    assert unit.args is not None
    return c.StartChild(
        step=state.spec.id,
        branch=unit.branch,
        attempt=unit.attempt,
        child=unit.child,
        plan=plan,
        inputs=unit.args,
        usd=held.usd,
        tokens=held.tokens,
        wall_s=wall_s,
        steps=held.steps,
        calls=held.calls if held.calls or run.ledger.calls_limit is not None else None,
    )


def child_answered(turn: Turn, state: StepState, unit: Unit, ended: f.ChildEnded) -> None:
    """What the end of a sub-plan means for the unit that waits for it."""
    if ended.status in ("succeeded", "degraded"):
        turn.emit(
            f.StepProduced(
                at_s=turn.now_s,
                step=state.spec.id,
                branch=unit.branch,
                attempt=unit.attempt,
                digest=digest_of(ended.output),
                started_at_s=unit.sent_at_s,
                degraded=ended.status == "degraded",
                output=ended.output,
            )
        )
        return
    turn.emit(
        f.AttemptFailed(
            at_s=turn.now_s,
            step=state.spec.id,
            branch=unit.branch,
            attempt=unit.attempt,
            error="child",
            message=f"sub-plan {ended.child} {ended.status}" + (f": {ended.reason}" if ended.reason else ""),
        )
    )
