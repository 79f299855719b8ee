"""Collects what is wrong with a plan, with places and nearest names, up to a cap."""

from collections.abc import Iterable
from difflib import get_close_matches
from typing import Final, Protocol

from orchestrator.errors import PlanIssue

__all__ = ["ISSUES_MAX", "Issues", "Path", "PlaceLookup", "path_text"]

ISSUES_MAX: Final = 100  #: errors told in full, and as many warnings; the rest are counted
_HINTS_MAX: Final = 30  #: searches for a nearest name in one check: each compares with many names
_HINT_NAMES_MAX: Final = 1_000  #: names compared in one search
_NAME_CHARS: Final = 64

Path = tuple[str | int, ...]


class PlaceLookup(Protocol):
    """Knows where the parts of a plan stand in a file, as the YAML reader does."""

    def issue(self, message: str, path: Path, *, expected: str = "", key: bool = False) -> PlanIssue:
        """An issue at the value at `path`, or at its key."""
        ...


def path_text(path: Iterable[str | int]) -> str:
    """`steps.draft.checks[0].rule`."""
    return "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path).removeprefix(".")


class Issues:
    """Collects errors and warnings below one path of a plan."""

    def __init__(self, places: PlaceLookup | None = None) -> None:
        self._places, self._prefix = places, Path()
        self._errors: list[PlanIssue] = []
        self._warnings: list[PlanIssue] = []
        self._told: set[tuple[str, str]] = set()
        self._counts = {"error": 0, "warning": 0, "hint": 0}

    def below(self, path: Path) -> "Issues":
        """The same collection, for a part of the plan at `path`."""
        part = Issues.__new__(Issues)
        part._places, part._prefix = self._places, (*self._prefix, *path)
        part._errors, part._warnings = self._errors, self._warnings
        part._told, part._counts = self._told, self._counts
        return part

    def error(self, path: Path, message: str, expected: str = "", *, key: bool = False) -> None:
        """Something that makes the plan unusable."""
        self._add("error", self._errors, path, message, expected, key)

    def warning(self, path: Path, message: str, expected: str = "", *, key: bool = False) -> None:
        """Something that is probably not meant."""
        self._add("warning", self._warnings, path, message, expected, key)

    def _add(self, kind: str, into: list[PlanIssue], path: Path, message: str, expected: str, key: bool) -> None:
        whole = (*self._prefix, *path)
        said = (path_text(whole), message)
        if said in self._told:
            return
        self._counts[kind] += 1
        if self._counts[kind] > ISSUES_MAX:
            return
        self._told.add(said)
        if self._places is not None:
            into.append(self._places.issue(message, whole, expected=expected, key=key))
        else:
            into.append(PlanIssue(message=message, path=said[0], expected=expected))

    def nearest(self, name: str, names: Iterable[str]) -> str:
        """`did you mean x?` for a wrong name, else what there is; costs little, however many names there are."""
        self._counts["hint"] += 1
        if self._counts["hint"] > _HINTS_MAX:
            return ""
        known: list[str] = []
        for one in names:
            if len(known) == _HINT_NAMES_MAX:
                break
            if abs(len(one) - len(name)) <= max(3, len(name) // 2):
                known.append(one)
        close = get_close_matches(name[:_NAME_CHARS], known, n=3, cutoff=0.55)
        if close:
            return "did you mean " + " or ".join(close) + "?"
        first = sorted(known)[:8]
        return "there is " + ", ".join(first) if first else ""

    @property
    def errors(self) -> tuple[PlanIssue, ...]:
        """Errors found so far, and how many more there are."""
        return (*self._errors, *_more(self._counts["error"]))

    @property
    def warnings(self) -> tuple[PlanIssue, ...]:
        """Warnings found so far, and how many more there are."""
        return (*self._warnings, *_more(self._counts["warning"]))


def _more(count: int) -> tuple[PlanIssue, ...]:
    return (PlanIssue(message=f"and {count - ISSUES_MAX} more"),) if count > ISSUES_MAX else ()
