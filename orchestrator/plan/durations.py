"""Durations as people write them (`90s`, `6m`, `1h30m`), as seconds inside."""

import re
from typing import Annotated

from pydantic import BeforeValidator, Field, PlainSerializer, WithJsonSchema

_UNITS_S = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_PATTERN = re.compile(r"(?:\d+(?:\.\d+)?(?:ms|s|m|h|d))+", re.ASCII)
_PART = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d)", re.ASCII)
DURATION_MAX_S = 366 * 86400.0  #: a longer wait is a mistake, not a plan


def parse_duration(value: object) -> float:
    """Seconds of `90s`, `1.5h`, `1h30m`, `250ms`, or of a number that already is in seconds.

    Raises:
        ValueError: not a duration, not above zero, or above `DURATION_MAX_S`.
    """
    if isinstance(value, bool):
        raise ValueError("expected a duration such as 90s, 6m or 24h")
    seconds: float
    if isinstance(value, int | float):
        seconds = value  # compared as it is: a large integer has no float beside it
    elif isinstance(value, str) and len(value) <= 40 and _PATTERN.fullmatch(value):
        seconds = sum(float(amount) * _UNITS_S[unit] for amount, unit in _PART.findall(value))
    else:
        raise ValueError("expected a duration such as 90s, 6m or 24h (units: ms s m h d)")
    if not 0 < seconds <= DURATION_MAX_S:
        raise ValueError("expected a duration above zero and at most 366 days")
    return float(seconds)


def format_duration(seconds: float) -> str:
    """The shortest exact writing that `parse_duration` reads back."""
    for unit in ("d", "h", "m", "s", "ms"):
        amount = seconds / _UNITS_S[unit]
        if amount >= 1 and amount == int(amount):
            return f"{int(amount)}{unit}"
    return f"{seconds!r}s" if "e" not in repr(seconds) else f"{seconds * 1000:.6f}ms"


Duration = Annotated[
    float,
    BeforeValidator(parse_duration),
    PlainSerializer(format_duration, return_type=str, when_used="json"),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "string", "pattern": r"^(\d+(\.\d+)?(ms|s|m|h|d))+$"},
                {"type": "number", "exclusiveMinimum": 0},
            ]
        }
    ),
    Field(description="a duration: 90s, 6m, 1h30m, 24h"),
]
