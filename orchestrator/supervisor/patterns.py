"""How the work for a goal is split up: a table of rules over what is known of the work, first match counts.

Published rules of this kind are weak: "one agent where it alone succeeds in 45 %" has the right sign in 24 of 36
published cells, against 20 for always saying the same. So the table asks for one agent wherever the structure leaves
nothing to gain, and a host's own measurements go before every row.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final, Literal

from orchestrator.ports.planner import Choice, Pattern

#: A planner's guess at its own success. Models overrate themselves, so it lies far above the .45 of measured baselines.
ONE_AGENT_ENOUGH: Final = 0.85
SPAN_MAX: Final = 12  #: steps that one supervisor plans itself before parts get supervisors of their own

TaskClass = Literal["single", "sequential", "parallel", "deep"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Features:
    """What is known of the work: the planner's assessment, and the form of its draft."""

    steps: int  #: without the closing one
    width: int  #: most steps that could run beside each other; a mapped step counts its items, or `parts`
    pools: int  #: different ones
    goals: int  #: steps that are goals themselves
    sequential: bool  #: as assessed
    one_agent: float  #: assessed chance that one strong agent does it well

    @property
    def task_class(self) -> TaskClass:
        """The class under which comparisons of architectures report."""
        if self.steps <= 1 and self.width <= 1 and not self.goals:
            return "single"
        if self.goals or self.steps > SPAN_MAX:
            return "deep"
        return "sequential" if self.width <= 1 else "parallel"


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One rule of the table."""

    name: str
    when: Callable[[Features], bool]
    pattern: Pattern
    reason: str
    source: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """What a comparison on tasks of one's own has shown: the best pattern by class of task."""

    best: Mapping[TaskClass, Pattern]
    source: str  #: which comparison: a report's name and date


PATTERNS: Final[tuple[Row, ...]] = (
    Row(
        name="one_step",
        when=lambda f: f.steps == 1 and f.width <= 1 and not f.goals,
        pattern="one_agent",
        reason="one step does all of it",
    ),
    Row(
        name="strong_suffices",
        when=lambda f: f.one_agent >= ONE_AGENT_ENOUGH and f.pools == 1 and not f.goals,
        pattern="one_agent",
        reason="one strong agent is likely enough to do it well",
        source="capability saturation: baseline x number of agents, -0.24 (p .004), scaling study v3",
    ),
    Row(
        name="sequential_one_pool",
        when=lambda f: (f.width <= 1 or f.sequential) and f.pools == 1 and not f.goals,
        pattern="one_agent",
        reason="each part needs the one before, and all lie in one pool",
        source="PlanCraft: every split-up form loses 39 to 70 % against one agent, scaling study v2, table of cells",
    ),
    Row(
        name="sequential",
        when=lambda f: f.width <= 1 and not f.goals,
        pattern="chain",
        reason="each part needs the one before, and they need different pools",
        source="one agent is never beaten at equal tokens on sequential questions, arXiv 2604.02460; pools differ",
    ),
    Row(
        name="deep",
        when=lambda f: f.goals > 0 or f.steps > SPAN_MAX,
        pattern="supervisors",
        reason="parts need plans of their own",
        source=f"more than {SPAN_MAX} steps, or goals within the goal",
    ),
    Row(
        name="independent_parts",
        when=lambda f: f.width > 1,
        pattern="fan_out",
        reason="parts do not need each other",
        source="Finance-Agent: +57 to +81 % for independent parts, scaling study v2, table of cells",
    ),
)


def choose(features: Features, rows: tuple[Row, ...] = PATTERNS, measured: Measured | None = None) -> Choice:
    """The pattern for the work: measured where that is known, else of the first row that matches.

    Without a matching row one agent does it: the cheapest that can be wrong.
    """
    best = measured.best.get(features.task_class) if measured is not None else None
    if best is not None and measured is not None:
        reason = f"it was measured best for tasks of the class {features.task_class}"
        return Choice(pattern=best, row="measured", reason=reason, source=measured.source)
    for row in rows:
        if row.when(features):
            return Choice(pattern=row.pattern, row=row.name, reason=row.reason, source=row.source)
    return Choice(pattern="one_agent", row="none", reason="no row of the table matches")


def misfit(pattern: Pattern, features: Features) -> str:
    """Why a draft does not have the form of a pattern, in words for the planner; empty when it does."""
    match pattern:
        case "one_agent":
            fits = features.steps == 1 and features.width <= 1 and not features.goals
            return "" if fits else "write exactly one step, a task for one agent, and no closing step"
        case "chain":
            fits = features.width <= 1 and not features.goals
            return "" if fits else "write steps that each need the one before, and no goals"
        case "fan_out":
            return "write steps without goals" if features.goals else ""
        case "supervisors":
            return ""
