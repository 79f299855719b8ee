"""What the machine remembers of a run: plain slots, counters instead of scans."""

from collections import deque
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

from orchestrator.core.facts import (
    WHOLE,
    ApprovalAnswered,
    ApprovalAsked,
    ApprovalExpired,
    CheckVerdict,
    ChildEnded,
    JudgeVoted,
    PatternChosen,
    PlanDrafted,
    PlanPatched,
    ReplanRefused,
    RunAccepted,
    SessionPinned,
)
from orchestrator.core.ledger import Ledger
from orchestrator.ids import JsonValue, RunId, StepId
from orchestrator.plan.compiled import CompiledPlan, CompiledStep
from orchestrator.plan.models import Plan


class Status(StrEnum):
    """Where a step or branch is."""

    PENDING = "pending"
    RUNNING = "running"
    CHECKING = "checking"
    REJECTED = "rejected"  #: between a refusal and the ladder's answer; longer while the budget is asked about
    BACKOFF = "backoff"
    WAITING = "waiting"  #: for a person or for the planner
    PASSED = "passed"
    GAP = "gap"
    FAILED = "failed"
    SKIPPED = "skipped"
    CANCELLED = "cancelled"


SETTLED: Final = frozenset({Status.PASSED, Status.GAP, Status.FAILED, Status.SKIPPED, Status.CANCELLED})
ACTIVE: Final = frozenset({Status.RUNNING, Status.CHECKING, Status.BACKOFF})  #: keeps the wall clock going
#: reasons of a skip that count as failure
UPSTREAM: Final = frozenset({"upstream_failed", "join_unmet", "quarantined"})


@dataclass(slots=True)
class Sample:
    """One of the outputs that an `agree` check compares."""

    output: JsonValue = None
    digest: str = ""
    well: bool | None = None  #: None until its own checks have spoken


@dataclass(slots=True, eq=False)
class Unit:
    """One step, or one branch of a mapped step, on its way."""

    step: int
    branch: int = WHOLE
    status: Status = Status.PENDING
    attempt: int = 0
    rung: int = -1  #: the rung in use
    rung_used: int = 0  #: attempts made on it
    asked: int = -1  #: the last rung on which a person was asked
    replanned: int = -1  #: the last rung on which the planner was asked
    tries: int = 0  #: attempts since the ladder last moved: what `retry.attempts` counts
    losses: int = 0
    broken: int = 0  #: times the open check broke
    check: int = 0  #: the next check to speak; 0 is the schema
    check_sent: bool = False  #: the check was handed to a pool or a model
    begun: int = 0  #: which samples of this attempt a worker has begun: bit n for sample n
    starter: str = ""  #: who began this attempt last; of an effect: the only one who may
    open_samples: int = 0  #: tasks of this attempt still without an answer
    error: str = ""  #: of the last failed attempt
    retry_after_s: float = 0.0
    terminal: bool = False  #: trying the same again cannot help
    repeat: bool = False
    degraded: bool = False
    effect_open: bool = False  #: an intent without an outcome
    effect_key: str = ""  #: of the first intent; equal over retries
    usd: float = 0.0
    tokens: int = 0
    first_at_s: float = -1.0  #: of the first dispatch; below 0 before it
    sent_at_s: float = 0.0
    paused_s: float = 0.0  #: time spent waiting for people
    waiting_at_s: float = 0.0
    until_s: float = 0.0
    tier: str | None = None
    pool: str | None = None
    reason: str = ""  #: of a gap, a skip, a failure
    reasons: tuple[str, ...] = ()  #: what the next attempt is told
    digest: str = ""
    input_digest: str = ""
    output: JsonValue = None
    args: dict[str, JsonValue] | None = None  #: while it runs
    text: str | None = None
    approval: ApprovalAsked | None = None
    answer: ApprovalAnswered | ApprovalExpired | None = None  #: until what follows from it is journaled
    said: CheckVerdict | None = None  #: a refusing verdict, until what follows from it is journaled
    last_broken: CheckVerdict | None = None  #: to know it when it is told again
    outcome: ChildEnded | None = None  #: of the sub-plan, until what follows from it is journaled
    replan: str = ""  #: the scope asked for, while a patch is awaited
    considered: bool = False  #: its output was news, and the planner has had its say
    child: RunId | None = None
    drafts: tuple[PlanDrafted, ...] = ()  #: of the planner, in this attempt
    votes: tuple[JudgeVoted, ...] = ()  #: of the judge who is asked
    pattern: PatternChosen | None = None
    sub: Plan | None = None  #: of a goal, once it is planned
    samples: dict[int, Sample] | None = None
    evidence: list[JsonValue] | None = None
    refused: set[str] | None = None  #: digests of refused outputs
    quarantined: bool = False

    @property
    def settled(self) -> bool:
        """Whether nothing more will happen to it."""
        return self.status in SETTLED

    def release(self) -> None:
        """Let go of what only a unit under way needs."""
        self.args = self.text = self.samples = self.evidence = self.refused = None
        self.approval = self.answer = self.said = self.last_broken = self.outcome = None
        self.pattern = self.sub = None
        self.reasons = self.drafts = self.votes = ()
        self.open_samples = 0
        self.check_sent = self.effect_open = False
        self.replan = ""


