"""Generated step DAGs with a known answer at every step: small arithmetic, whose difficulty is its structure.

Standard library only: this runs in the task host.
"""

import random
from collections.abc import Callable
from typing import Any

MODULUS = 1_000
Made = tuple[dict[str, Any], dict[str, int]]  #: a case in public form, and the answers of its steps


def _rng(family: str, seed: int, index: int) -> random.Random:
    return random.Random(f"{family}/{seed}/{index}")


def _case(
    family: str, klass: str, seed: int, index: int, units: list[dict[str, Any]], facts: dict[str, int], tools: int = 0
) -> dict[str, Any]:
    told = " ".join(f"{name} = {value}." for name, value in facts.items())
    steps = "\n".join(f"{unit['id']}: {unit['text']}" for unit in units)
    prompt = f"Do these steps; every answer is a whole number from 0 to {MODULUS - 1}.\n{told}\n{steps}".replace(
        "\n\n", "\n"
    )
    return {
        "id": f"{family}/{seed}/{index}",
        "family": family,
        "klass": klass,
        "prompt": prompt,
        "units": units,
        "final": "all",
        "tools": tools,
        "alternatives": 0,
        "answer_schema": {"type": "integer"},
    }


def _dag(family: str, klass: str, seed: int, index: int, shape: list[list[int]], facts_each: int, tools: int) -> Made:
    """Steps over earlier steps: the sum of the inputs, times a, plus b or a named constant, modulo MODULUS."""
    rng = _rng(family, seed, index)
    facts: dict[str, int] = {}
    units: list[dict[str, Any]] = []
    gold: dict[str, int] = {}
    for at, needs in enumerate(shape):
        name, times = f"u{at}", rng.randint(2, 9)
        constants = []
        for _ in range(facts_each):
            constant = f"k{len(facts)}"
            facts[constant] = rng.randint(1, 99)
            constants.append(constant)
        plus, start = rng.randint(1, 99), rng.randint(10, 99)
        inputs = [f"u{need}" for need in needs]
        source = f"the sum of {' and '.join(inputs)}" if len(inputs) > 1 else (inputs[0] if inputs else str(start))
        extra = "".join(f", add {constant}" for constant in constants)
        text = (
            f"multiply {source} by {times}, add {plus}{extra}, and keep the last three digits (the remainder of 1000)."
        )
        total = sum(gold[one] for one in inputs) if inputs else start
        gold[name] = (total * times + plus + sum(facts[constant] for constant in constants)) % MODULUS
        units.append({"id": name, "text": text, "needs": inputs, "context": facts_each})
    return _case(family, klass, seed, index, units, facts, tools), gold


def map_reduce(seed: int, index: int) -> Made:
    """Independent steps and one that joins them."""
    width = 4 + index % 4
    return _dag("map-reduce", "decomposable", seed, index, [*[[] for _ in range(width)], list(range(width))], 0, 0)


def branches(seed: int, index: int) -> Made:
    """Short chains side by side."""
    lanes, length = 3, 2 + index % 2
    shape = [[] if step == 0 else [lane * length + step - 1] for lane in range(lanes) for step in range(length)]
    return _dag("branches", "decomposable", seed, index, shape, 0, 0)


def chain(seed: int, index: int) -> Made:
    """Each step needs the one before."""
    length = 5 + index % 4
    return _dag("chain", "sequential", seed, index, [[] if at == 0 else [at - 1] for at in range(length)], 0, 0)


def ledger(seed: int, index: int) -> Made:
    """A chain in which each step also needs the one before the last, and a constant from the head of the task."""
    length = 5 + index % 3
    return _dag("ledger", "sequential", seed, index, [list(range(max(0, at - 2), at)) for at in range(length)], 1, 0)


def knot(seed: int, index: int) -> Made:
    """Every step hangs on many facts of the whole task: it can be cut, and loses by it."""
    width = 5 + index % 3
    return _dag("knot", "coupled", seed, index, [*[[] for _ in range(width)], list(range(width))], 4, 0)


def mesh(seed: int, index: int) -> Made:
    """Two layers, fully joined, with facts from all over."""
    width = 3
    shape = [*[[] for _ in range(width)], *[list(range(width)) for _ in range(width)]]
    return _dag("mesh", "coupled", seed, index, shape, 3, 0)


def toolbox(seed: int, index: int) -> Made:
    """Independent look-ups and two that join them, with 24 tools to choose from."""
    width = 4 + index % 2
    half = width // 2
    shape = [*[[] for _ in range(width)], list(range(half)), list(range(half, width)), [width, width + 1]]
    return _dag("toolbox", "tool-heavy", seed, index, shape, 0, 24)


def errands(seed: int, index: int) -> Made:
    """A chain of calls to 16 tools, with one side branch."""
    length = 5 + index % 2
    shape: list[list[int]] = [[] if at == 0 else [at - 1] for at in range(length)]
    return _dag("errands", "tool-heavy", seed, index, [*shape, [0], [length - 1, length]], 0, 16)


FAMILIES: dict[str, Callable[[int, int], Made]] = {
    "map-reduce": map_reduce,
    "branches": branches,
    "chain": chain,
    "ledger": ledger,
    "knot": knot,
    "mesh": mesh,
    "toolbox": toolbox,
    "errands": errands,
}


def same(gold: object, said: object) -> bool:
    """Whether an answer is the number that was wanted; a text that holds just that number counts."""
    if isinstance(said, str):
        try:
            said = int(said.strip())
        except ValueError:
            return False
    return type(said) in (int, float) and said == gold
