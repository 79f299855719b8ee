"""References and conditions in Python: what `p.inputs.topic`, `size.low` and `cost > 2` are, until the plan is frozen.

They hold no values. Written into a text they become `${{ … }}`; compared or combined they become an expression.
"""

import json
import math
import re
from collections.abc import Mapping
from typing import Final, NoReturn

from orchestrator.errors import ExpressionError, PlanError
from orchestrator.plan.expressions import Expression, bare, text_parts
from orchestrator.plan.models import JsonSchema
from orchestrator.plan.shapes import ANYTHING, Shape, nearest, refusal

_NAME: Final = re.compile(r"(?!__)[A-Za-z_][A-Za-z0-9_]*", re.ASCII)
# How tightly an operator binds; an operand that binds less gets brackets.
_OR, _AND, _NOT, _COMPARE, _SUM, _PRODUCT, _SIGN, _ATOM = range(8)


class UnknownReference(PlanError, AttributeError):
    """A field, input or step that the plan does not have. An AttributeError as well, so that `hasattr` works."""


class Expr:
    """An expression over values that a run will have. Make conditions with `== != < <= > >= & | ~` and arithmetic.

    `and`, `or`, `not`, `in`, `if` and loops cannot work on what does not exist yet; they raise with the remedy.
    """

    __slots__ = ("_braced", "_level", "_owner", "_text")

    def __init__(self, text: str, level: int = _ATOM, owner: object = None) -> None:
        self._text, self._level, self._owner = text, level, owner
        self._braced = ""  #: as it stands in a plan, once somebody has asked: all that read a step share one text

    def __str__(self) -> str:
        if not self._braced:
            self._braced = f"${{{{ {self._text} }}}}"
        return self._braced

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self._text}>"

    def __format__(self, spec: str) -> str:
        if spec:
            raise refusal(f"{self!r} has no value yet that could be formatted with {spec!r}", expected="no format")
        return str(self)

    def _joined(self, sign: str, other: object, level: int, *, turned: bool = False) -> "Expr":
        left, right = (literal(other), self) if turned else (self, literal(other))
        # Comparisons of comparisons would read as a chain; an equal level to the right is not what was meant.
        tight = level + 1 if level == _COMPARE else level
        text = f"{_within(left, tight)} {sign} {_within(right, level + 1 if level not in {_OR, _AND} else level)}"
        return Expr(text, level, _one_owner(left, right))

    def __eq__(self, other: object) -> "Expr":  # type: ignore[override] # a condition of the plan, not an answer now
        return self._joined("==", other, _COMPARE)

    def __ne__(self, other: object) -> "Expr":  # type: ignore[override] # same
        return self._joined("!=", other, _COMPARE)

    def __lt__(self, other: object) -> "Expr":
        return self._joined("<", other, _COMPARE)

    def __le__(self, other: object) -> "Expr":
        return self._joined("<=", other, _COMPARE)

    def __gt__(self, other: object) -> "Expr":
        return self._joined(">", other, _COMPARE)

    def __ge__(self, other: object) -> "Expr":
        return self._joined(">=", other, _COMPARE)

    def __and__(self, other: object) -> "Expr":
        return self._joined("and", other, _AND)

    def __rand__(self, other: object) -> "Expr":
        return self._joined("and", other, _AND, turned=True)

    def __or__(self, other: object) -> "Expr":
        return self._joined("or", other, _OR)

    def __ror__(self, other: object) -> "Expr":
        return self._joined("or", other, _OR, turned=True)

    def __invert__(self) -> "Expr":
        return Expr(f"not {_within(self, _NOT)}", _NOT, self._owner)

    def __neg__(self) -> "Expr":
        return Expr(f"-{_within(self, _SIGN)}", _SIGN, self._owner)

    def __add__(self, other: object) -> "Expr":
        return self._joined("+", other, _SUM)

    def __radd__(self, other: object) -> "Expr":
        return self._joined("+", other, _SUM, turned=True)

    def __sub__(self, other: object) -> "Expr":
        return self._joined("-", other, _SUM)

    def __rsub__(self, other: object) -> "Expr":
        return self._joined("-", other, _SUM, turned=True)

    def __mul__(self, other: object) -> "Expr":
        return self._joined("*", other, _PRODUCT)

    def __rmul__(self, other: object) -> "Expr":
        return self._joined("*", other, _PRODUCT, turned=True)

    def __truediv__(self, other: object) -> "Expr":
        return self._joined("/", other, _PRODUCT)

    def __rtruediv__(self, other: object) -> "Expr":
        return self._joined("/", other, _PRODUCT, turned=True)

    def __floordiv__(self, other: object) -> "Expr":
        return self._joined("//", other, _PRODUCT)

    def __rfloordiv__(self, other: object) -> "Expr":
        return self._joined("//", other, _PRODUCT, turned=True)

    def __mod__(self, other: object) -> "Expr":
        return self._joined("%", other, _PRODUCT)

    def __rmod__(self, other: object) -> "Expr":
        return self._joined("%", other, _PRODUCT, turned=True)

    def in_(self, container: object) -> "Expr":
        """Whether this is an item of a list, a part of a text, or a key of a mapping."""
        return self._joined("in", container, _COMPARE)

    def contains(self, item: object) -> "Expr":
        """Whether `item` is in this list, text or mapping."""
        return self._joined("in", item, _COMPARE, turned=True)

    def __hash__(self) -> int:
        return object.__hash__(self)

    def __bool__(self) -> NoReturn:
        raise refusal(
            f"`{self._text}` has no truth value while the plan is being written",
            expected="& | ~ in place of and, or, not (with brackets around comparisons); when=… in place of if",
        )

    def __iter__(self) -> NoReturn:
        raise refusal(
            f"`{self._text}` has no items while the plan is being written",
            expected="p.map(fn, over=…) in place of a loop",
        )

    def __len__(self) -> NoReturn:
        raise refusal(f"`{self._text}` has no length while the plan is being written", expected="length(…)")

    def __contains__(self, item: object) -> NoReturn:
        raise refusal(f"`in` cannot look into `{self._text}` yet", expected="ref.contains(item) or ref.in_(list)")


