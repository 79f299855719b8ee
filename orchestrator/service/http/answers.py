"""What routes answer with: the forms, for the description of the API, and the writing of them."""

from collections.abc import Mapping
from typing import Annotated, Final, Literal

from fastapi import Response
from pydantic import BaseModel, ConfigDict, Field
from pydantic_core import to_json

from orchestrator.ids import JsonValue
from orchestrator.ports.keys import Scope

RunWord = Literal["open", "running", "waiting", "cancelling", "succeeded", "degraded", "stopped", "failed", "cancelled"]
StepWord = Literal[
    "pending", "running", "checking", "rejected", "backoff", "waiting", "passed", "gap", "failed", "skipped",
    "cancelled",
]  # fmt: skip
At = Annotated[float, Field(description="Seconds since the epoch.")]
Usd = Annotated[float, Field(ge=0)]
Count = Annotated[int, Field(ge=0)]


class Out(BaseModel):
    """What every answer is: nothing more than it names."""

    model_config = ConfigDict(extra="forbid")


class AcceptedOut(Out):
    """A run that was accepted. The same for every repetition of a request with its key."""

    id: str
    plan: str
    lane: str
    origin: str = Field(description="The first run of a chain of retries and forks; the run itself otherwise.")
    accepted_at: At
    href: str


class ProgressOut(Out):
    """How far a run has come."""

    settled: Count = Field(description="Steps that have ended, however they did.")
    total: Count


class RowOut(Out):
    """A run in a list."""

    id: str
    plan: str
    lane: str
    status: RunWord = Field(description="`open`: nobody drives it now; `waiting`: for a person alone.")
    accepted_at: At
    ended_at: At | None
    origin: str
    parent: str | None = Field(description="Of a sub-plan: the run that started it.")
    idempotency_key: str | None
    usd: Usd
    tokens: Count
    progress: ProgressOut | None = Field(description="Of a run that is open.")
    parked: str = Field(description="Why an open run does not go on by itself; empty when nothing is wrong with it.")


class RunsOut(Out):
    """A page of runs, newest first."""

    runs: list[RowOut]
    next: str | None = Field(description="The `cursor` of the next page; null on the last one.")


class UsageOut(Out):
    """What was used."""

    usd: Usd
    tokens: Count
    calls: Count = Field(description="Of models.")


class VerdictOut(Out):
    """What a check said, and how often."""

    check: Count = Field(description="0 for the schema, then the position in the step's list from 1.")
    name: str
    verdict: Literal["pass", "fix", "reject", "check_broken"]
    count: Count
    reasons: list[str]


class BranchGapOut(Out):
    """A branch that is missing."""

    branch: int
    reason: str


class StepOut(Out):
    """A step of a run."""

    status: StepWord
    attempts: Count = Field(description="Of a mapped step: the most that a branch took.")
    verdicts: list[VerdictOut]
    usd: Usd
    started_at: At | None
    ended_at: At | None
    branches: dict[str, Count] | None = Field(default=None, description="Of a mapped step: `total`, then by status.")
    gaps: list[BranchGapOut] | None = None


class GapOut(Out):
    """A step that is allowed to be missing, and is."""

    step: str
    branch: int | None
    reason: str


class NextOut(Out):
    """A step that waits for an answer."""

    step: str
    does: str = Field(description="Such as `call publish in tools`.")
    when: str = Field(description="Its condition; empty when it has none.")


class QuestionOut(Out):
    """A question that waits for a person."""

    run: str
    plan: str
    step: str = Field(description="`draft`, `draft[3]`, or `budget`.")
    subject: Literal["step", "check", "rung", "effect", "budget"]
    ask: str
    show: JsonValue = Field(description="What is to be judged.")
    choices: list[str]
    then: str | None = Field(description="What is taken when nobody answers in time; null: the step fails.")
    asked_at: At
    expires_at: At
    usd: Usd = Field(description="What the run has cost so far.")
    next: list[NextOut] = Field(description="What waits for the answer.")


class QuestionsOut(Out):
    """Open questions, the nearest deadline first."""

    approvals: list[QuestionOut]


class RunOut(RowOut):
    """A run."""

    plan_digest: str
    output: JsonValue
    gaps: list[GapOut]
    usage: UsageOut
    steps: dict[str, StepOut]
    inputs: dict[str, JsonValue] | None = Field(description="Null when they were forgotten.")
    reason: str = Field(description="Why it failed, stopped or was cancelled.")
    driven: bool = Field(description="Whether a process drives it now.")
    quarantined: list[str]
    children: list[str] = Field(description="Runs of its sub-plans, oldest first.")
    questions: list[QuestionOut]
    forgotten: bool = Field(description="Outputs and reasons were deleted by `gc`.")


class PlanOut(Out):
    """A plan."""

    name: str
    digest: str
    plan: dict[str, JsonValue] = Field(description="Canonical form: what is default is left out.")


class PlanRowOut(Out):
    """A plan that may be run by name."""

    name: str
    digest: str
    description: str
    steps: Count
    inputs: dict[str, dict[str, JsonValue]] = Field(description="JSON Schema per input.")


class PlansOut(Out):
    """Plans that may be run by name."""

    plans: list[PlanRowOut]


