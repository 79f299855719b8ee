"""Turns what a worker returned into plain JSON that shares nothing with the worker, or says what is wrong and where."""

import json
import math
import reprlib
from typing import Final

from pydantic import TypeAdapter, ValidationError
from pydantic_core import PydanticSerializationError

from orchestrator.ids import JsonValue
from orchestrator.plan.limits import OUTPUT_BYTES_MAX, OUTPUT_DEPTH_MAX, OUTPUT_INTEGER_BITS_MAX

_INT_SMALL: Final = 2**63  #: integers below need at most 20 characters, so no digits have to be counted
_ESCAPED_MOST: Final = 6  #: bytes of one escaped character, such as \\u0000
_SCALAR_MOST: Final = 26  #: bytes of the longest float or small integer, with a comma


class NotPlain(ValueError):
    """A value is no JSON, or too deep or too large. `path` leads to the place, outermost first.

    `foreign` says that a type was met which a serialiser might still know.
    """

    def __init__(self, reason: str, path: tuple[str, ...] = (), foreign: bool = False) -> None:
        super().__init__(reason, path, foreign)
        self.reason, self.path, self.foreign = reason, path, foreign

    def at(self, root: str) -> str:
        """`root.items[3]: reason`."""
        return f"{root}{''.join(self.path)[:200]}: {self.reason}"


def storable(text: str, chars_max: int) -> str:
    """At most `chars_max` characters of `text`, with NUL and lone surrogates written as escapes."""
    return text[:chars_max].replace("\0", "\\x00").encode(errors="backslashreplace").decode()[:chars_max]


class _Meter:
    """Counts the least and the most bytes that the JSON of a value can have."""

    __slots__ = ("least", "most")

    def __init__(self) -> None:
        self.least = self.most = 0

    def add(self, least: int, most: int) -> None:
        self.least += least
        self.most += most
        if self.least > OUTPUT_BYTES_MAX:
            raise NotPlain(_too_large())


def plain_copy(value: object) -> JsonValue:
    """An independent copy of a value that consists of dict, list, str, int, float, bool and None alone.

    Raises:
        NotPlain: another type, a key that is no string, NaN or infinity, an integer above `OUTPUT_INTEGER_BITS_MAX`,
            NUL or a lone surrogate in a text, nesting above `OUTPUT_DEPTH_MAX`, or more than `OUTPUT_BYTES_MAX` bytes
            as JSON in UTF-8.
    """
    kind = type(value)
    if value is None or kind is bool or (kind is int and -_INT_SMALL < value < _INT_SMALL):  # type: ignore[operator]  # an int
        return value  # type: ignore[return-value]  # narrowed by its type above
    meter = _Meter()
    copy = _copy(value, 1, meter)
    if meter.most > OUTPUT_BYTES_MAX:
        size = len(json.dumps(copy, separators=(",", ":"), ensure_ascii=False).encode())
        if size > OUTPUT_BYTES_MAX:
            raise NotPlain(_too_large())
    return copy


def _too_large() -> str:
    return f"larger than {OUTPUT_BYTES_MAX} bytes as JSON; write large data to a file and return its name"


def _copy(value: object, depth: int, meter: _Meter) -> JsonValue:
    kind = type(value)
    if kind is str:
        return _text(value, meter)  # type: ignore[arg-type]  # a str
    if value is None or kind is bool:
        meter.add(1, _SCALAR_MOST)
        return value  # type: ignore[return-value]  # narrowed by its type above
    if kind is int:
        return _integer(value, meter)  # type: ignore[arg-type]  # an int
    if kind is float:
        if not math.isfinite(value):  # type: ignore[arg-type]  # a float
            raise NotPlain(f"{value} is not a number JSON can hold")
        meter.add(3, _SCALAR_MOST)
        return value  # type: ignore[return-value]  # a finite float
    if kind is list or kind is dict:
        if depth > OUTPUT_DEPTH_MAX:
            raise NotPlain(f"nested deeper than {OUTPUT_DEPTH_MAX}")
        meter.add(2, 3)
        return _list(value, depth, meter) if isinstance(value, list) else _dict(value, depth, meter)
    raise NotPlain(f"{kind.__module__}.{kind.__qualname__} is no JSON value", foreign=True)


