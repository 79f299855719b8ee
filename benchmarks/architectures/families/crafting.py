"""PlanCraft: crafting with one grid and a real inventory; answers are carried out. Runs in the task host."""

import json
import random
import re
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from benchmarks.architectures.families.absent import allow

Made = tuple[dict[str, Any], dict[str, Any]]
RECIPES = range(3, 9)  #: recipes on the shortest way; most items of the set need one and are no test of planning
FILE = "test.json"


@cache
def items() -> list[dict[str, Any]]:
    """Solvable items of the test set that need several recipes."""
    spec = find_spec("plancraft")
    if spec is None or not spec.submodule_search_locations:
        raise ModuleNotFoundError("plancraft is not installed")
    data = json.loads((Path(spec.submodule_search_locations[0]) / "data" / FILE).read_text(encoding="utf-8"))
    return [one for one in data if not one["impossible"] and int(one["optimal_path_length"] or 0) in RECIPES]


@cache
def _order(seed: int) -> list[int]:
    order = list(range(len(items())))
    random.Random(f"plancraft/{seed}").shuffle(order)
    return order


def _inventory(one: dict[str, Any]) -> dict[int, dict[str, Any]]:
    return {int(slot): dict(found) for slot, found in one["slotted_inventory"].items()}


@cache
def _gold(seed: int, index: int) -> tuple[int, list[list[str]]]:
    """An item whose plan leads to its target, and the moves per recipe; items the planner fails are passed over."""
    allow()
    from plancraft.environment.planner import get_subplans

    for offset in range(len(items())):
        at = _order(seed)[(index + offset * 61) % len(items())]
        one = items()[at]
        observation = {"inventory": _inventory(one), "target": one["target"]}
        moves = [list(part) for part in get_subplans(observation)[0]]
        if len(moves) in range(2, 10) and reached(one, [move for part in moves for move in part]):
            return at, moves
    raise LookupError("no item of plancraft can be solved")


def make(family: str, seed: int, index: int) -> Made:
    """A case, and the moves of each recipe."""
    at, moves = _gold(seed, index)
    one = items()[at]
    slots = sorted(_inventory(one).items())
    stock = ", ".join(f"slot {slot}: {found['quantity']} {found['type']}" for slot, found in slots)
    prompt = f"Craft an item of type {one['target']}. Inventory: {stock}. Actions are moves or smelts, as texts."
    units = [
        {
            "id": f"u{n}",
            "text": f"the actions of recipe {n + 1}, as a list",
            "needs": [f"u{n - 1}"] if n else [],
            "context": 1 if n else 0,
        }
        for n in range(len(moves))
    ]
    case = {
        "id": f"plancraft/{seed}/{index}",
        "family": "plancraft",
        "klass": "sequential",
        "prompt": prompt,
        "units": units,
        "final": "all",
        "tools": 4,
        "alternatives": 0,
        "answer_schema": {"type": "array", "items": {"type": "string"}},
    }
    return case, {f"u{n}": part for n, part in enumerate(moves)}


def reached(one: dict[str, Any], moves: list[str]) -> bool:
    """Whether these actions, in the environment, put the target into the inventory."""
    allow()
    from plancraft.environment.actions import MoveActionHandler, SmeltActionHandler
    from plancraft.environment.env import PlancraftEnvironment

    world = PlancraftEnvironment(inventory=_inventory(one), resolution="low")
    handlers = [MoveActionHandler(), SmeltActionHandler()]
    for move in moves:
        action = next(
            (found for handler in handlers if (found := handler.match(move)) and not isinstance(found, str)), None
        )
        if action is None or str(action) != move:
            return False  # the pattern of an action would also be found inside junk
        world.step(action)
    return any(found["type"] == one["target"] and slot != 0 for slot, found in world.state.items())


def right(case: dict[str, Any], gold: dict[str, Any], unit: str, value: object) -> bool:
    """Whether a recipe's actions are the planner's; another way may also be right, which only the whole can show."""
    return bool(value == gold[unit])


def success(case: dict[str, Any], gold: dict[str, Any], final: object) -> bool:
    """Whether all actions together reach the target."""
    if not isinstance(final, list):
        return False
    moves = [re.sub(r"\s+", " ", str(move)) for part in final for move in (part if isinstance(part, list) else [part])]
    _, seed, index = case["id"].split("/")
    return reached(items()[_gold(int(seed), int(index))[0]], moves)
