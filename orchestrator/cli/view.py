"""What a running plan looks like: one line per event, events as JSON lines, or a live tree."""

import json
import sys
import time
from typing import TYPE_CHECKING, Protocol

from orchestrator.cli.console import clock_time, live, mark, money, one_line, paint, say, span
from orchestrator.core import facts as f
from orchestrator.core.summary import RunTally, StepTally
from orchestrator.ports.journal import Recorded

if TYPE_CHECKING:
    from contextlib import AbstractContextManager


class View(Protocol):
    """Shows a run on its way."""

    def add(self, record: Recorded, run: RunTally, *, old: bool = False) -> None:
        """One more fact, already counted in `run`; `old` ones were there before this command."""
        ...

    def refresh(self) -> None:
        """Some time has passed."""
        ...

    def paused(self) -> "AbstractContextManager[None]":
        """Keep still: a person is asked something."""
        ...

    def close(self) -> None:
        """Nothing more comes."""
        ...


class LineView:
    """One line for everything that changes where a step is."""

    def add(self, record: Recorded, run: RunTally, *, old: bool = False) -> None:
        """Print the line."""
        text = "" if old else line_of(record, run)
        if text:
            say(f"{paint(clock_time(record.fact.at_s), 'dim', sys.stderr)}  {text}")

    def refresh(self) -> None:
        """Lines do not change."""

    def paused(self) -> "AbstractContextManager[None]":
        """Lines stand where they are."""
        from contextlib import nullcontext

        return nullcontext()

    def close(self) -> None:
        """Nothing is open."""


class EventsView(LineView):
    """Events as JSON lines on stdout, and nothing else."""

    def add(self, record: Recorded, run: RunTally, *, old: bool = False) -> None:
        """Print the event."""
        from orchestrator.core.event import canonical_event

        if not old:
            print(json.dumps(canonical_event(record), ensure_ascii=False), flush=True)


def view_for(*, jsonl: bool) -> View:
    """The view that fits the call and the terminal."""
    if jsonl:
        return EventsView()
    if live():
        from orchestrator.cli.live import LiveView

        return LiveView()
    return LineView()


def line_of(record: Recorded, run: RunTally) -> str:
    """A line about one fact; empty where nothing needs to be said."""
    fact = record.fact
    if not isinstance(fact, f.StepFact) or not fact.step:
        return _run_line(fact, run)
    step = run.steps[fact.step]
    name = fact.step if fact.branch < 0 else f"{fact.step}[{fact.branch}]"
    return _on_its_way(fact, step, name) or _settled(fact, step, name)


def _on_its_way(fact: f.StepFact, step: StepTally, name: str) -> str:
    match fact:
        case f.StepExpanded():
            return f"{name}  {fact.count} branches"
        case f.StepDispatched() if fact.purpose == "work" and fact.attempt == 1 and fact.branch < 0:
            return _said("running", name, f"in {fact.pool}" if fact.pool else "")
        case f.StepDispatched() if fact.purpose == "work" and fact.attempt > 1:
            return _said("running", name, f"try {fact.attempt}")
        case f.StepRejected():
            return _said("rejected", name, "refused: " + "; ".join(fact.reasons or ()))
        case f.StepBackoff():
            return _said("backoff", name, f"again in {span(fact.until_s - fact.at_s)}")
        case f.StepEscalated():
            return _said("rejected", name, "goes on in " + " ".join(filter(None, (fact.pool, fact.tier))))
        case f.ApprovalAsked():
            return _said("waiting", name, fact.ask or "")
        case f.ApprovalAnswered():
            return _said("checking", name, f"{fact.choice}" + (f" by {fact.actor}" if fact.actor else ""))
        case f.ApprovalExpired():
            return _said("checking", name, f"nobody answered; taken: {fact.choice or 'failure'}")
        case f.StepProgress() if step.branches is None:
            return _said("running", name, step.whole.note)
        case _:
            return ""


def _settled(fact: f.StepFact, step: StepTally, name: str) -> str:
    match fact:
        case f.StepPassed() if fact.branch < 0:
            return _said("passed", name, described(step))
        case f.StepReused() if fact.branch < 0:
            return _said("passed", name, f"taken over from {fact.source}")
        case f.StepGap():
            return _said("gap", name, fact.reason or "")
        case f.StepSkipped():
            return _said("skipped", name, fact.reason)
        case f.StepFailed():
            return _said("failed", name, fact.cause or "")
        case f.StepCancelled() if fact.branch < 0:
            return _said("cancelled", name, fact.reason)
        case f.StepQuarantined():
            return _said("failed", name, f"quarantined: {fact.reason or ''}")
        case _:
            return ""


def _run_line(fact: f.Fact, run: RunTally) -> str:
    match fact:
        case f.RunAccepted():
            return f"run {fact.run}  {fact.plan}"
        case f.RunAdopted():
            return "taken over; going on where it stopped"
        case f.LimitHit():
            return f"budget of {fact.limit} is used up: {fact.policy}"
        case f.LimitExtended():
            return f"budget of {fact.limit} granted once more"
        case f.PlanPatched():
            return f"plan changed by {fact.author}: {one_line(fact.reason)}"
        case f.CancelRequested():
            return "cancelling" + (f": {one_line(fact.reason)}" if fact.reason else "")
        case f.ApprovalAsked():
            return _said("waiting", "budget", fact.ask or "")
        case _:
            return ""


def _said(status: str, name: str, text: str) -> str:
    return f"{mark(status, sys.stderr)}  {name}" + (f"  {one_line(text)}" if text.strip() else "")


def described(step: StepTally, now_s: float | None = None) -> str:
    """Counts of branches, tries, cost and time of a step, in a few words."""
    words: list[str] = []
    if step.branches is not None:
        words.append(folded(step))
    if step.attempts > 1:
        words.append(f"{step.attempts} tries")
    words.append(money(step.usd))
    words.append(span(elapsed_s(step, now_s)))
    return " · ".join(filter(None, words))


def folded(step: StepTally) -> str:
    """`41/45 passed, 1 gap, 3 running`."""
    counts = step.counts
    total = len(step.branches or {})
    words = [f"{counts.pop('passed', 0)}/{total}"]
    counts.pop("pending", 0)
    words += [f"{count} {status}" for status, count in sorted(counts.items())]
    return ", ".join(words)


def elapsed_s(step: StepTally, now_s: float | None = None) -> float | None:
    """Seconds from the first dispatch to the end, or to now."""
    if step.started_at_s is None:
        return None
    end_s = step.ended_at_s if step.ended_at_s is not None else (now_s or time.time())
    return end_s - step.started_at_s
