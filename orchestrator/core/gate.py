"""The checks that need nothing but data: schema, rule, grounded, agree. Pure; a check that breaks never passes."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from orchestrator.core.facts import VerdictKind
from orchestrator.core.state import Sample
from orchestrator.errors import ExpressionError
from orchestrator.ids import JsonValue
from orchestrator.plan.compiled import CompiledCheck
from orchestrator.plan.models import canonical_json
from orchestrator.plan.parts import Agree, Grounded
from orchestrator.plan.schemas import SchemaCheck

REASONS_MAX = 10  #: reasons of one verdict
QUOTE_CHARS_MAX = 200  #: of a value quoted in a reason


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """A check's word on an output."""

    kind: VerdictKind
    reasons: tuple[str, ...] = ()
    score: float | None = None
    evidence: JsonValue = None


PASS = Verdict(kind="pass")
_NUMBERS = frozenset({int, float})
INLINE = frozenset({"rule", "grounded"})  #: checks that this file answers at once


def check_schema(schema: SchemaCheck | None, output: JsonValue) -> Verdict:
    """Does the output fit the step's JSON Schema? Without one, being JSON is enough."""
    if schema is None:
        return PASS
    reasons = schema(output)
    return Verdict(kind="fix", reasons=reasons[:REASONS_MAX]) if reasons else PASS


def check_inline(
    check: CompiledCheck,
    output: JsonValue,
    scope: Mapping[str, object],
    args: Mapping[str, JsonValue],
    evidence: Sequence[JsonValue],
) -> Verdict:
    """Ask a `rule` or `grounded` check."""
    try:
        if check.rule is not None:
            return _rule(check, output, scope, args)
        assert check.spec.grounded is not None, "INLINE names rule and grounded"
        return _grounded(check.spec.grounded, output, scope, args, evidence)
    except ExpressionError as error:
        return Verdict(kind="check_broken", reasons=(str(error),))


def _rule(
    check: CompiledCheck, output: JsonValue, scope: Mapping[str, object], args: Mapping[str, JsonValue]
) -> Verdict:
    assert check.rule is not None
    assert check.spec.rule is not None
    held = check.rule.evaluate({**scope, "output": output, "args": args})
    if held is True:
        return PASS
    if held is False:
        return Verdict(kind="fix", reasons=(check.spec.reason or f"this does not hold: {check.spec.rule}",))
    return Verdict(
        kind="check_broken", reasons=(f"the rule gives {_quote(held)}, not true or false: {check.spec.rule}",)
    )


def _quote(value: JsonValue) -> str:
    text = canonical_json(value)
    return text if len(text) <= QUOTE_CHARS_MAX else text[:QUOTE_CHARS_MAX] + "…"


def values_at(output: JsonValue, path: str) -> list[JsonValue] | None:
    """The values at a dotted path; a list on the way means each of its items. None: the path is missing."""
    found: list[JsonValue] = [output]
    for name in path.split("."):
        below: list[JsonValue] = []
        for value in _flat(found):
            if not isinstance(value, dict) or name not in value:
                return None
            below.append(value[name])
        found = below
    return list(_flat(found))


def _flat(values: Sequence[JsonValue]) -> Iterator[JsonValue]:
    for value in values:
        if isinstance(value, list):
            yield from _flat(value)
        else:
            yield value


def _leaves(value: JsonValue) -> Iterator[str | int | float]:
    stack: list[JsonValue] = [value]
    while stack:
        top = stack.pop()
        if isinstance(top, dict):
            stack += top.values()
        elif isinstance(top, list):
            stack += top
        elif isinstance(top, str | int | float) and not isinstance(top, bool):
            yield top


def _plain(text: str) -> str:
    return " ".join(text.split()).casefold()


def _grounded(
    spec: Grounded,
    output: JsonValue,
    scope: Mapping[str, object],
    args: Mapping[str, JsonValue],
    evidence: Sequence[JsonValue],
) -> Verdict:
    """Every value at the field must occur, as a quote or as a number, in what the worker was given or found."""
    claims = values_at(output, spec.field)
    if claims is None:
        return Verdict(kind="fix", reasons=(f"{spec.field} is missing from the output",))
    sources: list[JsonValue] = []
    if spec.in_ in ("inputs", "any"):
        sources += [dict(args), scope["inputs"]]  # type: ignore[list-item]  # the scope's inputs are JSON
    if spec.in_ in ("tool_results", "any"):
        sources += evidence
    texts: list[str] = []
    numbers: set[float] = set()
    for leaf in _leaves(sources):
        if isinstance(leaf, str):
            texts.append(_plain(leaf))
        else:
            numbers.add(leaf)
    corpus = "\n".join(texts)
    missing = [claim for claim in claims if not _occurs(claim, corpus, numbers)]
    if not missing:
        return PASS
    where = {"inputs": "the inputs", "tool_results": "a tool result", "any": "the inputs or a tool result"}[spec.in_]
    reasons = tuple(f"{spec.field}: {_quote(claim)} does not occur in {where}" for claim in missing[:REASONS_MAX])
    return Verdict(kind="fix", reasons=reasons, evidence={"missing": len(missing), "of": len(claims)})


def _occurs(claim: JsonValue, corpus: str, numbers: set[float]) -> bool:
    if isinstance(claim, str):
        plain = _plain(claim)
        return bool(plain) and plain in corpus
    if isinstance(claim, int | float) and not isinstance(claim, bool):
        return claim in numbers
    return False


def elect(spec: Agree, samples: Mapping[int, Sample]) -> tuple[int | None, Verdict]:
    """Which sample `quorum` of the runs agree with, and the verdict. What failed its own checks does not vote."""
    voters: list[tuple[int, JsonValue]] = []
    for number, sample in sorted(samples.items()):
        if sample.well:
            values = values_at(sample.output, spec.field) if spec.field is not None else [sample.output]
            if values is not None:
                voters.append((number, values[0] if len(values) == 1 else values))
    best: tuple[int | None, int] = (None, 0)
    for number, value in voters:
        votes = sum(_same(value, other, spec.tolerance) for _, other in voters)
        if votes > best[1]:
            best = (number, votes)
    chosen, votes = best
    evidence: JsonValue = {"votes": votes, "of": spec.runs, "quorum": spec.quorum}
    if chosen is not None and votes >= spec.quorum:
        return chosen, Verdict(kind="pass", score=votes / spec.runs, evidence=evidence)
    heard = "; ".join(_quote(value) for _, value in voters) or "no run gave an output that passed its own checks"
    reason = f"{votes} of {spec.runs} runs agree and {spec.quorum} must: {heard}"
    return None, Verdict(kind="fix", reasons=(reason,), score=votes / spec.runs, evidence=evidence)


def _same(left: JsonValue, right: JsonValue, tolerance: float) -> bool:
    """Equal JSON, numbers within the tolerance wherever they stand; true is no number."""
    todo = [(left, right)]
    while todo:
        one, other = todo.pop()
        if isinstance(one, list) and isinstance(other, list):
            if len(one) != len(other):
                return False
            todo += zip(one, other, strict=True)
        elif isinstance(one, dict) and isinstance(other, dict):
            if one.keys() != other.keys():
                return False
            todo += ((one[key], other[key]) for key in one)
        elif type(one) in _NUMBERS and type(other) in _NUMBERS:
            if not _near(one, other, tolerance):  # type: ignore[arg-type]  # both are numbers: just tested
                return False
        elif type(one) is not type(other) or one != other:
            return False
    return True


def _near(one: float, other: float, tolerance: float) -> bool:
    return one == other or abs(one - other) <= tolerance * max(abs(one), abs(other))
