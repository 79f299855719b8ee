"""Tasks and messages as JSON and back, checked on the way in. Nothing else ever travels."""

from typing import Final

from pydantic import TypeAdapter, ValidationError
from pydantic_core import from_json, to_json

from orchestrator.ids import RunId, StepId
from orchestrator.ports import tasks as t


class Undecodable(ValueError):
    """Bytes that are no task or message of this release."""


_TASK: Final = TypeAdapter(t.StepTask)
_KINDS: Final[dict[str, type[object]]] = {
    "started": t.TaskStarted,
    "progress": t.TaskProgress,
    "evidence": t.TaskEvidence,
    "tool_failed": t.TaskToolFailed,
    "tripped": t.TaskTripped,
    "spent": t.TaskSpent,
    "called": t.TaskCalled,
    "delta": t.TaskDelta,
    "offered": t.TaskOffered,
    "done": t.TaskDone,
    "failed": t.TaskFailed,
    "spend": t.SpendRequest,
    "intent": t.IntentRequest,
    "start": t.StartRequest,
    "reply": t.OwnerReply,
}
_TAGS: Final = {kind: tag for tag, kind in _KINDS.items()}
_ADAPTERS: Final = {tag: TypeAdapter(kind) for tag, kind in _KINDS.items()}
_PURPOSES: Final = ("work", "check")
ASKS: Final = frozenset({"spend", "intent", "start"})


def key_text(key: t.TaskKey) -> str:
    """A task's key as the one text it has everywhere in the server."""
    parts = (key.run_id, key.step_id, key.branch, key.attempt, key.sample, key.purpose, key.check)
    return to_json(parts).decode()


def key_of(text: str | bytes) -> t.TaskKey:
    """The key that `key_text` wrote.

    Raises:
        Undecodable: it is none.
    """
    try:
        run, step, branch, attempt, sample, purpose, check = from_json(text)
    except (ValueError, TypeError) as error:
        raise Undecodable(f"no key of a task: {text[:200]!r}") from error
    numbers = (branch, attempt, sample, check)
    if not (isinstance(run, str) and isinstance(step, str) and all(type(n) is int for n in numbers)) or (
        purpose not in _PURPOSES
    ):
        raise Undecodable(f"no key of a task: {text[:200]!r}")
    return t.TaskKey(RunId(run), StepId(step), branch, attempt, sample, purpose, check)


def task_bytes(task: t.StepTask) -> bytes:
    """A task as JSON."""
    return _TASK.dump_json(task)


def task_of(body: bytes) -> t.StepTask:
    """The task in `body`.

    Raises:
        Undecodable: there is none.
    """
    try:
        return _TASK.validate_json(body)
    except ValidationError as error:
        raise Undecodable(_first(error)) from error


def tag_of(message: t.TaskMessage | t.OwnerRequest | t.OwnerReply) -> str:
    """The word that stands beside a message and says what it is."""
    return _TAGS[type(message)]


def message_bytes(message: t.TaskMessage | t.OwnerRequest | t.OwnerReply) -> bytes:
    """A message as JSON."""
    return _ADAPTERS[_TAGS[type(message)]].dump_json(message)


def message_of(tag: str, body: bytes) -> object:
    """The message in `body`; its type goes by `tag`.

    Raises:
        Undecodable: there is none.
    """
    adapter = _ADAPTERS.get(tag)
    if adapter is None:
        raise Undecodable(f"a message of a kind that is not known: {tag[:40]!r}")
    try:
        return adapter.validate_json(body)
    except ValidationError as error:
        raise Undecodable(_first(error)) from error


def _first(error: ValidationError) -> str:
    """The first thing that is wrong, without the value: bodies are not for logs."""
    found = error.errors(include_input=False, include_url=False)[0]
    return f"{'.'.join(map(str, found['loc'])) or 'body'}: {found['msg']}"
