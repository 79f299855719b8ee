"""AgentDojo's user tasks: 11 to 28 tools and executable checks. Runs in the task host; answers are calls as data."""

import copy
import random
from functools import cache
from typing import Any

from benchmarks.architectures.families.absent import allow

Made = tuple[dict[str, Any], dict[str, Any]]
READS = ("get_", "search_", "read_", "list_", "check_", "find_")
VERSION = "v1"
CALLS = range(2, 10)


@cache
def suite(name: str) -> Any:
    """A suite of tasks with its tools."""
    allow()
    from agentdojo.task_suite.load_suites import get_suite

    return get_suite(VERSION, name)


@cache
def tasks(family: str) -> list[tuple[str, list[dict[str, Any]]]]:
    """Tasks with several calls whose own gold calls satisfy their own check (all but one of 97 do)."""
    name = family.removeprefix("dojo-")
    found = []
    for task_id, task in suite(name).user_tasks.items():
        world = suite(name).load_and_inject_default_environment({})
        try:
            calls = [{"name": call.function, "args": dict(call.args)} for call in task.ground_truth(world)]
            well = len(calls) in CALLS and carried_out(name, task_id, calls, calls)
        except Exception:  # noqa: BLE001  # a few tasks have no gold calls, or no check by state: they are left out
            continue
        if well:
            found.append((task_id, calls))
    if not found:
        raise LookupError(f"no task of {name} checks out")
    return found


def make(family: str, seed: int, index: int) -> Made:
    """A case and its calls; calls that read are independent, a call that writes needs all before it."""
    task_id, calls = _chosen(family, seed, index)
    name = family.removeprefix("dojo-")
    task = suite(name).user_tasks[task_id]
    tools = "\n".join(f"{tool.name}: {tool.description}" for tool in suite(name).tools)
    units = []
    for at, call in enumerate(calls):
        reads = call["name"].startswith(READS)
        units.append(
            {
                "id": f"u{at}",
                "text": f"call {at + 1}",
                "needs": [] if reads else [f"u{n}" for n in range(at)],
                "context": 0,
            }
        )
    case = {
        "id": f"{family}/{seed}/{index}",
        "family": family,
        "klass": "tool-heavy",
        "prompt": f"{task.PROMPT}\nTools:\n{tools}\nThe task needs {len(calls)} calls.",
        "units": units,
        "final": "all",
        "tools": len(suite(name).tools),
        "alternatives": 0,
        "answer_schema": {
            "type": "object",
            "properties": {"name": {"type": "string"}, "args": {"type": "object"}},
            "required": ["name", "args"],
        },
    }
    return case, {f"u{at}": call for at, call in enumerate(calls)}


def _chosen(family: str, seed: int, index: int) -> tuple[str, list[dict[str, Any]]]:
    order = list(range(len(tasks(family))))
    random.Random(f"{family}/{seed}").shuffle(order)
    return tasks(family)[order[index % len(order)]]


def carried_out(name: str, task_id: str, calls: list[dict[str, Any]], gold: list[dict[str, Any]]) -> bool:
    """Whether the task's own check holds after these calls.

    The text that read-only tasks want is granted only where every gold call was made: the harness grades calls, and
    must not hand out the answer for calls that could not have found it.
    """
    from agentdojo.functions_runtime import FunctionsRuntime

    task = suite(name).user_tasks[task_id]
    world = task.init_environment(suite(name).load_and_inject_default_environment({}))
    before = copy.deepcopy(world)
    runtime = FunctionsRuntime(suite(name).tools)
    for call in calls:
        runtime.run_function(world, str(call["name"]), dict(call["args"]))
    told = task.GROUND_TRUTH_OUTPUT if all(call in calls for call in gold) else ""
    return bool(task.utility(told, before, world, strict=False))


def right(case: dict[str, Any], gold: dict[str, Any], unit: str, value: object) -> bool:
    """Whether a call is the gold one."""
    return bool(value == gold[unit])


def success(case: dict[str, Any], gold: dict[str, Any], final: object) -> bool:
    """Whether the task's own check holds."""
    if not isinstance(final, list) or not all(isinstance(call, dict) for call in final):
        return False
    family, seed, index = case["id"].split("/")
    task_id, calls = _chosen(family, int(seed), int(index))
    return carried_out(family.removeprefix("dojo-"), task_id, final, calls)
