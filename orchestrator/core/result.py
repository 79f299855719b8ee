"""What a run that has nothing open comes to: its status, its output, what is missing and why."""

from orchestrator.core import facts as f
from orchestrator.core.results import ResultStatus
from orchestrator.core.scope import gaps_of, output_of
from orchestrator.core.state import UPSTREAM, RunState, Status, StepState
from orchestrator.errors import ExpressionError
from orchestrator.ids import JsonValue, StepId

_OWN_GAPS = "ended with gaps of its own"  #: a sub-plan that passed without everything it was to have


def result(run: RunState, at_s: float) -> f.RunEnded:
    """The last fact of a run."""
    status, output, reason = _outcome(run)
    gaps: tuple[dict[str, JsonValue], ...] = tuple(
        {"step": step, "branch": branch, "reason": why} for step, branch, why in missing(run)
    )
    if status == "succeeded" and gaps:
        status = "degraded"
    ledger, open_ = run.ledger, run.ledger.unsettled(run.run_id)  # a call without a word may have been billed
    return f.RunEnded(
        at_s=at_s,
        status=status,
        usd=ledger.usd + open_.usd,
        tokens=ledger.tokens + open_.tokens,
        steps=ledger.steps,
        calls=ledger.calls + open_.calls,
        output=output,
        gaps=() if status == "cancelled" else gaps,
        reason=reason,
    )


def missing(run: RunState) -> list[tuple[StepId, int | None, str]]:
    """Every gap, failure and thing cut off: step, branch, reason. What its condition skipped is not missing."""
    found: list[tuple[StepId, int | None, str]] = []
    for state in run.steps:
        if state.units is not None:
            for gap in gaps_of(state):
                assert isinstance(gap, dict)
                index = gap["index"]
                assert isinstance(index, int)
                found.append((state.spec.id, index, str(gap["reason"])))
            found += [
                (state.spec.id, unit.branch, _OWN_GAPS)
                for unit in state.units
                if unit.degraded and unit.status is Status.PASSED
            ]
        elif (
            state.status in (Status.GAP, Status.FAILED)
            or (state.status is Status.SKIPPED and state.reason in UPSTREAM)
            or (state.status is Status.CANCELLED and state.reason != "join_met")
        ):
            found.append((state.spec.id, None, state.reason))
        elif state.degraded:
            found.append((state.spec.id, None, _OWN_GAPS))
    return found


def _outcome(run: RunState) -> tuple[ResultStatus, JsonValue, str]:
    plan = run.plan
    if run.cancelled:
        return "cancelled", None, run.cancel_reason
    needed = [run.steps[index] for index in plan.result_steps]
    for state in needed:
        if _failed(state):
            return "failed", None, _cause(run, state)
    if run.limit and _cut_off(run, needed):
        return "stopped", _partial(run), f"budget.{run.limit}"
    if plan.result is None:
        return "succeeded", _partial(run), ""
    try:
        return "succeeded", plan.result.resolve(run.scope), ""
    except ExpressionError as error:
        return "failed", None, f"result: {error}"


def _failed(state: StepState) -> bool:
    return state.status is Status.FAILED or (state.status is Status.SKIPPED and state.reason in UPSTREAM)


def _cut_off(run: RunState, needed: list[StepState]) -> bool:
    """Whether a limit took the result away: work in flight was cancelled, or what the result names was left out."""
    if run.limit_policy == "stop" and any(_left(state) for state in run.steps):
        return True
    if run.plan.result is None:
        return not any(state.status is Status.PASSED for state in needed)
    return any(_left(state) for state in needed)


def _left(state: StepState) -> bool:
    """Whether a limit left nothing of a step."""
    if state.status is Status.PASSED and state.units:
        return not state.passed and any(unit.reason.startswith("budget.") for unit in state.units)
    return state.status in (Status.GAP, Status.CANCELLED) and state.reason.startswith("budget.")


def _partial(run: RunState) -> JsonValue:
    return {
        state.spec.id: output_of(state)
        for state in run.steps
        if state.status is Status.PASSED or (state.units is not None and state.passed)
    }


def _cause(run: RunState, state: StepState) -> str:
    """The failure at the root: follow skips up to the step that really failed."""
    while state.status is Status.SKIPPED:
        above = [leader for need in state.spec.needs if _failed(leader := run.steps[need])]
        if not above:
            break
        state = next((leader for leader in above if leader.status is Status.FAILED), above[0])
    return f"{state.spec.id}: {state.reason}"
