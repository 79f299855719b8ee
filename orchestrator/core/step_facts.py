"""Facts about one step or branch, from its dispatch to its end."""

from dataclasses import dataclass
from typing import ClassVar, Final, Literal

from orchestrator.core.fact import Purpose, StepFact, VerdictKind
from orchestrator.ids import Digest, JsonValue, RunId, StepId

LOST: Final = "lost"  #: error of an attempt whose worker is gone, as a transport or a pool of processes tells it
DRAINED: Final = "drained"  #: reason of a lease that was given up in good order


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
    cause: Literal["first", "ladder", "retry", "lost"] = "first"


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
    seconds: float = 0.0  #: that it took; 0 where nobody measured


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolFailed(StepFact):
    """A worker's call of a tool came to nothing. What the tool said is in no journal; no check looks here."""

    KIND: ClassVar[str] = "tool.failed"

    tool: str  #: empty: a model named one that there is not
    error: str  #: the kind, one word: input, refused, guard, failed, output, timeout, worker, …
    seconds: float = 0.0  #: that it took


@dataclass(frozen=True, slots=True, kw_only=True)
class GuardTripped(StepFact):
    """A guard found something in what passed it. It names what it found and never repeats it."""

    KIND: ClassVar[str] = "guard.tripped"
    PAYLOAD: ClassVar[tuple[str, ...]] = ("reasons",)

    guard: str
    stage: Literal["input", "tool_call", "tool_result", "output"]
    verdict: Literal["block", "change", "signal"]  #: a signal let it pass
    tool: str = ""
    score: float | None = None  #: 0 to 1, of a guard that weighs
    reasons: tuple[str, ...] = ()


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
    endpoint: str = ""  #: its name in the settings
    tokens_cached: int = 0  #: of `tokens_in`: read from the provider's prompt cache
    estimated: bool = False  #: the server said nothing of usage, so the tokens were counted on this side
    unknown: bool = False  #: nobody can say whether the call was billed: it costs what had been set aside for it
    prices: str = ""  #: version of the price table; empty where the model is free
    seconds: float = 0.0
    first_s: float = 0.0  #: until the first piece of the answer; 0 where it did not stream, or none came
    served: Literal["", "exact", "semantic", "shared"] = ""  #: who answered instead: a kept answer, or a call under way
    entry: str = ""  #: the kept answer that was served, by its key
    why: str = ""  #: the router's or the cache's reason, in its own words; never a text of a model
    saved_cache_usd: float = 0.0  #: each against what the call would have cost without that part
    saved_routing_usd: float = 0.0
    saved_compression_usd: float = 0.0
    saved_batch_usd: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolIntended(StepFact):
    """A tool of the step's worker is about to change the world outside, under this key: the same in every attempt."""

    KIND: ClassVar[str] = "tool.intended"

    key: str
    tool: str


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

    error: str  #: a word of `ERRORS`, or the worker's own
    retry_after_s: float | None = None
    started_at_s: float = 0.0
    usd: float = 0.0
    tokens: int = 0
    message: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class LeaseLost(StepFact):
    """The worker of this attempt is gone; its result, should one come, counts no more.

    The reason `drained` says that its process ended in good order: that is nobody's failure and is not counted.
    """

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
class JudgeVoted(StepFact):
    """One of several votes of a judge on one output, so that a resume need not pay for it again."""

    KIND: ClassVar[str] = "judge.voted"
    PAYLOAD: ClassVar[tuple[str, ...]] = ("reasons",)

    check: int  #: position in the step's list, from 1
    number: int  #: from 1, within one question
    score: float  #: 0 to 1
    reasons: tuple[str, ...] = ()


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
