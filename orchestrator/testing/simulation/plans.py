"""Random plans that use every feature of the format. Each passes `plan check`; the number of one names it for good."""

import random
from functools import lru_cache
from typing import Final, cast

from orchestrator.errors import ExpressionError, PlanError
from orchestrator.ids import JsonValue
from orchestrator.plan.catalogue import FunctionContract
from orchestrator.plan.check import refuse_errors
from orchestrator.plan.models import Plan, digest_of

PLANS: Final = 600  #: numbers in use; seeds share plans, so that one is checked once
POOLS: Final = ("w", "other")
TRIES_MAX: Final = 200
_FREE: Final[dict[str, JsonValue]] = {"type": "object"}
_INNER: Final[dict[str, object]] = {
    "name": "c",
    "inputs": {"x": {"default": None}},
    "steps": {
        "x": {"pool": "w", "call": "f", "with": {"x": "${{ inputs.x }}"}},
        "y": {"pool": "w", "call": "f", "with": {"x": "${{ steps.x.output }}"}, "on_fail": [{"retry": 1}]},
    },
    "result": "${{ steps.y.output }}",
}
Draw = random.Random


class SimPools:
    """The catalogue of every schedule: two pools, each with an agent, a function, a check, and an effect."""

    def __init__(self) -> None:
        self._functions = {
            name: FunctionContract(
                name=name, input_schema=_FREE, output_schema={}, digest=digest_of(name), effect_key=True
            )
            for name in ("f", "look")
        }

    def pools(self) -> tuple[str, ...]:
        """Names of all pools."""
        return POOLS

    def functions(self, pool: str) -> dict[str, FunctionContract]:
        """Contracts of a pool's functions."""
        return self._functions if pool in POOLS else {}

    def has_agent(self, pool: str) -> bool:
        """Every pool has one."""
        return pool in POOLS


@lru_cache(maxsize=PLANS)
def plan_number(number: int) -> Plan:
    """A plan of one to seven steps; the same for the same number."""
    draw = random.Random(f"plan {number}")  # chance that repeats is the point
    more = random.Random(f"more of plan {number}")
    pools = SimPools()
    for _ in range(TRIES_MAX):
        try:
            plan = Plan.model_validate(_enriched(more, _draft(draw)))
            refuse_errors(plan, pools)
        except (ValueError, PlanError, ExpressionError):
            continue
        return plan
    raise AssertionError(f"no plan {number} in {TRIES_MAX} drafts")


def _draft(draw: Draw) -> dict[str, object]:
    steps: dict[str, dict[str, object]] = {}
    for number in range(draw.choice((1, 2, 2, 3, 4, 5, 7))):
        steps[f"s{number}"] = _step(draw, number, steps)
    readable = list(steps)
    if draw.random() < 0.3:
        steps["last"] = {
            "pool": "w",
            "call": "f",
            "finally": True,
            "on_fail": draw.choice(([], [{"retry": 1}], ["gap"])),
        }
    plan: dict[str, object] = {
        "name": "p",
        "inputs": {"items": {"type": "array"}, "flag": {"type": "boolean"}},
        "steps": steps,
        "defaults": {
            "timeout": {"attempt": 15.0, "total": draw.choice((40.0, 150.0)), **draw.choice(({}, {}, {"idle": 6.0}))},
            "retry": {
                "attempts": draw.randint(1, 3),
                "backoff": "1s..8s",
                "errors": ["timeout", "provider"],
            },
        },
    }
    if draw.random() < 0.6:
        plan["budget"] = {
            "steps": draw.choice((2, 4, 9, 100)),
            "usd": draw.choice((0.6, 2.0, 100.0)),
            "wall": draw.choice((30.0, 3000.0)),
            "on_limit": draw.choice(("degrade", "stop", "ask")),
            **draw.choice(({}, {"calls": 3}, {"calls": 8, "closing": 0.3})),
        }
    if draw.random() < 0.6:
        chosen = draw.sample(readable, min(len(readable), draw.choice((1, 2))))
        plan["result"] = {name: f"${{{{ steps.{name}.output }}}}" for name in chosen}
    return plan


def _step(draw: Draw, number: int, before: dict[str, dict[str, object]]) -> dict[str, object]:
    names = list(before)
    needs = draw.sample(names, min(len(names), draw.choice((0, 1, 1, 2, 3))))
    kind = draw.choice(("call", "call", "call", "task", "plan", "human", "goal"))
    if kind == "human":
        then = draw.choice(("no", "no", "fail"))
        step: dict[str, object] = {"human": {"ask": "?", "choices": ["yes", "no"], "expires": 30.0, "then": then}}
        return {**step, "needs": needs}
    values = {f"x{at}": f"${{{{ steps.{name}.{draw.choice(_MEMBERS)} }}}}" for at, name in enumerate(needs)}
    step = {"with": values}
    if kind == "call":
        step |= {"pool": "w", "call": "f"}
    elif kind == "task":
        step |= {"pool": "w", "task": "Do ${{ inputs.flag }} with what there is"}
    elif kind == "plan":
        step |= {"plan": _INNER, "with": {"x": list(values.values())}}
        step |= draw.choice(({}, {"budget": {"steps": draw.randint(1, 3)}}))
    else:
        step |= {"goal": "reach it", "with": {"x": list(values.values())}}
    _shape(draw, step, before)
    _checks(draw, step, kind, number)
    step["on_fail"] = [draw.choice(_RUNGS) for _ in range(draw.choice((0, 1, 1, 2, 3)))]
    if needs and draw.random() < 0.4:
        step["join"] = draw.choice(({"at_least": 1}, {"at_least": 2}, "any"))
        step["early"] = step["join"] != "any" and draw.random() < 0.5
    if draw.random() < 0.1:
        step["replan_if"] = "true"
    if draw.random() < 0.15:  # what goes on while the step runs
        values["so_far"] = "${{ run.steps }}"
    if draw.random() < 0.03:  # has no value where there are few items
        values["late"] = "${{ inputs.items[3] }}"
    if draw.random() < 0.15:
        step["if"] = "inputs.flag"
    return step


