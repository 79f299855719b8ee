"""Renders the tables of docs/plan-format.md from the models, the limits and the words of the language."""

import types
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Annotated, Final, Literal, Union, get_args, get_origin, get_type_hints

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from orchestrator.ids import JsonValue
from orchestrator.plan import (
    durations,
    expression_compiler,
    expression_source,
    expression_values,
    expressions,
    limits,
    models,
    parts,
    schemas,
    yaml_scalars,
    yaml_text,
)
from orchestrator.plan.format_words import LIMIT_MEANINGS, MEANINGS, WHERE
from orchestrator.plan.vocabulary import EXPRESSIONS, ROOTS, RUN_MEMBERS, SESSION_MEMBERS, STEP_MEMBERS, Member

__all__ = ["MODELS", "Row", "render", "replace_tables", "rows"]

BEGIN: Final = "<!-- generated: {} -->"
END: Final = "<!-- end: {} -->"

#: the models of the format in reading order, with the name a table calls them by
MODELS: Final[dict[type[parts.Part], str]] = {
    models.Plan: "plan",
    models.Step: "step",
    parts.Budget: "budget",
    parts.Defaults: "defaults",
    parts.Timeout: "timeout",
    parts.Retry: "retry",
    parts.Foreach: "foreach",
    parts.AtLeast: "join",
    parts.Human: "human",
    parts.ModelUse: "model",
    parts.Batch: "batch",
    parts.Effect: "effect",
    parts.Supervision: "supervisor",
    parts.Check: "check",
    parts.Grounded: "grounded",
    parts.Agree: "agree",
    parts.Judge: "judge",
    parts.HumanCheck: "check human",
    parts.Rung: "rung",
    parts.Escalate: "escalate",
    parts.Ask: "ask",
}

