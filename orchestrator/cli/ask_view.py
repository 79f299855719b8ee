"""What `ask` shows on its way: the plan once there is one, its steps, and the words of models as they come."""

import sys
import time
from collections import deque
from typing import TYPE_CHECKING, Final, Protocol

from orchestrator.cli.console import clean, clock_time, live, mark, money, one_line, paint, say
from orchestrator.cli.view import EventsView, LineView, View, line_of
from orchestrator.core import facts as f
from orchestrator.core.summary import RunTally
from orchestrator.ports.journal import Recorded
from orchestrator.ports.tasks import TaskDelta

if TYPE_CHECKING:
    from collections.abc import Iterable
    from contextlib import AbstractContextManager

    from rich.console import RenderableType

    from orchestrator.engine.driver import Heard
    from orchestrator.plan.models import Plan

TAIL_CHARS: Final = 2_000  #: of what a model says, kept for the picture
TAIL_LINES: Final = 3  #: of it, shown
SPEAKERS_MAX: Final = 6  #: models whose words are shown at once
ERRORS_SHOWN: Final = 3  #: of a draft that was refused


class AskView(View, Protocol):
    """Shows a run, the runs below it, and what models say."""

    def add_below(self, record: Recorded, run: RunTally) -> None:
        """One more fact of a run below, already counted in its own `run`."""
        ...

    def heard(self, said: "Heard") -> None:
        """Something that is not journaled."""
        ...


def ask_view(*, jsonl: bool) -> AskView:
    """The view that fits the call and the terminal."""
    if jsonl:
        return AskEvents()
    return AskLive() if live() else AskLines()


class AskEvents(EventsView):
    """Events of all runs as JSON lines on stdout; their `run` tells them apart."""

    def add_below(self, record: Recorded, run: RunTally) -> None:
        """Print the event."""
        self.add(record, run)

    def heard(self, said: "Heard") -> None:
        """Nothing: what is not journaled is no event."""


class AskLines(LineView):
    """A line for everything that changes where a step is, of the plan that was made too."""

    def add(self, record: Recorded, run: RunTally, *, old: bool = False) -> None:
        """Print the lines."""
        told = planning_lines(record.fact)
        if told and not old:
            _print(record.fact.at_s, told)
        elif not told:
            super().add(record, run, old=old)

    def add_below(self, record: Recorded, run: RunTally) -> None:
        """Print the lines, without a word of its own for the run."""
        told = planning_lines(record.fact)
        if not told and not isinstance(record.fact, f.RunAccepted):
            text = _judged(record.fact) or line_of(record, run)
            told = [text] if text else []
        _print(record.fact.at_s, told)

    def heard(self, said: "Heard") -> None:
        """Nothing: pieces of words make no lines."""


def _print(at_s: float, lines: "Iterable[str]") -> None:
    for line in lines:
        say(f"{paint(clock_time(at_s), 'dim', sys.stderr)}  {line}")


def _judged(fact: f.Fact) -> str:
    """What a check said that cost something: of a judge, a person, or a function of a pool."""
    if not isinstance(fact, f.CheckVerdict) or fact.verdict != "pass" or fact.name not in {"judge", "call", "human"}:
        return ""
    at = f"[{fact.branch}]" if fact.branch >= 0 else ""
    score = "" if fact.score is None else f": {fact.score:g}"
    return f"{mark('checking', sys.stderr)}  {fact.step}{at}  {fact.name} passed it{score}"


def planning_lines(fact: f.Fact) -> list[str]:
    """What a fact says about the making of a plan; nothing for any other fact."""
    match fact:
        case f.PatternChosen():
            return [f"{mark('checking', sys.stderr)}  {fact.step}  pattern {fact.pattern}: {one_line(fact.reason)}"]
        case f.PlanDrafted(accepted=False):
            errors = [one_line(error) for error in fact.errors]
            more = [f"… and {len(errors) - ERRORS_SHOWN} more"] if len(errors) > ERRORS_SHOWN else []
            head = f"{mark('rejected', sys.stderr)}  {fact.step}  draft {fact.number} of the {fact.purpose} is refused"
            return [head, *(f"    {error}" for error in [*errors[:ERRORS_SHOWN], *more])]
        case f.GoalPlanned():
            return _planned(fact)
        case _:
            return []


