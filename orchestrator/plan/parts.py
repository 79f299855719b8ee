"""The parts of a step as data: checks, rungs, limits. Frozen; unknown keys are refused."""

import re
from collections.abc import Iterable
from typing import Annotated, Final, Literal, Self

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    StrictBool,
    field_validator,
    model_validator,
)

from orchestrator.errors import KINDS_RESERVED
from orchestrator.ids import JsonValue
from orchestrator.plan import limits
from orchestrator.plan.durations import Duration, format_duration, parse_duration

Tier = Literal["cheap", "standard", "strong"]
StepTier = Literal["cheap", "standard", "strong", "auto"]
AUTO: Final = "auto"  #: routing chooses the tier that the step begins with
NAME_PATTERN = r"^[A-Za-z_][A-Za-z0-9_-]{0,63}$"
Name = Annotated[str, Field(pattern=NAME_PATTERN)]
Text = Annotated[str, Field(min_length=1, max_length=limits.TEXT_CHARS_MAX)]


class Part(BaseModel):
    """Base of everything in a plan: frozen, closed, read by the names that people write."""

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True, allow_inf_nan=False)


def exactly_one(part: BaseModel, names: tuple[str, ...]) -> str:
    """The one field of `names` that is set.

    Raises:
        ValueError: none or several are set.
    """
    given = [name for name in names if getattr(part, name) not in (None, False)]
    if len(given) != 1:
        have = " and ".join(given) if given else "none"
        raise ValueError(f"expected exactly one of {', '.join(names)}; found {have}")
    return given[0]


class Budget(Part):
    """What a run, a sub-plan or a goal may use; reserved before it is spent, over the whole tree below."""

    usd: Annotated[float, Field(ge=0, le=1e6, strict=True)] = limits.BUDGET_USD
    tokens: Annotated[int, Field(ge=0, le=10**12, strict=True)] = limits.BUDGET_TOKENS
    wall: Duration = limits.BUDGET_WALL_S  #: seconds; pauses while everything open waits for a person
    #: first dispatches, not retries
    steps: Annotated[int, Field(ge=1, le=10_000_000, strict=True)] = limits.BUDGET_STEPS
    calls: Annotated[int, Field(ge=1, le=10_000_000, strict=True)] | None = limits.BUDGET_CALLS  #: of models
    #: share of USD, tokens and calls that only the steps of `result` may use
    closing: Annotated[float, Field(ge=0, le=limits.CLOSING_SHARE_MAX, strict=True)] = 0.0
    on_limit: Literal["degrade", "stop", "ask"] = "degrade"


class Timeout(Part):
    """How long a step may take, in seconds."""

    attempt: Duration = limits.TIMEOUT_ATTEMPT_S  #: one attempt
    total: Duration = limits.TIMEOUT_TOTAL_S  #: all attempts and waits between them; pauses for people
    idle: Duration | None = None  #: longest silence of a worker that reports progress; None: not watched


class Backoff(Part):
    """Waits between tries, in seconds: doubling from `first` to `most`. Written `1s..30s`."""

    first: Duration = limits.RETRY_FIRST_S
    most: Duration = limits.RETRY_MOST_S


def _read_backoff(value: object) -> object:
    if isinstance(value, str):
        first, dots, most = value.partition("..")
        if not dots:
            raise ValueError("expected two durations such as 1s..30s")
        read = {"first": parse_duration(first.strip()), "most": parse_duration(most.strip())}
        if read["first"] > read["most"]:
            raise ValueError("the first wait is longer than the longest; expected such as 1s..30s")
        return read
    return value


def _write_backoff(value: Backoff) -> str:
    return f"{format_duration(value.first)}..{format_duration(value.most)}"


BackoffText = Annotated[
    Backoff,
    BeforeValidator(_read_backoff, json_schema_input_type=str),
    PlainSerializer(_write_backoff, return_type=str, when_used="json"),
]


class Retry(Part):
    """When an attempt is tried again because its surroundings failed; bad answers climb the ladder instead."""

    attempts: Annotated[int, Field(ge=1, le=20, strict=True)] = limits.RETRY_ATTEMPTS  #: tries, the first included
    backoff: BackoffText = Backoff()
    errors: Annotated[tuple[Name, ...], Field(max_length=20)] = limits.RETRY_ERRORS

    @model_validator(mode="after")
    def _errors_can_be_retried(self) -> Self:
        if own := sorted(KINDS_RESERVED.intersection(self.errors)):
            raise ValueError(f"{', '.join(own)} cannot be retried here: the engine has a way of its own for each")
        return self


