"""Conversations with planted facts: tool results, long and mostly beside the point. The same for one seed."""

import json
import random
from dataclasses import dataclass
from typing import Final

from orchestrator.plan.facts_kept import Fact, fact_of
from orchestrator.ports.model import Message, ToolCall

TURNS: Final = 16
PINNED: Final = 8
NEAR: Final = 40  #: unpinned facts about what is asked
FAR: Final = 60  #: unpinned facts about something else
FILLERS: Final = 18  #: sentences of a result that are true and beside the point, half of them with numbers and names

_TOPICS: Final = ("heat pumps", "wind farms", "battery storage", "district heating", "solar roofs", "tidal plants")
_PLACES: Final = (
    "Bergen",
    "Lyon",
    "Osaka",
    "Porto",
    "Tampere",
    "Gdansk",
    "Leeds",
    "Cork",
    "Ghent",
    "Turin",
    "Malmo",
    "Split",
)
_FIRMS: Final = ("Norvik", "Aldera", "Kestrel", "Sunbeck", "Tarnow", "Velmar", "Ostrava", "Brindle", "Quarto", "Ilmari")
_ADJECTIVES: Final = (
    "annual",
    "local",
    "recent",
    "modest",
    "sharp",
    "steady",
    "early",
    "late",
    "broad",
    "rural",
    "joint",
)
_NOUNS: Final = (
    *("council", "harbour", "school", "market", "library", "railway", "museum", "orchard", "theatre", "bridge"),
    *("hospital", "stadium", "ferry", "bakery", "archive", "quarry", "garden", "workshop", "factory", "village"),
)
_VERBS: Final = ("moved", "opened", "closed", "widened", "praised", "renamed", "repaired", "joined", "left", "extended")
_ENDS: Final = (
    "after a long discussion",
    "without much notice",
    "as the minutes record",
    "to the relief of its neighbours",
    "although few had asked for it",
    "in the course of the season",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Conversation:
    """One conversation, what is asked in it, and what it says."""

    messages: tuple[Message, ...]
    query: str
    pinned: tuple[Fact, ...]
    near: tuple[Fact, ...]
    far: tuple[Fact, ...]


def conversation(seed: int) -> Conversation:
    """The conversation of a seed."""
    chance = random.Random(seed)
    topic, *others = chance.sample(_TOPICS, 3)
    query = f"Compare suppliers of {topic}: price, capacity and delivery."
    codes = iter(chance.sample(range(1_000, 10_000), PINNED + NEAR + FAR))
    pinned = [_pinned(chance, next(codes)) for _ in range(PINNED)]
    near = [_fact(chance, topic, next(codes)) for _ in range(NEAR)]
    far = [_fact(chance, chance.choice(others), next(codes)) for _ in range(FAR)]
    places: list[list[str]] = [[] for _ in range(TURNS)]
    for fact in (*pinned, *near, *far):
        chance.choice(places[:-1]).append(fact.text)
    messages = [
        Message(role="system", content="You compare suppliers."),
        Message(role="user", content=query),
    ]
    for number, planted in enumerate(places):
        sentences = [_filler(chance) for _ in range(FILLERS)]
        for text in planted:
            sentences.insert(chance.randrange(len(sentences) + 1), text)
        asked = ToolCall(id=f"c{number}", name="search", arguments=json.dumps({"page": number + 1}))
        messages.append(Message(role="assistant", content="", tool_calls=(asked,)))
        messages.append(Message(role="tool", content=" ".join(sentences), tool_call_id=asked.id))
    return Conversation(messages=tuple(messages), query=query, pinned=tuple(pinned), near=tuple(near), far=tuple(far))


def _fact(chance: random.Random, topic: str, code: int) -> Fact:
    firm, place, number = chance.choice(_FIRMS), chance.choice(_PLACES), chance.randint(11, 989)
    kind = chance.randrange(3)
    if kind == 0:
        return fact_of(f"For {topic} the supplier {firm} asks a price of {number} euros under offer Q-{code}.")
    if kind == 1:
        return fact_of(f"In {place} the capacity of {topic} is {number} megawatts, says report R-{code}.")
    return fact_of(f"Delivery of {topic} to {place} takes {number} days by contract K-{code}.")


def _pinned(chance: random.Random, code: int) -> Fact:
    """What nobody asks for, and must stay all the same."""
    place, number = chance.choice(_PLACES), chance.randint(11, 989)
    kind = chance.randrange(3)
    if kind == 0:
        return fact_of(f"Never ship to {place} before permit P-{code} is signed.")
    if kind == 1:
        return fact_of(f"The customer number is C-{code} and the ceiling is {number},000 euros.")
    return fact_of(f"The person to ask in {place} is Ms. Hale, extension X-{code}.")


def _filler(chance: random.Random) -> str:
    """A sentence that hardly ever comes twice."""
    first, second = chance.sample(_NOUNS, 2)
    said = f"The {chance.choice(_ADJECTIVES)} {first} {chance.choice(_VERBS)} the {chance.choice(_ADJECTIVES)} {second}"
    if chance.random() < 0.5:
        said += f" of {chance.choice(_PLACES)} by {chance.randint(2, 999)} in {chance.randint(1950, 2025)}"
    return f"{said}, {chance.choice(_ENDS)}."
