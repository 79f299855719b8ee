"""What `plan check` says of a plan: what is wrong, what is in force, what it will do."""

from dataclasses import dataclass

from orchestrator.errors import PlanError, PlanIssue
from orchestrator.plan.estimate import Estimate
from orchestrator.plan.graph import Edge

__all__ = ["InForce", "Report"]


@dataclass(frozen=True, slots=True, kw_only=True)
class InForce:
    """One limit that holds for the plan."""

    path: str  #: such as `budget.usd` or `steps.draft.timeout.total`
    value: str  #: as people write it
    default: bool  #: nobody wrote it


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """Everything `plan check` knows of a plan before any call."""

    errors: tuple[PlanIssue, ...]
    warnings: tuple[PlanIssue, ...]
    in_force: tuple[InForce, ...]
    edges: tuple[Edge, ...]
    critical_path: tuple[str, ...]  #: step ids, first to last; empty when the plan has a cycle
    critical_path_s: float  #: seconds at most, by the steps' `timeout.total` and the time people may take
    estimate: Estimate
    generations: tuple[int, ...] = ()  #: how many steps could run at each depth

    @property
    def max_steps(self) -> int | None:
        """First dispatches at most, sub-plans included; None when a list's length is open."""
        return self.estimate.steps_most

    def raise_if_errors(self) -> None:
        """Does nothing for a plan without errors.

        Raises:
            PlanError: with every error.
        """
        if self.errors:
            raise PlanError(self.errors)
