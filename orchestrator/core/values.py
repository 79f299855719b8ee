"""What values a journal keeps: plain JSON that every store and every reader understands in the same way."""

from collections.abc import Iterable
from typing import Final

from orchestrator.errors import ValueRefused

VALUE_DEPTH_MAX: Final = 150  #: nesting of one value; the reader of pydantic stops at 200, its record included
INT_BITS_MAX: Final = 1023  #: a larger integer has no float beside it, and floats are what most readers of JSON know
COUNT_BITS_MAX: Final = 63  #: of numbers that databases count and sum


def check_values(place: str, values: Iterable[object], int_bits: int = INT_BITS_MAX) -> None:
    """Refuse anything that is not plain JSON, or that some store could not give back unchanged.

    Allowed are None, booleans, integers up to `int_bits`, finite floats, text without NUL and without lone surrogates,
    and lists, tuples and dicts (keys are text) of these, nested at most `VALUE_DEPTH_MAX` deep. Subclasses are refused:
    they would come back as something else.

    Raises:
        ValueRefused: names `place` and what is wrong.
    """
    # Every fact passes here, so the usual values are recognised with as few calls as possible.
    nested: list[object] = []
    for value in values:
        kind = type(value)
        if kind is str:
            if not value.isascii() or "\0" in value:  # type: ignore[attr-defined, operator]  # exactly str, tested by identity
                _check_text(place, value)
        elif value is None or kind is bool:
            continue
        elif kind is float:
            if value - value != 0.0:  # type: ignore[operator]  # exactly float; only NaN and the infinities differ
                raise ValueRefused(place, f"{value} is no number of JSON")
        elif kind is int:
            if value.bit_length() > int_bits:  # type: ignore[attr-defined]  # exactly int
                raise ValueRefused(place, f"an integer has more than {int_bits} bits")
        else:
            nested.append(value)
    if nested:
        _check_nested(place, nested)


def _check_text(place: str, value: object) -> None:
    assert isinstance(value, str)
    if "\0" in value:
        raise ValueRefused(place, "a text holds the character NUL")
    try:
        value.encode()
    except UnicodeEncodeError:
        raise ValueRefused(place, "a text holds a lone surrogate, half of a character") from None


def _check_nested(place: str, values: list[object]) -> None:
    """Walk level by level: no recursion, and the depth is the number of rounds."""
    depth = 0
    while values:
        depth += 1
        if depth > VALUE_DEPTH_MAX:
            raise ValueRefused(place, f"a value is nested more than {VALUE_DEPTH_MAX} deep")
        inner: list[object] = []
        for value in values:
            if type(value) is dict:
                for key in value:
                    if type(key) is not str:
                        raise ValueRefused(place, f"a key is {type(key).__name__} instead of text")
                inner.extend(value)
                inner.extend(value.values())
            elif type(value) is list or type(value) is tuple:
                inner.extend(value)
            else:
                raise ValueRefused(place, f"{type(value).__name__} is not plain JSON")
        values = _containers(place, inner)


def _containers(place: str, values: list[object]) -> list[object]:
    """Check the plain values among `values`; return the others."""
    found = []
    for value in values:
        kind = type(value)
        if kind is dict or kind is list or kind is tuple:
            found.append(value)
        else:
            check_values(place, (value,))
    return found
