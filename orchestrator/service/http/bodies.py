"""What routes are asked with: every field has a limit, and unknown ones are refused."""

from typing import Annotated, Final, Self

from fastapi import Header, Path, Query
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, WithJsonSchema, model_validator

from orchestrator.ids import JsonValue
from orchestrator.plan.parts import Budget
from orchestrator.ports.journal import RunStatus
from orchestrator.ports.tasks import Lane
from orchestrator.service.http.limits import PAGE_MAX
from orchestrator.service.webhooks.addresses import URL_CHARS_MAX

NAME: Final = r"^[A-Za-z_][A-Za-z0-9_-]*$"  #: of a plan, a pool, a step
STEP: Final = r"^[A-Za-z_][A-Za-z0-9_-]*(\[[0-9]{1,9}\])?$"
RUN: Final = r"^[A-Za-z0-9_.\[\]#-]+$"
DIGEST: Final = r"^sha256:[0-9a-f]{64}$"
TEXT_CHARS_MAX: Final = 10_000  #: of a goal, a constraint, a reason
KEY_CHARS_MAX: Final = 255
SEQ_MAX: Final = 2**53


def _kept(text: str) -> str:
    if "\0" in text:
        raise ValueError("NUL is no character that can be kept")
    return text


def _printable(text: str) -> str:
    if not text.isprintable():
        raise ValueError("use printable characters")
    return text


Text = Annotated[str, Field(max_length=TEXT_CHARS_MAX), AfterValidator(_kept)]
Reason = Annotated[str, Field(max_length=TEXT_CHARS_MAX), AfterValidator(_kept)]
RunName = Annotated[str, Path(pattern=RUN, max_length=512, description="The run's id.")]
StepName = Annotated[str, Path(pattern=STEP, max_length=80, description="`draft`, or `draft[3]` for a branch.")]
PlanName = Annotated[str, Path(pattern=NAME, max_length=64)]
PoolId = Annotated[str, Path(pattern=NAME, max_length=64)]
Digested = Annotated[str, Path(pattern=DIGEST)]
Key = Annotated[
    str | None,
    Header(
        alias="Idempotency-Key",
        min_length=1,
        max_length=KEY_CHARS_MAX,
        description="Makes the request one, however often it is sent.",
    ),
    AfterValidator(lambda key: key if key is None else _printable(key)),
]
TRACE: Final = r"^00-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}$"
Trace = Annotated[str, Header(alias="traceparent", pattern=f"^$|{TRACE}", description="W3C trace context.")]
Limit = Annotated[int, Query(ge=1, le=PAGE_MAX, description="Rows of the page.")]
Cursor = Annotated[str | None, Query(pattern=RUN, max_length=512, description="`next` of the page before.")]
After = Annotated[int, Query(ge=0, le=SEQ_MAX, description="Only events with a higher sequence number.")]
LastEvent = Annotated[
    int | None,
    Header(alias="Last-Event-ID", ge=0, le=SEQ_MAX, description="As `after`, and stronger."),
    WithJsonSchema({"type": "integer", "minimum": 0, "maximum": SEQ_MAX}),
]
Statuses = Annotated[list[RunStatus], Query(max_length=6, description="Any of these; repeat it for several.")]


class Body(BaseModel):
    """What every body is: nothing more than it names."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class SubmitBody(Body):
    """A run to start: exactly one of `plan` and `goal`."""

    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        json_schema_extra={"oneOf": [{"required": ["plan"]}, {"required": ["goal"]}]},
    )

    plan: Annotated[str, Field(pattern=NAME, max_length=64)] | dict[str, JsonValue] | None = Field(
        default=None, description="A plan's name, or a whole plan."
    )
    goal: Annotated[str, Field(min_length=1, max_length=TEXT_CHARS_MAX), AfterValidator(_kept)] | None = Field(
        default=None, description="What is to be reached; the supervisor plans it."
    )
    output: dict[str, JsonValue] | None = Field(default=None, description="With `goal`: JSON Schema of the answer.")
    constraints: Annotated[list[Annotated[Text, Field(min_length=1)]], Field(max_length=100)] = Field(
        default=[], description="With `goal`: what holds for every task and every judge."
    )
    inputs: dict[str, JsonValue] = Field(default={}, description="By the plan's `inputs`.")
    budget: Budget | None = Field(default=None, description="Exchanges limits of the plan.")
    lane: Lane = "normal"
    callback_url: Annotated[str, Field(min_length=1, max_length=URL_CHARS_MAX)] | None = Field(
        default=None, description="Told how this run ends, signed with the secret of a webhook of the tenant."
    )

    @model_validator(mode="after")
    def _one_of_two(self) -> Self:
        if (self.plan is None) == (self.goal is None):
            raise ValueError("say exactly one of plan and goal")
        if self.goal is None and (self.output is not None or self.constraints):
            raise ValueError("output and constraints go with goal; a plan has its own")
        if self.goal is not None and self.inputs:
            raise ValueError("inputs go with plan; say in the goal what it is about")
        return self


class CancelBody(Body):
    """Why a run is cancelled."""

    reason: Reason = ""


class RetryBody(Body):
    """What of an ended run is done again."""

    step: Annotated[str, Field(pattern=NAME, max_length=64)] | None = Field(
        default=None, description="This step and everything below it, even where it passed; null: what did not pass."
    )
    budget: Budget | None = None


class ForkBody(Body):
    """From where a run is done again, and with which other inputs."""

    step: Annotated[str, Field(pattern=NAME, max_length=64)]
    inputs: dict[str, JsonValue] = {}
    budget: Budget | None = None


class AnswerBody(Body):
    """An answer to a question."""

    choice: Annotated[str, Field(min_length=1, max_length=200), AfterValidator(_kept)]
    reason: Reason = ""


class QuarantineBody(Body):
    """What is wrong with a result."""

    reason: Annotated[Reason, Field(min_length=1)]