# Shared by all steps that are not mapped, and never changed: a list and a queue of their own would be a quarter of what
# a settled step holds. A mapped step gets its own in `on_expanded`.
_NO_ITEMS: Final[list[JsonValue]] = []
_NO_BRANCHES: Final[deque[int]] = deque(maxlen=0)


@dataclass(slots=True, eq=False)
class StepState:
    """One step of the plan, and its branches when it is mapped."""

    spec: CompiledStep
    unmet: int  #: dependencies that have not settled (under `each`: not expanded)
    base: int = 0  #: attempts that branches of an earlier revision made; new branches count on from there
    status: Status = Status.PENDING
    reason: str = ""
    bad: int = 0  #: dependencies that failed
    good: int = 0  #: dependencies that passed
    started: bool = False  #: its join was met
    degraded: bool = False
    unit: Unit | None = None  #: of a step that is not mapped
    units: list[Unit] | None = None  #: of a mapped step, once expanded
    items: list[JsonValue] = field(default_factory=lambda: _NO_ITEMS)
    ready: deque[int] = field(default_factory=lambda: _NO_BRANCHES)  #: branches that may be dispatched
    running: int = 0  #: branches dispatched and not settled
    settled: int = 0
    passed: int = 0
    gaps: int = 0
    failed: int = 0
    outputs: list[JsonValue] | None = None  #: of a mapped step, once settled

    def find(self, branch: int) -> Unit | None:
        """The unit of a branch, or of the step itself; None when it does not exist (yet)."""
        if self.units is None:
            return self.unit if branch == WHOLE else None
        return self.units[branch] if 0 <= branch < len(self.units) else None

    def all_units(self) -> list[Unit]:
        """Every unit there is."""
        if self.units is not None:
            return self.units
        return [self.unit] if self.unit is not None else []


@dataclass(slots=True, eq=False)
class RunState:
    """One run."""

    plan: CompiledPlan
    steps: list[StepState]
    ledger: Ledger
    accepted: RunAccepted | None = None
    pinned: SessionPinned | None = None  #: of a run that belongs to a conversation
    frozen: bool = False
    inputs: dict[str, JsonValue] = field(default_factory=dict)
    scope: dict[str, object] = field(default_factory=dict)
    todo: deque[int] = field(default_factory=deque)  #: steps whose turn may have come
    held: frozenset[int] = frozenset()  #: steps that wait for sub-plans to return a part of their share
    open: int = 0  #: steps, without `finally` ones, that have not settled
    open_finally: int = 0
    finally_held: int = 0  #: dispatches kept back for `finally` steps
    finally_on: bool = False
    active: int = 0
    waiting: int = 0
    paused_at_s: float | None = None
    paused_s: float = 0.0
    limit: str = ""
    limit_policy: str = ""
    limit_swept: bool = False
    budget_approval: ApprovalAsked | None = None
    budget_answer: ApprovalAnswered | ApprovalExpired | None = None
    cancelled: bool = False
    cancel_reason: str = ""
    swept: bool = False  #: the cancellation has been carried out
    ended: str = ""  #: the result's status, once there is one
    replans: int = 0
    revision: int = 0
    last_patch: PlanPatched | None = None  #: this and the two below: to know them when they are told again
    last_refusal: ReplanRefused | None = None
    last_answer: ApprovalAnswered | ApprovalExpired | None = None
    retired: dict[StepId, int] = field(default_factory=dict)  #: attempts of steps that a patch has dropped
    quarantined: frozenset[StepId] = frozenset()
    epoch: int = 0  #: of the last owner that adopted the run

    @property
    def run_id(self) -> RunId:
        """The run's id; empty before it was accepted."""
        return self.accepted.run if self.accepted is not None else RunId("")

    def step(self, step_id: StepId) -> StepState | None:
        """The state of a step by its id."""
        index = self.plan.by_id.get(step_id)
        return self.steps[index] if index is not None else None


def fresh_steps(plan: CompiledPlan) -> list[StepState]:
    """One pending state per step."""
    return [
        StepState(spec=spec, unmet=len(spec.needs), unit=None if spec.mapped else Unit(spec.index))
        for spec in plan.steps
    ]


def fresh_state(plan: CompiledPlan) -> RunState:
    """A run that has not been accepted yet."""
    budget = plan.plan.budget
    ledger = Ledger(
        usd_limit=budget.usd,
        tokens_limit=budget.tokens,
        steps_limit=budget.steps,
        wall_s=budget.wall,
        calls_limit=budget.calls,
        closing=budget.closing,
    )
    return RunState(
        plan=plan,
        steps=fresh_steps(plan),
        ledger=ledger,
        open=len(plan.steps) - plan.finally_count,
        open_finally=plan.finally_count,
        finally_held=sum(step.held for step in plan.steps),
    )
