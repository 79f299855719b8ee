"""The generated families as the task host calls them."""

from typing import Any

from benchmarks.architectures.families.generated import FAMILIES, same


def make(family: str, seed: int, index: int) -> tuple[dict[str, Any], dict[str, Any]]:
    """A case and its answers."""
    return FAMILIES[family](seed, index)


def right(case: dict[str, Any], gold: dict[str, Any], unit: str, value: object) -> bool:
    """Whether a step's answer is right."""
    return same(gold[unit], value)


def success(case: dict[str, Any], gold: dict[str, Any], final: object) -> bool:
    """Whether every answer in the final one is right."""
    wanted = [gold[unit["id"]] for unit in case["units"]]
    return (
        isinstance(final, list)
        and len(final) == len(wanted)
        and all(same(right_one, said) for right_one, said in zip(wanted, final, strict=True))
    )
