"""Ways to a quarter of the tokens: the product's, and what is done without it. Each gets the same budget."""

import random
from collections.abc import Callable, Sequence

from benchmarks.cost.compression.conversations import Conversation
from orchestrator.plan.facts_kept import kept_in
from orchestrator.ports.model import Message
from workers.compression.context import Context
from workers.compression.text import passages_of, ranked, tokens_of
from workers.compression.turns import HEAD, Summarise, Turns, size_of
from workers.prompting import block

Way = Callable[[Conversation, int], list[Message]]


def truncated(given: Conversation, budget: int) -> list[Message]:
    """The head and the latest turns that fit, as most loops do it; of the last one that does not, its end."""
    made: list[Message] = []
    room = budget - size_of(given.messages[:HEAD])
    for message in reversed(given.messages[HEAD:]):
        size = size_of([message])
        if size > room:
            keep = max(room - 8, 0) * 4
            made.append(Message(role="user", content=message.content[-keep:] if keep else ""))
            break
        made.append(message)
        room -= size
    return [*given.messages[:HEAD], *reversed(made)]


def summed_up(given: Conversation, budget: int) -> list[Message]:
    """The most central sentences of everything, as a summary without a model and without pins takes them.

    Central is what has most terms in common with the whole (a centroid summary). Source: Radev et al., "Centroid-based
    summarization of multiple documents", Information Processing and Management 40 (2004).
    """
    text = "\n".join(message.content for message in given.messages[HEAD:])
    return _picked(given, passages_of(text), ranked(passages_of(text), text), budget)


def relevant(given: Conversation, budget: int) -> list[Message]:
    """The sentences that have most to do with the question, without pins: retrieval alone."""
    passages = passages_of("\n".join(message.content for message in given.messages[HEAD:]))
    return _picked(given, passages, ranked(passages, given.query), budget)


def _picked(given: Conversation, passages: Sequence[str], scores: Sequence[float], budget: int) -> list[Message]:
    room = budget - size_of(given.messages[:HEAD]) - 8
    keep: set[int] = set()
    seen: set[str] = set()
    for at in sorted(range(len(passages)), key=lambda at: (-scores[at], at)):
        size = tokens_of(passages[at]) + 1
        if size <= room and passages[at] not in seen:
            keep.add(at)
            seen.add(passages[at])
            room -= size
    summary = "\n".join(passages[at] for at in sorted(keep))
    return [*given.messages[:HEAD], Message(role="user", content=summary)]


async def shortened(
    given: Conversation, budget: int, summarise: Summarise | None = None
) -> tuple[list[Message], Turns, str]:
    """The product's way; also what can be recalled, and why a summary was refused, if one was."""
    context = Context(
        tokens=budget,
        pinned=tuple(fact.text for fact in given.pinned),
        summary="cheap" if summarise is not None else None,
    )
    turns = Turns(context, given.query, ())
    messages = list(given.messages[:HEAD])
    refused = ""
    for message in given.messages[HEAD:]:
        said = message
        if message.role == "tool":
            label, text = turns.result("search", message.content)
            said = Message(role="tool", content=block(label, text), tool_call_id=message.tool_call_id)
        messages.append(said)
        messages, report = await turns.fit(messages, summarise)
        if report is not None and report.refused:
            refused = report.refused
    return messages, turns, refused


def forgetful(given: Conversation, seed: int) -> tuple[Summarise, Callable[[], tuple[int, int]]]:
    """A summariser that loses every tenth sentence; how often it was asked, and how often a pinned fact was lost."""
    chance, counts = random.Random(seed), [0, 0]

    async def summarise(text: str, tokens: int) -> str:
        counts[0] += 1
        passages = passages_of(text)
        scores = ranked(passages, " ".join([given.query, *(fact.text for fact in given.pinned)]))
        room, keep = tokens, set()
        for at in sorted(range(len(passages)), key=lambda at: (-scores[at], at)):
            if tokens_of(passages[at]) < room and chance.random() > 0.1:
                keep.add(at)
                room -= tokens_of(passages[at]) + 1
        summary = "\n".join(passages[at] for at in sorted(keep))
        counts[1] += any(kept_in(text, [fact]) and not kept_in(summary, [fact]) for fact in given.pinned)
        return summary

    return summarise, lambda: (counts[0], counts[1])
