"""The requests: common questions, tasks of two difficulties, research with long tool results, and work that can wait.

Every request has a true answer. The endpoint gets the same table, so that what was delivered can be held against it.
"""

import hashlib
import random
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal

from benchmarks.cost.cache.bound import variants
from benchmarks.cost.cache.pairs import own_pairs

Kind = Literal["faq", "task", "research", "later"]
SHARES: Final[Mapping[Kind, float]] = {"faq": 0.5, "task": 0.25, "research": 0.1, "later": 0.15}
HARD: Final = 0.4  #: of the tasks: the cheap model cannot do them
PAGES: Final = 4  #: that research reads
PAGE_CHARS: Final = 4_000
CITIES: Final = ("Aarhus", "Bilbao", "Cork", "Delft", "Essen", "Faro", "Ghent", "Hull", "Izmir", "Jena", "Kiel", "Lund")


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One request of a user."""

    kind: Kind
    text: str
    truth: str


def requests(count: int, seed: int) -> list[Request]:
    """`count` requests in a fixed, mixed order."""
    chance = random.Random(seed)
    questions = variants(own_pairs())
    texts = sorted(questions)
    chance.shuffle(texts)
    weights = [1 / (rank + 1) ** 0.9 for rank in range(len(texts))]  # few questions are asked often
    kinds = chance.choices(list(SHARES), list(SHARES.values()), k=count)
    asked = iter(chance.choices(texts, weights, k=count))
    found = []
    for number, kind in enumerate(kinds):
        if kind == "faq":
            text = next(asked)
            found.append(Request(kind=kind, text=text, truth=f"The answer is {short(questions[text])}."))
        else:
            found.append(_made(kind, number, chance))
    return found


def _made(kind: Kind, number: int, chance: random.Random) -> Request:
    city = chance.choice(CITIES)
    if kind == "task":
        level = "hard" if chance.random() < HARD else "easy"
        parcels = chance.randint(3, 40)
        text = f"Task {number} ({level}): plan the stops of a delivery round in {city} with {parcels} parcels."
        return Request(kind=kind, text=text, truth=f"Round {short(text)} is planned.")
    if kind == "research":
        text = f"Which code does the {city} depot file {number} give?"
        return Request(kind=kind, text=text, truth=f"It is {secret(text)}.")
    text = f"Write the label of parcel {number} to {city}."
    return Request(kind=kind, text=text, truth=f"Label {short(text)}.")


def short(text: str) -> str:
    """A name for a text."""
    return hashlib.sha256(text.encode()).hexdigest()[:10]


def secret(text: str) -> str:
    """The code that only the first page of a file tells."""
    return f"K-{int(hashlib.sha256(text.encode()).hexdigest()[:8], 16) % 900_000 + 100_000}"


def page(question: str, number: int) -> str:
    """A page of a file: long, and with what matters on the first alone."""
    chance = random.Random(f"{question}/{number}")
    words = ("pallet", "lorry", "ramp", "seal", "scale", "berth", "crane", "ledger", "label", "route")
    lines: list[str] = []
    while sum(len(line) for line in lines) < PAGE_CHARS:
        first, second, third = chance.choices(words, k=3)
        lines.append(f"The {first} was moved to the {second} and the {third} was closed.")
    if number == 1:
        lines[len(lines) // 2] = (
            f"{question.removeprefix('Which ').rstrip('?').capitalize()}: the code is {secret(question)}."
        )
    return "\n".join(lines)
