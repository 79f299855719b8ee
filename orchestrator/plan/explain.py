"""Says in the words of the plan format what pydantic found wrong with a plan, and where it stands in the file.

One mistake gives one issue: the branches of a union are folded, an unknown key gets its nearest names.
"""

import types
from collections.abc import Iterable, Iterator, Mapping
from typing import Annotated, Final, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from orchestrator.errors import PlanError, PlanIssue
from orchestrator.ids import JsonValue
from orchestrator.plan.issues import Issues, Path, PlaceLookup, path_text
from orchestrator.plan.parts import NAME_PATTERN

__all__ = ["explained"]

ISSUES_MAX: Final = 20  #: told at once; the rest are counted
_LOOKED_UP: Final = 5 * ISSUES_MAX  #: of which the first in the file are told

_EXPECTED: Final = {
    "string_type": "a text",
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "bool_type": "true or false",
    "model_type": "a mapping",
    "model_attributes_type": "a mapping",
    "dict_type": "a mapping",
    "list_type": "a list",
    "tuple_type": "a list",
    "finite_number": "a finite number",
}
_BOUNDS: Final = {
    "greater_than_equal": ("ge", "at least {}"),
    "less_than_equal": ("le", "at most {}"),
    "greater_than": ("gt", "more than {}"),
    "less_than": ("lt", "less than {}"),
}
_LENGTHS: Final = {
    "too_short": ("min_length", "at least {}"),
    "too_long": ("max_length", "at most {}"),
    "string_too_short": ("min_length", "at least {} character"),
    "string_too_long": ("max_length", "at most {} characters"),
}
_SHOWN_CHARS: Final = 60


def explained(error: ValidationError, model: type[BaseModel], data: JsonValue, places: PlaceLookup) -> PlanError:
    """The issues of `error`, which came from validating `data` as `model`; in the order of the file, up to a cap."""
    found = list(_merged([_Found(each, data) for each in error.errors(include_url=False)]))
    hints = Issues()
    # A hostile plan may have a hundred thousand mistakes: only some of them are looked up, sorted and told.
    issues = [_issue(each, model, places, hints) for each in found[:_LOOKED_UP]]
    issues.sort(key=lambda issue: (issue.file, issue.line, issue.column))
    told = list(dict.fromkeys(issues))[:ISSUES_MAX]
    more = len(found) - len(told)
    return PlanError(
        (*told, PlanIssue(message=f"and {more:,} more")) if more > 0 and len(told) == ISSUES_MAX else tuple(told)
    )


class _Found:
    """One error of pydantic, with its location as a path of the data."""

    def __init__(self, details: ErrorDetails, data: JsonValue) -> None:
        self.type = details["type"]
        self.message = details["msg"].removeprefix("Value error, ")
        self.context: Mapping[str, object] = details.get("ctx", {})
        self.at_key = False
        self.missing = ""
        self.union: Path | None = None  #: where the data met a union, when a branch of one is spoken of
        self.expected: tuple[str, ...] = ()  #: of folded branches
        path: list[str | int] = []
        value: JsonValue = data
        last = len(details["loc"]) - 1
        for number, part in enumerate(details["loc"]):
            if part == "[key]":
                self.at_key = True
            elif _has(value, part):
                path.append(part)
                value = value[part]  # type: ignore[index]  # it has this member: just tested
            elif number == last and self.type == "missing":
                self.missing = str(part)
            else:
                self.union = self.union or tuple(path)  # what is no part of the data names a branch
        self.path: Path = tuple(path)
        self.value = value

    @property
    def name(self) -> str:
        """What the value is called: its key, or its list and number."""
        at = next((at for at in range(len(self.path) - 1, -1, -1) if isinstance(self.path[at], str)), None)
        return path_text(self.path[at:]) if at is not None else "the plan"


def _has(value: JsonValue, part: str | int) -> bool:
    if isinstance(value, dict):
        return part in value
    return isinstance(value, list) and isinstance(part, int) and part < len(value)


def _merged(found: list[_Found]) -> Iterator[_Found]:
    """`found` with the branches of a union folded into what its author most probably meant."""
    unions: dict[Path, list[_Found]] = {}
    for each in found:
        if each.union is None:
            yield each
        else:
            unions.setdefault(each.union, []).append(each)
    for at, branches in unions.items():
        # A branch that fits so far that it speaks of parts of the value is the one that was meant.
        inner = [each for each in branches if each.path != at or each.missing]
        if not inner:
            first = branches[0]
            first.expected = tuple(dict.fromkeys(_expected(each) for each in branches))
            inner = [first]
        yield from inner