_NAMED: Final[tuple[tuple[object, str], ...]] = (
    (parts.Name, "name"),
    (parts.Text, "text"),
    (durations.Duration, "duration"),
    (parts.BackoffText, "two durations, `1s..30s`"),
    (parts.RungText, "rung"),
    (models.JsonSchema, "JSON Schema"),
    (JsonValue, "any JSON value"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One key of the format."""

    model: str
    key: str
    type: str
    default: str
    where: str
    meaning: str


def rows() -> Iterator[Row]:
    """Every key of plan, step, check and rung and of their parts.

    Raises:
        KeyError: a key of the models has no meaning in `format_words`.
    """
    for model, name in MODELS.items():
        hints = get_type_hints(model, include_extras=True)
        for field, info in model.model_fields.items():
            key = info.alias or field
            words = _words(hints[field])
            use = EXPRESSIONS.get((model, field))
            if use == "expression":
                words = words.replace("text", "expression")
            elif use == "template":
                words += ", may hold `${{ … }}`"
            yield Row(
                model=name,
                key=key,
                type=words,
                default=_default(info),
                where=WHERE.get((name, key), name),
                meaning=MEANINGS[name, key],
            )


def _words(hint: object) -> str:
    for named, words in _NAMED:
        if hint is named or hint == named:
            return words
    origin = get_origin(hint)
    if origin is Annotated:
        inner, *notes = get_args(hint)
        return _words(inner) + _bounds(notes)
    if origin is Literal:
        values = [f"`{str(value).lower() if isinstance(value, bool) else value}`" for value in get_args(hint)]
        return " or ".join([", ".join(values[:-1]), values[-1]] if len(values) > 1 else values)
    if origin in (Union, types.UnionType):
        return " or ".join(_words(arg) for arg in get_args(hint) if arg is not type(None))
    if origin in (tuple, list):
        return f"list of {_words(get_args(hint)[0])}"
    if origin is dict:
        key, value = get_args(hint)
        return f"mapping of {_words(key)} to {_words(value)}"
    if isinstance(hint, type) and issubclass(hint, BaseModel):
        return MODELS[hint] if issubclass(hint, parts.Part) and hint in MODELS else hint.__name__.lower()
    plain: dict[object, str] = {str: "text", int: "whole number", float: "number", bool: "`true` or `false`"}
    return plain[hint]


def _bounds(notes: list[object]) -> str:
    least = most = None
    for note in notes:
        for one in note.metadata if isinstance(note, FieldInfo) else [note]:
            least = next((got for name in ("ge", "min_length") if (got := getattr(one, name, None)) is not None), least)
            most = next((got for name in ("le", "max_length") if (got := getattr(one, name, None)) is not None), most)
    if least is None and most is None:
        return ""
    return f" ({_number(least)} to {_number(most)})" if least is not None else f" (at most {_number(most)})"


def _number(value: object) -> str:
    return f"{value:,}" if isinstance(value, int) else f"{value:g}" if isinstance(value, float) else str(value)


def _default(info: FieldInfo) -> str:
    if info.is_required():
        return "required"
    value = info.get_default(call_default_factory=True, validated_data={})
    if value is None or value in ((), {}, ""):
        return "none"
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    if isinstance(value, parts.Backoff):
        return f"`{durations.format_duration(value.first)}..{durations.format_duration(value.most)}`"
    if isinstance(value, BaseModel):
        return "its defaults"
    if isinstance(value, tuple):
        return f"`[{', '.join(map(str, value))}]`"
    if isinstance(value, float) and any(note is info.annotation or _is_duration(note) for note in info.metadata):
        return f"`{durations.format_duration(value)}`"
    return f"`{value:g}`" if isinstance(value, float) else f"`{value:,}`" if isinstance(value, int) else f"`{value}`"


def _is_duration(note: object) -> bool:
    return getattr(note, "func", None) is durations.parse_duration


def _table(head: tuple[str, ...], lines: Iterable[tuple[str, ...]]) -> str:
    made = [head, tuple("---" for _ in head), *lines]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in made)


def _members(prefix: str, members: dict[str, Member]) -> list[tuple[str, ...]]:
    return [
        (f"`{prefix}.{name}`", "any" if len(member.kinds) == 6 else " or ".join(sorted(member.kinds)), member.meaning)
        for name, member in members.items()
    ]


def _limits() -> Iterator[tuple[str, ...]]:
    for module in (
        limits,
        durations,
        expression_source,
        expression_compiler,
        expression_values,
        expressions,
        schemas,
        yaml_text,
        yaml_scalars,
    ):
        for name, meaning in LIMIT_MEANINGS[module.__name__.rpartition(".")[2]].items():
            value = getattr(module, name)
            yield f"`{name}`", f"{value:,}" if isinstance(value, int) else f"{value:,.12g}", meaning


def render() -> dict[str, str]:
    """The generated tables by name: `keys`, `roots`, `members`, `functions`, `operators`, `limits`."""
    head = ("Key", "Type", "Default", "Where allowed", "Meaning")
    functions = [
        (f"`{name}`", "one value" if most == 1 else f"a list, or up to {most} values")
        for name, (_, most) in expression_values.FUNCTIONS.items()
    ]
    signs = [*expression_values.ARITHMETIC, "==", "!=", *expression_values.ORDER, "in", "not in", "and", "or", "not"]
    return {
        "keys": _table(head, [(f"`{r.key}`", r.type, r.default, r.where, r.meaning) for r in rows()]),
        "roots": _table(
            ("Root", "Where allowed", "What it is"),
            [(f"`{root}`" if " " not in root else root, where, what) for root, (where, what) in ROOTS.items()],
        ),
        "members": _table(
            ("Reference", "Kind", "Meaning"),
            [
                *_members("steps.ID", STEP_MEMBERS),
                ("`inputs.NAME`", "as its schema says", "an input of the plan"),
                *_members("run", RUN_MEMBERS),
                *_members("session", SESSION_MEMBERS),
            ],
        ),
        "functions": _table(("Function", "Takes"), functions),
        "operators": " ".join(f"`{sign}`" for sign in signs) + " and `x if condition else y`",
        "limits": _table(("Limit", "Value", "Of what"), _limits()),
    }


def replace_tables(text: str) -> str:
    """`text` with everything between the markers made anew.

    Raises:
        ValueError: a marker is missing.
    """
    for name, table in render().items():
        begin, end = BEGIN.format(name), END.format(name)
        before, found, rest = text.partition(begin)
        _, closed, after = rest.partition(end)
        if not found or not closed:
            raise ValueError(f"the markers of table {name!r} are missing")
        text = f"{before}{begin}\n{table}\n{end}{after}"
    return text
