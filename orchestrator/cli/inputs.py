"""Inputs of a run as people type them: `-i k=v`, `-i k=@file`, `--inputs FILE`."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from orchestrator.errors import InputError
from orchestrator.ids import JsonValue
from orchestrator.plan.models import JsonSchema, Plan

FILE_BYTES_MAX: Final = 32 << 20


def read_inputs(plan: Plan, given: Sequence[str], file: Path | None = None) -> dict[str, JsonValue]:
    """The inputs of a run; what `-i` names wins over the file. They are checked against the plan by whoever submits.

    Raises:
        InputError: not of the form `k=v`, or a file cannot be read.
    """
    found: dict[str, JsonValue] = {}
    if file is not None:
        found = _mapping(file)
    for text in given:
        name, mark, value = text.partition("=")
        if not mark or not name:
            raise InputError("", f"{text!r} is not of the form name=value")
        found[name] = read_value(value, plan.inputs.get(name, {}), name)
    return found


def read_value(text: str, schema: JsonSchema, name: str) -> JsonValue:
    """The value that a text stands for: the input's schema decides between text and JSON where both are possible.

    `@file` stands for the text of a file, and `@@…` for a text that begins with @.

    Raises:
        InputError: the file cannot be read.
    """
    if text.startswith("@@"):
        text = text[1:]
    elif text.startswith("@"):
        text = _text(Path(text[1:]), name)
    kinds = _kinds(schema)
    if kinds == {"string"}:
        return text
    try:
        value: JsonValue = json.loads(text, parse_constant=_no_constant)
    except (ValueError, RecursionError):
        return text
    if not kinds or _kind_of(value) & kinds or "string" not in kinds:
        return value
    return text


def _kinds(schema: JsonSchema) -> set[str]:
    """The JSON types that a schema allows; empty when it does not say."""
    told = schema.get("type")
    if isinstance(told, str):
        return {told}
    if isinstance(told, list):
        return {kind for kind in told if isinstance(kind, str)}
    values = schema.get("enum") if isinstance(schema.get("enum"), list) else None
    if isinstance(values, list) and values and all(isinstance(value, str) for value in values):
        return {"string"}
    if isinstance(schema.get("const"), str):
        return {"string"}
    return set()


def _kind_of(value: JsonValue) -> set[str]:
    match value:
        case None:
            return {"null"}
        case bool():
            return {"boolean"}
        case int():
            return {"integer", "number"}
        case float():
            return {"number", "integer"} if value.is_integer() else {"number"}
        case str():
            return {"string"}
        case list():
            return {"array"}
        case dict():
            return {"object"}


def _no_constant(text: str) -> JsonValue:
    raise ValueError(f"{text} is no JSON")


def _text(path: Path, name: str) -> str:
    try:
        with path.open("rb") as source:
            data = source.read(FILE_BYTES_MAX + 1)
        if len(data) > FILE_BYTES_MAX:
            raise InputError(name, f"{path} has more than {FILE_BYTES_MAX:,} bytes")
        return data.decode()
    except OSError as error:
        raise InputError(
            name, f"{path} cannot be read: {error.strerror}; write @@ for a text that begins with @"
        ) from None
    except UnicodeDecodeError:
        raise InputError(name, f"{path} is not UTF-8 text") from None


def _mapping(path: Path) -> dict[str, JsonValue]:
    text = _text(path, "--inputs")
    value: JsonValue
    if path.suffix.lower() == ".json":
        try:
            value = json.loads(text, parse_constant=_no_constant)
        except (ValueError, RecursionError) as error:
            raise InputError("--inputs", f"{path} is no JSON: {error}") from None
    else:
        from orchestrator.plan.yaml_text import read_yaml

        value = read_yaml(text, str(path)).value
    if not isinstance(value, dict):
        raise InputError("--inputs", f"{path} holds no mapping of names to values")
    return value
