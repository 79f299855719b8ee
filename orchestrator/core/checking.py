"""The gate: an output is asked about check by check, and only after the last `pass` may anyone read it."""

from orchestrator.core import commands as c
from orchestrator.core import facts as f
from orchestrator.core.finish import leave_gap, may_spend
from orchestrator.core.gate import INLINE, Verdict, check_inline, check_schema, elect
from orchestrator.core.news import asks_planner
from orchestrator.core.scope import unit_scope
from orchestrator.core.state import Sample, Status, StepState, Unit
from orchestrator.core.turn import Turn
from orchestrator.errors import ExpressionError
from orchestrator.ids import Digest, JsonValue
from orchestrator.plan import limits
from orchestrator.plan.compiled import CompiledCheck


def advance(turn: Turn, state: StepState, unit: Unit) -> None:
    """Ask the checks of a produced output until one refuses, one must wait, or all have passed."""
    if unit.said is not None:
        _refuse(turn, state, unit, unit.said.reasons, terminal=unit.said.verdict == "reject")
        return
    if unit.samples is not None and not _agree(turn, state, unit):
        return
    spec = state.spec
    while unit.status is Status.CHECKING and not unit.check_sent and unit.said is None:
        position = unit.check
        if position > len(spec.checks):
            try:
                waits = spec.news is not None and not unit.considered and asks_planner(turn, state, unit, spec.news)
            except ExpressionError as error:  # as a rule that breaks: never a pass
                _refuse(turn, state, unit, (f"replan_if broke: {error}",), terminal=False)
                return
            if waits:
                return
            _pass(turn, state, unit)
        elif position == 0:
            _speak(turn, state, unit, 0, "schema", check_schema(spec.schema, unit.output))
        elif (check := spec.checks[position - 1]).kind in INLINE:
            _speak(turn, state, unit, position, check.kind, _inline(turn, state, unit, check, unit.output))
        elif unit.broken > limits.CHECK_BROKEN_MAX:
            _refuse(turn, state, unit, (f"the {check.kind} check broke {unit.broken} times",), terminal=False)
        else:
            if not turn.hold and not (check.kind == "judge" and _no_money(turn, state, unit)):
                _ask(turn, state, unit, check)
            return


def _no_money(turn: Turn, state: StepState, unit: Unit) -> bool:
    """Whether no judge can be asked any more; under `degrade` the output is left out, for nothing passes unjudged."""
    run = turn.run
    if not run.limit or may_spend(run, state) or state.spec.finally_:
        return False
    if run.limit_policy == "degrade":
        leave_gap(turn, state, unit, f"budget.{run.limit}")
    return True


def _pass(turn: Turn, state: StepState, unit: Unit) -> None:
    if unit.effect_open:
        turn.emit(
            f.EffectDone(
                at_s=turn.now_s,
                step=state.spec.id,
                branch=unit.branch,
                attempt=unit.attempt,
                key=unit.effect_key,
            )
        )
    turn.emit(
        f.StepPassed(
            at_s=turn.now_s,
            step=state.spec.id,
            branch=unit.branch,
            attempt=unit.attempt,
            digest=Digest(unit.digest),
            degraded=unit.degraded,
        )
    )


def _inline(turn: Turn, state: StepState, unit: Unit, check: CompiledCheck, output: JsonValue) -> Verdict:
    return check_inline(check, output, unit_scope(turn.run, state, unit), unit.args or {}, unit.evidence or ())


def _speak(turn: Turn, state: StepState, unit: Unit, position: int, name: str, verdict: Verdict) -> None:
    """Record the verdict of a check that was answered here. One that breaks here breaks again: it is a refusal."""
    turn.emit(
        f.CheckVerdict(
            at_s=turn.now_s,
            step=state.spec.id,
            branch=unit.branch,
            attempt=unit.attempt,
            check=position,
            name=name,
            verdict=verdict.kind,
            digest=Digest(unit.digest),
            score=verdict.score,
            reasons=verdict.reasons,
            evidence=verdict.evidence,
        )
    )
    if verdict.kind == "check_broken":
        reasons = tuple(f"the {name} check broke: {reason}" for reason in verdict.reasons)
        _refuse(turn, state, unit, reasons, terminal=False)


def _refuse(turn: Turn, state: StepState, unit: Unit, reasons: tuple[str, ...], *, terminal: bool) -> None:
    repeat = unit.refused is not None and unit.digest in unit.refused
    done = bool(unit.effect_key) and not unit.effect_open  # a person said so: it must not happen twice
    turn.emit(
        f.StepRejected(
            at_s=turn.now_s,
            step=state.spec.id,
            branch=unit.branch,
            attempt=unit.attempt,
            terminal=terminal or done,
            repeat=repeat,
            reasons=reasons,
        )
    )


