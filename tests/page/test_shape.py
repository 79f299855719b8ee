"""The drawing of a plan: every node and edge of a small one, and the bounds of a large one."""

import pytest

from orchestrator.plan.models import Plan
from orchestrator.service.page.shape import EDGES_MAX, NODES_MAX, Shape
from tests.page.plays import brief_plan, wide_plan


def test_every_node_and_edge_of_a_plan() -> None:
    assert Shape(brief_plan()).document() == {
        "nodes": [
            {"id": "sources", "kind": "task", "what": "research: task", "level": 0, "mapped": True},
            {"id": "prices", "kind": "call", "what": "tools.spot_prices", "level": 0},
            {"id": "sizing", "kind": "call", "what": "analyst.size_market", "level": 1},
            {"id": "draft", "kind": "task", "what": "writer: task", "level": 2},
            {"id": "approve", "kind": "human", "what": "a person", "level": 3},
            {"id": "publish", "kind": "call", "what": "tools.publish", "level": 4},
            {"id": "tidy", "kind": "call", "what": "tools.clean_up", "level": 5, "finally": True},
        ],
        "edges": [
            ["sources", "sizing"],
            ["sizing", "draft"],
            ["prices", "draft"],
            ["draft", "approve"],
            ["approve", "publish"],
            ["draft", "publish"],
        ],
        "edges_left_out": 0,
        "steps": 7,
        "folded": False,
    }


def test_sub_plans_and_goals_are_nodes() -> None:
    steps = {"inner": {"plan": {"version": 1, "name": "child", "steps": {"a": {"pool": "p", "call": "f"}}}},
             "aim": {"goal": "find it", "output": {"type": "string"}}}  # fmt: skip
    nodes = Shape(Plan.model_validate({"version": 1, "name": "outer", "steps": steps})).document()["nodes"]

    assert nodes == [
        {"id": "inner", "kind": "plan", "what": "plan child", "level": 0},
        {"id": "aim", "kind": "goal", "what": "goal", "level": 0},
    ]


def test_as_many_steps_as_can_be_drawn_are_not_folded() -> None:
    told = Shape(wide_plan(NODES_MAX)).document()

    assert (len(told["nodes"]), told["folded"]) == (NODES_MAX, False)  # type: ignore[arg-type]  # a list


@pytest.mark.parametrize(("steps", "width"), [(301, 20), (1_000, 7), (2_000, 1), (10_000, 100), (10_000, 4_000)])
def test_a_larger_plan_is_folded_into_few_nodes_that_hold_every_step_once(steps: int, width: int) -> None:
    shape = Shape(wide_plan(steps, width))

    assert len(shape.nodes) <= NODES_MAX
    assert sorted(step for node in shape.nodes for step in node.steps) == sorted(shape.plan.steps)
    assert len(shape.document()["edges"]) <= EDGES_MAX  # type: ignore[arg-type]  # a list
    level = {node.id: node.level for node in shape.nodes}
    assert all(level[source] < level[target] for source, target in shape.edges)


def test_what_does_the_same_at_the_same_depth_is_one_node() -> None:
    steps = {f"s{number}": {"pool": "p", "call": "f" if number % 2 else "g"} for number in range(400)}
    shape = Shape(Plan.model_validate({"version": 1, "name": "flat", "steps": steps}))

    assert [node.document() for node in shape.nodes] == [
        {"id": "group:0", "kind": "group", "what": "p.g", "level": 0, "steps": 200},
        {"id": "group:1", "kind": "group", "what": "p.f", "level": 0, "steps": 200},
    ]


def test_a_plan_of_hundreds_of_pools_is_folded_by_depth_alone() -> None:
    steps = {f"s{number}": {"pool": f"p{number}", "call": "f"} for number in range(700)}
    shape = Shape(Plan.model_validate({"version": 1, "name": "flat", "steps": steps}))

    assert [node.document() for node in shape.nodes] == [
        {"id": "group:0", "kind": "group", "what": "700 kinds of work", "level": 0, "steps": 700}
    ]
