"""Families from the Berkeley function-calling data: parallel calls, and stateful calls over several turns.

Runs in the task host. Only data files and simulated APIs of the package are used; answers are data, never code.
"""

import ast
import copy
import importlib
import importlib.util
import json
import random
from functools import cache
from pathlib import Path
from typing import Any

from benchmarks.architectures.families.absent import allow

Made = tuple[dict[str, Any], dict[str, Any]]
CALLS_MAX = 8  #: of one task; longer ones meet the single agent's cap on turns instead of its skill
FILES = {"bfcl-parallel": "parallel_multiple", "bfcl-multi-turn": "multi_turn_base"}


@cache
def _root() -> Path:
    spec = importlib.util.find_spec("bfcl_eval")
    if spec is None or not spec.submodule_search_locations:
        raise ModuleNotFoundError("bfcl-eval is not installed")
    return Path(spec.submodule_search_locations[0])


@cache
def items(family: str) -> list[tuple[dict[str, Any], Any]]:
    """Questions with their answers."""
    name = f"BFCL_v4_{FILES[family]}.json"
    asked = [json.loads(line) for line in (_root() / "data" / name).read_text(encoding="utf-8").splitlines()]
    answers = (_root() / "data" / "possible_answer" / name).read_text(encoding="utf-8").splitlines()
    told = {one["id"]: one["ground_truth"] for one in map(json.loads, answers)}
    found = [(one, told[one["id"]]) for one in asked]
    if family == "bfcl-multi-turn":
        found = [(one, gold) for one, gold in found if 3 <= sum(map(len, gold)) <= CALLS_MAX]
    return found


@cache
def _chosen(family: str, seed: int, index: int) -> tuple[dict[str, Any], Any]:
    order = list(range(len(items(family))))
    random.Random(f"{family}/{seed}").shuffle(order)
    if family == "bfcl-parallel":
        return items(family)[order[index % len(order)]]
    for offset in range(len(order)):
        asked, gold = items(family)[order[(index + offset * 31) % len(order)]]
        calls = [parsed(text) for turn in gold for text in turn]
        if executed(asked, calls) == executed(asked, calls):
            return asked, gold  # some APIs draw numbers of their own: those cannot be compared
    raise LookupError("no task gives the same results twice")


def make(family: str, seed: int, index: int) -> Made:
    """A case and its calls."""
    asked, gold = _chosen(family, seed, index)
    turns = ["\n".join(message["content"] for message in turn) for turn in asked["question"]]
    texts: list[tuple[str, list[str]]]
    if family == "bfcl-parallel":
        calls = [
            {"name": name, "args": {key: values[0] for key, values in args.items() if values[0] != ""}}
            for call in gold
            for name, args in call.items()
        ]
        tools = json.dumps(asked["function"], ensure_ascii=False)
        prompt = f"{turns[0]}\nFunctions:\n{tools}\nThe request needs {len(calls)} calls."
        texts = [(f"call {at + 1}, in the order of the request", []) for at in range(len(calls))]
        klass, count = "decomposable", len(asked["function"])
    else:
        flat = [(number, text) for number, turn in enumerate(gold) for text in turn]
        calls = [parsed(text) for _, text in flat]
        prompt = "\n".join(f"Turn {number + 1}: {text}" for number, text in enumerate(turns))
        prompt += f"\nAPIs: {', '.join(asked['involved_classes'])}"
        texts = [
            (f"the next call, for turn {turn + 1}", [f"u{at - 1}"] if at else []) for at, (turn, _) in enumerate(flat)
        ]
        klass, count = "sequential", 8
    case = {
        "id": f"{family}/{seed}/{index}",
        "family": family,
        "klass": klass,
        "prompt": prompt,
        "units": [
            {"id": f"u{at}", "text": text, "needs": needs, "context": 0} for at, (text, needs) in enumerate(texts)
        ],
        "final": "all",
        "tools": count,
        "alternatives": 0,
        "answer_schema": {
            "type": "object",
            "properties": {"name": {"type": "string"}, "args": {"type": "object"}},
            "required": ["name", "args"],
        },
    }
    return case, {f"u{at}": call for at, call in enumerate(calls)}


