"""Planner, replanner and judge of one engine, put together from its models, its pools and the host's rules."""

from dataclasses import dataclass
from typing import Self

from orchestrator.plan.catalogue import PoolCatalogue
from orchestrator.ports.model import Models
from orchestrator.supervisor.judging import ModelJudge
from orchestrator.supervisor.planning import GoalPlans
from orchestrator.supervisor.replanning import ModelPatches
from orchestrator.supervisor.rules import Supervisor


@dataclass(frozen=True, slots=True, kw_only=True)
class SupervisorAgent:
    """The three parts, each behind the port that the engine asks."""

    goals: GoalPlans
    patches: ModelPatches
    judge: ModelJudge

    @classmethod
    def of(cls, host: Supervisor, models: Models, catalogue: PoolCatalogue) -> Self:
        """By the rules of a host."""
        return cls(
            goals=GoalPlans(models, host, catalogue),
            patches=ModelPatches(models, host, catalogue),
            judge=ModelJudge(models),
        )
