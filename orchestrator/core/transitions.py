"""The table of a unit's legal moves, as data: which fact may follow in which status, and what it may lead to.

A unit is a step that is not mapped, or one branch of a mapped step; the short table at the end is for a mapped step as
a whole. `check_history` judges journals by it, and docs/states.md is drawn from it.
"""

from typing import Final

from orchestrator.core import facts as f
from orchestrator.core.state import SETTLED, Status

Edges = dict[type[f.Fact], frozenset[Status]]


def _to(*statuses: Status) -> frozenset[Status]:
    return frozenset(statuses)


_ENDS: Final[Edges] = {
    f.StepGap: _to(Status.GAP),
    f.StepFailed: _to(Status.FAILED),
    f.StepCancelled: _to(Status.CANCELLED),
    f.StepQuarantined: _to(Status.SKIPPED),
}
_LEFT: Final[Edges] = {kind: targets for kind, targets in _ENDS.items() if kind is not f.StepFailed}
#: what is taken back has passed; of a map that passed, branches may be gaps, skipped or cancelled, but none has failed
_TAKES: Final[Edges] = {f.StepQuarantined: _to(Status.FAILED, Status.SKIPPED)}
_BUILT_ON: Final[Edges] = {f.StepQuarantined: _to(Status.SKIPPED)}

#: status -> fact -> the statuses it may lead to. A fact that is not listed is illegal in that status.
UNIT: Final[dict[Status, Edges]] = {
    Status.PENDING: {
        f.EffectIntended: _to(Status.PENDING),
        f.TierChosen: _to(Status.PENDING),
        f.StepDispatched: _to(Status.RUNNING),
        f.StepReused: _to(Status.PASSED),
        f.StepSkipped: _to(Status.SKIPPED),
        **_ENDS,
    },
    Status.RUNNING: {
        f.StepDispatched: _to(Status.RUNNING),  # a further sample
        f.StepStarted: _to(Status.RUNNING),
        f.StepProgress: _to(Status.RUNNING),
        f.ToolIntended: _to(Status.RUNNING),
        f.ToolCalled: _to(Status.RUNNING),
        f.ToolFailed: _to(Status.RUNNING),
        f.GuardTripped: _to(Status.RUNNING),
        f.BudgetReserved: _to(Status.RUNNING),
        f.PlanDrafted: _to(Status.RUNNING),
        f.PatternChosen: _to(Status.RUNNING),
        f.GoalPlanned: _to(Status.RUNNING),
        f.ChildStarted: _to(Status.RUNNING),
        f.ApprovalAsked: _to(Status.WAITING),
        f.StepProduced: _to(Status.RUNNING, Status.CHECKING),
        f.AttemptFailed: _to(Status.RUNNING, Status.CHECKING, Status.REJECTED),
        f.LeaseLost: _to(Status.REJECTED),
        **_LEFT,
    },
    Status.CHECKING: {
        f.CheckVerdict: _to(Status.CHECKING),
        f.JudgeVoted: _to(Status.CHECKING),
        f.BudgetReserved: _to(Status.CHECKING),  # by a check that calls a model
        f.StepDispatched: _to(Status.CHECKING, Status.RUNNING),  # a check; or the attempt that a person asked for
        f.ApprovalAsked: _to(Status.WAITING),
        f.EffectIntended: _to(Status.CHECKING),
        f.EffectDone: _to(Status.CHECKING),
        f.StepProduced: _to(Status.CHECKING),  # what a person answered
        f.StepRejected: _to(Status.REJECTED),
        f.StepPassed: _to(Status.PASSED),
        f.ReplanAsked: _to(Status.WAITING),  # the output is news
        f.ReplanRefused: _to(Status.CHECKING),  # it is, and nobody can be asked
        **_ENDS,
    },
    Status.REJECTED: {
        f.StepRejected: _to(Status.REJECTED),
        f.StepBackoff: _to(Status.BACKOFF),
        f.StepEscalated: _to(Status.REJECTED),
        f.EffectIntended: _to(Status.REJECTED),
        f.StepDispatched: _to(Status.RUNNING),
        f.ApprovalAsked: _to(Status.WAITING),
        f.ReplanAsked: _to(Status.WAITING),
        **_ENDS,
    },
    Status.BACKOFF: {
        f.EffectIntended: _to(Status.BACKOFF),
        f.StepDispatched: _to(Status.RUNNING),
        **_LEFT,
    },
    Status.WAITING: {
        f.ApprovalAnswered: _to(Status.CHECKING),
        f.ApprovalExpired: _to(Status.CHECKING),
        f.PlanDrafted: _to(Status.WAITING),
        f.BudgetReserved: _to(Status.WAITING),
        f.ReplanRefused: _to(Status.REJECTED, Status.CHECKING),
        f.PlanPatched: _to(Status.REJECTED, Status.CHECKING, Status.PENDING),  # when the planner is waited for
        **_LEFT,
    },
    Status.PASSED: _TAKES,
    Status.GAP: {**_TAKES, f.PlanPatched: _to(Status.PENDING)},
    Status.FAILED: {**_BUILT_ON, f.PlanPatched: _to(Status.PENDING)},
    Status.SKIPPED: {**_TAKES, f.PlanPatched: _to(Status.PENDING)},
    Status.CANCELLED: {**_TAKES, f.PlanPatched: _to(Status.PENDING)},
}

