"""The ladder: what follows a refused output, a failed attempt, a lost worker, an answer from a person."""

from typing import Literal

from orchestrator.core import commands as c
from orchestrator.core import facts as f
from orchestrator.core.closing import scarcest
from orchestrator.core.facts import VerdictKind
from orchestrator.core.finish import hit_limit, leave_gap, may_go_on
from orchestrator.core.news import replan_command
from orchestrator.core.policy import backoff_s
from orchestrator.core.sending import Cause, dispatch, total_left_s
from orchestrator.core.state import StepState, Unit
from orchestrator.core.turn import Turn
from orchestrator.ids import Digest, JsonValue
from orchestrator.plan import limits
from orchestrator.plan.models import digest_of
from orchestrator.plan.parts import Ask, Rung, has_gap


def recover(turn: Turn, state: StepState, unit: Unit) -> None:
    """Decide what follows for a unit whose attempt was refused, failed or lost.

    No fact at all means that it is held: a person is asked about the budget, or a sweep is due.
    """
    retry = state.spec.retry
    if unit.error == "refused":
        _climb(turn, state, unit)
    elif unit.error in ("lost", "timeout") and _unknown(turn, state, unit):
        return
    elif unit.error == "lost":
        _lost(turn, state, unit)
    elif unit.error == "budget":
        _short(turn, state, unit)
    elif unit.error == "extended":
        again(turn, state, unit, cause="retry", rung=unit.rung)
    elif unit.error in retry.errors and unit.tries < retry.attempts:
        if not _held(turn, state, unit):
            _back_off(turn, state, unit)
    else:
        _reject(turn, state, unit, terminal=unit.error == "terminal")


def _held(turn: Turn, state: StepState, unit: Unit) -> bool:
    """Whether the budget lets no further attempt follow; under `degrade` the unit becomes a gap."""
    if turn.hold:
        return True
    if may_go_on(turn, state):
        return False
    if turn.run.limit_policy == "degrade":
        leave_gap(turn, state, unit, f"budget.{turn.run.limit}")
    return True


def again(turn: Turn, state: StepState, unit: Unit, *, cause: Cause, rung: int) -> None:
    """Another attempt, if the budget lets it."""
    if not _held(turn, state, unit):
        dispatch(turn, state, unit, cause=cause, rung=rung)


def _short(turn: Turn, state: StepState, unit: Unit) -> None:
    """The worker asked for more than is left. A `finally` step climbs on."""
    run = turn.run
    hit_limit(turn, scarcest(run, state))
    if run.limit_policy == "degrade" and not state.spec.finally_:
        leave_gap(turn, state, unit, f"budget.{run.limit}")
    elif not _held(turn, state, unit):
        _reject(turn, state, unit, terminal=True)


def _reject(turn: Turn, state: StepState, unit: Unit, *, terminal: bool) -> None:
    turn.emit(
        f.StepRejected(
            at_s=turn.now_s,
            step=state.spec.id,
            branch=unit.branch,
            attempt=unit.attempt,
            terminal=terminal,
            reasons=unit.reasons,
        )
    )


def _back_off(turn: Turn, state: StepState, unit: Unit) -> None:
    salt = f"{turn.run.run_id}/{state.spec.id}/{unit.branch}/{unit.attempt}"
    wait_s = max(backoff_s(state.spec.retry.backoff, unit.tries, salt), unit.retry_after_s)
    if wait_s >= total_left_s(turn, state, unit):
        _reject(turn, state, unit, terminal=True)
        return
    until = turn.now_s + wait_s
    turn.emit(
        f.StepBackoff(at_s=turn.now_s, step=state.spec.id, branch=unit.branch, attempt=unit.attempt, until_s=until)
    )
    turn.ask(backoff_timer(state, unit))


def backoff_timer(state: StepState, unit: Unit) -> c.SetTimer:
    """The timer that ends a unit's wait."""
    return c.SetTimer(kind="backoff", at_s=unit.until_s, step=state.spec.id, branch=unit.branch, attempt=unit.attempt)


def waited(turn: Turn, state: StepState, unit: Unit) -> None:
    """The wait between two tries is over."""
    again(turn, state, unit, cause="retry", rung=unit.rung)


def _unknown(turn: Turn, state: StepState, unit: Unit) -> bool:
    """An effect was announced and nobody knows whether it happened: true when that is not simply tried again."""
    effect = state.spec.step.effect
    if effect is None or not unit.effect_open or effect.on_unknown == "retry":
        return False
    happened = "was lost" if unit.error == "lost" else "did not answer in time"
    if effect.on_unknown == "fail":
        _fail(turn, state, unit, f"the worker {happened} after it had announced its effect; the outcome is unknown")
        return True
    text = f"The worker of {state.spec.id} {happened} after it had announced its effect. Did the effect happen?"
    choices = ("done", "retry", "fail")
    _ask(turn, state, unit, subject="effect", choices=choices, ask=Ask(), text=text)
    return True


def _lost(turn: Turn, state: StepState, unit: Unit) -> None:
    if unit.losses > limits.LEASE_LOSSES_MAX:
        _fail(turn, state, unit, f"its worker was lost {unit.losses} times")
    else:
        again(turn, state, unit, cause="lost", rung=unit.rung)


def _climb(turn: Turn, state: StepState, unit: Unit) -> None:
    """Take the next rung that applies. After the last one the unit has failed."""
    ladder = state.spec.ladder
    spent = total_left_s(turn, state, unit) <= 0
    rung = max(unit.rung, 0)
    while rung < len(ladder):
        if _take(turn, state, unit, rung, ladder[rung], spent=spent):
            return
        rung += 1
    why = "; ".join(unit.reasons) or "refused"
    _fail(turn, state, unit, f"total timeout of {state.spec.timeout.total:g} s: {why}" if spent else why)