class Defaults(Part):
    """What steps that say nothing get."""

    timeout: Timeout = Timeout()
    retry: Retry = Retry()


class AtLeast(Part):
    """A join that is content with `at_least` passes."""

    at_least: Annotated[int, Field(ge=1, le=limits.BRANCHES_MAX, strict=True)]


Join = Literal["all", "any"] | AtLeast


class Foreach(Part):
    """One branch per item of a list known at run time, or per branch of another mapped step."""

    over: Text | list[JsonValue] | None = None  #: an expression that gives a list, or the list
    each: Name | None = None  #: a mapped step: branch i starts the moment its branch i has passed
    as_: Name = Field(default="item", alias="as")
    max_parallel: Annotated[int, Field(ge=1, le=10_000, strict=True)] = limits.MAX_PARALLEL

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        if (self.over is None) == (self.each is None):
            raise ValueError("expected exactly one of over, each")
        return self


def _read_path(path: str | None) -> str | None:
    """A path into an output.

    Raises:
        ValueError: a name in it is empty, or brackets stand in it.
    """
    if path is not None and any(
        not name.strip() or name != name.strip() or "[" in name or "]" in name for name in path.split(".")
    ):
        raise ValueError(
            "expected names with dots between, such as items.url; a list on the way means each of its items"
        )
    return path


class Grounded(Part):
    """Every value or quote at `field` of the output must occur in the inputs or in tool results."""

    field: Text  #: a path into the output; a list on the way means each of its items
    in_: Literal["inputs", "tool_results", "any"] = Field(default="any", alias="in")

    _reads_path = field_validator("field")(_read_path)


class Agree(Part):
    """Work is done `runs` times; `quorum` of the outputs must agree."""

    runs: Annotated[int, Field(ge=2, le=15, strict=True)]
    quorum: Annotated[int, Field(ge=2, le=15, strict=True)]
    field: Text | None = None  #: compare this path only; None compares whole outputs
    tolerance: Annotated[float, Field(ge=0, le=1, strict=True)] = 0.0  #: relative, for numbers

    _reads_path = field_validator("field")(_read_path)

    @model_validator(mode="after")
    def _quorum_fits(self) -> Self:
        if not self.runs // 2 < self.quorum <= self.runs:
            raise ValueError("quorum must be more than half of runs and at most runs")
        return self


class Judge(Part):
    """A model reads task, inputs, constraints and output, and gives a score."""

    rubric: Text
    tier: Tier = "strong"
    pass_at: Annotated[float, Field(ge=0, le=1, strict=True)] = 0.8
    votes: Annotated[int, Field(ge=1, le=9, strict=True)] = 1


class Ask(Part):
    """A question to a person as a rung: accept the output as it is, retry, or take the way of `then`."""

    expires: Duration = limits.ASK_EXPIRES_S
    then: Literal["fail", "gap", "retry", "accept"] = "fail"


class HumanCheck(Part):
    """A person accepts or rejects the output."""

    ask: Text
    expires: Duration = limits.ASK_EXPIRES_S
    then: Literal["reject", "accept"] = "reject"


class Check(Part):
    """One condition on a step's output. Exactly one kind; `schema` is always on and not written."""

    rule: Text | None = None  #: an expression over output, inputs, steps, run
    reason: Text | None = None  #: for `rule`: what the worker is told when it does not hold
    grounded: Grounded | None = None
    call: Name | None = None  #: a function of a pool that returns a verdict
    pool: Name | None = None  #: for `call`; the step's own pool when absent
    with_: dict[Name, JsonValue] | None = Field(default=None, alias="with")  #: for `call`: arguments beside `output`
    agree: Agree | None = None
    judge: Judge | None = None
    human: HumanCheck | None = None

    @property
    def kind(self) -> str:
        """`rule`, `grounded`, `call`, `agree`, `judge` or `human`."""
        return next(name for name in CHECK_KINDS if getattr(self, name) is not None)

    @model_validator(mode="after")
    def _one_kind(self) -> Self:
        kind = exactly_one(self, CHECK_KINDS)
        if self.reason is not None and kind != "rule":
            raise ValueError("reason goes with rule")
        if kind != "call" and (self.pool is not None or self.with_ is not None):
            raise ValueError("pool and with go with call")
        return self


CHECK_KINDS = ("rule", "grounded", "call", "agree", "judge", "human")


class Escalate(Part):
    """The next attempt runs with a stronger tier, or in another pool."""

    tier: Tier | None = None
    pool: Name | None = None

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        if self.tier is None and self.pool is None:
            raise ValueError("expected tier, pool, or both")
        return self