def _planned(fact: f.GoalPlanned) -> list[str]:
    words = [f"{fact.steps} steps", f"draft {fact.tries}"]
    words += [f"estimate {money(fact.usd_estimate)}"] if fact.usd_estimate else []
    head = f"{mark('passed', sys.stderr)}  {fact.step}  planned: {' · '.join(words)}"
    plan = plan_of(fact)
    return [head] if plan is None else [head, *(f"    {line}" for line in outline_lines(plan))]


def plan_of(fact: f.GoalPlanned) -> "Plan | None":
    """The plan that was made for a goal; None where its payload was deleted."""
    from pydantic import ValidationError

    from orchestrator.plan.models import Plan

    try:
        return Plan.model_validate(fact.plan)
    except ValidationError:
        return None


def outline_lines(plan: "Plan") -> list[str]:
    """One line for each step: its name, where it runs, and what it does; one for what checks it."""
    from orchestrator.engine.consent import outline

    told = outline(plan)
    assert isinstance(told, dict)
    width = max((len(name) for name in told), default=0)
    lines: list[str] = []
    for name, what in told.items():
        lines.append(f"{name.ljust(width)}  {one_line(clean(str(what)), 110)}")
        checks = [check.kind for check in plan.steps[name].checks]
        if checks:
            lines.append(f"{' ' * width}  checked by {', '.join(checks)}")
    return lines


class AskLive(AskLines):
    """A picture on stderr: the plan's steps, and the last words of each model that speaks."""

    def __init__(self) -> None:
        from orchestrator.cli.live import LiveView

        self._live = LiveView(self._picture)
        self._below: dict[str, RunTally] = {}
        self._planning: deque[str] = deque(maxlen=12)
        self._said: dict[str, str] = {}

    def add(self, record: Recorded, run: RunTally, *, old: bool = False) -> None:
        """Remember what to draw."""
        self._live.add(record, run, old=old)
        self._note(record)

    def add_below(self, record: Recorded, run: RunTally) -> None:
        """Remember what to draw."""
        self._below[record.run_id] = run
        self._note(record)

    def heard(self, said: "Heard") -> None:
        """Remember the last words."""
        if isinstance(said, TaskDelta):
            at = f"[{said.key.branch}]" if said.key.branch >= 0 else ""
            name = f"{said.key.step_id}{at}"
            self._said[name] = (self._said.get(name, "") + said.text)[-TAIL_CHARS:]

    def _note(self, record: Recorded) -> None:
        fact = record.fact
        self._planning.extend(planning_lines(fact))
        if isinstance(fact, f.StepProduced | f.AttemptFailed | f.GoalPlanned):
            at = f"[{fact.branch}]" if fact.branch >= 0 else ""
            self._said.pop(f"{fact.step}{at}", None)

    def refresh(self) -> None:
        """Draw."""
        self._live.refresh()

    def paused(self) -> "AbstractContextManager[None]":
        """Take the picture off the screen while a person types."""
        return self._live.paused()

    def close(self) -> None:
        """Leave the last picture where it is."""
        self._said.clear()
        self._live.close()

    def _picture(self, top: RunTally) -> "RenderableType":
        from rich.console import Group
        from rich.text import Text

        from orchestrator.cli.live import picture

        now_s = time.time()
        parts: list[RenderableType] = [picture(top, now_s)]
        parts += [Text.from_ansi(f"  {line}", no_wrap=True, overflow="ellipsis") for line in self._planning]
        parts += [picture(run, now_s) for run in self._below.values()]
        for name, text in list(self._said.items())[-SPEAKERS_MAX:]:
            for line in clean(text).splitlines()[-TAIL_LINES:]:
                parts.append(Text(f"  {name} │ {line}", style="dim", no_wrap=True, overflow="ellipsis"))
        return Group(*parts)