def _list(value: list[object], depth: int, meter: _Meter) -> list[JsonValue]:
    copy: list[JsonValue] = []
    depth += 1
    try:
        copy.extend(_copy(item, depth, meter) for item in value)
    except NotPlain as error:
        raise NotPlain(error.reason, (f"[{len(copy)}]", *error.path), error.foreign) from None
    return copy


def _dict(value: object, depth: int, meter: _Meter) -> dict[str, JsonValue]:
    copy: dict[str, JsonValue] = {}
    for key, item in value.items():  # type: ignore[attr-defined]  # a dict
        if type(key) is not str:
            raise NotPlain(f"the key {reprlib.repr(key)} is no string", foreign=True)
        try:
            copy[_text(key, meter)] = _copy(item, depth + 1, meter)
        except NotPlain as error:
            raise NotPlain(error.reason, (f".{_printable(key)}", *error.path), error.foreign) from None
    return copy


def _text(value: str, meter: _Meter) -> str:
    length = len(value)
    meter.add(length + 2, length * _ESCAPED_MOST + 4)
    if "\0" in value:
        raise NotPlain(f"the character NUL at {value.index(chr(0))} cannot be kept by every store")
    if not value.isascii():
        try:
            value.encode()
        except UnicodeEncodeError as error:
            raise NotPlain(f"a lone surrogate at character {error.start} is no Unicode text") from None
    return value


def _integer(value: int, meter: _Meter) -> int:
    if -_INT_SMALL < value < _INT_SMALL:
        meter.add(1, _SCALAR_MOST)
    else:
        if value.bit_length() > OUTPUT_INTEGER_BITS_MAX:
            raise NotPlain(f"an integer of more than {OUTPUT_INTEGER_BITS_MAX} bits")
        digits = len(str(value))
        meter.add(digits, digits + 2)
    return value


def _printable(text: str) -> str:
    return text[:40].encode("unicode_escape").decode("ascii")


def dumped(adapter: TypeAdapter[object], value: object) -> JsonValue:
    """`value` as plain JSON by the serialiser of its declared type, independent of `value`.

    Raises:
        NotPlain: it does not fit the declared type, or see `plain_copy`.
    """
    try:
        fitting = adapter.validator.validate_python(value, strict=True)
        data = adapter.dump_python(fitting, mode="json", warnings="error")
    except ValidationError as error:
        raise NotPlain(*explain(error)) from None
    except (PydanticSerializationError, ValueError, RecursionError) as error:
        raise NotPlain(str(error) or type(error).__name__) from None
    copy = plain_copy(data)
    if _has_null(copy):
        # Inside a field without a type, NaN is written as null; only the Python form still shows it.
        _refuse_nan(adapter.dump_python(fitting, mode="python"))
    return copy


def explain(error: ValidationError) -> tuple[str, tuple[str, ...]]:
    """Reason and path of the first thing that pydantic found wrong, and how many more there are."""
    found = error.errors(include_url=False, include_context=False, include_input=True)
    first = found[0]
    path = tuple(f"[{part}]" if isinstance(part, int) else f".{part}" for part in first["loc"])
    given = first["input"]
    shown = "" if first["type"] == "missing" else f", got {reprlib.repr(given)}"
    more = f" (and {len(found) - 1} more)" if len(found) > 1 else ""
    return f"{first['msg']}{shown}{more}".encode(errors="backslashreplace").decode(), path


def _has_null(value: JsonValue) -> bool:
    if isinstance(value, dict):
        return any(_has_null(item) for item in value.values())
    return any(_has_null(item) for item in value) if isinstance(value, list) else value is None


def _refuse_nan(value: object) -> None:
    if isinstance(value, float) and not math.isfinite(value):
        raise NotPlain(f"{value} is not a number JSON can hold")
    if isinstance(value, dict):
        for item in value.values():
            _refuse_nan(item)
    elif isinstance(value, list | tuple | set | frozenset):
        for item in value:
            _refuse_nan(item)
