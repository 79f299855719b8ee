"""Commands: what the machine asks of the shell. Each is answered by one input."""

from dataclasses import dataclass
from typing import Literal

from orchestrator.core.fact import NO_STEP
from orchestrator.core.plan_facts import PatternChosen, PlanDrafted
from orchestrator.core.step_facts import JudgeVoted
from orchestrator.ids import JsonValue, RunId, StepId
from orchestrator.plan.models import Plan
from orchestrator.plan.parts import Judge

TimerKind = Literal["attempt", "backoff", "approval", "wall"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Dispatch:
    """Send a task to a pool: work, or the call of a check. Answered by an output or a failed attempt."""

    step: StepId
    branch: int
    attempt: int
    sample: int
    purpose: Literal["work", "check"]
    check: int
    pool: str
    function: str | None
    instruction: str | None
    args: dict[str, JsonValue]
    tier: str | None
    reasons: tuple[str, ...]
    idempotency_key: str | None
    timeout_s: float  #: until the attempt counts as timed out
    idle_s: float | None
    output_schema: dict[str, JsonValue] | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Revoke:
    """Nobody wants the answer of this task any more. Not answered."""

    step: StepId
    branch: int
    attempt: int
    sample: int
    purpose: Literal["work", "check"] = "work"
    check: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class AskJudge:
    """Let a model judge an output. Answered by a verdict."""

    step: StepId
    branch: int
    attempt: int
    check: int
    judge: Judge
    task: str
    args: dict[str, JsonValue]
    output: JsonValue
    votes: tuple[JudgeVoted, ...] = ()  #: given before a crash, or before others broke


@dataclass(frozen=True, slots=True, kw_only=True)
class SetTimer:
    """Wake the machine at a time. Answered by `TimerFired`; late ones are harmless."""

    kind: TimerKind
    at_s: float
    step: StepId = NO_STEP
    branch: int = -1
    attempt: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class StartChild:
    """Start a sub-plan as a run of its own. Answered by `ChildEnded`. Starting one that exists is no error."""

    step: StepId
    branch: int
    attempt: int
    child: RunId
    plan: Plan
    inputs: dict[str, JsonValue]
    usd: float
    tokens: int
    wall_s: float
    steps: int
    calls: int | None = None  #: of models; None: not limited


@dataclass(frozen=True, slots=True, kw_only=True)
class CancelChild:
    """Cancel a sub-plan. Not answered: the parent has moved on."""

    child: RunId
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class AskReplan:
    """Ask the planner for a patch. Answered by a patch or a refusal."""

    step: StepId
    branch: int
    attempt: int
    scope: Literal["downstream", "step", "news"]
    reasons: tuple[str, ...]
    output: JsonValue = None  #: of the step, where it is news
    drafts: tuple[PlanDrafted, ...] = ()  #: written before a crash


@dataclass(frozen=True, slots=True, kw_only=True)
class AskPlan:
    """Let a supervisor plan a goal. Answered by `GoalPlanned`, or by a failed attempt."""

    step: StepId
    branch: int
    attempt: int
    goal: str
    args: dict[str, JsonValue]  #: what the plan may use, as its inputs
    reasons: tuple[str, ...]  #: why the attempt before was refused
    drafts: tuple[PlanDrafted, ...] = ()  #: written before a crash
    pattern: PatternChosen | None = None  #: decided before a crash


@dataclass(frozen=True, slots=True, kw_only=True)
class Finish:
    """The run has ended: tell whoever waits. Not answered."""


Command = Dispatch | Revoke | AskJudge | SetTimer | StartChild | CancelChild | AskReplan | AskPlan | Finish