#: the same for a mapped step as a whole: what has no branches yet was built on nothing, and of what has some each
#: branch is a gap of its own
MAPPED: Final[dict[Status, Edges]] = {
    Status.PENDING: {
        f.StepExpanded: _to(Status.RUNNING),
        f.StepSkipped: _to(Status.SKIPPED),
        f.StepGap: _to(Status.GAP),
        f.StepFailed: _to(Status.FAILED),
        f.StepCancelled: _to(Status.CANCELLED),
    },
    Status.RUNNING: {
        f.StepPassed: _to(Status.PASSED),
        f.StepFailed: _to(Status.FAILED),
        f.StepCancelled: _to(Status.CANCELLED),
        f.StepQuarantined: _to(Status.SKIPPED),
        f.PlanPatched: _to(Status.PENDING),  # its branches wait for the planner, and none of them passed
    },
    Status.PASSED: _TAKES,
    Status.GAP: {f.PlanPatched: _to(Status.PENDING)},
    Status.FAILED: {**_BUILT_ON, f.PlanPatched: _to(Status.PENDING)},
    Status.SKIPPED: {**_BUILT_ON, f.PlanPatched: _to(Status.PENDING)},
    Status.CANCELLED: _BUILT_ON,
}

#: facts about a unit that may come in any status, also late: money is spent, and a sub-plan ends when it ends
ANY_TIME: Final = frozenset({f.BudgetSettled, f.ModelCalled, f.ChildEnded})


def after(table: dict[Status, Edges], before: frozenset[Status], kind: type[f.Fact]) -> frozenset[Status]:
    """Where a fact may lead from any of the statuses it may have met; empty when it is illegal in all of them."""
    found: set[Status] = set()
    for status in before:
        found |= table[status].get(kind, frozenset())
    return frozenset(found)


def states_page() -> str:
    """docs/states.md: the tables as Mermaid state diagrams."""
    return "\n".join(
        [
            "# The states of a step",
            "",
            "Generated from `orchestrator/core/transitions.py`; a test keeps it current. An arrow is a fact in the",
            "journal; what is not drawn cannot happen. Facts that change no status (signs of life, charges) are left",
            "out, and so are the four that may end whatever has not settled: `step.gap`, `step.failed`,",
            "`step.cancelled`, and the `step.quarantined` of a step it is built on.",
            "",
            "## A step, or one branch of a mapped step",
            "",
            *_diagram(UNIT),
            "",
            "## A mapped step as a whole",
            "",
            *_diagram(MAPPED),
            "",
        ]
    )


def _diagram(table: dict[Status, Edges]) -> list[str]:
    lines = ["```mermaid", "stateDiagram-v2", "    [*] --> pending"]
    for status, edges in table.items():
        arrows: dict[Status, list[str]] = {}
        for kind, targets in edges.items():
            for target in sorted(targets):
                if target is not status and (status in SETTLED or kind not in _ENDS):
                    arrows.setdefault(target, []).append(kind.KIND)
        lines += [f"    {status} --> {target}: {', '.join(kinds)}" for target, kinds in arrows.items()]
    return [*lines, *(f"    {status} --> [*]" for status in table if status in SETTLED), "```"]
