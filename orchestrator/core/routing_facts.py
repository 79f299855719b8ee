"""The fact that says which tier a step begins with, and why."""

from dataclasses import dataclass
from typing import ClassVar

from orchestrator.core.fact import StepFact
from orchestrator.core.route import ChosenBy


@dataclass(frozen=True, slots=True, kw_only=True)
class TierChosen(StepFact):
    """Routing has chosen, before the first attempt is sent. Where `advised` is another tier, it only watches."""

    KIND: ClassVar[str] = "tier.chosen"
    PAYLOAD: ClassVar[tuple[str, ...]] = ("reason", "features")

    tier: str | None  #: that the step begins with; None: the agent's own
    advised: str
    by: ChosenBy
    success_expected: float | None = None  #: share of right outputs; None: nothing was known
    usd_expected: float | None = None
    reason: str = ""
    features: tuple[float, ...] = ()  #: of the text that was read; what a later choice learns from
