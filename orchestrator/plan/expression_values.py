"""What operators and functions of the expression language do to JSON values, and what they may cost.

Kinds are strict: a number is never compared with a text, and `true` is no number. Everything that touches
more than a few values pays for it first, from a meter that one evaluation shares. Knows nothing of syntax.
"""

import math
import operator
from collections.abc import Callable, Mapping
from difflib import get_close_matches
from typing import Final

__all__ = [
    "ARITHMETIC",
    "COST_MAX",
    "FUNCTIONS",
    "INTEGER_BITS_MAX",
    "ITEMS_MAX",
    "ORDER",
    "TEXT_RESULT_CHARS_MAX",
    "Fault",
    "Meter",
    "checked_number",
    "contains",
    "equal",
    "kind",
    "member",
    "negative",
    "shown",
]

COST_MAX: Final = 400_000  #: units of one evaluation: about one per list item touched, or per 64 characters searched
INTEGER_BITS_MAX: Final = 256  #: size of an integer that arithmetic gives
TEXT_RESULT_CHARS_MAX: Final = 100_000  #: length of a text that an expression builds
ITEMS_MAX: Final = 100_000  #: length of a list that an expression builds or sorts

Meter = list[int]  #: one cell: the units that this evaluation has left

_KINDS: Final[dict[type, str]] = {
    type(None): "null",
    bool: "true or false",
    int: "a number",
    float: "a number",
    str: "a text",
    list: "a list",
    dict: "a mapping",
}
_SCALARS: Final = frozenset({type(None), bool, int, float, str})
_NUMBERS: Final = frozenset({int, float})
_TEXTS: Final = frozenset({str})
_CHARS_PER_UNIT: Final = 64
_NAMES_COMPARED: Final = 200  #: keys looked at for a nearest name
_NAME_CHARS: Final = 64  #: longer keys are data, not names


