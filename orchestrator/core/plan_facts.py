"""Facts about plans that a model writes while a run is under way: for a goal, or as a patch."""

from dataclasses import dataclass
from typing import ClassVar, Literal

from orchestrator.core.fact import StepFact
from orchestrator.ids import Digest, JsonValue

PatternName = Literal["one_agent", "chain", "fan_out", "supervisors"]


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanDrafted(StepFact):
    """The planner's model wrote a draft. Kept as it was written, so that a resume need not pay for it again."""

    KIND: ClassVar[str] = "plan.drafted"
    PAYLOAD: ClassVar[tuple[str, ...]] = ("answer", "errors")

    number: int  #: from 1, within one attempt
    purpose: Literal["plan", "patch"]
    tier: str
    accepted: bool
    answer: str
    errors: tuple[str, ...] = ()  #: what the planner is told; empty when accepted


@dataclass(frozen=True, slots=True, kw_only=True)
class PatternChosen(StepFact):
    """How the work for a goal is split up, and by which row of the table that was decided."""

    KIND: ClassVar[str] = "pattern.chosen"
    PAYLOAD: ClassVar[tuple[str, ...]] = ("reason",)

    pattern: PatternName
    row: str  #: of the table
    source: str = ""  #: where the row's number comes from
    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class GoalPlanned(StepFact):
    """A goal has its plan: it is run as a sub-plan from here on."""

    KIND: ClassVar[str] = "goal.planned"
    PAYLOAD: ClassVar[tuple[str, ...]] = ("plan",)

    digest: Digest
    steps: int
    tries: int  #: drafts that were written
    usd_estimate: float  #: by the host's rates; a guess, where the budget is a limit
    plan: dict[str, JsonValue]  #: canonical form
