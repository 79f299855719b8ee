"""The routing port: who chooses the tier of steps that leave it open, and learns from what became of them."""

from collections.abc import Sequence
from typing import Protocol

from orchestrator.core.facts import Fact
from orchestrator.core.route import RouteAnswer, RouteQuestion
from orchestrator.ids import RunId
from orchestrator.ports.model import Tier


class Routing(Protocol):
    """Chooses tiers. Only computes: it is asked inside the loop."""

    @property
    def tiers(self) -> tuple[Tier, ...]:
        """Every tier that it may choose."""
        ...

    def choose(self, question: RouteQuestion) -> RouteAnswer | None:
        """The tier a step begins with; None where it is no business of routing."""
        ...

    def saw(self, run_id: RunId, facts: Sequence[Fact]) -> None:
        """Learn from facts of a run, in their order, once they are in the journal."""
        ...
