"""The live tree: every step with icon and word, branches folded to counts, redrawn a few times a second."""

import shutil
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from orchestrator.cli.console import MARKS, colored, money, one_line, span
from orchestrator.cli.view import elapsed_s, folded
from orchestrator.core.summary import RunTally, StepTally
from orchestrator.ports.journal import Recorded

_RICH: Final = {"good": "green", "bad": "red", "warn": "yellow", "busy": "cyan", "dim": "dim", "plain": ""}
_ROWS_KEPT: Final = 5  #: lines of the screen for everything around the steps
_ROWS_LEAST: Final = 6
_SETTLED: Final = ("passed", "skipped", "cancelled")


class LiveView:
    """A picture of the run on stderr. Drawn by whoever calls `refresh`, so that nothing changes while it is drawn.

    `draw` gives the picture; absent: the run's steps.
    """

    def __init__(self, draw: Callable[[RunTally], RenderableType] | None = None) -> None:
        self._draw = draw
        color = colored(sys.stderr)
        self._console = Console(
            stderr=True, no_color=not color, force_terminal=True, highlight=False, markup=False, legacy_windows=False
        )
        self._live = Live(console=self._console, auto_refresh=False, redirect_stdout=False, redirect_stderr=True)
        self._run: RunTally | None = None
        self._live.start()

    def add(self, record: Recorded, run: RunTally, *, old: bool = False) -> None:
        """Remember what to draw."""
        self._run = run

    def refresh(self) -> None:
        """Draw."""
        if self._run is not None and self._live.is_started:
            shown = picture(self._run, time.time()) if self._draw is None else self._draw(self._run)
            self._live.update(shown, refresh=True)

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Take the picture off the screen while a person types."""
        self.refresh()
        self._live.stop()
        try:
            yield
        finally:
            self._live.start()

    def close(self) -> None:
        """Leave the last picture where it is."""
        self.refresh()
        self._live.stop()


def picture(run: RunTally, now_s: float) -> RenderableType:
    """The run as it is at `now_s`."""
    table = Table.grid(padding=(0, 1), expand=False)
    table.add_column(no_wrap=True)
    table.add_column(no_wrap=True, overflow="ellipsis", max_width=28)
    table.add_column(no_wrap=True, overflow="ellipsis", ratio=1)
    table.add_column(no_wrap=True, justify="right")
    table.add_column(no_wrap=True, justify="right")
    steps = list(run.steps.values())
    shown = _fitting(steps)
    for step in shown:
        icon, style = MARKS.get(_status(step), ("·", "plain"))
        table.add_row(
            Text(f"  {icon}", style=_RICH[style]),
            Text(step.id),
            Text(_state(step, now_s), style=_RICH[style]),
            Text(money(step.usd), style="dim"),
            Text(span(elapsed_s(step, now_s)), style="dim"),
        )
    parts: list[RenderableType] = [_head(run, now_s), table]
    seen = {step.id for step in shown}
    hidden = Counter(_status(step) for step in steps if step.id not in seen)
    if hidden:
        told = ", ".join(f"{count} {status}" for status, count in hidden.items())
        parts.append(Text(f"  … and {told}", style="dim"))
    return Group(*parts)


def _head(run: RunTally, now_s: float) -> Text:
    accepted = run.accepted
    icon, style = MARKS.get(run.status, ("▶", "busy"))
    settled = sum(step.ended_at_s is not None for step in run.steps.values())
    text = Text(no_wrap=True, overflow="ellipsis")
    text.append(accepted.plan if accepted is not None else "", style="bold")
    text.append(f"  {icon} {run.status}", style=_RICH[style])
    words = [f"{settled}/{len(run.steps)} steps"]
    if accepted is not None:
        end_s = run.ended.at_s if run.ended is not None else now_s
        words.append(span(end_s - accepted.at_s))
    words += [money(run.usd)] if run.usd else []
    words += [f"budget of {run.limit} used up"] if run.limit else []
    text.append("  " + " · ".join(words), style="dim")
    return text


def _status(step: StepTally) -> str:
    """The step's status; of a mapped one that runs, what its branches tell."""
    counts = step.counts
    if step.whole.status.value == "running" and counts.get("waiting") and not counts.get("running"):
        return "waiting"
    if step.whole.status.value == "passed" and counts.get("gap", 0) + counts.get("failed", 0):
        return "gap"
    return step.whole.status.value


def _state(step: StepTally, now_s: float) -> str:
    words = [step.whole.status.value if step.branches is None else folded(step)]
    if step.attempts > 1:
        words.append(f"try {step.attempts}" if step.ended_at_s is None else f"{step.attempts} tries")
    unit = step.whole
    if unit.asked is not None:
        words.append(unit.asked.ask or "")
    elif unit.status.value == "backoff":
        words.append(f"again in {span(unit.until_s - now_s)}")
    else:
        words.append(unit.note or unit.reason)
    return one_line(" · ".join(filter(None, words)), 200)


def _fitting(steps: list[StepTally]) -> list[StepTally]:
    """As many steps as the screen has lines for, in the order of the plan; what is settled or far away goes first."""
    room = max(shutil.get_terminal_size().lines - _ROWS_KEPT, _ROWS_LEAST)
    if len(steps) <= room:
        return steps
    worth = {
        "failed": 0,
        "waiting": 1,
        "running": 2,
        "checking": 2,
        "rejected": 2,
        "backoff": 2,
        "gap": 3,
        "pending": 4,
    }
    ranked = sorted(range(len(steps)), key=lambda at: (worth.get(_status(steps[at]), 5), at))[:room]
    return [steps[at] for at in sorted(ranked)]
