"""`python -m benchmarks.cost.cache`: hits and wrong serves of caching policies on labelled pairs, in one run."""

import argparse
import json
import sys
import tempfile
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path
from typing import Final

import anyio

from benchmarks.cost.cache.bound import Kept, curves, variants, words
from benchmarks.cost.cache.crossing import crossed
from benchmarks.cost.cache.measures import Labelled, Measured, table
from benchmarks.cost.cache.overhead import looks
from benchmarks.cost.cache.pairs import Pair, Talk, ensured, foreign_pairs, own_pairs, talks
from orchestrator.adapters.embeddings.local import LocalEmbeddings
from orchestrator.models.cache.guard import differs
from orchestrator.models.cache.keys import keys_of
from orchestrator.ports.embeddings import Vector
from orchestrator.ports.model import CacheUse, Message, Prompt
from orchestrator.settings import CacheSettings

USUAL: Final = (0.7, 0.8, 0.85, 0.9, 0.95)  #: thresholds in use; 0.8 is GPTCache's default
FLOOR: Final = CacheSettings().similarity


def main() -> int:
    """Measure, print, and write JSON where asked."""
    parser = argparse.ArgumentParser(prog="benchmarks.cost.cache", description=__doc__)
    parser.add_argument("--questions", type=int, default=10_000, help="of each stream that tests the bound")
    parser.add_argument("--looks", type=int, default=2_000, help="exact look-ups timed")
    parser.add_argument("--json", type=Path, help="write the figures there")
    given = parser.parse_args()
    model, folder = ensured("minilm"), ensured("pairs")
    ours, theirs, spoken = own_pairs(), foreign_pairs(folder), talks(folder)
    ways = variants(ours)
    vectors = anyio.run(_embedded, model, _texts(ours, theirs, spoken, ways))
    sets = {
        f"fow-cache, {len(theirs)} pairs": _on_pairs(theirs, vectors),
        f"ours, {len(ours)} pairs": _on_pairs(ours, vectors),
        "both, pairs the guard was not tuned on": _on_pairs(
            [p for p in (*theirs, *ours) if p.number % 2 == 0], vectors
        ),
        f"fow-cache, {len(spoken)} conversations": _on_talks(spoken, vectors),
    }
    for title, rows in sets.items():
        print(table(title, rows) + "\n")
    for title, found in (("fow-cache", theirs), ("ours", ours)):
        print(crossed(title, found, vectors))
    print()
    bounds = _bounds(given.questions, ways, vectors)
    took = anyio.run(_looked, given.looks)
    print("exact look-up, median: " + ", ".join(f"{name} {seconds * 1e3:.3f} ms" for name, seconds in took.items()))
    if given.json is not None:
        told = {title: [asdict(row) for row in rows] for title, rows in sets.items()}
        given.json.write_text(json.dumps({"sets": told, "bounds": [asdict(one) for one in bounds], "seconds": took}))
    both = [row for rows in list(sets.values())[:2] for row in rows if row.policy == _DEFAULT]
    wrong, traps = sum(row.wrong.count for row in both), sum(row.wrong.of for row in both)
    print(f"\nwrong serves of the guard at {FLOOR} on all traps: {wrong} of {traps}")
    return 0 if wrong <= traps / 100 else 1


_DEFAULT: Final = f"guard, cosine {FLOOR}"


def _on_pairs(pairs: list[Pair], vectors: dict[str, Vector]) -> list[Measured]:
    def near(pair: Pair) -> float:
        return _cosine(vectors[pair.kept], vectors[pair.asked])

    def fits(pair: Pair) -> bool:
        return not differs(pair.kept, pair.asked)

    labelled = Labelled(pairs, lambda pair: pair.same)
    rows = [labelled.under(f"plain cosine {at}", _above(near, at)) for at in USUAL]
    rows.append(labelled.under(_DEFAULT, lambda pair: near(pair) >= FLOOR and fits(pair)))
    rows.append(labelled.under("guard, cosine 0.9", lambda pair: near(pair) >= 0.9 and fits(pair)))
    rows.append(labelled.under("guard alone", fits))
    return rows


def _on_talks(found: list[Talk], vectors: dict[str, Vector]) -> list[Measured]:
    """The last message alone, as caches without a conversation do; and ours, where all before must be equal."""

    def near(talk: Talk) -> float:
        return _cosine(vectors[talk.kept[-1][1]], vectors[talk.asked[-1][1]])

    def ours(talk: Talk) -> bool:
        kept, asked = (keys_of(_prompt(side), tenant="t", models="m", version="") for side in (talk.kept, talk.asked))
        if kept.exact == asked.exact:
            return True
        return (
            bool(kept.scope)
            and kept.scope == asked.scope
            and near(talk) >= FLOOR
            and not differs(kept.question, asked.question)
        )

    labelled = Labelled(found, lambda talk: talk.same)
    rows = [labelled.under(f"last message, plain cosine {at}", _above(near, at)) for at in USUAL]
    guarded = labelled.under(
        "last message, guard", lambda talk: near(talk) >= FLOOR and not differs(talk.kept[-1][1], talk.asked[-1][1])
    )
    return [*rows, guarded, labelled.under("conversation in the key, guard", ours)]


def _prompt(said: tuple[tuple[str, str], ...]) -> Prompt:
    messages = tuple(Message(role=role, content=text) for role, text in said)  # type: ignore[arg-type]  # its roles are ours
    return Prompt(tier="cheap", messages=messages, cache=CacheUse(tenant="t", mode="semantic"))


def _bounds(questions: int, ways: dict[str, str], vectors: dict[str, Vector]) -> list[Kept]:
    rows: list[Kept] = []
    print(f"the bound on wrong answers, of all questions looked for by likeness ({questions:,} asked in each stream)")
    for delta in (0.01, 0.03, 0.05):
        rows.append(curves(delta, questions))
        rows.append(words(delta, questions, ways, vectors, guard=False))
        rows.append(words(delta, questions, ways, vectors, guard=True))
    for row in rows:
        kept = "kept" if row.wrong.count <= row.delta * row.wrong.of else "BROKEN"
        print(f"delta {row.delta:.0%}  {row.stream:<18}  served {row.served}  wrong {row.wrong}  {kept}")
    print()
    return rows


def _texts(ours: list[Pair], theirs: list[Pair], spoken: list[Talk], ways: dict[str, str]) -> list[str]:
    last = (side[-1][1] for talk in spoken for side in (talk.kept, talk.asked))
    return sorted({*(text for pair in (*ours, *theirs) for text in (pair.kept, pair.asked)), *last, *ways})


async def _embedded(folder: Path, texts: list[str]) -> dict[str, Vector]:
    model = LocalEmbeddings(folder)
    found: dict[str, Vector] = {}
    for at in range(0, len(texts), 32):
        lot = sorted(texts, key=len)[at : at + 32]  # alike in length: little is padded
        found |= dict(zip(lot, (await model.embed(lot)).vectors, strict=True))
    return found


async def _looked(times: int) -> dict[str, float]:
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        url: str | None = None
        try:
            from tests.servers.redis import redis_server

            url = stack.enter_context(redis_server("redis")).url
        except ImportError:
            print("no Redis from a wheel: its look-up is not measured", file=sys.stderr)
        return await looks(folder, url, times)


def _above(near: Callable[[Pair], float] | Callable[[Talk], float], at: float) -> Callable[..., bool]:
    return lambda item: near(item) >= at


def _cosine(one: Iterable[float], other: Iterable[float]) -> float:
    return sum(a * b for a, b in zip(one, other, strict=True))


if __name__ == "__main__":
    sys.exit(main())
