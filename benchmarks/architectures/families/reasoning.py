"""Families from reasoning-gym: seeded generators with scorers. Runs in the task host.

Left out on purpose: `game_of_life_halting` scores junk as right, `time_intervals` holds today's date, `jugs` reads over
junk. Right means a score of 1.0.
"""

import re
from functools import lru_cache
from typing import Any

from benchmarks.architectures.families.absent import allow

Made = tuple[dict[str, Any], dict[str, Any]]
Unit = tuple[str, list[str], int]  #: text, needs, facts from elsewhere
PARTS = ("letter_counting", "chain_sum", "spell_backward", "count_bits", "number_sorting")  #: of a composite task
HARDER: dict[str, dict[str, int]] = {"knights_knaves": {"n_people": 4}}
PAGE = 50  #: items that are generated at once


def make(family: str, seed: int, index: int) -> Made:
    """A case and the answers of its steps."""
    return {
        "rg-composite": composite,
        "rg-strings": strings,
        "rg-hanoi": hanoi,
        "rg-knights": knights,
        "rg-zebra": zebra,
    }[family](seed, index)


@lru_cache(maxsize=200)
def dataset(name: str, seed: int, page: int) -> Any:
    """Items of a generator."""
    allow()
    import reasoning_gym

    return reasoning_gym.create_dataset(name, size=PAGE, seed=seed * 1_000 + page, **HARDER.get(name, {}))


def item(name: str, seed: int, index: int) -> tuple[Any, dict[str, Any]]:
    """One item, with its data set for scoring."""
    found = dataset(name, seed, index // PAGE)
    return found, found[index % PAGE]


def scores(name: str, seed: int, index: int, answer: object) -> bool:
    """Whether the generator's own scorer gives full marks."""
    found, one = item(name, seed, index)
    return float(found.score_answer(answer if isinstance(answer, str) else str(answer), one)) >= 1.0


def _case(
    family: str,
    klass: str,
    seed: int,
    index: int,
    prompt: str,
    units: list[tuple[str, list[str], int]],
    final: str = "all",
) -> dict[str, Any]:
    return {
        "id": f"{family}/{seed}/{index}",
        "family": family,
        "klass": klass,
        "prompt": prompt,
        "units": [
            {"id": f"u{at}", "text": text, "needs": needs, "context": context}
            for at, (text, needs, context) in enumerate(units)
        ],
        "final": final,
        "tools": 0,
        "alternatives": 0,
        "answer_schema": {"type": "string"},
    }


def _chain(texts: list[str]) -> list[tuple[str, list[str], int]]:
    return [(text, [f"u{at - 1}"] if at else [], 0) for at, text in enumerate(texts)]


def composite(seed: int, index: int) -> Made:
    """Four to eight questions that have nothing to do with each other."""
    count = 4 + index % 5
    items = [item(PARTS[at % len(PARTS)], seed, index * 8 + at)[1] for at in range(count)]
    units: list[Unit] = [(one["question"].strip(), [], 0) for one in items]
    gold = {f"u{at}": one["answer"] for at, one in enumerate(items)}
    return _case("rg-composite", "decomposable", seed, index, "Answer each question shortly.", units), gold


def strings(seed: int, index: int) -> Made:
    """Rewriting a text by rules: every state is a step."""
    at, states = index % PAGE, [""]
    one: dict[str, Any] = {}
    for offset in range(PAGE):
        at = (index + offset * 7) % PAGE
        _, one = item("string_manipulation", seed, at)
        states = [str(state) for state in one["metadata"]["states"]][1:]
        if 3 <= len(states) <= 9 and states[-1] == one["answer"]:
            break
    texts = [f"the text after transformation {n + 1}" for n in range(len(states))]
    case = _case("rg-strings", "sequential", seed, index, one["question"], _chain(texts), "last")
    return case, {f"u{n}": state for n, state in enumerate(states)} | {"source": at}


def hanoi(seed: int, index: int) -> Made:
    """Towers of Hanoi: every move is a step."""
    at, moves = index % PAGE, [""]
    one: dict[str, Any] = {}
    for offset in range(PAGE):
        at = (index + offset * 7) % PAGE
        _, one = item("tower_of_hanoi", seed, at)
        moves = str(one["answer"]).split("\n")
        if len(moves) <= 10:
            break
    texts = [f"move {n + 1}" for n in range(len(moves))]
    case = _case("rg-hanoi", "sequential", seed, index, one["question"], _chain(texts))
    return case, {f"u{n}": move for n, move in enumerate(moves)} | {"source": at}


def knights(seed: int, index: int) -> Made:
    """Who tells the truth: no statement stands alone."""
    _, one = item("knights_knaves", seed, index)
    clauses = re.split(r",? and |, ", str(one["answer"]).rstrip("."))
    names = [clause.split(" is ")[0] for clause in clauses]
    units: list[Unit] = [
        (f"What is {name}? One or two words, as in the question.", [], len(names) + 1) for name in names
    ]
    case = _case("rg-knights", "coupled", seed, index, one["question"], units)
    return case, {f"u{at}": clause.split(" is ")[1] for at, clause in enumerate(clauses)}


def zebra(seed: int, index: int) -> Made:
    """One question whose clues all hang together."""
    _, one = item("zebra_puzzles", seed, index)
    clues = len(re.findall(r"^- ", one["question"], re.MULTILINE))
    case = _case("rg-zebra", "coupled", seed, index, one["question"], [("the answer", [], min(8, clues))], "last")
    return case, {"u0": one["answer"]}


def right(case: dict[str, Any], gold: dict[str, Any], unit: str, value: object) -> bool:
    """A step is right when it is the generator's, or its own scorer says so."""
    family, seed, index = case["id"].split("/")
    if family == "rg-composite":
        at = int(unit[1:])
        return scores(PARTS[at % len(PARTS)], int(seed), int(index) * 8 + at, value)
    return str(value).strip().lower() == str(gold[unit]).strip().lower()


def success(case: dict[str, Any], gold: dict[str, Any], final: object) -> bool:
    """The whole answer, by the generator's scorer: another way to the goal counts."""
    family, seed_text, index_text = case["id"].split("/")
    seed, index = int(seed_text), int(index_text)
    if family == "rg-strings":
        return scores("string_manipulation", seed, gold["source"], final)
    if family == "rg-zebra":
        return scores("zebra_puzzles", seed, index, final)
    if not isinstance(final, list) or len(final) != len(case["units"]):
        return False
    if family == "rg-composite":
        return all(right(case, gold, f"u{at}", value) for at, value in enumerate(final))
    if family == "rg-hanoi":
        return scores("tower_of_hanoi", seed, gold["source"], "\n".join(map(str, final)))
    if not all(isinstance(value, str) and re.fullmatch(r"[A-Za-z ]+", value.strip()) for value in final):
        return False  # the scorer reads over junk behind the words
    names = [re.sub(r"^What is (.*)\? One.*", r"\1", unit["text"]) for unit in case["units"]]
    clauses = [f"{name} is {str(value).strip()}" for name, value in zip(names, final, strict=True)]
    joined = ", ".join(clauses[:-1]) + f", and {clauses[-1]}." if len(clauses) > 1 else f"{clauses[0]}."
    return scores("knights_knaves", seed, index, joined)
