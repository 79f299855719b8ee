"""The outcomes: questions with what a weak and a strong model made of each, what a call costs, and folds by subject."""

import csv
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

FOLDS: Final = 5
#: USD per million tokens in and out by genai-prices 0.2.3: open-mixtral-8x7b at Mistral, gpt-4-1106-preview at OpenAI.
WEAK_PRICE: Final = (0.70, 0.70)
STRONG_PRICE: Final = (10.00, 30.00)
#: The outcomes say nothing of tokens: a token is taken to be four characters, an answer to be this long.
CHARS_PER_TOKEN: Final = 4
ANSWER_TOKENS: Final = 150


@dataclass(frozen=True, slots=True)
class Outcome:
    """One question."""

    subject: str
    prompt: str
    weak: bool  #: the weak model answered right
    strong: bool
    weak_usd: float
    strong_usd: float


def read(path: Path) -> list[Outcome]:
    """All outcomes of a file with the columns subject, prompt, weak_correct, strong_correct.

    Raises:
        ValueError: a column is missing, or a value is neither 0 nor 1.
    """
    found = []
    with path.open(newline="", encoding="utf-8") as file:
        for number, row in enumerate(csv.DictReader(file), 1):
            weak, strong = row.get("weak_correct"), row.get("strong_correct")
            if weak not in ("0", "1") or strong not in ("0", "1") or not row.get("prompt"):
                raise ValueError(
                    f"{path}: row {number} has no subject, prompt, weak_correct and strong_correct (0 or 1)"
                )
            prompt = row["prompt"]
            found.append(
                Outcome(
                    row["subject"],
                    prompt,
                    weak == "1",
                    strong == "1",
                    _usd(prompt, WEAK_PRICE),
                    _usd(prompt, STRONG_PRICE),
                )
            )
    return found


def _usd(prompt: str, price: tuple[float, float]) -> float:
    return (len(prompt) / CHARS_PER_TOKEN * price[0] + ANSWER_TOKENS * price[1]) / 1e6


def folds_by_subject(outcomes: Sequence[Outcome]) -> list[int]:
    """The fold of each question; a subject is in one fold whole, and folds are about equally large."""
    sizes: dict[str, int] = {}
    for one in outcomes:
        sizes[one.subject] = sizes.get(one.subject, 0) + 1
    filled, fold = [0] * FOLDS, {}
    for subject in sorted(sizes, key=lambda name: (-sizes[name], name)):
        least = min(range(FOLDS), key=lambda k: filled[k])
        fold[subject] = least
        filled[least] += sizes[subject]
    return [fold[one.subject] for one in outcomes]


def folds_within_subjects(outcomes: Sequence[Outcome]) -> list[int]:
    """The fold of each question, so that every fold knows every subject: by a digest of the prompt."""
    return [hashlib.sha256(one.prompt.encode()).digest()[0] % FOLDS for one in outcomes]
