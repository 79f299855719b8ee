"""What a run is told of its conversation, and what is said where something is missing from that. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass

from orchestrator.ids import JsonValue
from orchestrator.plan.facts_kept import Fact, lost_from
from orchestrator.ports.sessions import SessionHead, Turn
from orchestrator.sessions.window import window_of
from orchestrator.settings import SessionSettings

NOBODY = "no model summarised them"


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """A conversation as it is seen at one moment."""

    summary: str  #: of what is not in the window; holds every pinned fact, and a note where turns are missing
    turns: tuple[Turn, ...]  #: the window, oldest first
    facts: tuple[Fact, ...]
    dropped: int  #: turns that are neither in the window nor in the summary

    def document(self, session: str, asked: str | None) -> dict[str, JsonValue]:
        """What `session` in an expression names; what is `asked` is the last turn."""
        turns: list[JsonValue] = [{"role": turn.role, "content": shown(turn)} for turn in self.turns]
        if asked is not None:
            turns.append({"role": "user", "content": asked})
        return {
            "id": session,
            "summary": self.summary,
            "turns": turns,
            "facts": [fact.text for fact in self.facts],
            "dropped": self.dropped,
        }


def view_of(head: SessionHead, turns: Sequence[Turn], asked: str, settings: SessionSettings) -> View:
    """The view of a session; `turns` are its newest, at least `settings.window_turns` of those behind the summary."""
    window = window_of([turn for turn in turns if turn.number > head.summary.upto], asked, settings)
    unseen = head.turns - len(window) - head.summary.upto
    dropped = head.summary.missed + unseen
    return View(
        summary=_summary(head, dropped),
        turns=tuple(window),
        facts=head.facts,
        dropped=dropped,
    )


def shown(turn: Turn) -> str:
    """What a turn says; where an answer is missing, that it is."""
    return turn.content or (f"(no answer: {turn.status})" if turn.role == "assistant" else "")


def _summary(head: SessionHead, dropped: int) -> str:
    """The summary, then the facts that it does not hold, word for word, then what is missing."""
    parts = [head.summary.text] if head.summary.text else []
    lost = [f"- {one.fact.text}" for one in lost_from(head.summary.text, head.facts)]
    if lost:
        parts.append("\n".join(["Facts, word for word:", *lost]))
    if dropped:
        turns = "1 earlier turn is" if dropped == 1 else f"{dropped} earlier turns are"
        parts.append(f"{turns} neither shown nor summarised: {head.summary.refused or NOBODY}")
    return "\n\n".join(parts)
