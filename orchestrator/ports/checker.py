"""The checker port: who judges an output by a rubric."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Literal, Protocol

from orchestrator.ids import JsonValue, RunId, StepId
from orchestrator.ports.model import Meter


@dataclass(frozen=True, slots=True, kw_only=True)
class Vote:
    """One of several opinions of a judge."""

    number: int  #: from 1
    score: float  #: 0 to 1
    reasons: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class JudgeRequest:
    """What a judge sees: task, inputs, constraints and output, nothing else."""

    run_id: RunId
    step: StepId
    task: str
    args: dict[str, JsonValue]
    constraints: tuple[str, ...]
    output: JsonValue
    rubric: str
    tier: str
    pass_at: float  #: 0 to 1
    votes: int
    meter: Meter = field(repr=False, compare=False)  #: who pays
    cast: tuple[Vote, ...] = ()  #: votes that were given, and paid for, before a crash
    #: records a vote in the journal before the judge goes on, so that it is not paid for again
    voted: Callable[[Vote], Awaitable[None]] | None = field(default=None, repr=False, compare=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Judgement:
    """A judge's word."""

    verdict: Literal["pass", "fix", "reject", "check_broken"]
    reasons: tuple[str, ...] = ()
    score: float | None = None  #: 0 to 1
    usd: float = 0.0  #: beside what the meter was told of
    tokens: int = 0  #: the same


class Checker(Protocol):
    """Judges outputs."""

    async def judge(self, request: JudgeRequest) -> Judgement:
        """A verdict. An error raised here counts as `check_broken`, never as a pass."""
        ...
