"""Whether the promised share of wrong answers is kept: streams of questions through the very policy of the product.

Two streams. `curves`: entries with a true logistic curve each, steep or flat, early or late. `words`: real questions
and real vectors; each labelled question has its own answer, is asked in its own words, its paraphrase's and with words
that say nothing, and its trap has another answer; the guard looks first there, as in the product.
"""

import random
from collections.abc import Mapping
from dataclasses import dataclass
from math import exp
from typing import Final

from benchmarks.cost.cache.measures import Share
from benchmarks.cost.cache.pairs import Pair
from orchestrator.models.cache.calibration import serving_chance
from orchestrator.models.cache.guard import differs
from orchestrator.ports.cache import Observation
from orchestrator.ports.embeddings import Vector

FLOOR: Final = 0.7  #: cosine below which nothing is looked at
FRAMES: Final = ("{}", "um, {}", "Hi, {}", "Please: {}", "Quick question: {}", "{} Thanks!")


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """What a stream brought."""

    stream: str
    delta: float
    served: Share
    wrong: Share  #: of all questions, which is what the bound speaks of


def curves(delta: float, questions: int, seed: int = 1) -> Kept:
    """Entries whose similarity says much, little or nothing."""
    chance = random.Random(seed)
    each = 250
    served = wrong = asked = 0
    while asked < questions:
        steep, at = chance.choice((6.0, 12.0, 25.0, 50.0)), chance.uniform(0.3, 0.95)
        seen: list[Observation] = []
        for _ in range(min(each, questions - asked)):
            similarity = round(chance.uniform(0.7, 1.0), 2)
            same = chance.random() < 1 / (1 + exp(-steep * (similarity - at)))
            asked += 1
            if chance.random() < serving_chance(seen, similarity, delta):
                served, wrong = served + 1, wrong + (not same)
            else:
                seen.append(Observation(similarity=similarity, same=same))
    return Kept(stream="curves", delta=delta, served=Share(count=served, of=asked), wrong=Share(count=wrong, of=asked))


def variants(pairs: list[Pair]) -> dict[str, str]:
    """Every way a question is asked in the stream of words, and the answer to it."""
    found: dict[str, str] = {}
    for pair in pairs:
        for text, answer in ((pair.kept, pair.kept), (pair.asked, pair.kept if pair.same else pair.asked)):
            for frame in FRAMES:
                found[frame.format(text)] = answer
    return found


def words(
    delta: float,
    questions: int,
    answers: Mapping[str, str],
    vectors: Mapping[str, Vector],
    *,
    guard: bool,
    seed: int = 1,
) -> Kept:
    """Real questions: few are asked often, most seldom (Zipf)."""
    chance = random.Random(seed)
    texts = sorted(answers)
    chance.shuffle(texts)
    weights = [1 / (rank + 1) for rank in range(len(texts))]
    kept = _Kept(vectors)
    exact: set[str] = set()
    served = wrong = looked = 0
    for text in chance.choices(texts, weights, k=questions):
        if text in exact:
            continue  # served exactly: no likeness is looked for
        looked += 1
        near = kept.nearest(text, guard=guard)
        if near is None:
            kept.add(text)
            exact.add(text)
            continue
        entry, similarity = near
        same = answers[entry] == answers[text]
        if chance.random() < serving_chance(kept.seen[entry], similarity, delta):
            served, wrong = served + 1, wrong + (not same)
        else:
            kept.seen[entry].append(Observation(similarity=similarity, same=same))
    name = "words, guarded" if guard else "words, bound alone"
    return Kept(stream=name, delta=delta, served=Share(count=served, of=looked), wrong=Share(count=wrong, of=looked))


class _Kept:
    """Entries with their vectors as one table."""

    def __init__(self, vectors: Mapping[str, Vector]) -> None:
        import numpy as np

        self.seen: dict[str, list[Observation]] = {}
        self._names: list[str] = []
        self._all = {text: np.array(vector, "f4") for text, vector in vectors.items()}
        self._table = np.zeros((len(vectors), len(next(iter(vectors.values())))), "f4")

    def add(self, text: str) -> None:
        """Keep a question."""
        self._table[len(self._names)] = self._all[text]
        self._names.append(text)
        self.seen[text] = []

    def nearest(self, text: str, *, guard: bool) -> tuple[str, float] | None:
        """The nearest entry that may be served, with its cosine."""
        cosines = self._table[: len(self._names)] @ self._all[text]
        for at in (-cosines).argsort()[:16]:
            if cosines[at] < FLOOR:
                return None
            if not guard or not differs(self._names[at], text):
                return self._names[at], float(cosines[at])
        return None
