"""Turns what a worker raised into the words that a run's journal knows."""

import math
import signal
import traceback
from pathlib import PurePath
from types import CodeType

import anyio

from orchestrator.errors import BudgetExceeded, PromiseError, RetryableError, TerminalError
from orchestrator.ports.model_errors import ModelError
from orchestrator.ports.tasks import TaskFailed, TaskKey
from workers.limits import ERROR_CHARS_MAX, FRAMES_MAX, NAME_CHARS_MAX
from workers.plain import NotPlain, storable
from workers.signature import BadArguments


class ChildFailed(Exception):
    """A function in a child process raised; the child put it into words already."""

    def __init__(self, error: str, message: str, retry_after_s: float | None = None) -> None:
        super().__init__(error, message, retry_after_s)
        self.error, self.message, self.retry_after_s = error, message, retry_after_s


class ChildDied(Exception):
    """A child process ended before it answered; a negative code is the signal that ended it."""

    def __init__(self, code: int) -> None:
        super().__init__(code)
        self.code = code

    def __str__(self) -> str:
        if self.code >= 0:
            return f"the child process ended with exit code {self.code}"
        name = signal.Signals(-self.code).name if -self.code in set(signal.Signals) else f"signal {-self.code}"
        told = "; the system kills processes this way when memory runs out" if -self.code == signal.SIGKILL else ""
        return f"the child process was ended by {name}{told}"


class MayNotBegin(Exception):
    """The owner of a run does not want this beginning of an effect: its worker does not call the function.

    The owner drops the word of it where nobody waits for the attempt any more. Where somebody else had begun the
    attempt and has lost it since, nobody can know whether the effect happened: `on_unknown` of the step decides.
    """

    def __init__(self, limit: str) -> None:
        super().__init__(limit)
        self.limit = limit

    def __str__(self) -> str:
        return "another worker had begun it" if self.limit == "begun" else "nobody wanted it any more"


def failed(
    key: TaskKey, worker: str, error: BaseException, started_at_s: float = 0.0, code: CodeType | None = None
) -> TaskFailed:
    """The failure that `error` stands for; `code` is the worker's function, where its own frames begin."""
    cause = cause_of(error)
    word, message, retry_after_s = _words(cause, code)
    return TaskFailed(
        key=key,
        worker=worker,
        error=word,
        message=bounded(message),
        retry_after_s=retry_after_s,
        started_at_s=started_at_s,
    )


def word_of(error: BaseException) -> str:
    """The one word for what kind of failure `error` stands for."""
    return storable(_words(cause_of(error), None)[0], NAME_CHARS_MAX)


def bounded(text: str) -> str:
    """At most `ERROR_CHARS_MAX` characters that certainly can be stored."""
    return storable(text, ERROR_CHARS_MAX)


def _words(error: BaseException, code: CodeType | None) -> tuple[str, str, float | None]:
    match error:
        case RetryableError():
            return error.kind, error.message, error.retry_after_s
        case TerminalError():
            return "terminal", error.message, None
        case ModelError():
            return _words(error.as_step_error(), code)
        case PromiseError():
            return "terminal", str(error), None
        case BudgetExceeded():
            return "budget", str(error), None
        case MayNotBegin():
            return "lost", str(error), None
        case BadArguments():
            return "input", str(error), None
        case NotPlain():
            return "output", error.at("output"), None
        case ChildFailed():
            return error.error, error.message, error.retry_after_s
        case ChildDied():
            return "resource" if error.code == -signal.SIGKILL else "worker", str(error), None
        case TimeoutError():
            return "timeout", _told(error, code), None
        case MemoryError():
            return "resource", _told(error, code), None
        case _:
            return "worker", _told(error, code), None


def cause_of(error: BaseException) -> BaseException:
    """Of a group of errors the one that decides: trying again must not hide that it cannot help."""
    if not isinstance(error, BaseExceptionGroup):
        return error
    leaves = [cause_of(part) for part in error.exceptions]
    for kind in (TerminalError, BudgetExceeded, MemoryError):
        for leaf in leaves:
            if isinstance(leaf, kind):
                return leaf
    others = [leaf for leaf in leaves if not isinstance(leaf, RetryableError)]
    return (others or leaves)[0]


def ends_more_than_one_task(error: BaseException) -> bool:
    """Whether an error is meant for the task around user code, or for the whole process, and must be passed on.

    `sys.exit()` in a library is not: it must not end every run of this process.
    """
    if isinstance(error, BaseExceptionGroup):
        return any(map(ends_more_than_one_task, error.exceptions))
    if isinstance(error, anyio.get_cancelled_exc_class()):
        return anyio.current_effective_deadline() == -math.inf  # else user code has cancelled itself
    return isinstance(error, KeyboardInterrupt | GeneratorExit)


def _told(error: BaseException, code: CodeType | None) -> str:
    """Type and message, then the innermost frames of the worker's own code: file, line and function, no values."""
    try:
        text = str(error)
    except Exception as broken:  # noqa: BLE001  # a broken __str__ is user code too; its failure must not hide the first one
        text = f"(its message cannot be read: {type(broken).__name__})"
    frames = list(traceback.walk_tb(error.__traceback__))
    # The last one: an error object that is raised again still carries the frames of its earlier ways.
    start = max((index for index, (frame, _) in enumerate(frames) if frame.f_code is code), default=0)
    places = [
        f"{'/'.join(PurePath(frame.f_code.co_filename).parts[-2:])}:{line} in {frame.f_code.co_name}"
        for frame, line in frames[start:][-FRAMES_MAX:]
    ]
    kind = type(error)
    name = kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"
    tail = f" (at {' > '.join(places)})" if places else ""
    head = f"{name}: {text}" if text else name
    return head[: max(ERROR_CHARS_MAX - len(tail), 0)] + tail