class Fault(Exception):
    """Why an operation has no value. The evaluator adds the expression and the column."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


def kind(value: object) -> str:
    """The kind of a JSON value in the words of the language; a lazy mapping counts as a mapping.

    Raises:
        Fault: `value` is no JSON value.
    """
    found = _KINDS.get(type(value))
    if found is not None:
        return found
    if isinstance(value, Mapping):
        return "a mapping"
    raise Fault(f"{type(value).__name__} is no JSON value")


def shown(name: object) -> str:
    """A key or name for a message: quoted, escaped, and cut to 64 characters."""
    text = repr(name)
    return text if len(text) <= _NAME_CHARS else text[: _NAME_CHARS - 1] + "…"


def charge(meter: Meter, units: int) -> None:
    """Take `units` from the meter.

    Raises:
        Fault: the meter has not that much left.
    """
    meter[0] -= units
    if meter[0] < 0:
        raise Fault(f"costs more than the {COST_MAX:,} units one evaluation may use")


def member(value: object, key: str | int) -> object:
    """`value.key` of a mapping, or `value[key]` of a list (negative counts from the end).

    Raises:
        Fault: there is no such key or index, or `value` has no members; names the nearest keys.
    """
    if isinstance(value, Mapping):
        if not isinstance(key, str):
            raise Fault(f"a mapping is read by text keys, not by {shown(key)}")
        try:
            return value[key]
        except KeyError:
            raise Fault(f"there is no {shown(key)}{_nearest(key, value)}") from None
    if isinstance(value, list):
        if isinstance(key, bool) or not isinstance(key, int):
            raise Fault(f"a list is read by whole numbers, not by {shown(key)}")
        if not -len(value) <= key < len(value):
            raise Fault(f"there is no item {key}: the list has {len(value)}")
        return value[key]
    if value is None:
        raise Fault(f"null has no {shown(key)}; guard it with `if` or `x and x.y`")
    raise Fault(f"{kind(value)} has no {shown(key)}")


def _nearest(key: str, value: Mapping[object, object]) -> str:
    names: list[str] = []
    for name in value:
        if len(names) == _NAMES_COMPARED:
            break
        if isinstance(name, str) and len(name) <= _NAME_CHARS:
            names.append(name)
    hyphened = next((name for name in names if name.startswith(f"{key}-")), None)
    if hyphened is not None:
        return f'; a name with a hyphen is written ["{hyphened}"]'
    close = get_close_matches(key[:_NAME_CHARS], names, n=3)
    if close:
        return "; did you mean " + " or ".join(close) + "?"
    return "; there is " + ", ".join(sorted(names)[:8]) if names else "; the mapping is empty"


def checked_number(value: float) -> float:
    """`value` itself when it is finite and small enough.

    Raises:
        Fault: an integer of more than `INTEGER_BITS_MAX` bits, an infinity, or not a number.
    """
    if type(value) is int:
        if value.bit_length() > INTEGER_BITS_MAX:
            raise Fault(f"the number has more than {INTEGER_BITS_MAX} bits")
    elif not math.isfinite(value):
        raise Fault("the number is not finite")
    return value


def negative(value: object, meter: Meter) -> object:
    """`-value` of a number."""
    if type(value) is int or type(value) is float:
        return checked_number(-value)
    raise Fault(f"minus needs a number, not {kind(value)}")


def _add(left: object, right: object, meter: Meter) -> object:
    if isinstance(left, str) and isinstance(right, str):
        length = len(left) + len(right)
        if length > TEXT_RESULT_CHARS_MAX:
            raise Fault(f"the text is longer than {TEXT_RESULT_CHARS_MAX:,} characters")
        charge(meter, length // _CHARS_PER_UNIT)
        return left + right
    if isinstance(left, list) and isinstance(right, list):
        length = len(left) + len(right)
        if length > ITEMS_MAX:
            raise Fault(f"the list is longer than {ITEMS_MAX:,} items")
        charge(meter, length)
        return left + right
    raise Fault(f"+ cannot join {kind(left)} and {kind(right)}")


def _arithmetic(symbol: str, operate: Callable[[float, float], float]) -> Callable[[object, object, Meter], object]:
    def run(left: object, right: object, meter: Meter) -> object:
        if type(left) in _NUMBERS and type(right) in _NUMBERS:
            try:
                return checked_number(operate(left, right))  # type: ignore[arg-type]  # both are numbers: just tested
            except ZeroDivisionError:
                raise Fault("division by zero") from None
            except OverflowError:
                raise Fault("the number is too large") from None
        if symbol == "+":
            return _add(left, right, meter)
        raise Fault(f"{symbol} needs two numbers, not {kind(left)} and {kind(right)}")

    return run


def _order(symbol: str, operate: Callable[[float, float], bool]) -> Callable[[object, object, Meter], bool]:
    def run(left: object, right: object, meter: Meter) -> bool:
        one, other = type(left), type(right)
        if (one in _NUMBERS and other in _NUMBERS) or (one is str and other is str):
            return operate(left, right)  # type: ignore[arg-type]  # two numbers or two texts: just tested
        raise Fault(f"{symbol} needs two numbers or two texts, not {kind(left)} and {kind(right)}")

    return run


def equal(left: object, right: object, meter: Meter) -> bool:
    """Whether two JSON values are equal; anything may be compared with null.

    Raises:
        Fault: the values are of two kinds (which is a mistake, not an answer), or too large to compare.
    """
    one, other = type(left), type(right)
    if (one is other and one in _SCALARS) or (one in _NUMBERS and other in _NUMBERS):
        return left == right
    if left is None or right is None:
        kind(left), kind(right)
        return False
    if kind(left) != kind(right):
        raise Fault(f"{kind(left)} cannot be compared with {kind(right)}")
    return _deep_equal(left, right, meter)


def _deep_equal(left: object, right: object, meter: Meter) -> bool:
    """Equality without recursion; values of two kinds are unequal here, since lists may be mixed."""
    todo = [(left, right)]
    while todo:
        one, other = todo.pop()
        charge(meter, 1)
        if isinstance(one, list) and isinstance(other, list):
            if len(one) != len(other):
                return False
            charge(meter, len(one))
            todo.extend(zip(one, other, strict=True))
        elif isinstance(one, Mapping) and isinstance(other, Mapping):
            if len(one) != len(other):
                return False
            charge(meter, len(one))
            for key in one:
                if key not in other:
                    return False
                todo.append((one[key], other[key]))
        elif kind(one) != kind(other) or one != other:
            return False
    return True


def contains(container: object, item: object, meter: Meter) -> bool:
    """`item in container`: an item of a list, a key of a mapping, a part of a text.

    Raises:
        Fault: `container` is none of these, or `item` cannot be in it by its kind.
    """
    if isinstance(container, list):
        charge(meter, len(container))
        if type(item) is str:
            return item in container
        if type(item) in _NUMBERS:
            return any(type(each) in _NUMBERS and each == item for each in container)
        return any(_deep_equal(each, item, meter) for each in container)
    if isinstance(container, str):
        if not isinstance(item, str):
            raise Fault(f"`in` a text needs a text, not {kind(item)}")
        charge(meter, len(container) // _CHARS_PER_UNIT)
        return item in container
    if isinstance(container, Mapping):
        if not isinstance(item, str):
            raise Fault(f"`in` a mapping needs a text key, not {kind(item)}")
        return item in container
    raise Fault(f"`in` needs a list, a text or a mapping, not {kind(container)}")


def _len(args: list[object], meter: Meter) -> object:
    (value,) = args
    if isinstance(value, str | list | Mapping):
        return len(value)
    raise Fault(f"len needs a text, a list or a mapping, not {kind(value)}")


def _items(name: str, args: list[object], meter: Meter) -> list[object]:
    """The list a function works on: its one argument, or its several arguments."""
    items = args if len(args) > 1 else args[0]
    if not isinstance(items, list):
        raise Fault(f"{name} needs a list, not {kind(items)}")
    charge(meter, len(items))
    return items


def _alike(name: str, items: list[object], meter: Meter, *, texts: bool = True) -> list[float]:
    """`items` when all are numbers, or all texts; typed as numbers, since order and sum are all that follows."""
    found = set(map(type, items))
    if found <= _NUMBERS:
        return items  # type: ignore[return-value]  # all are numbers: just tested
    if texts and found == _TEXTS:
        charge(meter, sum(map(len, items)) // _CHARS_PER_UNIT)  # type: ignore[arg-type]  # all are texts
        return items  # type: ignore[return-value]  # texts are ordered like numbers
    what = "numbers, or texts only" if texts else "numbers"
    raise Fault(f"{name} needs {what}; found " + " and ".join(sorted({kind(item) for item in items})))


def _any(args: list[object], meter: Meter) -> object:
    return any(_items("any", args, meter))


def _all(args: list[object], meter: Meter) -> object:
    return all(_items("all", args, meter))


def _min(args: list[object], meter: Meter) -> object:
    items = _alike("min", _items("min", args, meter), meter)
    if not items:
        raise Fault("min of an empty list")
    return min(items)


def _max(args: list[object], meter: Meter) -> object:
    items = _alike("max", _items("max", args, meter), meter)
    if not items:
        raise Fault("max of an empty list")
    return max(items)


def _sum(args: list[object], meter: Meter) -> object:
    """Integers exactly; with a float among them the correctly rounded sum, equal on every Python version."""
    items = _alike("sum", _items("sum", args, meter), meter, texts=False)
    try:
        return checked_number(math.fsum(items) if float in map(type, items) else sum(items))
    except OverflowError:
        raise Fault("the number is too large") from None


def _sorted(args: list[object], meter: Meter) -> object:
    items = _alike("sorted", _items("sorted", args, meter), meter)
    if len(items) > ITEMS_MAX:
        raise Fault(f"the list is longer than {ITEMS_MAX:,} items")
    charge(meter, len(items) * (len(items).bit_length() // 8))
    return sorted(items)


ARITHMETIC: Final[dict[str, Callable[[object, object, Meter], object]]] = {
    "+": _arithmetic("+", operator.add),
    "-": _arithmetic("-", operator.sub),
    "*": _arithmetic("*", operator.mul),
    "/": _arithmetic("/", operator.truediv),
    "//": _arithmetic("//", operator.floordiv),
    "%": _arithmetic("%", operator.mod),
}
ORDER: Final[dict[str, Callable[[object, object, Meter], bool]]] = {
    "<": _order("<", operator.lt),
    "<=": _order("<=", operator.le),
    ">": _order(">", operator.gt),
    ">=": _order(">=", operator.ge),
}
#: name -> (the function, the most arguments it takes)
FUNCTIONS: Final[dict[str, tuple[Callable[[list[object], Meter], object], int]]] = {
    "len": (_len, 1),
    "any": (_any, 1),
    "all": (_all, 1),
    "min": (_min, 50),
    "max": (_max, 50),
    "sum": (_sum, 1),
    "sorted": (_sorted, 1),
}
