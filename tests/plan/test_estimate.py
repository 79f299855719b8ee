"""What a plan can take, before any call."""

from orchestrator.ids import JsonValue
from orchestrator.plan.estimate import Estimate, branch_bounds, estimate
from tests.plan.checking import Pools, plan_of


def test_the_range_of_a_plan() -> None:
    inner: JsonValue = {"name": "inner", "steps": {"x": {"pool": "p", "call": "f"}, "y": {"pool": "p", "call": "f"}}}
    steps: dict[str, JsonValue] = {
        "list": {"foreach": {"over": "${{ inputs.xs }}"}},
        "each": {"foreach": {"each": "list"}},
        "maybe": {"if": "run.steps > 3", "timeout": {"total": "2h"}},
        "sub": {"plan": inner, "needs": ["each"]},
    }
    inputs: JsonValue = {"xs": {"type": "array", "minItems": 2, "maxItems": 5}}
    assert estimate(plan_of(steps, inputs=inputs, budget={"usd": 3, "wall": "9h"}), Pools()) == Estimate(
        steps_least=2 + 2 + 0 + 3,
        steps_most=5 + 5 + 1 + 3,
        wall_least_s=0.0,
        wall_most_s=7200.0,
        critical_path=("maybe",),
        usd_least=0.0,
        usd_most=3.0,
        unknown=("how long steps take; workers declare no durations",),
    )


def test_what_is_open_is_said() -> None:
    steps: dict[str, JsonValue] = {
        "a": {"task": "Find", "pool": "agents"},
        "b": {"foreach": {"over": "steps.a.output"}},
    }
    found = estimate(plan_of(steps, budget={"wall": "1m"}), Pools())
    assert (found.steps_least, found.steps_most, found.wall_most_s) == (1, None, 60.0)
    assert found.render().splitlines() == [
        "steps: 1 to open",
        "wall: at most 1m along a > b",
        "price: 0.00 to 1.00 USD",
        "unknown: the length of the list of `b`; budget.steps (1,000) holds all the same",
        "unknown: what the models of 1 steps cost (first: `a`); workers declare no prices",
        "unknown: how long steps take; workers declare no durations",
    ]


def test_bounds_of_branches() -> None:
    steps: dict[str, JsonValue] = {
        "one": {},
        "literal": {"foreach": {"over": [1, 2]}},
        "knot": {"foreach": {"each": "tonk"}},
        "tonk": {"foreach": {"each": "knot"}},
    }
    plan = plan_of(steps)
    assert [branch_bounds(plan, name) for name in steps] == [(1, 1), (2, 2), (0, None), (0, None)]