class EventsOut(Out):
    """A page of a run's events."""

    events: list[dict[str, JsonValue]]
    next: int | None = Field(description="The `after` of the next page; null where nothing more is there yet.")


class LineOut(Out):
    """One line of a story."""

    seq: Count = Field(description="Of the event it tells of; 0 for how things stand now.")
    at: At
    text: str


class WhyOut(Out):
    """Why a run or a step is where it is."""

    lines: list[LineOut]


class JudgedOut(Out):
    """One check's word on one output."""

    check: Count
    name: str
    verdict: Literal["pass", "fix", "reject", "check_broken"]
    score: float | None
    reasons: list[str]
    evidence: JsonValue
    at: At
    usd: Usd


class ModelCallOut(Out):
    """One call of a model."""

    model: str
    outcome: str
    usd: Usd
    tokens_in: Count
    tokens_out: Count
    seconds: Annotated[float, Field(ge=0)]
    why: str = Field(description="Why this model, or this kept answer.")
    at: At


class ToolCallOut(Out):
    """What a tool gave a worker, or that it gave nothing."""

    tool: str = Field(description="Empty where a model named one that there is not.")
    result: JsonValue
    error: str = Field(description="The kind of failure in one word; empty where there was a result.")
    seconds: Annotated[float, Field(ge=0)]
    at: At


class AttemptOut(Out):
    """One attempt at a step."""

    branch: int | None = Field(description="Null for a step that is not mapped.")
    attempt: Count
    sample: Count = Field(description="Above 0 only under an `agree` check.")
    pool: str
    tier: str | None
    cause: str = Field(description="first, ladder, retry or lost: why it was made.")
    inputs_digest: str
    sent_at: At | None
    started_at: At | None = Field(description="Null where nobody had to wait for a worker, or none has begun.")
    ended_at: At | None
    worker: str
    outcome: Literal["running", "produced", "passed", "rejected", "failed", "lost", "cancelled"]
    error: str
    message: str
    reasons: list[str] = Field(description="Why its output was refused.")
    digest: str
    output: JsonValue
    usd: Usd
    tokens: Count
    verdicts: list[JudgedOut]
    models: list[ModelCallOut]
    tools: list[ToolCallOut]
    child: str | None = Field(description="The run of a sub-plan.")


class StepDetailOut(StepOut):
    """A step with its attempts."""

    step: str
    tries: list[AttemptOut] = Field(description="Attempts, by branch, attempt and sample.")
    cut: bool = Field(description="There were more attempts; ask for one branch.")


class ArtifactOut(Out):
    """An output of a step."""

    digest: str
    step: str
    branch: int | None
    attempt: Count
    bytes: Count


class ArtifactsOut(Out):
    """Outputs of a run, oldest first."""

    artifacts: list[ArtifactOut]


class ModelCostOut(Out):
    """What a model cost."""

    usd: Usd
    tokens: Annotated[float, Field(ge=0)]
    calls: Annotated[float, Field(ge=0)]


class CostsOut(Out):
    """What a run cost."""

    usage: UsageOut
    by_step: dict[str, Usd]
    by_model: dict[str, ModelCostOut]
    by_pool: dict[str, Usd] = Field(description="What sub-plans cost is under the empty name.")


class CancelOut(Out):
    """A run that was cancelled."""

    id: str
    status: RunWord
    over: bool = Field(description="It had ended before; nothing has changed.")


class AnswerOut(Out):
    """An answer that was taken."""

    id: str
    step: str
    choice: str


class QuarantineOut(Out):
    """Results that were taken back."""

    id: str
    step: str
    affected: list[str] = Field(description="Steps built on it.")


#: With `own`, what tells of the shared queues is null.
Whose = Annotated[
    Literal["own", "all"],
    Field(description="Whose work is counted: of the key's tenant, or, with the scope `metrics`, of all."),
]


class BacklogOut(Out):
    """How much a pool has to do."""

    pool: str
    backlog: Count = Field(description="Tasks that were sent and are not answered; scalers go by that of all tenants.")
    tenants: Whose
    waiting: Count | None
    delayed: Count | None
    running: Count | None
    oldest_wait_s: Annotated[float, Field(ge=0)] | None
    by_lane: dict[str, Count] | None


class PoolOut(BacklogOut):
    """A pool and what it has to do."""

    functions: list[str]
    agent: bool = Field(description="Whether it does `task` steps.")


class PoolsOut(Out):
    """All pools, by name."""

    pools: list[PoolOut]


class MeOut(Out):
    """Whoever asks."""

    tenant: str
    scopes: list[Scope]
    name: str
    key: str = Field(description="The visible part of the key; empty where none is asked for.")


def answer(value: object, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """JSON as it is: what routes build is in its form already; tests hold answers against the description."""
    return Response(to_json(value), status, headers, "application/json")


Outs = dict[int | str, dict[str, object]]


def told(model: type[BaseModel], text: str, status: int = 200, **more: object) -> Outs:
    """For `responses=` of a route: what it answers with when all is well."""
    return {status: {"model": model, "description": text, **more}}


LOCATION: Final[dict[str, object]] = {
    "Location": {"description": "Where the run is.", "schema": {"type": "string"}, "required": True}
}
