"""What people did to runs, from records alone: who started, answered, changed or stopped what, and what they saw."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from orchestrator.core import facts as f
from orchestrator.core.event import Record
from orchestrator.ids import JsonValue, RunId
from orchestrator.plan.models import canonical_json

_SHOWN_CHARS: Final = 200  #: of what somebody was shown


@dataclass(frozen=True, slots=True, kw_only=True)
class Deed:
    """One thing that somebody did, or did not do in time."""

    run: RunId
    seq: int  #: of the record that says so
    at_s: float
    who: str  #: empty: nobody said a name
    did: str  #: started, answered, let expire, changed, extended, cancelled, quarantined
    step: str  #: `step`, `step[branch]`, or empty for the run as a whole
    what: str
    saw: str = ""  #: what they were shown when they answered, shortened


def deeds(records: Iterable[Record]) -> Iterable[Deed]:
    """The deeds in the records of one run, from its first record on."""
    shown: dict[tuple[str, int], f.ApprovalAsked] = {}
    for record in records:
        fact = record.fact
        place = _place(fact)
        if isinstance(fact, f.ApprovalAsked):
            shown[fact.step, fact.branch] = fact
        told = _told(fact)
        if told is None:
            continue
        did, what = told
        asked = shown.pop((fact.step, fact.branch), None) if isinstance(fact, _ANSWERS) else None
        who = fact.author if isinstance(fact, f.PlanPatched) and not fact.actor else fact.actor
        yield Deed(
            run=record.run_id,
            seq=record.seq,
            at_s=fact.at_s,
            who=who,
            did=did,
            step=place,
            what=what,
            saw=_saw(asked),
        )


_ANSWERS: Final = (f.ApprovalAnswered, f.ApprovalExpired)


def _told(fact: f.Fact) -> tuple[str, str] | None:
    match fact:
        case f.RunAccepted():
            return "started", fact.plan
        case f.ApprovalAnswered():
            return "answered", f"{fact.choice}{_because(fact.reason)}"
        case f.ApprovalExpired():
            return "let expire", fact.choice if fact.choice is not None else "nothing was chosen"
        case f.PlanPatched():
            return "changed", f"{fact.base[-12:]} to {fact.digest[-12:]}{_because(fact.reason)}"
        case f.LimitExtended():
            return "extended", f"{fact.limit} by {fact.by:g}"
        case f.RunRated():
            return "rated", f"{fact.source} {fact.score:g}{_because(fact.reason)}"
        case f.CancelRequested():
            return "cancelled", _because(fact.reason).removeprefix(": ")
        case f.StepQuarantined():
            return "quarantined", f"with {len(fact.affected)} built on it{_because(fact.reason)}"
        case _:
            return None


def _because(reason: str | None) -> str:
    return f": {reason}" if reason else ""  # None: what was said was deleted


def _place(fact: f.Fact) -> str:
    if not isinstance(fact, f.StepFact) or not fact.step:
        return ""
    return fact.step if fact.branch < 0 else f"{fact.step}[{fact.branch}]"


def _saw(asked: f.ApprovalAsked | None) -> str:
    if asked is None:
        return ""
    show: JsonValue = asked.show
    text = f"{asked.ask or ''}" if show is None else f"{asked.ask or ''} {canonical_json(show)}"
    return text if len(text) <= _SHOWN_CHARS else f"{text[: _SHOWN_CHARS - 1]}…"
