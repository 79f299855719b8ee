"""The task host: a process of its own that makes tasks, keeps their answers, and grades; it speaks JSON lines.

Nothing but the standard library is imported here, so that it also runs in an environment that holds only task packages.
Agents and validators live in another process and get public tasks; `golds` is asked for by simulations alone.
"""

import contextlib
import importlib
import json
import os
import sys
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


@lru_cache(maxsize=20_000)
def made(case: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """A case and the answers of its steps, by id `family/seed/index`."""
    family, seed, index = case.rsplit("/", 2)
    found: tuple[dict[str, Any], dict[str, Any]] = _family(family).make(family, int(seed), int(index))
    return found


def known() -> dict[str, str]:
    """Modules by family: those of the harness, and your own from OWN, written `name=module,other=module`."""
    own = dict(part.split("=", 1) for part in os.environ.get(OWN, "").split(",") if "=" in part)
    return {name: f"benchmarks.architectures.families.{module}" for name, module in HOSTS.items()} | own


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

    An answer that is missing is wrong. A grader that breaks on an answer calls it wrong: junk is no success.
    """
    case, gold = made(asked["case"])
    family = _family(case["family"])
    finals = asked["finals"]
    return {
        "success": bool(finals) and all(_well(family.success, case, gold, final) for final in finals),
        "steps": [
            {unit: _well(family.right, case, gold, unit, value) for unit, value in claims.items()}
            for claims in asked["claims"]
        ],
    }


def _well(judge: Callable[..., bool], *given: object) -> bool:
    if given[-1] is None:
        return False
    try:
        return bool(judge(*given))
    except Exception as error:  # noqa: BLE001  # executable graders raise anything on junk; said aloud, and counted as wrong
        print(f"grader: {type(error).__name__}: {str(error)[:200]}", file=sys.stderr)
        return False


OPERATIONS: dict[str, Callable[[dict[str, Any]], Any]] = {"cases": cases, "golds": golds, "grade": grade}


def answer(line: str) -> str:
    """One line in, one line out; an error is an answer too."""
    try:
        asked = json.loads(line)
        with contextlib.redirect_stdout(sys.stderr):  # task packages print
            found = OPERATIONS[asked["op"]](asked)
        return json.dumps({"ok": found}, ensure_ascii=False, default=str)
    except Exception as error:  # noqa: BLE001  # whatever it is, the asker must hear it
        return json.dumps({"error": f"{type(error).__name__}: {error}"[:2_000]})


def main() -> None:
    """Answer until the input ends."""
    for line in sys.stdin:
        print(answer(line), flush=True)


if __name__ == "__main__":
    main()
