"""Errors as plain data and back, for what travels between processes."""

from typing import Final, cast

from orchestrator import errors
from orchestrator.errors import OrchestratorError, OwnerRefused
from orchestrator.ids import JsonValue

_PLAIN: Final = (str, int, float, type(None))


def error_document(error: Exception) -> dict[str, JsonValue]:
    """An error as data: its kind, what it is made of where that is plain, and its text."""
    plain = all(isinstance(argument, _PLAIN) for argument in error.args)
    arguments = cast(list[JsonValue], list(error.args)) if plain else None
    return {"kind": type(error).__name__, "args": arguments, "text": str(error)}


def error_of(document: JsonValue) -> OrchestratorError:
    """The error that a document stands for: of its own kind where that can be made again, else `OwnerRefused`."""
    if not isinstance(document, dict):
        return OwnerRefused("?", "the owner refused, and did not say why")
    kind, arguments, text = document.get("kind"), document.get("args"), document.get("text")
    made = getattr(errors, str(kind), None)
    if isinstance(made, type) and issubclass(made, OrchestratorError) and isinstance(arguments, list):
        try:
            return made(*arguments)
        except TypeError:
            pass
    return OwnerRefused(str(kind), str(text))