def parsed(text: str) -> dict[str, Any]:
    """A gold call as data; positional arguments are kept by their number."""
    call = ast.parse(text, mode="eval").body
    assert isinstance(call, ast.Call), "gold answers are calls"
    args = {f"#{at}": ast.literal_eval(value) for at, value in enumerate(call.args)}
    return {
        "name": ast.unparse(call.func),
        "args": args | {str(one.arg): ast.literal_eval(one.value) for one in call.keywords},
    }


def right(case: dict[str, Any], gold: dict[str, Any], unit: str, value: object) -> bool:
    """Whether a call is the wanted one; of parallel calls every listed value of an argument counts."""
    if not isinstance(value, dict):
        return False
    if case["family"] == "bfcl-multi-turn":
        return bool(value == gold[unit])
    family, seed, index = case["id"].split("/")
    wanted = [pair for call in _chosen(family, int(seed), int(index))[1] for pair in call.items()][int(unit[1:])]
    return fits(value, *wanted)


def fits(value: dict[str, Any], name: str, allowed: dict[str, list[Any]]) -> bool:
    """Name and arguments are among what is allowed; an argument may be left out where an empty text is."""
    args = value.get("args")
    if value.get("name") != name or not isinstance(args, dict) or not set(args) <= set(allowed):
        return False
    return all((args[key] in values) if key in args else ("" in values) for key, values in allowed.items())


def success(case: dict[str, Any], gold: dict[str, Any], final: object) -> bool:
    """All calls are right; or, with state, they leave the APIs as the gold calls do and give the same results."""
    if not isinstance(final, list) or len(final) != len(gold):
        return False
    if case["family"] == "bfcl-parallel":
        return all(right(case, gold, f"u{at}", call) for at, call in enumerate(final))
    family, seed, index = case["id"].split("/")
    asked, _ = _chosen(family, int(seed), int(index))
    return executed(asked, final) == executed(asked, [gold[f"u{at}"] for at in range(len(gold))])


def executed(asked: dict[str, Any], calls: list[dict[str, Any]]) -> tuple[list[str], list[str]]:
    """Results and final states, as texts, of calls on fresh APIs."""
    allow()
    config = importlib.import_module("bfcl_eval.constants.executable_backend_config")
    instances = []
    for name in asked["involved_classes"]:
        one = getattr(importlib.import_module(config.CLASS_FILE_PATH_MAPPING[name]), name)()
        if name not in config.STATELESS_CLASSES:
            one._load_scenario(copy.deepcopy(asked["initial_config"].get(name, {})), long_context=False)
        instances.append(one)
    results = []
    for call in calls:
        name, args = str(call["name"]), dict(call["args"])
        owner = next((one for one in instances if not name.startswith("_") and hasattr(type(one), name)), None)
        if owner is None:
            results.append("no such function")
            continue
        positional = [args.pop(key) for key in sorted(key for key in args if key.startswith("#"))]
        try:
            results.append(_stable(getattr(owner, name)(*positional, **args)))
        except Exception as error:  # noqa: BLE001  # simulated APIs raise anything on arguments that do not fit
            results.append(f"error: {type(error).__name__}")
    return results, [_stable(vars(one)) for one in instances]


def _stable(value: Any, depth: int = 0) -> str:
    """A text of nested data and objects that does not hold addresses."""
    if depth > 12:
        return "…"
    if isinstance(value, dict):
        return (
            "{"
            + ", ".join(f"{key}: {_stable(value[key], depth + 1)}" for key in sorted(value, key=str) if key != "parent")
            + "}"
        )
    if isinstance(value, list | tuple | set):
        return "[" + ", ".join(_stable(one, depth + 1) for one in value) + "]"
    if hasattr(value, "__dict__") and not isinstance(value, type):
        plain = {key: one for key, one in vars(value).items() if not key.startswith("_random")}
        return type(value).__name__ + _stable(plain, depth + 1)
    return repr(value)
