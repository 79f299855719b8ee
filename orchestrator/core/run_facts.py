"""Facts about a run as a whole: accepted, planned, limited, cancelled, ended."""

from dataclasses import dataclass
from typing import ClassVar, Literal

from orchestrator.core.fact import WHOLE, Fact, LimitName
from orchestrator.ids import Digest, JsonValue, RunId, StepId


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
    calls: int | None = None  #: of models; None: not limited
    closing: float = 0.0  #: share of USD, tokens and calls held back for the steps of the result
    trace: str = ""  #: W3C `traceparent` of whoever asked for the run; empty: it begins a trace of its own


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionPinned(Fact):
    """What the run sees of its conversation: as it stood when the run was accepted, whatever is said later."""

    KIND: ClassVar[str] = "session.pinned"
    PAYLOAD: ClassVar[tuple[str, ...]] = ("view",)

    session: str  #: its id
    version: int  #: of the session that was read
    view: dict[str, JsonValue]  #: what `session` in an expression names


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
class RunRated(Fact):
    """Somebody judged what a run that has ended came to. An audit record: it changes nothing."""

    KIND: ClassVar[str] = "run.rated"
    PAYLOAD: ClassVar[tuple[str, ...]] = ("reason",)

    source: Literal["thumb", "eval"]
    score: float  #: 0 to 1; of a thumb 1 for up and 0 for down, of a case 1 for right
    about: str = ""  #: of an evaluation: its set and case, as `set/case`
    reason: str = ""


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
    calls: int = 0  #: of models, children included
