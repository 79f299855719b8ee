"""How a run can end, as values: `match await run.result()`."""

from dataclasses import dataclass, field
from typing import Literal

from orchestrator.ids import JsonValue, RunId, StepId

ResultStatus = Literal["succeeded", "degraded", "stopped", "failed", "cancelled"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Gap:
    """Something that is missing from a result, and why."""

    step: StepId
    branch: int | None = None  #: from 0; None for a step that is not mapped
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """What a run spent, sub-plans included."""

    usd: float = 0.0
    tokens: int = 0
    steps: int = 0  #: first dispatches of steps and branches


@dataclass(frozen=True, slots=True, kw_only=True)
class Succeeded:
    """Everything that was to run has passed."""

    run_id: RunId
    output: JsonValue
    usage: Usage = field(default_factory=Usage)


@dataclass(frozen=True, slots=True, kw_only=True)
class Degraded:
    """There is a result, and `gaps` names what it lacks."""

    run_id: RunId
    output: JsonValue
    gaps: tuple[Gap, ...]
    usage: Usage = field(default_factory=Usage)


@dataclass(frozen=True, slots=True, kw_only=True)
class Stopped:
    """A limit left the result unset. `partial` is everything that passed, by step."""

    run_id: RunId
    reason: str
    partial: JsonValue
    gaps: tuple[Gap, ...] = ()
    usage: Usage = field(default_factory=Usage)


@dataclass(frozen=True, slots=True, kw_only=True)
class Failed:
    """A step that the result depends on failed."""

    run_id: RunId
    cause: str
    gaps: tuple[Gap, ...] = ()
    usage: Usage = field(default_factory=Usage)


@dataclass(frozen=True, slots=True, kw_only=True)
class Cancelled:
    """Somebody cancelled the run."""

    run_id: RunId
    reason: str = ""
    usage: Usage = field(default_factory=Usage)


RunResult = Succeeded | Degraded | Stopped | Failed | Cancelled