def _issue(found: _Found, model: type[BaseModel], places: PlaceLookup, hints: Issues) -> PlanIssue:
    shown = _shown(found.value)
    name = found.name
    if found.type == "extra_forbidden":
        known = sorted(_keys_at(model, found.path[:-1]))
        hint = hints.nearest(name, known) or f"one of {', '.join(known)}"
        return places.issue(f"unknown key {_cut(name)}", found.path, expected=hint, key=True)
    if found.missing:
        message = f"the key {found.missing} is missing"
        return places.issue(message, found.path, expected=f"{found.missing}: …", key=True)
    if found.type == "string_pattern_mismatch" and found.context.get("pattern") == NAME_PATTERN:
        expected = "a name: letters, digits, _ and -, beginning with a letter or _, at most 64"
        return places.issue(
            f"{shown if not found.at_key else _cut(name)} is no name", found.path, expected=expected, key=found.at_key
        )
    if found.type == "value_error":
        return _own_issue(found, places)
    expected = " or ".join(found.expected) or _expected(found)
    if found.type == "literal_error" and isinstance(found.value, str):
        words = str(found.context["expected"]).replace("'", "").replace(" or ", ", ").split(", ")
        hint = hints.nearest(found.value, words)
        expected += f"; {hint}" if hint.startswith("did you mean") else ""
    return places.issue(f"{_cut(name)} is {shown}", found.path, expected=expected)


def _own_issue(found: _Found, places: PlaceLookup) -> PlanIssue:
    """A refusal of the models themselves, which say `expected …; found …` or what is wrong."""
    whole = isinstance(found.value, dict)
    if not found.message.startswith("expected "):
        return places.issue(found.message, found.path, key=whole and bool(found.path))
    expected, _, have = found.message.removeprefix("expected ").partition("; found ")
    message = f"found {have}" if have else f"{_cut(found.name)} is {_shown(found.value)}"
    return places.issue(message, found.path, expected=expected, key=whole and bool(found.path))


def _expected(found: _Found) -> str:
    kind = found.type
    if found.context.get("class_name") == "Rung":
        return "gap, fail, or a mapping such as {retry: 2}"
    if kind in _EXPECTED:
        return _EXPECTED[kind]
    if kind in _BOUNDS:
        key, text = _BOUNDS[kind]
        return text.format(_number(found.context[key]))
    if kind in _LENGTHS:
        key, text = _LENGTHS[kind]
        return text.format(_number(found.context[key]))
    if kind == "literal_error":
        return str(found.context["expected"]).replace("'", "").replace("True", "true")
    return found.message


def _number(value: object) -> str:
    return f"{value:,}" if isinstance(value, int) else f"{value:g}" if isinstance(value, float) else str(value)


def _shown(value: JsonValue) -> str:
    """A value in a message: itself when it is short, else its kind and size."""
    if value is None:
        return "nothing"
    if isinstance(value, list | dict):
        kind = "list" if isinstance(value, list) else "mapping"
        return f"a {kind} of {len(value)}" if value else f"an empty {kind}"
    if isinstance(value, str):
        return f'the text "{_cut(value)}"' if value else "an empty text"
    return str(value).lower() if isinstance(value, bool) else str(value)


def _cut(text: str) -> str:
    return text if len(text) <= _SHOWN_CHARS else text[: _SHOWN_CHARS - 1] + "…"


def _keys_at(model: type[BaseModel], path: Path) -> set[str]:
    """The keys that people may write in the mapping at `path`."""
    here: list[object] = [model]
    for part in path:
        here = [below for each in here for below in _below(each, part)]
    return {
        field.alias or name
        for each in here
        for choice in _choices(each)
        if isinstance(choice, type) and issubclass(choice, BaseModel)
        for name, field in choice.model_fields.items()
    }


def _choices(annotation: object) -> Iterable[object]:
    """The alternatives of a type, bare of optionality and metadata."""
    origin = get_origin(annotation)
    if origin is Annotated:
        yield from _choices(get_args(annotation)[0])
    elif origin in (Union, types.UnionType):
        for each in get_args(annotation):
            yield from _choices(each)
    else:
        yield annotation


def _below(annotation: object, part: str | int) -> Iterable[object]:
    """The types that a member of a value of this type can have."""
    for choice in _choices(annotation):
        origin, args = get_origin(choice), get_args(choice)
        if origin is dict and isinstance(part, str):
            yield args[1]
        elif origin in (tuple, list) and isinstance(part, int):
            yield args[0]
        elif isinstance(choice, type) and origin is None and issubclass(choice, BaseModel):
            for name, field in choice.model_fields.items():
                if part == (field.alias or name):
                    yield field.annotation
