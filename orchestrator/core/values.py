"""What values a journal keeps: plain JSON that every store and every reader understands in the same way."""

from collections.abc import Iterable
from typing import Final

from pydantic_core import PydanticSerializationError, from_json, to_json

from orchestrator.errors import ValueRefused
from orchestrator.plan.limits import OUTPUT_INTEGER_BITS_MAX

VALUE_DEPTH_MAX: Final = 199  #: nesting of one value; the reader of pydantic stops at 200, and a record is one of them
INT_BITS_MAX: Final = OUTPUT_INTEGER_BITS_MAX
COUNT_BITS_MAX: Final = 63  #: of numbers that databases count and sum
_DIGITS: Final = 308  #: fewer digits than this are less than 1023 bits
_WINDOW: Final = 20


def json_of(place: str, values: tuple[object, ...]) -> bytes:
    """The values as an array of JSON, if they are what `check_values` allows; about 2 us for a small one.

    Writing and reading back in compiled code, and comparing, is several times faster than looking at each value here.
    Only what that does not settle is looked at.

    Raises:
        ValueRefused: as `check_values`.
    """
    try:
        text = to_json(values)
    except PydanticSerializationError as error:
        check_values(place, values)  # says it better, if it knows
        raise ValueRefused(place, str(error)) from error
    if not _surely_sound(text, values):
        check_values(place, values)
    return text


def _surely_sound(text: bytes, values: tuple[object, ...]) -> bool:
    if b"\\u0000" in text or (len(text) >= _DIGITS and _may_hold_huge_integer(text)):
        return False
    try:
        back: object = from_json(text, allow_inf_nan=False)
    except ValueError:
        return False
    return back == list(values)


def _may_hold_huge_integer(text: bytes) -> bool:
    """Whether some window of the text is all digits: any row of `_DIGITS` of them covers one."""
    step = _DIGITS // 2
    return any(text[at - _WINDOW : at + _WINDOW].isdigit() for at in range(step, len(text), step))


def check_values(place: str, values: Iterable[object], int_bits: int = INT_BITS_MAX) -> None:
    """Refuse anything that is not plain JSON, or that some store could not give back unchanged.

    Allowed are None, booleans, integers up to `int_bits`, finite floats, text without NUL and without lone surrogates,
    and lists, tuples and dicts (keys are text) of these, nested at most `VALUE_DEPTH_MAX` deep. A subclass of such a
    type counts as that type, and a tuple inside a value comes back as a list.

    Raises:
        ValueRefused: names `place` and what is wrong.
    """
    # Every fact passes here, so the usual values are recognised with as few calls as possible.
    nested: list[object] = []
    for value in values:
        kind = type(value)
        if kind is str:
            if not value.isascii() or "\0" in value:  # type: ignore[attr-defined, operator]  # exactly str
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
        inner: list[object] = []
        for value in values:
            if isinstance(value, dict):
                for key in value:
                    if not isinstance(key, str):
                        raise ValueRefused(place, f"a key is {type(key).__name__} instead of text")
                inner.extend(value)
                inner.extend(value.values())
            elif isinstance(value, list | tuple):
                inner.extend(value)
            else:
                check_values(place, (_plain(place, value),))
                continue
            if depth > VALUE_DEPTH_MAX:
                raise ValueRefused(place, f"a value is nested more than {VALUE_DEPTH_MAX} deep")
        values = _not_plain(place, inner)


def _not_plain(place: str, values: list[object]) -> list[object]:
    """Check the plain values among `values`; return the others."""
    plain = {str, float, int, bool, type(None)}
    check_values(place, [value for value in values if type(value) in plain])
    return [value for value in values if type(value) not in plain]


def _plain(place: str, value: object) -> object:
    """The plain value that an object of a subclass stands for."""
    for kind in (str, int, float):
        if isinstance(value, kind):
            return kind(value)
    raise ValueRefused(place, f"{type(value).__name__} is not plain JSON")