def _take(turn: Turn, state: StepState, unit: Unit, rung: int, step: Rung, *, spent: bool) -> bool:
    """Whether a rung applies; if so, it is taken."""
    used = unit.rung_used if rung == unit.rung else 0
    if step.gap:
        leave_gap(turn, state, unit, "; ".join(unit.reasons) or "refused")
        return True
    if step.fail:
        _fail(turn, state, unit, "; ".join(unit.reasons) or "refused")
        return True
    if step.ask is not None:
        if rung <= unit.asked:
            return False
        # What the schema refused, or what was never produced, nobody can accept. A gap is offered only where the plan
        # speaks of one: elsewhere its readers were not made to reckon with null.
        accept = ("accept",) if unit.digest and unit.check > 0 else ()
        gap = ("gap",) if has_gap(state.spec.ladder) else ()
        choices = (*accept, "retry", *gap, "fail")
        text = f"{state.spec.id} was refused: {'; '.join(unit.reasons)}. What now?"
        _ask(turn, state, unit, subject="rung", choices=choices, ask=step.ask, text=text, rung=rung)
        return True
    if spent:
        return False
    if step.retry is not None:
        if used >= step.retry or unit.terminal or unit.repeat:
            return False
        again(turn, state, unit, cause="ladder", rung=rung)
        return True
    if step.escalate is not None:
        if used:
            return False
        if _held(turn, state, unit):
            return True
        turn.emit(
            f.StepEscalated(
                at_s=turn.now_s,
                step=state.spec.id,
                branch=unit.branch,
                attempt=unit.attempt,
                rung=rung,
                tier=step.escalate.tier,
                pool=step.escalate.pool,
            )
        )
        dispatch(turn, state, unit, cause="ladder", rung=rung)
        return True
    assert step.replan is not None
    if rung <= unit.replanned or turn.run.replans >= limits.REPLANS_MAX:
        return False
    if _held(turn, state, unit):
        return True
    turn.emit(
        f.ReplanAsked(
            at_s=turn.now_s,
            step=state.spec.id,
            branch=unit.branch,
            attempt=unit.attempt,
            scope=step.replan,
            rung=rung,
        )
    )
    turn.ask(replan_command(state, unit))
    return True


def _ask(
    turn: Turn,
    state: StepState,
    unit: Unit,
    *,
    subject: Literal["rung", "effect"],
    choices: tuple[str, ...],
    ask: Ask,
    text: str,
    rung: int = -1,
) -> None:
    expires = turn.now_s + ask.expires
    then = ask.then if ask.then in choices else "fail"
    turn.emit(
        f.ApprovalAsked(
            at_s=turn.now_s,
            step=state.spec.id,
            branch=unit.branch,
            attempt=unit.attempt,
            subject=subject,
            rung=rung,
            choices=choices,
            then=then,
            expires_at_s=expires,
            ask=text,
            show=unit.output,
        )
    )
    turn.ask(c.SetTimer(kind="approval", at_s=expires, step=state.spec.id, branch=unit.branch, attempt=unit.attempt))


def answered(turn: Turn, state: StepState, unit: Unit) -> None:
    """Act on what a person chose, or on what stands for an answer that did not come in time."""
    asked, answer = unit.approval, unit.answer
    assert asked is not None
    assert answer is not None
    choice = answer.choice
    reason = answer.reason if isinstance(answer, f.ApprovalAnswered) else "nobody answered in time"
    if asked.subject == "step":
        if choice is None:
            _fail(turn, state, unit, reason)
        else:
            _produce(turn, state, unit, {"choice": choice, "reason": reason, "by": answer.actor or None})
    elif asked.subject == "check":
        _say(turn, state, unit, asked.check, "pass" if choice == "accept" else "fix", reason, answer.actor)
    elif choice == "accept":
        _say(turn, state, unit, len(state.spec.checks), "pass", reason, answer.actor)
    elif choice == "done":
        if unit.effect_open:
            done = f.EffectDone(
                at_s=turn.now_s,
                actor=answer.actor,
                step=state.spec.id,
                branch=unit.branch,
                attempt=unit.attempt,
                key=unit.effect_key,
            )
            turn.emit(done)
        _produce(turn, state, unit, None)
    elif choice == "retry":
        again(turn, state, unit, cause="ladder" if asked.subject == "rung" else "lost", rung=unit.rung)
    elif choice == "gap":
        leave_gap(turn, state, unit, _because(unit, reason))
    else:
        _fail(turn, state, unit, _because(unit, reason))


def _because(unit: Unit, reason: str) -> str:
    return "; ".join(filter(None, (*unit.reasons, reason))) or "a person decided so"


def _produce(turn: Turn, state: StepState, unit: Unit, output: JsonValue) -> None:
    turn.emit(
        f.StepProduced(
            at_s=turn.now_s,
            step=state.spec.id,
            branch=unit.branch,
            attempt=unit.attempt,
            digest=digest_of(output),
            started_at_s=unit.sent_at_s,
            output=output,
        )
    )


def _say(turn: Turn, state: StepState, unit: Unit, check: int, verdict: VerdictKind, reason: str, actor: str) -> None:
    turn.emit(
        f.CheckVerdict(
            at_s=turn.now_s,
            actor=actor,
            step=state.spec.id,
            branch=unit.branch,
            attempt=unit.attempt,
            check=check,
            name="human",
            verdict=verdict,
            digest=Digest(unit.digest),
            reasons=(reason,) if reason else (),
        )
    )


def _fail(turn: Turn, state: StepState, unit: Unit, cause: str) -> None:
    turn.emit(f.StepFailed(at_s=turn.now_s, step=state.spec.id, branch=unit.branch, attempt=unit.attempt, cause=cause))
