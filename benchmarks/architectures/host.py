"""The task host: a process of its own that makes tasks, keeps their answers, and grades; it speaks JSON lines.

Nothing but the standard library is imported here, so that it also runs in an environment that holds only task packages.
Agents and validators live in another process and get public tasks; `golds` is asked for by simulations alone.
"""

import contextlib
import importlib
import json
import os
import sys
import traceback
from collections.abc import Callable
from functools import lru_cache
from typing import Any

OWN = "ORCHESTRATOR_BENCH_FAMILIES"  #: families of your own
HOSTS = {
    **dict.fromkeys(
        ("map-reduce", "branches", "chain", "ledger", "knot", "mesh", "toolbox", "errands"), "generated_host"
    ),
    **dict.fromkeys(("rg-composite", "rg-strings", "rg-hanoi", "rg-knights", "rg-zebra"), "reasoning"),
    **dict.fromkeys(("bfcl-parallel", "bfcl-multi-turn"), "bfcl"),
    "plancraft": "crafting",
    **dict.fromkeys(("dojo-workspace", "dojo-travel", "dojo-banking", "dojo-slack"), "dojo"),
}


CLASSES = ("decomposable", "sequential", "coupled", "tool-heavy")
REQUIRED = {"id", "family", "klass", "prompt", "units"}
OPTIONAL = {"final", "tools", "alternatives", "answer_schema"}
UNIT: dict[str, type | tuple[type, ...]] = {"id": str, "text": str, "needs": (list, tuple), "context": int}


