"""Facts for tests: one or any of every kind, with values as odd as JSON allows. Needs Hypothesis."""

import types
from dataclasses import fields
from typing import Literal, NewType, Union, get_args, get_origin, get_type_hints

from hypothesis import strategies as st

from orchestrator.core.facts import FACTS, Fact, RunAccepted, RunEnded, StepPassed, StepProduced
from orchestrator.ids import Digest, JsonValue, RunId, StepId

DIGEST = Digest("sha256:" + "0" * 64)


def texts() -> st.SearchStrategy[str]:
    """Any text a journal keeps: all of Unicode but surrogates and NUL."""
    return st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=12)


def floats() -> st.SearchStrategy[float]:
    """Any finite number."""
    return st.floats(allow_nan=False, allow_infinity=False)


def json_values() -> st.SearchStrategy[JsonValue]:
    """Any value of JSON, with integers far beyond 64 bits."""
    plain = st.none() | st.booleans() | st.integers(-(2**200), 2**200) | floats() | texts()
    return st.recursive(
        plain, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts(), inner, max_size=3), max_leaves=6
    )


def facts_of(cls: type[Fact]) -> st.SearchStrategy[Fact]:
    """Any fact of one kind."""
    hints = get_type_hints(cls)
    return st.builds(cls, **{field.name: _values_of(hints[field.name]) for field in fields(cls)})


def any_fact() -> st.SearchStrategy[Fact]:
    """Any fact of any kind."""
    return st.sampled_from(FACTS).flatmap(facts_of)


def _values_of(annotation: object) -> st.SearchStrategy[object]:
    while isinstance(annotation, NewType):
        annotation = annotation.__supertype__
    if annotation is JsonValue:
        return json_values()
    simple = {
        str: texts(),
        int: st.integers(-(2**63) + 1, 2**63 - 1),
        float: floats(),
        bool: st.booleans(),
    }
    if isinstance(annotation, type) and annotation in simple:
        return simple[annotation]
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Literal:
        return st.sampled_from(arguments)
    if origin in {Union, types.UnionType}:
        return st.one_of([st.none() if argument is type(None) else _values_of(argument) for argument in arguments])
    if origin is list:
        return st.lists(json_values(), max_size=3)
    if origin is dict:
        return st.dictionaries(texts(), json_values(), max_size=3)
    if origin is tuple:
        return st.lists(_values_of(arguments[0]), max_size=3).map(tuple)
    raise TypeError(f"no values for {annotation!r}")


def accepted(
    run_id: str = "run-1",
    *,
    at_s: float = 1.0,
    tenant: str = "default",
    plan: str = "plan",
    key: str | None = None,
    origin: str | None = None,
    parent: str | None = None,
) -> RunAccepted:
    """The first fact of a run."""
    return RunAccepted(
        at_s=at_s,
        run=RunId(run_id),
        plan=plan,
        plan_digest=DIGEST,
        request_digest=DIGEST,
        machine=1,
        tenant=tenant,
        idempotency_key=key,
        origin=RunId(origin or run_id),
        parent=None if parent is None else RunId(parent),
        usd=1.0,
        tokens=1_000,
        wall_s=60.0,
        steps=10,
        inputs={"topic": "heat pumps"},
    )


def ended(*, at_s: float = 9.0, status: Literal["succeeded", "failed"] = "succeeded") -> RunEnded:
    """The last fact of a run."""
    return RunEnded(at_s=at_s, status=status, usd=0.5, tokens=70, steps=2, output={"answer": 42})


def produced(output: JsonValue, *, step: str = "draft", at_s: float = 2.0) -> StepProduced:
    """An output, not yet checked."""
    return StepProduced(at_s=at_s, actor="worker-1", step=StepId(step), attempt=1, digest=DIGEST, output=output)


def passed(*, step: str = "draft", at_s: float = 3.0) -> StepPassed:
    """An output that may be read."""
    return StepPassed(at_s=at_s, step=StepId(step), attempt=1, digest=DIGEST)
