"""Whether a result is what a case expects. Pure; what cannot be judged is not right."""

from orchestrator.core.results import Cancelled, Degraded, Failed, RunResult, Stopped, Succeeded
from orchestrator.errors import ExpressionError
from orchestrator.ids import JsonValue
from orchestrator.plan.expressions import bare
from orchestrator.plan.models import canonical_json
from orchestrator.service.evaluation.cases import Case, Expect

SHOWN_CHARS = 200


def status_of(result: RunResult) -> str:
    """The word of a result."""
    return type(result).__name__.lower()


def wrong(case: Case, result: RunResult, seconds: float) -> list[str]:
    """What does not hold, in words; nothing when the result is right."""
    output = result.output if isinstance(result, Succeeded | Degraded) else None
    expected = case.expect or (Expect(status="succeeded"),)
    found: list[str] = []
    ended = isinstance(result, Succeeded | Degraded)
    if not ended and not any(one.kind == "status" for one in expected):
        found.append(f"the run {_ended(result)}")
    for one in expected:
        said = _wrong(one, case, result, output, seconds)
        if said:
            found.append(f"{one.reason}: {said}" if one.reason else said)
    return list(dict.fromkeys(found))


def _wrong(one: Expect, case: Case, result: RunResult, output: JsonValue, seconds: float) -> str:
    match one.kind:
        case "status":
            return "" if status_of(result) == one.status else f"the run {_ended(result)}, not {one.status}"
        case "equals":
            same = canonical_json(output) == canonical_json(one.equals)
            return "" if same else f"the output is {_short(output)}, not {_short(one.equals)}"
        case "not_equals":
            same = canonical_json(output) == canonical_json(one.not_equals)
            return f"the output is {_short(output)} again" if same else ""
        case "contains":
            assert one.contains is not None, "it is of this kind"
            text = output if isinstance(output, str) else canonical_json(output)
            return "" if one.contains in text else f"{_short(output)} does not contain {one.contains!r}"
        case _:
            return _rule(one, case, result, output, seconds)


def _rule(one: Expect, case: Case, result: RunResult, output: JsonValue, seconds: float) -> str:
    assert one.rule is not None, "it is of this kind"
    gaps: list[JsonValue] = []
    if not isinstance(result, Cancelled | Succeeded):
        gaps = [{"step": gap.step, "branch": gap.branch, "reason": gap.reason} for gap in result.gaps]
    run: dict[str, JsonValue] = {
        "status": status_of(result),
        "usd": result.usage.usd,
        "tokens": result.usage.tokens,
        "seconds": seconds,
    }
    try:
        held = bare(one.rule).evaluate({"output": output, "inputs": dict(case.inputs), "gaps": gaps, "run": run})
    except ExpressionError as error:
        return f"the rule cannot be judged: {error}"
    if held is True:
        return ""
    return f"this does not hold: {one.rule}" if held is False else f"the rule gives {_short(held)}, no true or false"


def _ended(result: RunResult) -> str:
    match result:
        case Failed():
            return f"failed: {result.cause[:SHOWN_CHARS]}"
        case Stopped():
            return f"stopped: {result.reason[:SHOWN_CHARS]}"
        case Cancelled():
            return "was cancelled" + (f": {result.reason[:SHOWN_CHARS]}" if result.reason else "")
        case _:
            return status_of(result)


def _short(value: JsonValue) -> str:
    text = canonical_json(value)
    return text if len(text) <= SHOWN_CHARS else f"{text[:SHOWN_CHARS]}…"


__all__ = ["status_of", "wrong"]
