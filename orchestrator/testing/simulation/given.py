"""A plan of yours in the simulator: what its workers answer, and what came of it in many disasters."""

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Final, cast

from orchestrator.core import facts as f
from orchestrator.ids import JsonValue
from orchestrator.plan.models import Plan
from orchestrator.ports.journal import Recorded
from orchestrator.ports.tasks import StepTask
from orchestrator.testing.simulation.profile import FAULTS, Schedule

DEPTH_MAX: Final = 8  #: of an output that is made up from a schema
WRONG: Final[JsonValue] = None  #: what a lying worker answers; no schema of an object takes it


@dataclass(frozen=True, slots=True, kw_only=True)
class Given:
    """A plan, its inputs, and what honest workers answer, by step; other answers are made up from schemas."""

    plan: Plan
    inputs: dict[str, JsonValue]
    answers: dict[str, JsonValue] = field(default_factory=dict)

    def output(self, task: StepTask, *, ok: bool) -> JsonValue:
        """What a worker answers."""
        if not ok:
            return WRONG
        if task.key.step_id in self.answers:
            return self.answers[task.key.step_id]
        return (
            sample(task.output_schema) if task.output_schema is not None else {"text": f"output of {task.key.step_id}"}
        )


def sample(schema: JsonValue, depth: int = 0) -> JsonValue:
    """A small value for the common words of a JSON Schema; what asks for more is given as an answer."""
    if not isinstance(schema, dict) or depth > DEPTH_MAX:
        return None
    for word in ("const", "default"):
        if word in schema:
            return schema[word]
    for word in ("enum", "examples"):
        choices = schema.get(word)
        if isinstance(choices, list) and choices:
            return choices[0]
    for word in ("anyOf", "oneOf", "allOf"):
        choices = schema.get(word)
        if isinstance(choices, list) and choices:
            return sample(choices[0], depth + 1)
    kind = schema.get("type")
    kind = kind[0] if isinstance(kind, list) and kind else kind
    if kind == "object" or (kind is None and "properties" in schema):
        properties = schema.get("properties")
        named = cast(dict[str, JsonValue], properties if isinstance(properties, dict) else {})
        wanted = schema.get("required")
        names = dict.fromkeys([*named, *(map(str, wanted) if isinstance(wanted, list) else ())])
        return {name: sample(named.get(name, {"type": "string"}), depth + 1) for name in names}
    if kind == "array":
        return [
            sample(schema.get("items"), depth + 1) for _ in range(max(int(cast(int, schema.get("minItems", 1))), 1))
        ]
    if kind == "string":
        return "x" * max(int(cast(int, schema.get("minLength", 1))), 1)
    if kind in ("number", "integer"):
        return schema.get("minimum", 1)
    return {"boolean": True}.get(str(kind))


@dataclass(slots=True)
class Disasters:
    """What came of a plan in many schedules."""

    schedules: int = 0
    statuses: Counter[str] = field(default_factory=Counter)
    reasons: dict[str, list[int]] = field(default_factory=dict)  #: why runs did not succeed, and in which seeds
    broken: dict[int, tuple[str, ...]] = field(default_factory=dict)  #: promises of ours, by seed
    calm: str = ""  #: how the run ends without any fault
    calm_reason: str = ""


def disasters(given: Given, first: int, seeds: int) -> Disasters:
    """Play a plan without faults, and then through seeded disasters."""
    from orchestrator.testing.simulation.world import simulate  # which knows of this module

    told = Disasters()
    calm = simulate(Schedule(seed=first, without=frozenset(FAULTS), runs=1), given=given)
    for status, reason in _ends(calm.histories.values()):
        told.calm, told.calm_reason = status, reason
    for seed in range(first, first + seeds):
        outcome = simulate(Schedule(seed=seed, runs=1), given=given)
        told.schedules += 1
        if outcome.violations:
            told.broken[seed] = outcome.violations
        for status, reason in _ends(outcome.histories.values()):
            told.statuses[status] += 1
            if status != "succeeded":
                told.reasons.setdefault(f"{status}: {reason}" if reason else status, []).append(seed)
    return told


def _ends(histories: Iterable[list[Recorded]]) -> Iterator[tuple[str, str]]:
    """How runs at the top ended, and why."""
    for records in histories:
        facts = [record.fact for record in records]
        first, last = facts[0], next((fact for fact in reversed(facts) if isinstance(fact, f.RunEnded)), None)
        if isinstance(first, f.RunAccepted) and first.parent is None and last is not None:
            gaps = ", ".join(f"{gap['step']}: {gap['reason']}" for gap in last.gaps)
            yield last.status, last.reason or gaps