@lru_cache(maxsize=20_000)
def made(case: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """A case and the answers of its steps, by id `family/seed/index`.

    Raises:
        ValueError: the family's `make` gave no case, or an unfair one; the message says what is wrong with it.
    """
    family, seed, index = case.rsplit("/", 2)
    module = _family(family)
    found = module.make(family, int(seed), int(index))
    if wrong := _wrong(module, family, case, found):
        raise ValueError(f"make({family!r}, {seed}, {index}) of {module.__name__}: {wrong}")
    return found[0], found[1]


def _wrong(module: Any, family: str, name: str, found: Any) -> str:
    """What is wrong with what `make` gave; empty when nothing is."""
    if not isinstance(found, (tuple, list)) or len(found) != 2 or not all(isinstance(one, dict) for one in found):
        return "a pair is expected: the case, and the answers of its steps by id, both mappings"
    case, gold = found
    if missing := sorted(REQUIRED - set(case)):
        return f"the case lacks {', '.join(missing)}"
    if unknown := sorted(set(case) - REQUIRED - OPTIONAL):
        return f"a case has no {', '.join(unknown)}; it has {', '.join(sorted(REQUIRED | OPTIONAL))}"
    if (case["id"], case["family"]) != (name, family):
        return f"the case is {case['id']!r} of {case['family']!r}; asked for was {name!r} of {family!r}"
    if case["klass"] not in CLASSES:
        return f"klass is {case['klass']!r}; there are {', '.join(CLASSES)}"
    if case.get("final", "all") not in {"all", "last"}:
        return f"final is {case['final']!r}; there are all, last"
    if wrong := _wrong_units(case["units"]):
        return wrong
    names = [unit["id"] for unit in case["units"]]
    if unanswered := [unit for unit in names if gold.get(unit) is None]:
        return f"there is no answer to {', '.join(unanswered)}"
    try:
        json.dumps([case, gold], ensure_ascii=False, allow_nan=False).encode()
    except (TypeError, ValueError) as error:
        return f"case and answers must be JSON: {error}"
    return _wrong_grader(module, case, gold) if family in _own() else ""


def _wrong_units(units: Any) -> str:
    if not isinstance(units, (list, tuple)) or not units:
        return "units is a list of at least one step"
    seen: list[str] = []
    for at, unit in enumerate(units):
        if not isinstance(unit, dict) or not {"id", "text"} <= set(unit) <= set(UNIT):
            return f"step {at} has id and text, and may have needs and context; it is {str(unit)[:200]}"
        for key, kind in UNIT.items():
            if key in unit and not isinstance(unit[key], kind):
                return f"step {at}: {key} is {unit[key]!r}"
        if unit["id"] in seen:
            return f"two steps are called {unit['id']!r}"
        if early := [need for need in unit.get("needs", ()) if need not in seen]:
            return f"step {unit['id']!r} needs {early[0]!r}, which is no earlier step"
        seen.append(unit["id"])
    return ""


def _wrong_grader(module: Any, case: dict[str, Any], gold: dict[str, Any]) -> str:
    """A grader of your own that refuses right answers would make every figure wrong; found before anything is paid."""
    names = [unit["id"] for unit in case["units"]]
    if refused := [unit for unit in names if not module.right(case, gold, unit, gold[unit])]:
        return f"right() refuses the answer to {refused[0]!r} that make() gave"
    final = gold[names[-1]] if case.get("final", "all") == "last" else [gold[unit] for unit in names]
    return "" if module.success(case, gold, final) else "success() refuses the answers that make() gave"


def known() -> dict[str, str]:
    """Modules by family: those of the harness, and your own from OWN, written `name=module,other=module`."""
    return {name: f"benchmarks.architectures.families.{module}" for name, module in HOSTS.items()} | _own()


def _own() -> dict[str, str]:
    return dict(part.split("=", 1) for part in os.environ.get(OWN, "").split(",") if "=" in part)


def _family(family: str) -> Any:
    modules = known()
    if family not in modules:
        raise KeyError(f"no family {family!r}; there are {', '.join(sorted(modules))}")
    return importlib.import_module(modules[family])


def cases(asked: dict[str, Any]) -> list[dict[str, Any]]:
    """`count` public cases of a family."""
    return [made(f"{asked['family']}/{asked['seed']}/{index}")[0] for index in range(asked["count"])]


def golds(asked: dict[str, Any]) -> dict[str, Any]:
    """The answers, for simulations."""
    return {case: made(case)[1] for case in asked["cases"]}


def grade(asked: dict[str, Any]) -> dict[str, Any]:
    """Whether a final answer (each of `finals`, all of them) is right, and which step answers are.

    An answer that is missing is wrong. A grader that breaks on an answer calls it wrong: junk is no success. Such
    answers are counted, so that a report can say so.
    """
    case, gold = made(asked["case"])
    family = _family(case["family"])
    finals = asked["finals"]
    broke: list[str] = []
    return {
        "success": bool(finals) and all(_well(broke, family.success, case, gold, final) for final in finals),
        "steps": [
            {unit: _well(broke, family.right, case, gold, unit, value) for unit, value in claims.items()}
            for claims in asked["claims"]
        ],
        "broke": broke,
    }


def _well(broke: list[str], judge: Callable[..., bool], *given: object) -> bool:
    if given[-1] is None:
        return False
    try:
        return bool(judge(*given))
    except Exception as error:  # noqa: BLE001  # executable graders raise anything on junk; said aloud, and counted as wrong
        broke.append(f"{type(error).__name__}: {str(error)[:200]}")
        return False


OPERATIONS: dict[str, Callable[[dict[str, Any]], Any]] = {"cases": cases, "golds": golds, "grade": grade}


def answer(line: str) -> str:
    """One line in, one line out; an error is an answer too."""
    try:
        asked = json.loads(line)
        with contextlib.redirect_stdout(sys.stderr):  # task packages print
            found = OPERATIONS[asked["op"]](asked)
        return json.dumps({"ok": found}, default=str)
    except Exception as error:  # noqa: BLE001  # whatever it is, the asker must hear it
        traceback.print_exc()
        last = traceback.extract_tb(error.__traceback__)[-1]
        where = (
            "" if last.filename == __file__ or last.filename.startswith("<") else f" ({last.filename}:{last.lineno})"
        )
        return json.dumps({"error": f"{type(error).__name__}: {error}"[:2_000] + where})


def main() -> None:
    """Answer until the input ends. What a task module or its children print, by whatever way, is no answer."""
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    for line in sys.stdin:
        print(answer(line), file=answers, flush=True)


if __name__ == "__main__":
    main()
