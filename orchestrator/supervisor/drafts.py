"""The small form in which a model writes plans and patches. Strict: what is not in it cannot be said."""

import json
from typing import Annotated, Final, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from orchestrator.ids import JsonValue
from orchestrator.plan.parts import Name, Tier

ANSWER_CHARS_MAX: Final = 128 * 1024  #: of a draft; a longer one is not read
STEPS_READ_MAX: Final = 1_000  #: of a draft; more are not read, whatever the caps
TEXT_MAX: Final = 8_000  #: characters of one instruction, rubric or goal
ERRORS_TOLD: Final = 12  #: of one draft, handed back to the model
ERROR_CHARS: Final = 300  #: of one of them

Line = Annotated[str, Field(min_length=1, max_length=TEXT_MAX)]
Scalar = str | float | int | bool | None
M = TypeVar("M", bound=BaseModel)


class _Part(BaseModel):
    """Base of what a model writes: frozen and closed."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Assessment(_Part):
    """What the planner's model thinks of the work."""

    parts: Annotated[int, Field(ge=1, le=1_000)]  #: that can be done without each other
    sequential: bool  #: each part needs the one before
    one_agent: Annotated[float, Field(ge=0, le=1)]  #: how likely one strong agent does all of it well
    why: Annotated[str, Field(max_length=2_000)] = ""


class Use(_Part):
    """A named value from elsewhere: `steps.ID`, `inputs.NAME`, with further fields behind dots, or `item`."""

    name: Name
    source: Annotated[str, Field(min_length=1, max_length=200)]


class Value(_Part):
    """A named literal."""

    name: Name
    value: Scalar | Annotated[list[Scalar], Field(max_length=STEPS_READ_MAX)]


class OutputField(_Part):
    """One field of a step's output."""

    name: Name
    type: Literal["text", "number", "integer", "truth", "list", "object"]


class People(_Part):
    """A question to a person."""

    ask: Line
    choices: Annotated[list[Name], Field(min_length=1, max_length=20)]


class DraftStep(_Part):
    """One step. Exactly one of task, call, goal, people."""

    id: Name
    pool: Name | None = None
    task: Line | None = None
    call: Name | None = None
    goal: Line | None = None
    people: People | None = None
    uses: Annotated[list[Use], Field(max_length=50)] = []
    values: Annotated[list[Value], Field(max_length=50)] = []
    after: Annotated[list[Name], Field(max_length=100)] = []
    each: Annotated[str, Field(min_length=1, max_length=200)] | list[Scalar] | None = None
    fields: Annotated[list[OutputField], Field(max_length=50)] = []
    tier: Tier | None = None
    rules: Annotated[list[Line], Field(max_length=10)] = []
    rubric: Line | None = None
    news: Line | None = None  #: while it holds for the output, what comes after is thought over before it is read
    optional: bool = False  #: the work may go on without it
    effect: Annotated[str, Field(min_length=1, max_length=200)] | None = None  #: the key of an effect


class Closing(_Part):
    """The last step: it makes the answer of what the others gave."""

    pool: Name
    task: Line
    tier: Tier | None = None


class DraftPlan(_Part):
    """A plan as a model writes it."""

    assessment: Assessment
    steps: Annotated[list[DraftStep], Field(min_length=1, max_length=STEPS_READ_MAX)]
    closing: Closing | None = None  #: needed where there is more than one step


class DraftOp(_Part):
    """One change of a plan."""

    op: Literal["add", "replace", "drop", "rewire", "retry"]
    id: Name
    step: DraftStep | None = None  #: of add and replace
    uses: Annotated[list[Use], Field(max_length=50)] = []  #: of rewire


class DraftPatch(_Part):
    """A patch as a model writes it; without operations it gives up."""

    reason: Line
    ops: Annotated[list[DraftOp], Field(max_length=100)]


def read(model: type[M], answer: str | JsonValue) -> tuple[M | None, tuple[str, ...]]:
    """What a model wrote, or what is wrong with it in words for the model."""
    if isinstance(answer, str):
        if len(answer) > ANSWER_CHARS_MAX:
            return None, (f"the answer has {len(answer):,} characters; at most {ANSWER_CHARS_MAX:,} are read",)
        try:
            data: object = json.loads(_unfenced(answer), parse_constant=_refuse)
        except RecursionError:
            return None, ("the answer is nested too deep",)
        except ValueError as error:
            return None, (f"the answer is no JSON: {error}"[:ERROR_CHARS],)
    else:
        data = answer
    try:
        return model.model_validate(data), ()
    except ValidationError as error:
        return None, _told(error)
    except RecursionError:
        return None, ("the answer is nested too deep",)


def _unfenced(text: str) -> str:
    stripped = text.strip()
    if stripped.startswith("```") and stripped.endswith("```"):
        return stripped.removeprefix("```json").removeprefix("```").removesuffix("```")
    return stripped


def _refuse(name: str) -> None:
    raise ValueError(f"{name} is no JSON number")


def _told(error: ValidationError) -> tuple[str, ...]:
    found = error.errors(include_url=False, include_input=False, include_context=False)
    lines = [f"{'.'.join(map(str, one['loc'])) or 'the answer'}: {one['msg']}"[:ERROR_CHARS] for one in found]
    return cut(lines)


def cut(errors: list[str]) -> tuple[str, ...]:
    """As many errors as a model is told, each once, and how many more there are."""
    told = list(dict.fromkeys(error[:ERROR_CHARS] for error in errors))
    more = [f"and {len(told) - ERRORS_TOLD} more"] if len(told) > ERRORS_TOLD else []
    return (*told[:ERRORS_TOLD], *more)


def schema_of(model: type[BaseModel]) -> dict[str, JsonValue]:
    """The JSON Schema that the model's answer must fit."""
    schema: dict[str, JsonValue] = model.model_json_schema()
    return schema
