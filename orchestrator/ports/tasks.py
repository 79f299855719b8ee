"""The messages between a run's owner and the workers of a pool."""

from dataclasses import dataclass, field
from typing import Literal

from orchestrator.ids import JsonValue, PoolName, RunId, StepId, TenantId
from orchestrator.ports.cache import CacheMode, Offer
from orchestrator.ports.model import ModelCall

Lane = Literal["high", "normal", "low", "batch"]
LANES: tuple[Lane, ...] = ("high", "normal", "low", "batch")


@dataclass(frozen=True, slots=True)
class TaskKey:
    """Names one task for good. A second answer under the same key is a duplicate."""

    run_id: RunId
    step_id: StepId
    branch: int  #: from 0; -1 for a step that is not mapped
    attempt: int  #: from 1
    sample: int = 0
    purpose: Literal["work", "check"] = "work"
    check: int = 0  #: for purpose `check`: position of the check from 1

    def __str__(self) -> str:
        at = f"[{self.branch}]" if self.branch >= 0 else ""
        tail = f".{self.sample}" if self.sample else ""
        return f"{self.run_id}/{self.step_id}{at}#{self.attempt}{tail}" + (f"?{self.check}" if self.check else "")


@dataclass(frozen=True, slots=True, kw_only=True)
class StepTask:
    """One task for any worker of a pool."""

    key: TaskKey
    tenant: TenantId
    pool: PoolName
    lane: Lane
    function: str | None  #: of a call; None for a task of the pool's agent
    instruction: str | None  #: of a task: literal inputs spliced in, everything else in `args`
    args: dict[str, JsonValue]  #: plain data; the worker gets copies, never the owner's objects
    output_schema: dict[str, JsonValue] | None = None
    constraints: tuple[str, ...] = ()
    tier: str | None = None
    reasons: tuple[str, ...] = ()  #: why the attempt before was refused
    idempotency_key: str | None = None  #: of an effect step; equal over retries
    timeout_s: float | None = None  #: what is left for this attempt
    idle_s: float | None = None  #: longest silence before the attempt is given up; then the worker says when it begins
    plan: str = ""
    sent_at_s: float = 0.0
    batch_s: float | None = None  #: longest wait of its prompts for the batch service; None: models are asked at once
    routed: bool = False  #: the step leaves its tier to routing
    cache: CacheMode | None = "none"  #: whether earlier answers of models will do; None: what the host says of the tier
    trace: str = ""  #: W3C `traceparent` of the attempt; empty where nobody traces
    labels: dict[str, list[str]] = field(default_factory=dict)  #: whence each value comes, where guards ask for that


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskStarted:
    """A worker began a task that had waited."""

    key: TaskKey
    worker: str
    at_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskProgress:
    """A sign of life: progress (journaled) or, with `journal=False`, a heartbeat or log line only watchers see."""

    key: TaskKey
    worker: str
    fraction: float | None = None
    message: str = ""
    journal: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskEvidence:
    """What a tool gave the worker; `grounded` checks with `in: tool_results` look here."""

    key: TaskKey
    worker: str
    tool: str
    result: JsonValue
    seconds: float = 0.0  #: that it took; 0 where nobody measured


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskToolFailed:
    """A call of a tool came to nothing. Its kind is told and never its words: those may hold what nobody may keep."""

    key: TaskKey
    worker: str
    tool: str  #: empty: the model named one that there is not
    error: str  #: the kind, one word
    seconds: float = 0.0  #: that it took


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskTripped:
    """A guard of the worker found something."""

    key: TaskKey
    worker: str
    guard: str
    stage: Literal["input", "tool_call", "tool_result", "output"]
    verdict: Literal["block", "change", "signal"]
    tool: str = ""
    score: float | None = None
    reasons: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskSpent:
    """The worker spent money or tokens, under a charge id of its own (settles a reservation of the same id)."""

    key: TaskKey
    worker: str
    charge: str
    usd: float = 0.0
    tokens: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskDone:
    """The worker returned. The output is plain JSON already."""

    key: TaskKey
    worker: str
    output: JsonValue
    started_at_s: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskFailed:
    """The worker raised, or could not be asked at all."""

    key: TaskKey
    worker: str
    error: str  #: see `AttemptFailed.error`
    message: str
    retry_after_s: float | None = None
    started_at_s: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskCalled:
    """The worker called a model: what `ModelCall` says of it. Settles the reservation of the same charge."""

    key: TaskKey
    worker: str
    call: ModelCall


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskDelta:
    """A piece of a model's answer as it streams. Only watchers see it; it counts as a sign of life."""

    key: TaskKey
    worker: str
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskOffered:
    """The worker has an answer that the cache may keep once the step has passed. Not journaled."""

    key: TaskKey
    worker: str
    offer: Offer


TaskMessage = (
    TaskStarted
    | TaskProgress
    | TaskEvidence
    | TaskToolFailed
    | TaskTripped
    | TaskSpent
    | TaskCalled
    | TaskDelta
    | TaskOffered
    | TaskDone
    | TaskFailed
)


@dataclass(frozen=True, slots=True, kw_only=True)
class SpendRequest:
    """A worker asks to reserve before it spends; answered once the owner has journaled it."""

    key: TaskKey
    charge: str
    usd: float = 0.0
    tokens: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class IntentRequest:
    """A worker announces that a tool is about to change the world; answered once the owner has journaled it."""

    key: TaskKey
    effect: str  #: the key handed to the tool: equal over attempts and deliveries
    tool: str


@dataclass(frozen=True, slots=True, kw_only=True)
class StartRequest:
    """A worker asks whether it may begin a step with an effect. A task may be delivered late or twice, so the owner
    says yes to one beginning of an attempt that is at work, once that is journaled, and to no other."""

    key: TaskKey
    worker: str  #: names this one beginning; equal when it asks again, and never used for another


OwnerRequest = SpendRequest | IntentRequest | StartRequest


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnerReply:
    """Granted, or which limit refused and what is left of it. `run`: nobody wants this attempt any more; `value`: what
    was said cannot be kept; `begun`: another worker has begun this attempt."""

    granted: bool
    limit: str = ""
    left: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Backlog:
    """How much a pool has to do; the scaling signal is the sum of the three."""

    pool: PoolName
    waiting: int = 0
    delayed: int = 0
    running: int = 0
    oldest_wait_s: float = 0.0
    by_lane: dict[str, int] = field(default_factory=dict)
