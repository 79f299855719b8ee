"""Every question of a set against every other: whose answers differ, and which would be served all the same."""

from collections.abc import Mapping
from typing import Final

from benchmarks.cost.cache.bound import FLOOR
from benchmarks.cost.cache.pairs import Pair
from orchestrator.models.cache.guard import differs
from orchestrator.ports.embeddings import Vector

AT: Final = (0.8, 0.9, 0.95)


def crossed(title: str, pairs: list[Pair], vectors: Mapping[str, Vector]) -> str:
    """One line. Labels speak of pairs alone: two questions of different pairs may want one answer and count as two."""
    import numpy as np

    answers: dict[str, str] = {}
    for pair in pairs:
        answers.setdefault(pair.kept, pair.kept)
        answers.setdefault(pair.asked, answers[pair.kept] if pair.same else pair.asked)
    texts = sorted(answers)
    table = np.array([vectors[text] for text in texts], "f4")
    cosines = np.triu(table @ table.T, 1)
    near = [(texts[i], texts[j], cosines[i, j]) for i, j in np.argwhere(cosines >= FLOOR)]
    apart = [(one, other, cosine) for one, other, cosine in near if answers[one] != answers[other]]
    plain = ", ".join(f"cosine {at} {sum(cosine >= at for *_, cosine in apart):,}" for at in AT)
    guarded = [(one, other) for one, other, _ in apart if not differs(one, other)]
    told = "".join(f"\n    {one} / {other}" for one, other in guarded)
    count = len(texts) * (len(texts) - 1) // 2
    served = f"{plain}, guard {len(guarded)}{told}"
    return f"{title}: of {count:,} pairs of {len(texts):,} questions, served though answers differ: {served}"