class Ref(Expr):
    """A path into data of the run: attributes and indices go further in."""

    __slots__ = ("_shape",)

    def __init__(self, text: str, owner: object = None, shape: Shape = ANYTHING) -> None:
        super().__init__(text, _ATOM, owner)
        self._shape = shape

    def __getattr__(self, name: str) -> "Ref":
        if name.startswith("_"):  # asked for by copy, pickle and debuggers; fields with such names are read by [..]
            raise AttributeError(name)
        return self._member(name)

    def __getitem__(self, key: str | int | Expr) -> "Ref":
        if isinstance(key, Expr):
            return Ref(f"{self._text}[{key._text}]", _one_owner(self, key), self._shape.item())
        if isinstance(key, str):
            return self._member(key)
        if isinstance(key, bool) or not isinstance(key, int):
            raise refusal(f"`{self._text}` is indexed by one whole number or text, not by {key!r}")
        if self._shape.kind() == "object":
            raise refusal(f"`{self._text}` is an object: {key} is no field of it", expected="a field's name in [..]")
        return Ref(f"{self._text}[{key}]", self._owner, self._shape.item())

    def _member(self, name: str) -> "Ref":
        fields = self._shape.fields()
        if fields is not None and name not in fields:
            error = refusal(
                f"`{self._text}` has no field {name!r}", expected=nearest(name, fields) or "no field: it has none"
            )
            raise UnknownReference(error.issues)
        kind = self._shape.kind()
        if kind not in {"", "object"}:
            hint = "[index] first, or p.map(fn, each=…)" if kind == "array" else f"`{self._text}` itself"
            error = refusal(f"`{self._text}` is {_a(kind)} and has no field {name!r}", expected=hint)
            raise UnknownReference(error.issues)
        return Ref(f"{self._text}{_link(name)}", self._owner, self._shape.field(name))


class InputRef(Ref):
    """A reference to one input of the run."""

    __slots__ = ()


class Inputs(Ref):
    """`p.inputs`: its attributes are the inputs that the plan declares; itself, all of them as one object."""

    __slots__ = ()

    def _member(self, name: str) -> InputRef:
        fields = self._shape.fields() or []
        if name not in fields:
            error = refusal(
                f"the plan has no input {name!r}", expected=nearest(name, fields) or "inputs=… where the plan is opened"
            )
            raise UnknownReference(error.issues)
        return InputRef(f"inputs{_link(name)}", self._owner, self._shape.field(name))


