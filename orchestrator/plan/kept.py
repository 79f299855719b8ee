"""Refuses what no journal can keep of a plan: NUL, halves of characters, huge integers."""

import re
from collections.abc import Callable
from typing import Final

from orchestrator.errors import PlanError, PlanIssue
from orchestrator.ids import JsonValue
from orchestrator.plan.limits import OUTPUT_INTEGER_BITS_MAX

__all__ = ["kept_text"]

_LONG: Final = re.compile(rb"[0-9]{308}")  #: fewer digits are less than 1023 bits


def kept_text(data: dict[str, JsonValue], write: Callable[[JsonValue], str]) -> bytes:
    """A plan as `write` writes it, looked through; the usual one costs one pass over its text in compiled code.

    Raises:
        PlanError: names the first place and what is wrong with it.
        ValueError: `write` refuses something that is none of these, such as a number that is infinite.
    """
    try:
        text = write(data).encode()
    except ValueError:  # half a character, or more digits than Python writes
        _walk(data)
        raise
    if b"\\u0000" in text or _LONG.search(text):
        _walk(data)
    return text


def _walk(data: JsonValue) -> None:
    todo: list[tuple[str, JsonValue]] = [("", data)]
    while todo:
        path, value = todo.pop()
        if isinstance(value, dict):
            for key in value:
                _text(f"{path}.", key)
            todo += ((f"{path}.{key}".lstrip("."), one) for key, one in reversed(value.items()))
        elif isinstance(value, list):
            todo += ((f"{path}[{at}]", one) for at, one in reversed(list(enumerate(value))))
        elif isinstance(value, str):
            _text(path, value)
        elif isinstance(value, int) and value.bit_length() > OUTPUT_INTEGER_BITS_MAX:
            raise _refused(
                path, f"an integer of {value.bit_length()} bits", f"at most {OUTPUT_INTEGER_BITS_MAX}, or a text"
            )


def _text(path: str, text: str) -> None:
    if "\0" in text:
        raise _refused(path, "a text holds the character NUL", "text without NUL")
    try:
        text.encode()
    except UnicodeEncodeError:
        raise _refused(path, "a text holds half a character (a lone surrogate)", "Unicode text") from None


def _refused(path: str, message: str, expected: str) -> PlanError:
    shown = path.encode(errors="backslashreplace").decode().replace("\0", "\\x00")
    return PlanError((PlanIssue(message=message, path=shown, expected=expected),))
