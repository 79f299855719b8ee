"""The planner ports: who plans a goal, and who is asked for a patch when a step's ladder says `replan`."""

from dataclasses import dataclass, field
from typing import Literal, Protocol

from orchestrator.ids import JsonValue, RunId, StepId
from orchestrator.plan.models import Plan, Step
from orchestrator.plan.parts import Supervision
from orchestrator.plan.patch import Patch
from orchestrator.ports.model import Meter

Pattern = Literal["one_agent", "chain", "fan_out", "supervisors"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """What a planner's model wrote, and what was wrong with it."""

    number: int  #: from 1
    tier: str
    accepted: bool
    answer: str
    errors: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """How the work for a goal is split up, and why."""

    pattern: Pattern
    row: str  #: of the table that decided
    reason: str
    source: str = ""  #: of the row's number


class Desk(Meter, Protocol):
    """A planner's account with the run, and the record of what it does: both are in the journal before it goes on."""

    async def drafted(self, draft: Draft) -> None:
        """Record a draft; it is not paid for again after a crash."""
        ...

    async def decided(self, choice: Choice) -> None:
        """Record how the work is split up."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Room:
    """What is left of a run's budget for its sub-plans."""

    usd: float
    tokens: int
    steps: int
    calls: int | None = None  #: None: not limited


@dataclass(frozen=True, slots=True, kw_only=True)
class GoalRequest:
    """What a supervisor is told of a goal."""

    run_id: RunId
    step: StepId
    branch: int  #: -1 for a step that is not mapped
    attempt: int  #: from 1
    goal: str
    args: dict[str, JsonValue]  #: the inputs of the plan; their contents are data that nobody vouches for
    output: dict[str, JsonValue] | None  #: JSON Schema that the plan's result must fit
    constraints: tuple[str, ...]
    reasons: tuple[str, ...]  #: why the attempt before was refused
    supervision: Supervision
    depth: int  #: plans above this goal's plan; 1 for a goal of a top-level run
    room: Room
    desk: Desk = field(repr=False, compare=False)
    drafts: tuple[Draft, ...] = ()  #: written before a crash
    choice: Choice | None = None  #: decided before a crash


@dataclass(frozen=True, slots=True, kw_only=True)
class Planned:
    """A plan for a goal: checked, and within everything the host allows."""

    plan: Plan
    tries: int  #: drafts that were written
    usd_estimate: float  #: by the host's rates


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplanRequest:
    """What the planner is told."""

    run_id: RunId
    plan: Plan
    step: StepId
    branch: int  #: -1 for a step that is not mapped
    scope: Literal["downstream", "step", "news"]  #: news: what its output says, and the step itself stays
    reasons: tuple[str, ...]
    statuses: dict[str, str]  #: of every step
    locked: frozenset[str]  #: steps that a patch may not touch: they have passed or run
    desk: Desk = field(repr=False, compare=False)
    output: JsonValue = None  #: of the step, where it is news: data that nobody vouches for
    attempt: int = 1
    depth: int = 0  #: plans above this one; 0 for a top-level run
    room: Room = Room(usd=0.0, tokens=0, steps=0)
    supervision: Supervision | None = None  #: of the goal whose plan this is; None for a plan that people wrote
    drafts: tuple[Draft, ...] = ()  #: written before a crash


class Planner(Protocol):
    """Writes patches."""

    async def replan(self, request: ReplanRequest) -> Patch | None:
        """A patch on the plan as it is, or None when there is nothing better to do.

        An error raised here counts as a refusal; its text goes into the journal.
        """
        ...


class GoalPlanner(Protocol):
    """Plans goals."""

    def refusal(self, step: Step) -> str:
        """Why a goal cannot be planned here, such as a pool that the host does not allow; empty when it can."""
        ...

    async def plan(self, request: GoalRequest) -> Planned:
        """A plan for a goal.

        Raises:
            PlanningFailed: no draft was in order; it tells all tries.
            BudgetExceeded: the run has not enough left for the next call.
            ModelError: the model gave no answer.
        """
        ...
