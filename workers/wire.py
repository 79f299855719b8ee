"""The lines between a pool and its child processes: a word and one JSON value per line, nothing else."""

from dataclasses import dataclass
from typing import Final

from pydantic import TypeAdapter

from orchestrator.ids import JsonValue
from orchestrator.plan.limits import OUTPUT_BYTES_MAX
from orchestrator.ports.model import Completion, Prompt
from orchestrator.ports.tasks import (
    IntentRequest,
    OwnerReply,
    OwnerRequest,
    SpendRequest,
    StepTask,
    TaskCalled,
    TaskDelta,
    TaskEvidence,
    TaskOffered,
    TaskProgress,
    TaskSpent,
    TaskToolFailed,
)

LINE_BYTES_MAX: Final = 6 * OUTPUT_BYTES_MAX + 2**20  #: the largest output, every character escaped, and its frame


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """A task, for the function `module:qualname`."""

    function: str
    task: StepTask


@dataclass(frozen=True, slots=True, kw_only=True)
class Returned:
    """The function returned; its output was checked in the child."""

    output: JsonValue


@dataclass(frozen=True, slots=True, kw_only=True)
class Raised:
    """The function raised; fields as in `TaskFailed`."""

    error: str
    message: str
    retry_after_s: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelAsked:
    """The function asks a model; the parent asks it on its behalf, and the step pays."""

    prompt: Prompt


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelAnswered:
    """What the model said, or why there is no answer: fields as in `TaskFailed`, or those of `BudgetExceeded`."""

    completion: Completion | None = None
    error: str = ""
    message: str = ""
    retry_after_s: float | None = None
    asked: float = 0.0
    left: float = 0.0


#: what a worker says on its way
Said = TaskProgress | TaskEvidence | TaskToolFailed | TaskSpent | TaskCalled | TaskDelta | TaskOffered
Frame = Job | OwnerReply | OwnerRequest | Said | ModelAsked | ModelAnswered | Returned | Raised

_KINDS: Final[tuple[type[Frame], ...]] = (
    Job,
    OwnerReply,
    SpendRequest,
    IntentRequest,
    TaskProgress,
    TaskEvidence,
    TaskToolFailed,
    TaskSpent,
    TaskCalled,
    TaskDelta,
    TaskOffered,
    ModelAsked,
    ModelAnswered,
    Returned,
    Raised,
)
_BY_WORD: Final = {kind.__name__.encode(): TypeAdapter[Frame](kind) for kind in _KINDS}


def line_of(frame: Frame) -> bytes:
    """One line, with its end."""
    word = type(frame).__name__.encode()
    return word + b" " + _BY_WORD[word].dump_json(frame) + b"\n"


def frame_of(line: bytes) -> Frame:
    """The frame of a line that `line_of` made."""
    word, _, data = line.partition(b" ")
    return _BY_WORD[word].validate_json(data)