class Rung(Part):
    """One rung of the ladder that an output climbs when a check refuses it."""

    retry: Annotated[int, Field(ge=1, le=limits.RETRY_RUNG_MAX, strict=True)] | None = None
    escalate: Escalate | None = None
    ask: Ask | None = None
    replan: Literal["downstream", "step"] | None = None
    gap: Literal[True] | None = None
    fail: Literal[True] | None = None

    @property
    def kind(self) -> str:
        """`retry`, `escalate`, `ask`, `replan`, `gap` or `fail`."""
        return next(name for name in RUNG_KINDS if getattr(self, name) is not None)

    @model_validator(mode="after")
    def _one_kind(self) -> Self:
        exactly_one(self, RUNG_KINDS)
        return self


RUNG_KINDS = ("retry", "escalate", "ask", "replan", "gap", "fail")


def _read_rung(value: object) -> object:
    return {value: True} if value in ("gap", "fail") else value


def has_gap(ladder: Iterable[Rung]) -> bool:
    """Whether a ladder may end in a gap, so that readers must reckon with null."""
    return any(rung.gap or (rung.ask is not None and rung.ask.then == "gap") for rung in ladder)


RungText = Annotated[Rung, BeforeValidator(_read_rung, json_schema_input_type=Rung | Literal["gap", "fail"])]


class Human(Part):
    """A step that a person does: choose one of `choices`."""

    ask: Text
    show: JsonValue = None  #: what the person is shown; may hold references
    choices: Annotated[tuple[Name, ...], Field(min_length=1, max_length=20)]
    expires: Duration = limits.ASK_EXPIRES_S
    then: Name | None = None  #: the choice taken when nobody answers in time; None: the step fails

    @model_validator(mode="after")
    def _then_is_a_choice(self) -> Self:
        if self.then is not None and self.then not in self.choices and self.then != "fail":
            raise ValueError(f"then must be one of {', '.join(self.choices)}, or fail")
        if len(set(self.choices)) < len(self.choices):
            raise ValueError("a choice is offered twice")
        if self.then == "fail" and "fail" in self.choices:
            raise ValueError("then: fail means that the step fails, so no choice can be called fail beside it")
        return self


class Batch(Part):
    """The step may wait for the provider's cheaper batch service until `deadline`."""

    deadline: Duration


class ModelUse(Part):
    """How a step uses models."""

    tier: StepTier = "standard"
    cache: Literal["none", "exact", "semantic"] | None = None  #: None: what the host says of the tier
    batch: Batch | None = None


class Effect(Part):
    """The step changes the world outside: its intent is journaled first, and the key goes to the worker."""

    key: Text  #: may hold references; equal over retries
    on_unknown: Literal["ask", "retry", "fail"] = "ask"  #: what a resume does with an intent that has no outcome


class Supervision(Part):
    """How a goal is planned: what its plan may use. The host's own limits hold besides; the narrower counts."""

    planner: Tier = "strong"
    pools: Annotated[tuple[Name, ...], Field(min_length=1, max_length=100)] | None = None
    tiers: Annotated[tuple[Tier, ...], Field(min_length=1, max_length=3)] = ("cheap", "standard", "strong")
    steps: Annotated[int, Field(ge=1, le=1_000, strict=True)] = limits.SUPERVISED_STEPS
    fan_out: Annotated[int, Field(ge=1, le=1_000, strict=True)] = limits.SUPERVISED_FAN_OUT
    depth: Annotated[int, Field(ge=0, le=4, strict=True)] = limits.SUPERVISED_DEPTH
    tries: Annotated[int, Field(ge=1, le=10, strict=True)] = limits.SUPERVISED_TRIES
    effects: Annotated[tuple[Text, ...], Field(max_length=100)] = ()  #: `pool.function`
    people: StrictBool = False
    pattern: Literal["auto", "one_agent", "chain", "fan_out", "supervisors"] = "auto"
    closing: Annotated[float, Field(ge=0, le=limits.CLOSING_SHARE_MAX, strict=True)] = limits.SUPERVISED_CLOSING
    approve_above: Annotated[float, Field(ge=0, le=1_000_000, strict=True)] | None = None  #: USD of the estimate


_DIGEST = re.compile(r"^sha256:[0-9a-f]{64}$")


def is_digest(text: str) -> bool:
    """Whether `text` has the form of a `Digest`."""
    return _DIGEST.fullmatch(text) is not None
