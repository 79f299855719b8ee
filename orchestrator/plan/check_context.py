"""What all parts of `plan check` share: the plan, its expressions, its graph, its types, and where issues go."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from orchestrator.plan.catalogue import FunctionContract, PoolCatalogue
from orchestrator.plan.graph import PlanGraph
from orchestrator.plan.issues import Issues
from orchestrator.plan.models import Plan, Step
from orchestrator.plan.parts import has_gap as ladder_has_gap
from orchestrator.plan.plan_types import PlanTypes
from orchestrator.plan.references import Use

__all__ = ["Checking", "has_gap"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Checking:
    """One plan under check."""

    plan: Plan
    issues: Issues  #: stands at the plan
    pools: PoolCatalogue | None
    uses: dict[str, list[Use]]  #: by step
    result: list[Use]
    graph: PlanGraph
    types: PlanTypes
    places: dict[str, Issues] = field(default_factory=dict)
    contracts: dict[str, Mapping[str, FunctionContract]] = field(default_factory=dict)

    def at(self, step_id: str) -> Issues:
        """Where issues of one step go."""
        found = self.places.get(step_id)
        if found is None:
            found = self.places[step_id] = self.issues.below(("steps", step_id))
        return found

    def functions(self, pool: str) -> Mapping[str, FunctionContract]:
        """A pool's functions; asked of the catalogue once."""
        if self.pools is None:
            return {}
        if pool not in self.contracts:
            self.contracts[pool] = self.pools.functions(pool)
        return self.contracts[pool]

    def branched(self, step_id: str) -> bool:
        """Whether the step's `if` speaks of its item, and is asked per branch."""
        step = self.plan.steps[step_id]
        if step.foreach is None:
            return False
        names = {step.foreach.as_, "index"}
        return any(
            ref.root in names for use in self.uses[step_id] if use.path == ("if",) for ref in use.expression.refs
        )


def has_gap(step: Step) -> bool:
    """Whether the ladder may end in a gap."""
    return ladder_has_gap(step.on_fail)
