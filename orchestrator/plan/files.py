"""Reads plans from YAML files, sub-plan files included, and writes them.

Everything wrong with the form of a file is told at once, with file, line and column. What a plan means (cycles,
references, types) is `orchestrator.plan.check`'s to judge; `Sources` tells it where everything stands.
"""

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path as FilePath
from pathlib import PurePosixPath
from typing import Final

import yaml
from pydantic import ValidationError

from orchestrator.errors import PlanError, PlanIssue
from orchestrator.ids import JsonValue
from orchestrator.plan.collecting import collector_held
from orchestrator.plan.explain import explained
from orchestrator.plan.issues import Path, path_text
from orchestrator.plan.limits import PLAN_BYTES_MAX, STEPS_MAX, SUBPLAN_DEPTH_MAX
from orchestrator.plan.models import Plan
from orchestrator.plan.yaml_scalars import ScalarRefused, plain_scalar
from orchestrator.plan.yaml_text import Located, read_yaml

__all__ = ["PlanSource", "Sources", "dump_plan", "load_plan", "parse_plan", "read_plan", "read_plan_file"]

SUFFIX: Final = ".plan.yaml"  #: what a sub-plan's file is called; keeps a plan from showing other files in errors

_FILE_CHARS_MAX: Final = 500  #: of a sub-plan's file name

_STEPS_BLOCK = re.compile(r"^steps:[ \t]*(?:#[^\n]*)?\n(?:[ \t]*(?:#[^\n]*)?\n)*( +)(?=[^\s#])", re.MULTILINE)
_TOP_LEVEL = re.compile(r"^[^\s#]", re.MULTILINE)


class Sources:
    """Where the parts of a plan stand, across the files it was read from."""

    def __init__(self, located: Located) -> None:
        self._mounts: dict[Path, Located] = {(): located}

    def mount(self, path: Path, located: Located) -> None:
        """Say that the value at `path` was read from another text."""
        self._mounts[path] = located

    def issue(self, message: str, path: Path, *, expected: str = "", key: bool = False) -> PlanIssue:
        """What is wrong at `path`, with file, line, column and the line itself."""
        for length in range(len(path), -1, -1):
            located = self._mounts.get(path[:length])
            if located is not None and not (key and length == len(path) and length):
                found = located.issue(message, path[length:], expected=expected, key=key)
                return replace(found, path=path_text(path))
        raise AssertionError("the empty path is mounted")


@dataclass(frozen=True, slots=True)
class PlanSource:
    """A plan and where its parts stand."""

    plan: Plan
    sources: Sources


def load_plan(path: str | os.PathLike[str]) -> Plan:
    """The plan in a file.

    Raises:
        PlanError: the file cannot be read, or is no plan.
    """
    return read_plan_file(path).plan


def parse_plan(text: str | bytes, file: str = "<string>", base_dir: str | os.PathLike[str] | None = None) -> Plan:
    """The plan in a text. Sub-plan files are read below `base_dir`; with None the plan may name none.

    Raises:
        PlanError: the text, or a sub-plan it names, is no plan.
    """
    return read_plan(text, file, base_dir).plan


def read_plan_file(path: str | os.PathLike[str]) -> PlanSource:
    """As `load_plan`, with the places."""
    try:
        data = _bytes_of(FilePath(path))
    except OSError as error:
        reason = f"cannot be read: {error.strerror or error}"
        raise PlanError((PlanIssue(message=reason, file=str(path), expected="a plan file"),)) from None
    return read_plan(data, str(path), FilePath(path).parent)


def read_plan(text: str | bytes, file: str = "<string>", base_dir: str | os.PathLike[str] | None = None) -> PlanSource:
    """As `parse_plan`, with the places."""
    with collector_held(len(text)):
        located = _read(text, file)
        sources = Sources(located)
        base = FilePath(base_dir) if base_dir is not None else None
        within = () if base is None else ((base / FilePath(file).name).resolve(),)
        _Includes(sources, len(text)).expand(located.value, (), base, within)
        if not isinstance(located.value, dict):
            raise PlanError((sources.issue("a plan is a mapping", (), expected="version, name, steps, …"),))
        try:
            plan = Plan.model_validate(located.value, by_alias=True, by_name=False)
        except ValidationError as error:
            raise explained(error, Plan, located.value, sources) from None
    return PlanSource(plan, sources)


def _bytes_of(path: FilePath) -> bytes:
    """At most one byte more than a plan may have, of a regular file: a pipe would block, a device has no end."""
    if not path.is_file():
        raise OSError(0, "no regular file" if path.exists() else "there is no such file")
    with path.open("rb") as file:
        return file.read(PLAN_BYTES_MAX + 1)


def _read(text: str | bytes, file: str) -> Located:
    """The value of a text; too many steps are refused before they are parsed."""
    if isinstance(text, str):
        _count_steps(text, file)
    elif len(text) <= PLAN_BYTES_MAX:
        _count_steps(text.decode(errors="replace"), file)
    return read_yaml(text, file)


