"""What an unquoted YAML scalar stands for: the 1.2 core schema, with everything ambiguous refused.

`yes`, `on`, `12:30`, `1_000` and dates are texts. Numbers are decimal; what no JSON number can hold is refused.
"""

import math
import re
from typing import Final

__all__ = ["INTEGER_MAX", "ScalarRefused", "plain_scalar"]

INTEGER_MAX: Final = 2**63 - 1  #: largest absolute value of an integer; what every JSON reader and database holds

_CONSTANTS: Final[dict[str, bool | None]] = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL")),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
}
#: no other character begins a scalar that is not a text
_FIRST: Final = frozenset("~nNtTfF0123456789+-.")
_INTEGER = re.compile(r"[-+]?[0-9]+")
_FLOAT = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?")
_OTHER_BASE = re.compile(r"0o[0-7]+|0x[0-9a-fA-F]+")
_NOT_FINITE = re.compile(r"[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)")


class ScalarRefused(Exception):
    """An unquoted scalar that has no safe meaning; with what to write instead."""

    def __init__(self, reason: str, expected: str) -> None:
        super().__init__(reason, expected)
        self.reason, self.expected = reason, expected


def plain_scalar(text: str) -> str | int | float | bool | None:
    """The value of an unquoted scalar.

    Raises:
        ScalarRefused: a number that is too large or too small, not finite, or ambiguous in its base.
    """
    if text and text[0] not in _FIRST:
        return text
    if text in _CONSTANTS:
        return _CONSTANTS[text]
    if _INTEGER.fullmatch(text):
        return _integer(text)
    if _FLOAT.fullmatch(text):
        return _float(text)
    if _NOT_FINITE.fullmatch(text):
        raise ScalarRefused(f"{text} is no JSON number", "a finite number, or the word in quotes")
    if _OTHER_BASE.fullmatch(text):
        raise ScalarRefused(f"{_cut(text)} is not decimal", "a decimal number, or the text in quotes")
    return text


def _integer(text: str) -> int:
    digits = text.lstrip("+-")
    if len(digits) > 1 and digits[0] == "0":
        raise ScalarRefused(
            f"{_cut(text)} begins with a zero, which some readers take for octal",
            f'{_cut(digits.lstrip("0") or "0")}, or the text in quotes: "{_cut(text)}"',
        )
    # Counted first: converting a text of a million digits takes seconds.
    if len(digits) > len(str(INTEGER_MAX)) or abs(int(text)) > INTEGER_MAX:
        raise ScalarRefused(f"the integer {_cut(text)} is too large", f"at most {INTEGER_MAX}, or the text in quotes")
    return int(text)


def _float(text: str) -> float:
    value = float(text)
    if math.isinf(value):
        raise ScalarRefused(f"the number {_cut(text)} is too large", "a number below 1.8e308")
    if value == 0 and re.search(r"[1-9]", re.split("[eE]", text)[0]):
        raise ScalarRefused(f"the number {_cut(text)} is too small", "0, or a number above 5e-324")
    return value


def _cut(text: str) -> str:
    return text if len(text) <= 40 else text[:39] + "…"
