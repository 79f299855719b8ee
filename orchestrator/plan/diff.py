"""What changed between two plans, key by key."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from orchestrator.ids import JsonValue
from orchestrator.plan.issues import Path, path_text
from orchestrator.plan.models import Plan, canonical_json

__all__ = ["Change", "diff", "render"]

_SHOWN = 80  #: characters of a value in the rendering


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One difference. The place is as people write it, defaults left out."""

    kind: Literal["added", "dropped", "changed"]
    path: str  #: such as `steps.draft.model.tier`
    before: JsonValue = None  #: None for `added`
    after: JsonValue = None  #: None for `dropped`
    step: str = ""  #: the step concerned; empty for keys of the plan itself


def diff(a: Plan, b: Plan) -> list[Change]:
    """The differences from `a` to `b`: keys of the plan first, then steps in the order of `a` and new ones of `b`.

    Plans with equal digests have none. The order of steps is no difference, nor are written defaults.
    """
    return list(_changes((), a.canonical(), b.canonical()))


def _changes(path: Path, before: JsonValue, after: JsonValue) -> Iterator[Change]:
    if isinstance(before, dict) and isinstance(after, dict) and not _closed(path):
        for key in dict.fromkeys([*before, *after]):
            where = (*path, key)
            if key not in after:
                yield _change("dropped", where, before[key], None)
            elif key not in before:
                yield _change("added", where, None, after[key])
            else:
                yield from _changes(where, before[key], after[key])
    elif isinstance(before, list) and isinstance(after, list) and len(before) == len(after):
        for at, (one, other) in enumerate(zip(before, after, strict=True)):
            yield from _changes((*path, at), one, other)
    elif canonical_json(before) != canonical_json(after):
        yield _change("changed", path, before, after)


def _closed(path: Path) -> bool:
    """Whether a mapping is compared as one value: a value that the plan hands on, not a part of the format."""
    return len(path) > 3 and path[-2:-1] == ("with",)


def _change(kind: Literal["added", "dropped", "changed"], path: Path, before: JsonValue, after: JsonValue) -> Change:
    step = str(path[1]) if len(path) > 1 and path[0] == "steps" else ""
    return Change(kind=kind, path=path_text(path), before=before, after=after, step=step)


def render(changes: list[Change]) -> str:
    """One line a change: `+` added, `-` dropped, `~` changed. Empty for equal plans."""
    lines: list[str] = []
    for change in changes:
        match change.kind:
            case "added":
                lines.append(f"+ {change.path}: {_shown(change.after)}")
            case "dropped":
                lines.append(f"- {change.path}: {_shown(change.before)}")
            case "changed":
                lines.append(f"~ {change.path}: {_shown(change.before)} -> {_shown(change.after)}")
    return "\n".join(lines)


def _shown(value: JsonValue) -> str:
    text = canonical_json(value)
    return text if len(text) <= _SHOWN else text[: _SHOWN - 1] + "…"
