"""A conversation within its budget: repeated results named once, older turns taken together and shortened."""

import hashlib
import re
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Final

from orchestrator.plan.facts_kept import Fact, fact_of, kept_in, literals_of, lost_from, told
from orchestrator.ports.model import Message
from workers.compression.context import Context
from workers.compression.text import CUT, displaced, shortened, tokens_of
from workers.prompting import block

HEAD: Final = 2  #: the system message and the task: never touched
SLACK: Final = 8  #: what is cut goes below the budget by an eighth, so that not every turn cuts
RESULT_TOKENS_MIN: Final = 60  #: of a shorter result that comes again the text itself is no longer than a pointer
FENCE_TOKENS: Final = 24  #: of the block that holds earlier turns
CITED_DIGITS_MIN: Final = 3  #: shorter numbers stand everywhere
CITED_MAX: Final = 200  #: numbers and codes of the agent's own words that protect where they came from
ORIGINALS_MAX: Final = 500  #: results that can be fetched back in one attempt
RECALL: Final = "recall"  #: the tool that does
TURN_TOKENS: Final = 4  #: what a message costs beside its text

_ID: Final = re.compile(r"\br\d+\b")
_EARLIER: Final = "earlier turns, shortened"
Summarise = Callable[[str, int], Awaitable[str]]  #: a text and the most tokens of its summary


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What one shortening did, for people and for the journal."""

    before: int  #: tokens
    after: int
    cut: tuple[str, ...]  #: ids of results of which something was cut; `recall` gives them back
    facts: int  #: pinned facts that were in what was shortened, and still are
    refused: str = ""  #: why a summary was not taken

    def __str__(self) -> str:
        ids = f", cut from {', '.join(self.cut)}" if self.cut else ""
        refused = f"; a summary was refused: {self.refused}" if self.refused else ""
        return (
            f"conversation shortened from {self.before} to {self.after} tokens{ids}, {self.facts} facts kept{refused}"
        )


class Turns:
    """What may be shortened in one attempt, and what it was before."""

    def __init__(self, context: Context, query: str, constraints: Sequence[str]) -> None:
        self._context, self._query = context, query
        self._facts = [*context.facts(), *_facts_of(constraints)]
        self._originals: dict[str, str] = {}
        self._ids: dict[str, str] = {}  #: digest of a result -> its id
        self._earlier: list[tuple[str, str]] = []  #: label and text of what the turns that are gone came to

    @property
    def facts(self) -> tuple[Fact, ...]:
        """What must survive: pinned facts and constraints."""
        return tuple(self._facts)

    @property
    def originals(self) -> tuple[str, ...]:
        """The ids of results that can be fetched back, in their order."""
        return tuple(self._originals)

    def result(self, name: str, text: str) -> tuple[str, str]:
        """A result as it goes into the conversation: its label, and its text, or where the same text stands already."""
        digest = hashlib.sha256(text.encode(errors="replace")).hexdigest()
        known = self._ids.get(digest)
        if name == RECALL:
            return f"result of {name}", text
        if known is not None and tokens_of(text) >= RESULT_TOKENS_MIN:
            return f"result of {name}", f"[the same text as result {known}; {RECALL} gives it back]"
        if len(self._originals) >= ORIGINALS_MAX:
            return f"result of {name}", text
        made = f"r{len(self._originals) + 1}"
        self._originals[made], self._ids[digest] = text, made
        return f"result {made} of {name}", text

    def recall(self, result: str, find: str, tokens: int) -> str:
        """A result as it was, or the passages of it that have to do with `find`, within `tokens`.

        Raises:
            KeyError: there is no such result.
        """
        text = self._originals[result]
        if tokens_of(text) <= tokens:
            return text
        return shortened([text], find or self._query, tokens, self._facts).text

    async def fit(
        self, messages: Sequence[Message], summarise: Summarise | None
    ) -> tuple[list[Message], Report | None]:
        """The conversation within its budget, and what was done; None when it fits as it is.

        What cannot be cut (the head, the latest turns, protected passages) may leave it above the budget.
        """
        before, budget = size_of(messages), self._context.tokens
        if before <= budget:
            return list(messages), None
        groups = _groups(messages[HEAD:])
        cited = _cited(messages[HEAD:])
        facts: dict[str, None] = {}
        old = max(len(groups) - self._context.turns_whole, 0)
        if not old:
            return list(messages), None
        latest = [one for group in groups[old:] for one in group]
        fixed = size_of([*messages[:HEAD], *latest]) + FENCE_TOKENS
        room = max(budget - budget // SLACK - fixed, 0)
        cut, refused = await self._take(groups[:old], cited, room, facts, summarise)
        made = [*messages[:HEAD], Message(role="user", content=block(_EARLIER, self._digest)), *latest]
        return made, Report(before=before, after=size_of(made), cut=cut, facts=len(facts), refused=refused)

    @property
    def _digest(self) -> str:
        lines = [f"[{label}] {text}" for label, text in self._earlier]
        if self._originals:
            lines.append(f"[results r1 to r{len(self._originals)} as they were: {RECALL}]")
        return "\n".join(lines)

    async def _take(
        self,
        gone: Sequence[Sequence[Message]],
        cited: Sequence[str],
        tokens: int,
        facts: dict[str, None],
        summarise: Summarise | None,
    ) -> tuple[tuple[str, ...], str]:
        """Take turns out of the conversation into what is said of earlier ones, within `tokens`.

        Returns the ids of results that lost something, and why a summary was refused, if one was.
        """
        said = [*self._earlier, *(one for group in gone for message in group for one in _said(message))]
        held = [fact for fact in self._facts if kept_in("\n".join(text for _, text in said), (fact,))]
        facts.update(dict.fromkeys(fact.text for fact in held))
        ids = tuple(dict.fromkeys(one for label, _ in said for one in _ID.findall(label)))
        refused = ""
        if summarise is not None:
            summary = await summarise("\n".join(f"[{label}] {text}" for label, text in said), tokens)
            lost = lost_from(summary, held) or displaced(summary, held)
            if summary and not lost and tokens_of(summary) <= 2 * tokens:
                known = f"summary of {', '.join(ids)}" if ids else "summary"
                self._earlier = [(known, summary)]
                return ids, ""
            refused = "there was none" if not summary else told(lost) or "it is too long"
        labels = sum(tokens_of(f"[{label}] ") for label, _ in said)
        found = shortened([text for _, text in said], self._query, max(tokens - labels, 0), held, cited)
        self._earlier = [
            (label, text) for (label, _), text in zip(said, found.texts, strict=True) if text not in ("", CUT)
        ]
        cut = [one for (label, _), n in zip(said, found.cut, strict=True) if n for one in _ID.findall(label)]
        return tuple(dict.fromkeys(cut)), refused


def size_of(messages: Sequence[Message]) -> int:
    """Tokens of a conversation, estimated."""
    return sum(
        TURN_TOKENS + tokens_of(one.content) + sum(tokens_of(call.name + call.arguments) for call in one.tool_calls)
        for one in messages
    )


def _opened(content: str) -> tuple[str, str]:
    """The label and the text of a fenced block."""
    first, _, rest = content.partition("\n")
    body, _, _fence = rest.rpartition("\n")
    return first.split(" ", 2)[2], body


def _groups(messages: Sequence[Message]) -> list[list[Message]]:
    """Turns: what the agent said with the results that answer it, so that no call loses its answer."""
    groups: list[list[Message]] = []
    for message in messages:
        if (
            message.role == "user"
            and message.content.startswith("<<<DATA ")
            and _opened(message.content)[0] == _EARLIER
        ):
            continue  # it is written anew
        if message.role == "tool" and groups:
            groups[-1].append(message)
        else:
            groups.append([message])
    return groups


def _cited(messages: Sequence[Message]) -> list[str]:
    """Numbers and codes that the agent has used itself: where they came from must stay."""
    found: dict[str, None] = {}
    for message in reversed(messages):
        if message.role == "assistant":
            words = [message.content, *(call.arguments for call in message.tool_calls)]
            for literal in (one for text in words if text for one in literals_of(text[:4_000])):
                if sum(c.isdigit() for c in literal) >= CITED_DIGITS_MIN and len(literal) <= 64:
                    found.setdefault(literal)
        if len(found) >= CITED_MAX:
            break
    return list(found)[:CITED_MAX]


def _facts_of(constraints: Sequence[str]) -> list[Fact]:
    found = []
    for text in constraints:
        try:
            found.append(fact_of(text))
        except ValueError:  # a long one: it stands in the system message, which is never cut
            continue
    return found


def _said(message: Message) -> list[tuple[str, str]]:
    """What a message says, apart from who says it."""
    if message.role == "tool":
        return [_opened(message.content)]
    calls = "; ".join(f"called {call.name} {call.arguments}" for call in message.tool_calls)
    text = " ".join(filter(None, (message.content, calls)))
    return [("you" if message.role == "assistant" else "told", text)] if text else []