class StepRef(Ref):
    """A step of the plan. As an argument it stands for its output, and its attributes for fields of its output.

    A field that is called like an attribute of this class (`status`, `passed`, …) is read by `ref["status"]`.
    """

    __slots__ = ("mapped", "step_id")

    def __init__(self, step_id: str, owner: object, shape: Shape, *, mapped: bool) -> None:
        # Without `shape` the output of a mapped step is a list all the same.
        super().__init__(f"steps{_link(step_id)}.output", owner, shape.listed() if mapped else shape)
        self.step_id = step_id
        self.mapped = mapped  #: one branch per item

    def _of(self, name: str, schema: Shape) -> Ref:
        return Ref(f"steps{_link(self.step_id)}.{name}", self._owner, schema)

    @property
    def output(self) -> Ref:
        """What the step gave; of a mapped step a list in input order, with null for gaps."""
        return self._of("output", self._shape)

    @property
    def passed(self) -> Ref:
        """A list of the outputs that passed: of the good branches in input order, or the one output, or none."""
        return self._of("passed", self._shape if self.mapped else self._shape.listed())

    @property
    def gaps(self) -> Ref:
        """A list of `index` and `reason` of what is missing."""
        return self._of("gaps", Shape(_GAPS))

    @property
    def status(self) -> Ref:
        """`passed`, `failed`, `skipped`, `gap` or `cancelled`."""
        return self._of("status", Shape({"type": "string"}))

    @property
    def skipped(self) -> Ref:
        """Whether the step was skipped."""
        return self._of("skipped", Shape({"type": "boolean"}))

    @property
    def degraded(self) -> Ref:
        """Whether it passed with gaps in its branches, or its sub-plan ended Degraded."""
        return self._of("degraded", Shape({"type": "boolean"}))


_GAPS: Final[JsonSchema] = {
    "type": "array",
    "items": {"type": "object", "properties": {"index": {"type": "integer"}, "reason": {"type": "string"}}},
}


def expr(text: str) -> Expr:
    """An expression as text. References spliced in by an f-string lose their braces: `expr(f"len({src.passed}) > 2")`.

    Raises:
        PlanError: the text is not an expression of the language.
    """
    try:
        parts = text_parts(text) if "${{" in text else (text,)
        plain = "".join(part if isinstance(part, str) else _bracketed(part, alone=len(parts) == 1) for part in parts)
        plain = plain.strip()
        read = bare(plain)
    except ExpressionError as error:
        raise refusal(str(error), expected="an expression such as len(steps.a.passed) >= 2") from error
    return Expr(plain, _ATOM if read.plain is not None else _OR)


def _bracketed(part: Expression, *, alone: bool) -> str:
    text = part.text.strip()
    return text if alone or part.plain is not None else f"({text})"


def length(of: Expr) -> Expr:
    """How many items a list has, or characters a text."""
    return Expr(f"len({of._text})", _ATOM, of._owner)


def shape_of(value: Ref) -> Shape:
    """What is known of the value behind a reference."""
    return value._shape


def text_of(value: Expr) -> str:
    """The expression without braces, as `if` and `rule` are written."""
    return value._text


def owner_of(value: Expr) -> object:
    """The plan a reference belongs to; None for one that fits any plan, such as `output` of a check."""
    return value._owner


def literal(value: object) -> Expr:
    """A constant as an expression; an expression stays as it is.

    Raises:
        PlanError: not JSON data.
    """
    if isinstance(value, Expr):
        return value
    if value is None or isinstance(value, bool):
        return Expr("null" if value is None else "true" if value else "false")
    if isinstance(value, int | float) and math.isfinite(value):
        return Expr(repr(value), _SIGN if value < 0 else _ATOM)
    if isinstance(value, str):
        return Expr(_quoted(value))
    if isinstance(value, list | tuple):
        items = [literal(item) for item in value]
        return Expr("[" + ", ".join(item._text for item in items) + "]", _ATOM, _one_owner(*items))
    if isinstance(value, Mapping):
        members = {_quoted(str(key)): literal(item) for key, item in value.items()}
        text = "{" + ", ".join(f"{key}: {item._text}" for key, item in members.items()) + "}"
        return Expr(text, _ATOM, _one_owner(*members.values()))
    raise refusal(
        f"{value!r} cannot stand in an expression", expected="text, number, true, false, null, list or mapping"
    )


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")


def _link(name: str) -> str:
    return f".{name}" if _NAME.fullmatch(name) else f"[{_quoted(name)}]"


def _within(value: Expr, level: int) -> str:
    return value._text if value._level >= level else f"({value._text})"


def _one_owner(*values: Expr) -> object:
    owners = {id(value._owner): value._owner for value in values if value._owner is not None}
    if len(owners) > 1:
        raise refusal(
            "references of two plans cannot meet in one expression: " + ", ".join(value._text for value in values),
            expected="a sub-plan's output, through p.plan(sub, …)",
        )
    return next(iter(owners.values()), None)


def _a(kind: str) -> str:
    return {"array": "a list", "integer": "a whole number", "boolean": "true or false", "string": "a text"}.get(
        kind, f"a {kind}"
    )