def _count_steps(text: str, file: str) -> None:
    """Counts the keys of a `steps` block by their indentation; other writings are counted by the model."""
    if len(text) < 4 * STEPS_MAX:
        return
    block = _STEPS_BLOCK.search(text)
    if block is None:
        return
    end = _TOP_LEVEL.search(text, block.end())
    key = re.compile(rf"^{block[1]}(?=[A-Za-z_\"'])[^\n:]*:", re.MULTILINE)
    steps = sum(1 for _ in key.finditer(text, block.start(1), end.start() if end else len(text)))
    if steps > STEPS_MAX:
        line = text.count("\n", 0, block.start()) + 1
        issue = PlanIssue(
            message=f"{steps:,} steps",
            file=file,
            line=line,
            column=1,
            path="steps",
            expected=f"at most {STEPS_MAX:,}; one `foreach` step has as many branches",
            source_line="steps:",
        )
        raise PlanError((issue,))


class _Includes:
    """Puts sub-plan files in the place of their names. Counts bytes over all of them: files may name files."""

    def __init__(self, sources: Sources, used_bytes: int) -> None:
        self._sources = sources
        self._used_bytes = used_bytes
        self._read: dict[FilePath, bytes] = {}

    def expand(self, plan: JsonValue, path: Path, base: FilePath | None, within: tuple[FilePath, ...]) -> None:
        """Read the sub-plans of `plan`, which stands at `path`, from below `base`; `within` are the files around it."""
        for step, sub_path in _sub_plans(plan, path):
            depth = sum(part == "plan" for part in sub_path[2::3])
            if depth > SUBPLAN_DEPTH_MAX:
                message = f"plans inside plans, {depth} deep"
                raise self._refused(message, sub_path, f"at most {SUBPLAN_DEPTH_MAX}")
            sub_plan = step["plan"]
            if not isinstance(sub_plan, str):
                self.expand(sub_plan, sub_path, base, within)
                continue
            file, resolved = self._file(sub_plan, sub_path, base)
            if resolved in within:
                raise self._refused(f"{file.name} contains itself", sub_path, "another plan, or a `goal` step")
            located = _read(self._bytes(file, sub_path), str(file))
            step["plan"] = located.value
            self._sources.mount(sub_path, located)
            self.expand(located.value, sub_path, file.parent, (*within, resolved))

    def _file(self, name: str, path: Path, base: FilePath | None) -> tuple[FilePath, FilePath]:
        """The file of this name below `base`: as messages show it, and as the system knows it."""
        expected = f"the name of a {SUFFIX} file beside this one or below, such as parts/{'x' + SUFFIX}"
        if base is None:
            raise self._refused("a plan that is no file cannot name sub-plan files", path, "the sub-plan itself")
        pure = PurePosixPath(name)
        plain = name.isprintable() and "\\" not in name and len(name) <= _FILE_CHARS_MAX
        if not (plain and name.endswith(SUFFIX)) or pure.is_absolute() or ".." in pure.parts:
            raise self._refused("this is no sub-plan file", path, expected)
        try:
            root, resolved = base.resolve(), (base / name).resolve()
        except (OSError, RuntimeError, ValueError):
            raise self._refused("this is no sub-plan file", path, expected) from None
        if not resolved.is_relative_to(root):
            raise self._refused("a link leads out of the folder of the plan", path, expected)
        return base / name, resolved

    def _bytes(self, file: FilePath, path: Path) -> bytes:
        try:
            data = self._read[file] if file in self._read else _bytes_of(file)
        except OSError as error:
            raise self._refused(f"{file.name} cannot be read: {error.strerror}", path, "a plan file") from None
        self._read[file] = data
        self._used_bytes += len(data)
        if self._used_bytes > PLAN_BYTES_MAX:
            raise self._refused("the plan with its sub-plans is too large", path, f"at most {PLAN_BYTES_MAX:,} bytes")
        return data

    def _refused(self, message: str, path: Path, expected: str) -> PlanError:
        return PlanError((self._sources.issue(message, path, expected=expected),))


def _sub_plans(plan: JsonValue, path: Path) -> Iterator[tuple[dict[str, JsonValue], Path]]:
    """The steps of `plan` that have a sub-plan, and where it stands."""
    steps = plan.get("steps") if isinstance(plan, dict) else None
    for name, step in steps.items() if isinstance(steps, dict) else ():
        if isinstance(step, dict) and step.get("plan") is not None:
            yield step, (*path, "steps", name, "plan")


# ---- writing ---------------------------------------------------------------------------------------------------------


class _Dumper(getattr(yaml, "CSafeDumper", yaml.SafeDumper)):  # type: ignore[misc]  # the C class when there is one
    """Writes texts so that the strict reader reads texts."""

    def ignore_aliases(self, data: object) -> bool:
        return True


def _write_text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    try:
        ambiguous = not isinstance(plain_scalar(text), str)
    except ScalarRefused:
        ambiguous = True
    style = '"' if ambiguous else "|" if "\n" in text else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


_Dumper.add_representer(str, _write_text)


def dump_plan(plan: Plan) -> str:
    """The plan as YAML that reads back to a plan of equal digest; sub-plans inline.

    Raises:
        PlanError: the plan holds what no plan file can, such as NUL or a number over 2**63, or is over a cap.
    """
    data = plan.canonical()
    text: str = yaml.dump(data, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=1_000_000)
    if read_yaml(text, f"{plan.name}{SUFFIX}").value != data:
        raise PlanError((PlanIssue(message="the plan cannot be written as YAML", expected="plain texts and numbers"),))
    return text
