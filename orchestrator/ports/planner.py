"""The planner port: who is asked for a patch when a step's ladder says `replan`."""

from dataclasses import dataclass
from typing import Literal, Protocol

from orchestrator.ids import RunId, StepId
from orchestrator.plan.models import Plan
from orchestrator.plan.patch import Patch


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplanRequest:
    """What the planner is told."""

    run_id: RunId
    plan: Plan
    step: StepId
    branch: int  #: -1 for a step that is not mapped
    scope: Literal["downstream", "step"]
    reasons: tuple[str, ...]
    statuses: dict[str, str]  #: of every step
    locked: frozenset[str]  #: steps that a patch may not touch: they have passed or run


class Planner(Protocol):
    """Writes patches."""

    async def replan(self, request: ReplanRequest) -> Patch | None:
        """A patch on the plan as it is, or None when there is nothing better to do.

        An error raised here counts as a refusal; its text goes into the journal.
        """
        ...
