"""What workers say, as inputs for the machine."""

import sys
from typing import TypedDict

from orchestrator.core import facts as f
from orchestrator.core.codec import check_fact
from orchestrator.core.inputs import Input
from orchestrator.core.state import RunState
from orchestrator.core.values import check_values
from orchestrator.errors import ValueRefused
from orchestrator.ids import Digest, JsonValue, StepId
from orchestrator.plan.models import digest_of
from orchestrator.ports import tasks as t

_VERDICTS = ("pass", "fix", "reject", "check_broken")


class _Place(TypedDict):
    """Who speaks, and of which sample of which attempt."""

    actor: str
    step: StepId
    branch: int
    attempt: int
    sample: int


def _place(message: t.TaskMessage) -> _Place:
    key = message.key
    return _Place(actor=message.worker, step=key.step_id, branch=key.branch, attempt=key.attempt, sample=key.sample)


def input_of(message: t.TaskMessage, run: RunState, now_s: float) -> Input | None:
    """The input a worker's message stands for; None for one that only watchers see.

    An answer in words that no journal keeps is a failure of its attempt; a worker of ours refuses them itself.

    Raises:
        ValueRefused: another message holds such words, or names its task by them.
    """
    try:
        return _checked(_meant(message, run, now_s))
    except (ValueError, ValueRefused) as error:
        if not isinstance(message, t.TaskDone | t.TaskFailed):
            raise
        why = error.reason if isinstance(error, ValueRefused) else "it holds a number or a character that JSON has not"
        worker = message.worker if _is_kept(message.worker) else ""
        told = f"the answer is none that a journal keeps: {why}"
        broken = t.TaskFailed(key=message.key, worker=worker, error="output", message=told)
        return _checked(_meant(broken, run, now_s))


def _checked(event: Input | None) -> Input | None:
    if isinstance(event, f.Fact):
        check_fact(event)
    return event


def _is_kept(text: str) -> bool:
    try:
        check_values("worker", (text,))
    except ValueRefused:
        return False
    return True


def _meant(message: t.TaskMessage, run: RunState, now_s: float) -> Input | None:
    key = message.key
    if key.purpose == "check":
        return _of_check(message, run, now_s)
    place = _place(message)
    match message:
        case t.TaskDone():
            return f.StepProduced(
                at_s=now_s,
                **place,
                digest=digest_of(message.output),
                started_at_s=message.started_at_s,
                output=message.output,
            )
        case t.TaskFailed():
            return f.AttemptFailed(
                at_s=now_s,
                **place,
                error=message.error,
                retry_after_s=message.retry_after_s,
                started_at_s=message.started_at_s,
                message=message.message,
            )
        case t.TaskSpent():
            return f.BudgetSettled(
                at_s=now_s,
                **place,
                charge=message.charge,
                usd=message.usd,
                tokens=message.tokens,
            )
        case t.TaskCalled():
            return _called(message, now_s)
        case t.TaskDelta() | t.TaskOffered():
            return None
        case t.TaskEvidence():
            return f.ToolCalled(
                at_s=now_s,
                **place,
                tool=message.tool,
                result=message.result,
                seconds=message.seconds,
            )
        case t.TaskToolFailed():
            return f.ToolFailed(at_s=now_s, **place, tool=message.tool, error=message.error, seconds=message.seconds)
        case t.TaskTripped():
            return f.GuardTripped(
                at_s=now_s,
                **place,
                guard=message.guard,
                stage=message.stage,
                verdict=message.verdict,
                tool=message.tool,
                score=message.score,
                reasons=message.reasons,
            )
        case t.TaskStarted():
            return f.StepStarted(
                at_s=message.at_s,
                **place,
            )
        case t.TaskProgress():
            if not message.journal:
                return None
            return f.StepProgress(
                at_s=now_s,
                **place,
                fraction=message.fraction,
                message=message.message,
            )


