"""Turns what a user hands to the builder into plain plan data, references included."""

import math
from collections.abc import Mapping
from typing import cast

from pydantic import BaseModel, ValidationError
from pydantic_core import PydanticSerializationError, to_jsonable_python

from orchestrator.errors import ExpressionError, PlanError, PlanIssue
from orchestrator.ids import JsonValue
from orchestrator.plan.explain import explained
from orchestrator.plan.expressions import Expression, Ref, text_parts
from orchestrator.plan.issues import Path, path_text
from orchestrator.plan.models import canonical_json
from orchestrator.plan.refs import Expr, owner_of
from orchestrator.plan.shapes import refusal

_DEPTH_MAX = 64  #: nesting of one argument


def plain(value: object, path: str, owner: object = None) -> JsonValue:
    """`value` as JSON data, with references written as `${{ … }}`.

    Mappings, sequences, sets, dataclasses, enums, dates and pydantic models are taken as pydantic writes them in JSON.
    `owner` is the plan it goes into; with None any reference is taken. `path` is for messages.

    Raises:
        PlanError: a reference of another plan, a value that JSON does not have, or nested too deeply.
    """
    return _plain(value, path, owner, 0)


def _plain(value: object, path: str, owner: object, depth: int) -> JsonValue:
    if isinstance(value, Expr):
        return _written(value, path, owner)
    if value is None or isinstance(value, bool | int | str):
        return _enum_free(value)
    if isinstance(value, float):
        if not math.isfinite(value):
            raise refusal(f"{value} is no number that JSON has", path=path, expected="a finite number")
        return float(value)
    if depth >= _DEPTH_MAX:
        raise refusal(f"the value is nested deeper than {_DEPTH_MAX}", path=path)
    if isinstance(value, Mapping):
        members: dict[str, JsonValue] = {}
        for key, each in value.items():
            if isinstance(key, Expr) or not isinstance(key, str):
                raise refusal(f"{key!r} cannot be a key", path=path, expected="a text without references")
            members[str(key)] = _plain(each, f"{path}.{key}", owner, depth + 1)
        return members
    if isinstance(value, list | tuple):
        return [_plain(each, f"{path}[{at}]", owner, depth + 1) for at, each in enumerate(value)]
    if isinstance(value, set | frozenset):  # sorted: the order of a set differs from process to process
        return sorted((_plain(each, path, owner, depth + 1) for each in value), key=canonical_json)
    return _serialised(value, path, owner, depth)


def _serialised(value: object, path: str, owner: object, depth: int) -> JsonValue:
    """What pydantic can write but JSON does not have: models, dataclasses, sets, enums, dates."""

    def fallback(unknown: object) -> JsonValue:
        if isinstance(unknown, Expr):
            return _written(unknown, path, owner)
        raise refusal(
            f"{type(unknown).__name__} is no data that a plan can hold", path=path, expected="JSON data or a reference"
        )

    try:
        if isinstance(value, BaseModel):
            # Fields may hold references where the model declares something else; that is what `model_construct` is for.
            data: object = value.model_dump(mode="json", by_alias=True, warnings=False, fallback=fallback)
        else:
            data = to_jsonable_python(value, by_alias=True, fallback=fallback)
    except (PydanticSerializationError, ValueError, RecursionError) as error:
        raise refusal(f"cannot be written as JSON: {error}", path=path, expected="JSON data or a reference") from error
    return _plain(data, path, owner, depth + 1)


def _enum_free(value: bool | int | str | None) -> JsonValue:
    """Without the enumeration or other subclass around a constant."""
    if isinstance(value, str) and type(value) is not str:
        return str.__str__(value)
    if isinstance(value, int) and type(value) not in {int, bool}:
        return int(value)
    return value


def _written(value: Expr, path: str, owner: object) -> str:
    theirs = owner_of(value)
    if owner is not None and theirs is not None and theirs is not owner:
        raise refusal(
            f"{value!r} belongs to another plan",
            path=path,
            expected="a reference of this plan, or p.plan(sub, …) to use the other",
        )
    return str(value)


def verbatim(text: str, path: str, remedy: str) -> str:
    """`text` itself, which must hold no reference: it is shown as it is written.

    Raises:
        PlanError: there is a `${{ … }}` in it; `remedy` says where the reference belongs.
    """
    if "${{" in text:
        raise refusal("this text is used as it is written, and cannot hold a reference", path=path, expected=remedy)
    return text


def references(value: JsonValue, path: str) -> list[Ref]:
    """Every reference in the texts of `value`.

    Raises:
        PlanError: an expression in it cannot be read.
    """
    found: list[Ref] = []
    todo = [value]
    while todo:
        each = todo.pop()
        if isinstance(each, dict):
            todo += each.values()
        elif isinstance(each, list):
            todo += each
        elif isinstance(each, str) and "${{" in each:
            try:
                parts = text_parts(each)
            except ExpressionError as error:
                raise refusal(str(error), path=path) from error
            for part in parts:
                if isinstance(part, Expression):
                    found += part.refs
    return found


class _Places:
    """Places in a plan that is being written in Python: a path below the part that was given."""

    def __init__(self, below: str) -> None:
        self._below = below

    def issue(self, message: str, path: Path, *, expected: str = "", key: bool = False) -> PlanIssue:
        """An issue at `path` of the part."""
        place = ".".join(filter(None, (self._below, path_text(path)))).replace(".[", "[")
        return PlanIssue(message=message, file="<python>", path=place, expected=expected)


def invalid(error: ValidationError, model: type[BaseModel], data: object, below: str) -> PlanError:
    """What pydantic found wrong with `data`, in the words of the plan format; its places lie under `below`."""
    return explained(error, model, cast(JsonValue, data), _Places(below))