def _enriched(draw: Draw, plan: dict[str, object]) -> dict[str, object]:
    """Perhaps what makes a few moves frequent that would take many thousand schedules: drawn apart from the rest."""
    steps = cast(dict[str, dict[str, object]], plan["steps"])
    for step in steps.values():
        if ("call" in step or "task" in step) and draw.random() < 0.2:
            step["model"] = {"tier": "auto"}
        if "foreach" in step and "over" in cast(dict[str, object], step["foreach"]) and draw.random() < 0.3:
            step["if"] = "item != 1"
    if draw.random() < 0.15:
        plan["budget"] = {"wall": draw.choice((8.0, 14.0)), "on_limit": "degrade"}
        cast(dict[str, dict[str, object]], plan["defaults"])["retry"]["backoff"] = "4s..20s"
    if draw.random() < 0.15:
        _loose(draw, steps)
    elif draw.random() < 0.1:
        _short(plan, steps)
    return plan


def _loose(draw: Draw, steps: dict[str, dict[str, object]]) -> None:
    """A map of which one branch is enough, beside something long: what of it is cancelled may be taken back later."""
    simple: dict[str, object] = {"pool": "w", "call": "f"}
    steps["many"] = {**simple, "foreach": {"over": "inputs.items", "max_parallel": draw.randint(1, 3)}}
    steps["many"]["on_fail"] = draw.choice(([], ["gap"]))
    first: dict[str, object] = {"join": {"at_least": 1}, "early": True}
    steps["first"] = {**simple, "with": {"x": "${{ steps.many.passed }}"}, **first}
    chain: dict[str, object] = {**simple, "with": {"x": "${{ steps.first.output }}"}, "on_fail": [{"retry": 2}]}
    steps["then"] = chain if draw.random() < 0.5 else {**chain, "foreach": {"over": "inputs.items"}}
    steps["slow"] = {"human": {"ask": "?", "choices": ["yes", "no"], "expires": 60.0, "then": "no"}}


def _short(plan: dict[str, object], steps: dict[str, dict[str, object]]) -> None:
    """Fewer dispatches than steps, while a person keeps the run open: a map is left out before it has branches."""
    plan["budget"] = {"steps": 2, "on_limit": "degrade"}
    steps["slow"] = {"human": {"ask": "?", "choices": ["yes", "no"], "expires": 60.0, "then": "no"}}
    steps["more"] = {"pool": "w", "call": "f", "foreach": {"over": "inputs.items"}, "needs": ["slow"]}


_MEMBERS: Final = ("output", "output", "passed")
_RUNGS: Final[tuple[object, ...]] = (
    {"retry": 1},
    {"retry": 2},
    {"escalate": {"tier": "strong"}},
    {"escalate": {"pool": "other"}},
    {"ask": {"expires": 20.0, "then": "gap"}},
    {"ask": {"expires": 20.0, "then": "retry"}},
    {"ask": {"expires": 20.0, "then": "accept"}},
    {"replan": "step"},
    {"replan": "downstream"},
    "gap",
    "fail",
)
_CHECKS: Final[tuple[dict[str, object], ...]] = (
    {"rule": "output.ok"},
    {"call": "look"},
    {"human": {"ask": "Good?", "expires": 20.0, "then": "reject"}},
    {"judge": {"rubric": "good"}},
    {"judge": {"rubric": "good", "votes": 3}},
)


def _shape(draw: Draw, step: dict[str, object], before: dict[str, dict[str, object]]) -> None:
    """Perhaps a mapped step."""
    mapped = [name for name, other in before.items() if "foreach" in other]
    how = draw.choice(("one", "one", "one", "over", "each"))
    if how == "over":
        over = draw.choice(("inputs.items",) * 15 + ("inputs.items[2]",))  # the last is no list when it is looked at
        step["foreach"] = {"over": over, "max_parallel": draw.randint(1, 3)}
    elif how == "each" and mapped:
        step["foreach"] = {"each": draw.choice(mapped), "max_parallel": draw.randint(1, 3)}


def _checks(draw: Draw, step: dict[str, object], kind: str, number: int) -> None:
    checks = [draw.choice(_CHECKS) for _ in range(draw.choice((0, 1, 1, 2)))]
    if kind in ("plan", "goal"):
        checks = [check for check in checks if "call" not in check]
    else:
        if draw.random() < 0.3:
            step["output"] = {"type": "object", "required": ["ok"]}
        if draw.random() < 0.15:
            checks = [{"agree": {"runs": 3, "quorum": 2, "field": "n"}}, *checks]
        elif kind == "call" and draw.random() < 0.3:
            unknown = draw.choice(("ask", "retry", "fail"))
            step["effect"] = {"key": f"${{{{ run.id }}}}/{number}", "on_unknown": unknown}
    step["checks"] = cast(object, checks)
