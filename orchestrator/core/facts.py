"""Facts: the closed list of what can happen to a run. Only facts are journaled; everything else derives from them.

A fact is journaled before anything acts on it. `PAYLOAD` names the fields that are content rather than
header: they live in rows of their own that can be deleted without breaking the hash chain.
"""

from dataclasses import dataclass
from typing import ClassVar, Final, Literal

from orchestrator.ids import Digest, JsonValue, RunId, StepId

WHOLE: Final = -1  #: the branch number of a step that is not mapped, or of a mapped step as a whole

VerdictKind = Literal["pass", "fix", "reject", "check_broken"]
Purpose = Literal["work", "check"]
LimitName = Literal["steps", "usd", "tokens", "wall"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Fact:
    """What every fact carries."""

    KIND: ClassVar[str] = ""
    PAYLOAD: ClassVar[tuple[str, ...]] = ()

    at_s: float  #: seconds since the epoch, stamped by the shell
    actor: str = ""  #: who: a worker, a person, or empty for the owner of the run


@dataclass(frozen=True, slots=True, kw_only=True)
class StepFact(Fact):
    """A fact about one step or branch."""

    step: StepId
    branch: int = WHOLE  #: from 0; `WHOLE` for the step itself
    attempt: int = 0  #: from 1; 0 where no attempt is meant
    sample: int = 0  #: from 0; above 0 only under an `agree` check


# --- the run -----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class RunAccepted(Fact):
    """A run was accepted: from here on it exists, whatever dies."""

    KIND: ClassVar[str] = "run.accepted"
    PAYLOAD: ClassVar[tuple[str, ...]] = ("inputs",)

    run: RunId
    plan: str  #: the plan's name
    plan_digest: Digest
    request_digest: Digest  #: of plan digest, inputs and budget: what an idempotency key stands for
    machine: int  #: version of the rules that accepted it
    tenant: str = "default"
    lane: str = "normal"
    idempotency_key: str | None = None
    origin: RunId  #: the first run of a chain of retries and forks; the run itself otherwise
    parent: RunId | None = None  #: of a sub-plan
    parent_step: StepId | None = None
    parent_branch: int = WHOLE
    usd: float  #: the budget in force
    tokens: int
    wall_s: float
    steps: int
    on_limit: Literal["degrade", "stop", "ask"] = "degrade"
    inputs: dict[str, JsonValue]


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanFrozen(Fact):
    """The plan the run is pinned to, whole."""

    KIND: ClassVar[str] = "plan.frozen"
    PAYLOAD: ClassVar[tuple[str, ...]] = ("plan",)

    digest: Digest
    plan: dict[str, JsonValue]  #: canonical form


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanPatched(Fact):
    """The plan changed under the run, in steps that were neither passed nor running."""

    KIND: ClassVar[str] = "plan.patched"
    PAYLOAD: ClassVar[tuple[str, ...]] = ("patch",)

    base: Digest
    digest: Digest
    author: str
    reason: str
    asked_by: StepId | None = None  #: the step whose `replan` rung asked for it
    patch: dict[str, JsonValue]


@dataclass(frozen=True, slots=True, kw_only=True)
class RunAdopted(Fact):
    """An owner took the run over, after a restart or from another process."""

    KIND: ClassVar[str] = "run.adopted"

    epoch: int


@dataclass(frozen=True, slots=True, kw_only=True)
class LimitHit(Fact):
    """The budget is used up: nothing new is started."""

    KIND: ClassVar[str] = "limit.hit"

    limit: LimitName
    policy: Literal["degrade", "stop", "ask"]


@dataclass(frozen=True, slots=True, kw_only=True)
class LimitExtended(Fact):
    """A person granted the budget once more."""

    KIND: ClassVar[str] = "limit.extended"

    limit: LimitName
    by: float  #: in the unit of the limit: USD, tokens, seconds or steps


@dataclass(frozen=True, slots=True, kw_only=True)
class CancelRequested(Fact):
    """Somebody cancelled the run. Nothing is dispatched after this, except `finally` steps."""

    KIND: ClassVar[str] = "cancel.requested"
    PAYLOAD: ClassVar[tuple[str, ...]] = ("reason",)

    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunEnded(Fact):
    """The run's result. Nothing follows but audit records and late charges."""

    KIND: ClassVar[str] = "run.ended"
    PAYLOAD: ClassVar[tuple[str, ...]] = ("output", "gaps", "reason")

    status: Literal["succeeded", "degraded", "stopped", "failed", "cancelled"]
    usd: float  #: spent, children included
    tokens: int
    steps: int  #: first dispatches, children included
    output: JsonValue = None  #: of `stopped`: what passed, by step
    gaps: tuple[dict[str, JsonValue], ...] = ()  #: {step, branch, reason}
    reason: str = ""  #: the limit, or the cause of a failure


# --- a step's way ------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class StepExpanded(StepFact):
    """A mapped step knows its branches."""

    KIND: ClassVar[str] = "step.expanded"
    PAYLOAD: ClassVar[tuple[str, ...]] = ("items",)

    count: int
    items: list[JsonValue]  #: empty under `each`


@dataclass(frozen=True, slots=True, kw_only=True)
class StepReused(StepFact):
    """A retry or fork takes over an output that passed in the run it came from."""

    KIND: ClassVar[str] = "step.reused"
    PAYLOAD: ClassVar[tuple[str, ...]] = ("output",)

    digest: Digest
    source: RunId
    output: JsonValue


@dataclass(frozen=True, slots=True, kw_only=True)
class StepDispatched(StepFact):
    """A task was sent: work, or the call of a check."""

    KIND: ClassVar[str] = "step.dispatched"

    pool: str  #: empty for a person or a sub-plan
    purpose: Purpose = "work"
    check: int = 0  #: for a check: its position, 1 for the first written one
    tier: str | None = None
    digest: Digest  #: of the inputs
    rung: int = -1  #: the rung of the ladder that led here; -1 for none


@dataclass(frozen=True, slots=True, kw_only=True)
class StepStarted(StepFact):
    """A worker took a task that had to wait for it. Without this fact, dispatch was the start."""

    KIND: ClassVar[str] = "step.started"


@dataclass(frozen=True, slots=True, kw_only=True)
class StepProgress(StepFact):
    """A sign of life from a worker."""

    KIND: ClassVar[str] = "step.progress"
    PAYLOAD: ClassVar[tuple[str, ...]] = ("message",)

    fraction: float | None = None  #: 0 to 1
    message: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolCalled(StepFact):
    """A worker recorded what a tool gave it; `grounded` checks may look here."""

    KIND: ClassVar[str] = "tool.called"
    PAYLOAD: ClassVar[tuple[str, ...]] = ("result",)

    tool: str
    result: JsonValue


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelCalled(StepFact):
    """One call of a model, with what it cost."""

    KIND: ClassVar[str] = "model.called"

    model: str
    outcome: str
    usd: float = 0.0
    tokens_in: int = 0
    tokens_out: int = 0
    charge: str  #: a duplicate of a charge counts once


@dataclass(frozen=True, slots=True, kw_only=True)
class EffectIntended(StepFact):
    """The step is about to change the world outside, under this key."""

    KIND: ClassVar[str] = "effect.intended"

    key: str


@dataclass(frozen=True, slots=True, kw_only=True)
class EffectDone(StepFact):
    """The worker reported the outcome of the effect."""

    KIND: ClassVar[str] = "effect.done"

    key: str


@dataclass(frozen=True, slots=True, kw_only=True)
class StepProduced(StepFact):
    """A worker returned an output. Nobody may read it until its checks have passed."""

    KIND: ClassVar[str] = "step.produced"
    PAYLOAD: ClassVar[tuple[str, ...]] = ("output",)

    digest: Digest
    started_at_s: float = 0.0  #: when the worker began; 0 when unknown
    usd: float = 0.0
    tokens: int = 0
    degraded: bool = False  #: a sub-plan that ended with gaps
    output: JsonValue


@dataclass(frozen=True, slots=True, kw_only=True)
class AttemptFailed(StepFact):
    """An attempt ended without an output."""

    KIND: ClassVar[str] = "attempt.failed"
    PAYLOAD: ClassVar[tuple[str, ...]] = ("message",)

    error: str  #: `timeout`, `idle`, `rate_limit`, `provider`, `resource`, `worker`, `terminal`, `output`, `child`, `budget`, or the worker's own word
    retry_after_s: float | None = None
    started_at_s: float = 0.0
    usd: float = 0.0
    tokens: int = 0
    message: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class LeaseLost(StepFact):
    """The worker of this attempt is gone; its result, should one come, counts no more."""

    KIND: ClassVar[str] = "lease.lost"

    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckVerdict(StepFact):
    """One check's word on one output."""

    KIND: ClassVar[str] = "check.verdict"
    PAYLOAD: ClassVar[tuple[str, ...]] = ("reasons", "evidence")

    check: int  #: 0 for the schema, then the position in the step's list from 1
    name: str  #: schema, rule, grounded, call, agree, judge, human
    verdict: VerdictKind
    digest: Digest  #: of the output it speaks of
    score: float | None = None
    usd: float = 0.0
    tokens: int = 0
    reasons: tuple[str, ...] = ()
    evidence: JsonValue = None


@dataclass(frozen=True, slots=True, kw_only=True)
class StepRejected(StepFact):
    """The attempt is refused; the ladder decides what follows."""

    KIND: ClassVar[str] = "step.rejected"
    PAYLOAD: ClassVar[tuple[str, ...]] = ("reasons",)

    terminal: bool = False  #: trying the same again cannot help
    repeat: bool = False  #: the same output was refused before for the same input
    reasons: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class StepBackoff(StepFact):
    """The attempt is tried again at `until_s`."""

    KIND: ClassVar[str] = "step.backoff"

    until_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class StepEscalated(StepFact):
    """The next attempt runs with another tier or in another pool."""

    KIND: ClassVar[str] = "step.escalated"

    rung: int
    tier: str | None = None
    pool: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class StepPassed(StepFact):
    """Every check passed: from here on the output may be read. For a mapped step: all branches have settled."""

    KIND: ClassVar[str] = "step.passed"

    digest: Digest
    degraded: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class StepSkipped(StepFact):
    """The step does not run."""

    KIND: ClassVar[str] = "step.skipped"

    reason: str  #: condition, upstream_failed, join_unmet, or quarantined


@dataclass(frozen=True, slots=True, kw_only=True)
class StepGap(StepFact):
    """The step is allowed to be missing, and is."""

    KIND: ClassVar[str] = "step.gap"
    PAYLOAD: ClassVar[tuple[str, ...]] = ("reason",)

    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class StepFailed(StepFact):
    """The step failed for good."""

    KIND: ClassVar[str] = "step.failed"
    PAYLOAD: ClassVar[tuple[str, ...]] = ("cause",)

    cause: str


@dataclass(frozen=True, slots=True, kw_only=True)
class StepCancelled(StepFact):
    """The step was cancelled; a late result is discarded."""

    KIND: ClassVar[str] = "step.cancelled"

    reason: str  #: cancel, join_met, limit, quarantined


@dataclass(frozen=True, slots=True, kw_only=True)
class StepQuarantined(StepFact):
    """A passed result was found wrong later; `affected` is everything built on it."""

    KIND: ClassVar[str] = "step.quarantined"
    PAYLOAD: ClassVar[tuple[str, ...]] = ("reason",)

    reason: str
    affected: tuple[StepId, ...] = ()


# --- sub-plans, people, plans under change, money ----------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class ChildStarted(StepFact):
    """A sub-plan runs, with a share of the budget reserved for it."""

    KIND: ClassVar[str] = "child.started"

    child: RunId
    usd: float
    tokens: int
    wall_s: float
    steps: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ChildEnded(StepFact):
    """A sub-plan ended; what it did not use of its share comes back."""

    KIND: ClassVar[str] = "child.ended"
    PAYLOAD: ClassVar[tuple[str, ...]] = ("output", "gaps", "reason")

    child: RunId
    status: Literal["succeeded", "degraded", "stopped", "failed", "cancelled"]
    usd: float
    tokens: int
    steps: int
    output: JsonValue = None
    gaps: tuple[dict[str, JsonValue], ...] = ()
    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ApprovalAsked(StepFact):
    """A person is asked. `subject`: a human step, a human check, an `ask` rung, an unknown effect, or the budget."""

    KIND: ClassVar[str] = "approval.asked"
    PAYLOAD: ClassVar[tuple[str, ...]] = ("ask", "show")

    subject: Literal["step", "check", "rung", "effect", "budget"]
    check: int = 0
    choices: tuple[str, ...]
    then: str | None = None  #: taken at the deadline; None: the step fails
    expires_at_s: float
    ask: str
    show: JsonValue = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ApprovalAnswered(StepFact):
    """A person chose. `actor` says who."""

    KIND: ClassVar[str] = "approval.answered"
    PAYLOAD: ClassVar[tuple[str, ...]] = ("reason",)

    choice: str
    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ApprovalExpired(StepFact):
    """Nobody answered in time; `choice` is taken, None means the step fails."""

    KIND: ClassVar[str] = "approval.expired"

    choice: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplanAsked(StepFact):
    """The ladder asks the planner for a patch."""

    KIND: ClassVar[str] = "replan.asked"

    scope: Literal["downstream", "step"]
    rung: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplanRefused(StepFact):
    """The planner has no patch, or its patch was not valid."""

    KIND: ClassVar[str] = "replan.refused"
    PAYLOAD: ClassVar[tuple[str, ...]] = ("reason",)

    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class BudgetReserved(StepFact):
    """An amount is set aside before it is spent. It stays charged until settled, whatever dies."""

    KIND: ClassVar[str] = "budget.reserved"

    charge: str
    usd: float = 0.0
    tokens: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class BudgetSettled(StepFact):
    """What was really spent under a charge; a duplicate counts once."""

    KIND: ClassVar[str] = "budget.settled"

    charge: str
    usd: float = 0.0
    tokens: int = 0


FACTS: Final[tuple[type[Fact], ...]] = (
    RunAccepted, PlanFrozen, PlanPatched, RunAdopted, LimitHit, LimitExtended, CancelRequested, RunEnded,
    StepExpanded, StepReused, StepDispatched, StepStarted, StepProgress, ToolCalled, ModelCalled,
    EffectIntended, EffectDone, StepProduced, AttemptFailed, LeaseLost, CheckVerdict, StepRejected, StepBackoff,
    StepEscalated, StepPassed, StepSkipped, StepGap, StepFailed, StepCancelled, StepQuarantined,
    ChildStarted, ChildEnded, ApprovalAsked, ApprovalAnswered, ApprovalExpired, ReplanAsked, ReplanRefused,
    BudgetReserved, BudgetSettled,
)  # fmt: skip
FACT_BY_KIND: Final[dict[str, type[Fact]]] = {fact.KIND: fact for fact in FACTS}
