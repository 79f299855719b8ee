"""Plans of `ask` in files: written with the goal they were made for, and read back for the same goal alone."""

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from orchestrator.errors import PromiseError

if TYPE_CHECKING:
    from orchestrator.plan.models import Plan

_GOAL: Final = "# goal: "
_ESTIMATE: Final = "# estimate_usd: "
_HEAD_BYTES: Final = 128 << 10  #: in which the comments stand
_LINE: Final = re.compile(r"^(# (?:goal|estimate_usd): )(.*)$", re.MULTILINE)


@dataclass(frozen=True, slots=True, kw_only=True)
class SavedPlan:
    """A plan that was made for a goal before."""

    plan: "Plan"
    goal: str | None  #: None: the file does not say, as with a plan that a person wrote
    estimate_usd: float | None


def save_plan(file: Path, plan: "Plan", goal: str, estimate_usd: float) -> None:
    """Write a plan with its goal, whole or not at all.

    Raises:
        PlanError: the plan holds what no file can.
        PromiseError: the file cannot be written.
    """
    from orchestrator.plan.files import dump_plan

    head = f"# Planned by `orchestrator ask`.\n{_GOAL}{json.dumps(goal)}\n{_ESTIMATE}{estimate_usd:.6f}\n"
    part = file.with_name(f".{file.name}.part")
    try:
        part.write_text(head + dump_plan(plan), encoding="utf-8")
        part.replace(file)
    except OSError as error:
        part.unlink(missing_ok=True)
        raise PromiseError(f"{file} cannot be written: {error.strerror}", "name another file with --save") from None


def load_saved(file: Path) -> SavedPlan:
    """The plan in a file, and the goal it was made for where the file says it.

    Raises:
        PlanError: it is no valid plan file; the error says where.
    """
    from orchestrator.plan.files import load_plan

    plan = load_plan(file)
    with file.open("rb") as source:
        head = source.read(_HEAD_BYTES).decode(errors="replace")
    said = {found[1]: found[2] for found in _LINE.finditer(head.partition("\nversion:")[0])}
    return SavedPlan(plan=plan, goal=_text(said.get(_GOAL)), estimate_usd=_number(said.get(_ESTIMATE)))


def plan_for(file: Path, goal: str) -> SavedPlan:
    """As `load_saved`, for this goal alone.

    Raises:
        PromiseError: the plan was made for another goal.
    """
    saved = load_saved(file)
    if saved.goal is not None and _plain(saved.goal) != _plain(goal):
        raise PromiseError(
            f"{file} was planned for another goal: {saved.goal!r}",
            "ask with that goal, name another file, or run the plan as it is: orchestrator run",
        )
    return saved


def check_place(file: Path) -> None:
    """Nothing, where a plan can be saved; found out before a model is paid.

    Raises:
        PromiseError: its folder does not exist, or its name is not that of a plan file.
    """
    if not file.name.endswith((".yaml", ".yml")):
        raise PromiseError(f"{file} is no name of a plan file", "name it *.plan.yaml")
    if not file.parent.is_dir():
        raise PromiseError(f"there is no folder {file.parent}", "make it first, or name another file")


def _plain(goal: str) -> str:
    return " ".join(goal.split())


def _text(said: str | None) -> str | None:
    try:
        value = json.loads(said) if said is not None else None
    except ValueError:
        return None
    return value if isinstance(value, str) else None


def _number(said: str | None) -> float | None:
    try:
        return float(said) if said is not None else None
    except ValueError:
        return None
