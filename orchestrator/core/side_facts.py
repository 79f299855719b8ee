"""Facts about sub-plans, people, plans under change, and money."""

from dataclasses import dataclass
from typing import ClassVar, Literal

from orchestrator.core.fact import StepFact
from orchestrator.ids import JsonValue, RunId


@dataclass(frozen=True, slots=True, kw_only=True)
class ChildStarted(StepFact):
    """A sub-plan runs, with a share of the budget reserved for it."""

    KIND: ClassVar[str] = "child.started"

    child: RunId
    usd: float
    tokens: int
    wall_s: float
    steps: int
    calls: int | None = None  #: of models; None: not limited


@dataclass(frozen=True, slots=True, kw_only=True)
class ChildEnded(StepFact):
    """A sub-plan ended; what it did not use of its share comes back."""

    KIND: ClassVar[str] = "child.ended"
    PAYLOAD: ClassVar[tuple[str, ...]] = ("output", "gaps", "reason")

    child: RunId
    status: Literal["succeeded", "degraded", "stopped", "failed", "cancelled"]
    usd: float
    tokens: int
    steps: int
    output: JsonValue = None
    gaps: tuple[dict[str, JsonValue], ...] = ()
    reason: str = ""
    calls: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class ApprovalAsked(StepFact):
    """A person is asked. `subject`: a human step, a human check, an `ask` rung, an unknown effect, or the budget."""

    KIND: ClassVar[str] = "approval.asked"
    PAYLOAD: ClassVar[tuple[str, ...]] = ("ask", "show")

    subject: Literal["step", "check", "rung", "effect", "budget"]
    check: int = 0
    rung: int = -1
    choices: tuple[str, ...]
    then: str | None = None  #: taken at the deadline; None: the step fails
    expires_at_s: float
    ask: str
    show: JsonValue = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ApprovalAnswered(StepFact):
    """A person chose. `actor` says who."""

    KIND: ClassVar[str] = "approval.answered"
    PAYLOAD: ClassVar[tuple[str, ...]] = ("reason",)

    choice: str
    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ApprovalExpired(StepFact):
    """Nobody answered in time; `choice` is taken, None means the step fails."""

    KIND: ClassVar[str] = "approval.expired"

    choice: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplanAsked(StepFact):
    """The planner is asked for a patch: by a rung of the ladder, or because an output that passed is news."""

    KIND: ClassVar[str] = "replan.asked"

    scope: Literal["downstream", "step", "news"]
    rung: int  #: -1 for news


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplanRefused(StepFact):
    """The planner has no patch, or its patch was not valid."""

    KIND: ClassVar[str] = "replan.refused"
    PAYLOAD: ClassVar[tuple[str, ...]] = ("reason",)

    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class BudgetReserved(StepFact):
    """An amount is set aside before it is spent. It stays charged until settled, whatever dies."""

    KIND: ClassVar[str] = "budget.reserved"

    charge: str
    usd: float = 0.0
    tokens: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class BudgetSettled(StepFact):
    """What was really spent under a charge; a duplicate counts once."""

    KIND: ClassVar[str] = "budget.settled"

    charge: str
    usd: float = 0.0
    tokens: int = 0
