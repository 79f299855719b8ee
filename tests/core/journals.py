"""Journals to plant a breach in, and what `check_history` says of them."""

from dataclasses import dataclass, replace

from orchestrator.core import facts as f
from orchestrator.core.invariants import check_history
from orchestrator.ids import Digest, StepId
from orchestrator.plan.models import digest_of
from tests.core.bench import Bench, plan_of

A, B, D, X = StepId("a"), StepId("b"), Digest("d"), digest_of("x")
CHILD = {"name": "c", "steps": {"s": {"pool": "w", "call": "f"}}}


@dataclass(frozen=True)
class Rec:
    """A record, as a journal gives it back."""

    seq: int
    fact: f.Fact


def said(facts: list[f.Fact]) -> list[str]:
    """Every violation, whole, as `place step[branch] rule: what`."""
    return [f"{v.seq} {v.step}[{v.branch}] {v.rule}: {v.what}" for v in check_history(facts)]


def at(bench: Bench, kind: type[f.Fact], step: str = "", number: int = 0) -> int:
    """The index of a fact in the journal."""
    found = [
        index
        for index, fact in enumerate(bench.all)
        if isinstance(fact, kind) and (not step or getattr(fact, "step", "") == step)
    ]
    return found[number]


def changed(facts: list[f.Fact], index: int, **values: object) -> list[f.Fact]:
    """The journal with one fact changed."""
    return [*facts[:index], replace(facts[index], **values), *facts[index + 1 :]]  # type: ignore[arg-type]  # tests name its fields


def sent(step: str, attempt: int = 1, **values: object) -> f.StepDispatched:
    """A task was sent."""
    return f.StepDispatched(at_s=0.0, step=StepId(step), attempt=attempt, pool="w", digest=D, **values)  # type: ignore[arg-type]  # tests name its fields


def pair(**keys: object) -> Bench:
    """A run of `a` and then `b`, both with a check, that ended well; its facts stand in `PAIR` order."""
    step = {"checks": [{"rule": "output != 'bad'"}]}
    bench = Bench(plan_of({"a": step, "b": {"needs": ["a"], **step}}, **keys))
    bench.done("a", "x")
    bench.done("b", "y")
    assert bench.ended.status == "succeeded"
    return bench


PAIR = pair().all
ACCEPTED, FROZEN, SENT_A, MADE_A, SCHEMA_A, RULE_A, PASSED_A, SENT_B = range(8)
END = len(PAIR) - 1
