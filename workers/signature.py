"""Reads a worker's signature once; from then on turns JSON into its arguments, and what it returns into JSON."""

import inspect
import math
import types
import typing
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Final, Literal, NotRequired, Union, cast, get_args, get_origin

from annotated_types import BaseMetadata as Bound
from annotated_types import GroupedMetadata
from pydantic import ConfigDict, TypeAdapter, ValidationError
from pydantic.errors import PydanticUserError
from pydantic.fields import FieldInfo
from pydantic_core import PydanticSerializationError, to_json
from typing_extensions import TypedDict

from orchestrator.errors import PromiseError
from orchestrator.ids import JsonValue
from workers.context import WorkContext
from workers.plain import NotPlain, dumped, explain, plain_copy

_SCALARS: Final = frozenset({int, float, str, bool, types.NoneType})
_FREE: Final = (Any, object, JsonValue, inspect.Parameter.empty)
_TEXT_FAST: Final = 1_000  #: characters of a string that is passed on without measuring it
_INT_FAST: Final = 2**63


class BadArguments(ValueError):
    """The arguments of a task do not fit the function."""


@dataclass(frozen=True, slots=True)
class Signature:
    """The parts of a function's signature that matter to its callers."""

    parameters: tuple[str, ...]  #: without the context
    context: str | None  #: the name of the first parameter when it takes the context
    arguments: Callable[[Mapping[str, JsonValue]], dict[str, object]]  #: raises BadArguments
    output: Callable[[object], JsonValue]  #: raises NotPlain
    input_schema: dict[str, JsonValue]
    output_schema: dict[str, JsonValue]


def read_signature(function: Callable[..., object], names: Mapping[str, object]) -> Signature:
    """The signature of `function`; `names` are the caller's local names, for annotations written as text.

    Raises:
        PromiseError: a parameter cannot be given by name, or a type has no JSON form.
    """
    where = f"{function.__module__}.{function.__qualname__}"
    try:
        hints = typing.get_type_hints(function, localns=dict(names), include_extras=True)
    except NameError as error:
        raise PromiseError(f"{where}: an annotation cannot be resolved: {error}", "define the type above it") from None
    given = list(inspect.signature(function).parameters.values())
    context = None
    if given and (given[0].name == "ctx" or hints.get(given[0].name) is WorkContext):
        context = given.pop(0).name
    fields: dict[str, object] = {}
    plain = True
    for parameter in given:
        if parameter.kind not in {parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY}:
            raise PromiseError(
                f"{where}: {parameter} cannot be filled by name", "take named parameters; a mapping holds open sets"
            )
        hint = hints.get(parameter.name, JsonValue)
        hint = JsonValue if _is_free(hint) else hint
        plain = plain and _is_plain(hint)
        fields[parameter.name] = hint if parameter.default is parameter.empty else NotRequired[hint]
    returns = hints.get("return", inspect.Parameter.empty)
    try:
        arguments, input_schema = _reader(where, fields, plain)
        output, output_schema = _writer(returns)
    except PydanticUserError as error:
        raise PromiseError(
            f"{where}: a type has no JSON form: {error.message}", "use JSON types, pydantic models or dataclasses"
        ) from None
    return Signature(tuple(fields), context, arguments, output, input_schema, output_schema)


def _is_free(hint: object) -> bool:
    return any(hint is free for free in _FREE)


def _is_scalar(hint: object) -> bool:
    return any(hint is scalar for scalar in _SCALARS)  # not `in`: annotations with a Field have no hash


def _is_plain(hint: object) -> bool:
    """Whether values of a type are JSON in Python, read alike from both, and rebuilt by validation."""
    if _is_scalar(hint) or hint is JsonValue:
        return True
    origin, inner = get_origin(hint), get_args(hint)
    if origin is Annotated:
        return _is_plain(inner[0]) and all(isinstance(mark, Bound | GroupedMetadata | FieldInfo) for mark in inner[1:])
    if origin is Literal:
        return all(type(value) in _SCALARS for value in inner)
    if origin in {Union, types.UnionType, list}:
        return all(_is_plain(part) for part in inner)
    return origin is dict and inner[0] is str and _is_plain(inner[1])


def _reader(
    where: str, fields: dict[str, object], plain: bool
) -> tuple[Callable[[Mapping[str, JsonValue]], dict[str, object]], dict[str, JsonValue]]:
    make_shape: Any = TypedDict  # by a name of its own: the fields are known at run time only
    shape = make_shape("Arguments", fields)
    shape.__pydantic_config__ = ConfigDict(extra="forbid", ser_json_inf_nan="constants")
    shape.__module__ = where
    adapter: TypeAdapter[dict[str, object]] = TypeAdapter(shape)
    schema = adapter.json_schema(mode="validation")
    validator = adapter.validator
    read_python, read_json = validator.validate_python, validator.validate_json

    def from_python(args: Mapping[str, JsonValue]) -> dict[str, object]:
        try:
            return read_python(args, strict=True)  # type: ignore[no-any-return]  # a dict by its schema
        except ValidationError as error:
            raise BadArguments(_sentence(error)) from None

    def from_json(args: Mapping[str, JsonValue]) -> dict[str, object]:
        try:
            return read_json(to_json(args), strict=True)  # type: ignore[no-any-return]  # a dict by its schema
        except ValidationError as error:
            raise BadArguments(_sentence(error)) from None
        except PydanticSerializationError as error:
            raise BadArguments(str(error)) from None

    return (from_python if plain else from_json), schema


def _sentence(error: ValidationError) -> str:
    reason, path = explain(error)
    return f"argument {''.join(path).lstrip('.')}: {reason}"


def _writer(returns: object) -> tuple[Callable[[object], JsonValue], dict[str, JsonValue]]:
    if _is_free(returns):
        anything: TypeAdapter[object] = TypeAdapter(Any, config=ConfigDict(ser_json_inf_nan="constants"))

        def write_free(value: object) -> JsonValue:
            try:
                return plain_copy(value)
            except NotPlain as error:
                if not error.foreign:
                    raise
            return dumped(anything, value)

        return write_free, {}
    adapter: TypeAdapter[object] = TypeAdapter(cast(type[object], returns))
    schema = adapter.json_schema(mode="serialization")
    if not _is_plain(returns):
        return (lambda value: dumped(adapter, value)), schema
    validate = adapter.validator.validate_python
    scalars = frozenset(part for part in (returns, *get_args(returns)) if _is_scalar(part))
    if get_origin(returns) not in {None, Union, types.UnionType}:
        scalars = frozenset()  # the arguments of list[int] are no types of the whole

    def write_plain(value: object) -> JsonValue:
        kind = type(value)
        if kind in scalars and _is_small(value):
            return value  # type: ignore[return-value]  # a scalar
        try:
            fitting = validate(value, strict=True)
        except ValidationError as error:
            raise NotPlain(*explain(error)) from None
        return plain_copy(fitting)

    return write_plain, schema


def _is_small(value: object) -> bool:
    """Whether a scalar needs no closer look: short, finite, and certainly encodable."""
    if isinstance(value, str):
        return len(value) <= _TEXT_FAST and value.isascii() and "\0" not in value
    if isinstance(value, float):
        return math.isfinite(value)
    return not isinstance(value, int) or -_INT_FAST < value < _INT_FAST
