"""What the machine asks when a step leaves its tier open, and what it is told. Whoever answers only computes."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

from orchestrator.ids import JsonValue
from orchestrator.plan.models import canonical_json

ChosenBy = Literal["rule", "cascade", "verdicts", "classifier", "fallback"]


@dataclass(frozen=True, slots=True, kw_only=True)
class RouteQuestion:
    """One step or branch that is about to be sent for the first time."""

    asked: str | None  #: what the plan says: `auto`, a tier, or None for the agent's own
    pool: str
    kind: str  #: `task` or `call`
    instruction: str
    args: dict[str, JsonValue] = field(default_factory=dict)
    tools: bool = False  #: a check looks for its output in tool results, so it needs tools
    checked: bool = False  #: there is a check beyond the schema: a poor output may be refused
    escalates: tuple[str, ...] = ()  #: tiers that its ladder goes on to

    @property
    def text(self) -> str:
        """Everything the agent is given, as one text."""
        return f"{self.instruction}\n{canonical_json(self.args)}" if self.args else self.instruction


@dataclass(frozen=True, slots=True, kw_only=True)
class RouteAnswer:
    """A choice with its reason."""

    tier: str | None  #: that the step begins with; None: as the agent says
    advised: str  #: what routing would take: another than `tier` in shadow mode
    by: ChosenBy
    reason: str
    success: float | None = None  #: expected share of right outputs after the whole ladder; None: nothing is known
    usd: float | None = None  #: expected cost, the escalation included
    features: tuple[float, ...] = ()  #: of the text, to learn from


#: None: the question is nobody's business, and the step runs as the plan says.
Route = Callable[[RouteQuestion], RouteAnswer | None]
