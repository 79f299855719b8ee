"""What `plan check` says of goals: what their plans may use must be there, and the limits in force are printed."""

from collections.abc import Mapping

import pytest

from orchestrator.ids import JsonValue
from orchestrator.plan.check import check_plan
from orchestrator.plan.models import Plan
from orchestrator.plan.report import InForce, Report
from tests.supervisor.house import pools
from workers import Registry


def report(supervisor: Mapping[str, JsonValue] | None = None, **budget: JsonValue) -> Report:
    """The check of a plan with one goal."""
    goal: dict[str, JsonValue] = {"goal": "all of it"}
    if supervisor is not None:
        goal["supervisor"] = dict(supervisor)
    if budget:
        goal["budget"] = budget
    plan = Plan.model_validate({"name": "p", "budget": {"calls": 10}, "steps": {"g": goal}})
    return check_plan(plan, Registry(pools()))


def test_a_goal_within_what_is_there_is_in_order() -> None:
    rules: dict[str, JsonValue] = {"pools": ["research", "tools"], "effects": ["tools.publish"], "people": True}
    assert report(rules).errors == ()


WRONG: dict[str, tuple[dict[str, JsonValue], str]] = {
    "an unknown pool": ({"pools": ["reserch"]}, "there is no pool `reserch`"),
    "an effect that names no function": ({"effects": ["publish"]}, "`publish` names no function"),
    "an effect of an unknown pool": ({"effects": ["nowhere.publish"]}, "there is no pool `nowhere`"),
    "an effect of an unknown function": ({"effects": ["tools.publsh"]}, "pool `tools` has no function `publsh`"),
    "an effect outside of its pools": (
        {"pools": ["research"], "effects": ["tools.publish"]},
        "the plan may not use pool `tools`, so it cannot call `tools.publish`",
    ),
}


@pytest.mark.parametrize("what", WRONG)
def test_what_a_goal_cannot_use_is_told_with_its_place(what: str) -> None:
    rules, message = WRONG[what]
    (error,) = report(rules).errors
    assert error.message == message
    assert error.path.startswith("steps.g.supervisor.")
    assert error.expected


def test_a_share_of_more_calls_than_there_are_is_warned_of() -> None:
    (warning,) = report(None, calls=20).warnings
    assert warning.message == "the share reserves 20 calls of a run that has 10"


def test_the_limits_of_a_goal_that_says_nothing_are_in_force_and_marked() -> None:
    found = [limit for limit in report().in_force if limit.path.startswith("supervisor.")]
    assert found == [
        InForce(path="supervisor.steps", value="20", default=True),
        InForce(path="supervisor.fan_out", value="8", default=True),
        InForce(path="supervisor.depth", value="1", default=True),
        InForce(path="supervisor.tries", value="3", default=True),
        InForce(path="supervisor.closing", value="0.1", default=True),
    ]


@pytest.mark.parametrize("kind", [{"task": "x", "pool": "research"}, {"human": {"ask": "?", "choices": ["x"]}}])
def test_supervisor_goes_with_goals_alone(kind: dict[str, JsonValue]) -> None:
    step: JsonValue = {**kind, "supervisor": {"steps": 3}}
    with pytest.raises(ValueError, match="supervisor goes with goal"):
        Plan.model_validate({"name": "p", "steps": {"s": step}})


def test_what_is_not_written_changes_no_digest() -> None:
    """Keys that came later are absent where nobody writes them: plans keep the digests they had."""
    plan = Plan.model_validate({"name": "p", "budget": {"usd": 2.0}, "steps": {"s": {"pool": "w", "task": "x"}}})
    assert plan.canonical() == {
        "version": 1,
        "name": "p",
        "budget": {"usd": 2.0},
        "steps": {"s": {"pool": "w", "task": "x"}},
    }