def _agree(turn: Turn, state: StepState, unit: Unit) -> bool:
    """Let each sample pass the checks before `agree`, then count votes. True when an output was elected."""
    spec = state.spec
    assert unit.samples is not None
    for number, sample in sorted(unit.samples.items()):
        if sample.well is None:
            _check_sample(turn, state, unit, number, sample)
    check = spec.checks[spec.agree - 1]
    assert check.spec.agree is not None
    chosen, verdict = elect(check.spec.agree, unit.samples)
    digest = unit.samples[chosen].digest if chosen is not None else ""
    turn.emit(
        f.CheckVerdict(
            at_s=turn.now_s,
            step=spec.id,
            branch=unit.branch,
            attempt=unit.attempt,
            sample=chosen or 0,
            check=spec.agree,
            name="agree",
            verdict=verdict.kind,
            digest=Digest(digest),
            score=verdict.score,
            reasons=verdict.reasons,
            evidence=verdict.evidence,
        )
    )
    return chosen is not None


def _check_sample(turn: Turn, state: StepState, unit: Unit, number: int, sample: Sample) -> None:
    spec = state.spec
    for position in range(spec.agree):
        check = spec.checks[position - 1] if position else None
        if check is None:
            name, verdict = "schema", check_schema(spec.schema, sample.output)
        else:
            name, verdict = check.kind, _inline(turn, state, unit, check, sample.output)
        turn.emit(
            f.CheckVerdict(
                at_s=turn.now_s,
                step=spec.id,
                branch=unit.branch,
                attempt=unit.attempt,
                sample=number,
                check=position,
                name=name,
                verdict=verdict.kind,
                digest=Digest(sample.digest),
                reasons=verdict.reasons,
                evidence=verdict.evidence,
            )
        )
        if verdict.kind != "pass":
            return


def _ask(turn: Turn, state: StepState, unit: Unit, check: CompiledCheck) -> None:
    """Hand a check to a pool, a model or a person."""
    if check.spec.human is not None:
        _ask_person(turn, state, unit, check)
        return
    command = _command(turn, state, unit, check)
    if command is None:
        return
    turn.emit(
        f.StepDispatched(
            at_s=turn.now_s,
            step=state.spec.id,
            branch=unit.branch,
            attempt=unit.attempt,
            pool=_pool_of(state, unit, check),
            purpose="check",
            check=check.position,
            digest=Digest(unit.digest),
        )
    )
    turn.ask(command)


def _pool_of(state: StepState, unit: Unit, check: CompiledCheck) -> str:
    """Where a check runs; empty for a model."""
    return "" if check.spec.judge is not None else check.spec.pool or unit.pool or state.spec.pool


def ask_again(turn: Turn, state: StepState, unit: Unit) -> None:
    """Send a check that was sent before a crash once more, under the same key."""
    command = _command(turn, state, unit, state.spec.checks[unit.check - 1])
    if command is not None:
        turn.ask(command)


def _command(turn: Turn, state: StepState, unit: Unit, check: CompiledCheck) -> c.Command | None:
    """The command that asks a check; None when a reference of it has no value, which counts as a refusal."""
    try:
        return _check_command(turn, state, unit, check)
    except ExpressionError as error:
        _speak(turn, state, unit, check.position, check.kind, Verdict(kind="check_broken", reasons=(str(error),)))
        return None


def _check_command(turn: Turn, state: StepState, unit: Unit, check: CompiledCheck) -> c.Command:
    """The command that asks a pool or a model about an output.

    Raises:
        ExpressionError: a reference in the check's `with` has no value.
    """
    spec = state.spec
    if check.spec.judge is not None:
        return c.AskJudge(
            step=spec.id,
            branch=unit.branch,
            attempt=unit.attempt,
            check=check.position,
            judge=check.spec.judge,
            task=unit.text or spec.step.description or str(spec.id),
            args=unit.args or {},
            output=unit.output,
            votes=unit.votes,
        )
    assert check.args is not None, "every call has some"
    args = check.args.resolve({**unit_scope(turn.run, state, unit), "output": unit.output, "args": unit.args or {}})
    assert isinstance(args, dict)
    return c.Dispatch(
        step=spec.id,
        branch=unit.branch,
        attempt=unit.attempt,
        sample=0,
        purpose="check",
        check=check.position,
        pool=_pool_of(state, unit, check),
        function=check.spec.call,
        instruction=None,
        args={"output": unit.output, **args},
        tier=None,
        reasons=(),
        idempotency_key=None,
        timeout_s=spec.timeout.attempt,
        idle_s=None,
        output_schema=None,
    )


def _ask_person(turn: Turn, state: StepState, unit: Unit, check: CompiledCheck) -> None:
    human = check.spec.human
    assert human is not None
    expires = turn.now_s + human.expires
    turn.emit(
        f.ApprovalAsked(
            at_s=turn.now_s,
            step=state.spec.id,
            branch=unit.branch,
            attempt=unit.attempt,
            subject="check",
            check=check.position,
            choices=("accept", "reject"),
            then=human.then,
            expires_at_s=expires,
            ask=human.ask,
            show=unit.output,
        )
    )
    turn.ask(c.SetTimer(kind="approval", at_s=expires, step=state.spec.id, branch=unit.branch, attempt=unit.attempt))