def _called(message: t.TaskCalled, now_s: float) -> f.ModelCalled:
    call = message.call
    return f.ModelCalled(
        at_s=now_s,
        **_place(message),
        model=call.model,
        outcome=call.outcome,
        usd=call.usd,
        tokens_in=call.tokens_in,
        tokens_out=call.tokens_out,
        charge=call.charge,
        endpoint=call.endpoint,
        tokens_cached=call.tokens_cached,
        estimated=call.estimated,
        unknown=call.unknown,
        prices=call.prices,
        seconds=call.seconds,
        first_s=call.first_s,
        served=call.served,
        entry=call.entry,
        why=call.why,
        saved_cache_usd=call.saved.cache,
        saved_routing_usd=call.saved.routing,
        saved_compression_usd=call.saved.compression,
        saved_batch_usd=call.saved.batch,
    )


def _of_check(message: t.TaskMessage, run: RunState, now_s: float) -> Input | None:
    if isinstance(message, t.TaskSpent):
        return f.BudgetSettled(
            at_s=now_s,
            actor=message.worker,
            step=message.key.step_id,
            branch=message.key.branch,
            attempt=message.key.attempt,
            charge=message.charge,
            usd=message.usd,
            tokens=message.tokens,
        )
    if isinstance(message, t.TaskCalled):
        return _called(message, now_s)
    if isinstance(message, t.TaskDone):
        kind, reasons, score, evidence = read_verdict(message.output)
        return verdict_of(message.key, run, now_s, kind, reasons, score, evidence, actor=message.worker)
    if isinstance(message, t.TaskFailed):
        reasons = (f"{message.error}: {message.message}",)
        return verdict_of(message.key, run, now_s, "check_broken", reasons, actor=message.worker)
    return None


def read_verdict(answer: JsonValue) -> tuple[f.VerdictKind, tuple[str, ...], float | None, JsonValue]:
    """What a function of a pool says about an output: true, false, or a mapping with `verdict` and `reasons`.

    Anything else is `check_broken`: a check that cannot be understood never passes anything.
    """
    if isinstance(answer, bool):
        return ("pass", (), None, None) if answer else ("fix", ("the check said no",), None, None)
    if isinstance(answer, dict) and answer.get("verdict") in _VERDICTS:
        kind: f.VerdictKind = answer["verdict"]  # type: ignore[assignment]  # one of the four words
        given = answer.get("reasons", [])
        score = answer.get("score")
        if isinstance(given, list) and all(isinstance(reason, str) for reason in given):
            number = float(score) if _is_score(score) else None  # type: ignore[arg-type]  # a number, then
            return kind, tuple(str(reason) for reason in given), number, answer.get("evidence")
    words = "true, false, or {verdict: pass|fix|reject|check_broken, reasons: [text], score: number}"
    return "check_broken", (f"the check must give {words}",), None, None


def _is_score(value: JsonValue) -> bool:
    """Whether a value is a number that a journal keeps; what a stranger sends may have any number of digits."""
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) <= sys.float_info.max


def verdict_of(
    key: t.TaskKey,
    run: RunState,
    now_s: float,
    kind: f.VerdictKind,
    reasons: tuple[str, ...],
    score: float | None = None,
    evidence: JsonValue = None,
    *,
    actor: str = "",
    name: str = "call",
    usd: float = 0.0,
    tokens: int = 0,
) -> f.CheckVerdict:
    """The verdict fact for an answered check; it speaks of the output that the unit holds now."""
    state = run.step(key.step_id)
    unit = state.find(key.branch) if state is not None else None
    if kind == "check_broken" and evidence is None and unit is not None:
        evidence = {"asked": unit.broken + 1}  # breaking twice in one moment is not one break told twice
    return f.CheckVerdict(
        at_s=now_s,
        actor=actor,
        step=key.step_id,
        branch=key.branch,
        attempt=key.attempt,
        check=key.check,
        name=name,
        verdict=kind,
        digest=Digest(unit.digest if unit is not None else ""),
        score=score,
        usd=usd,
        tokens=tokens,
        reasons=reasons,
        evidence=evidence,
    )
