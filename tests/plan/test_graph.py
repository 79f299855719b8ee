"""Edges, cycles and the critical path of plans."""

import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.ids import JsonValue
from orchestrator.plan.check import check_plan
from orchestrator.plan.graph import Edge, PlanGraph
from orchestrator.plan.references import plan_graph
from tests.plan.checking import errors, plan_of


def needs(source: str, target: str) -> Edge:
    return Edge(source, target, "needs", ("needs", 0))


@st.composite
def dags(draw: st.DrawFn) -> dict[str, list[str]]:
    """Up to 30 steps, each with some of those before it."""
    count = draw(st.integers(1, 30))
    names = [f"s{at}" for at in range(count)]
    return {
        name: draw(st.lists(st.sampled_from(names[:at]), max_size=4, unique=True)) if at else []
        for at, name in enumerate(names)
    }


@given(dags())
def test_random_dags_are_accepted_and_generations_respect_every_edge(dag: dict[str, list[str]]) -> None:
    plan = plan_of({name: {"needs": list(sources)} for name, sources in dag.items()})
    report = check_plan(plan)
    assert report.errors == ()
    depth = {name: at for at, names in enumerate(plan_graph(plan).generations) for name in names}
    assert set(depth) == set(dag)
    assert all(depth[source] < depth[target] for target, sources in dag.items() for source in sources)
    assert report.generations == tuple(
        list(depth.values()).count(generation) for generation in range(max(depth.values()) + 1)
    )
    assert len(report.critical_path) == len(report.generations)


@given(dags(), st.data())
def test_a_back_edge_is_refused_and_a_true_cycle_is_named(dag: dict[str, list[str]], data: st.DataObject) -> None:
    graph = PlanGraph(dag, [needs(source, target) for target, sources in dag.items() for source in sources])
    pairs = [(name, below) for name in dag for below in sorted(graph.descendants(name))]
    if not pairs:
        return
    first, last = data.draw(st.sampled_from(pairs))
    edges = {name: list(sources) for name, sources in dag.items()}
    edges[first].append(last)
    plan = plan_of({name: {"needs": list(sources)} for name, sources in edges.items()})
    (cycle,) = plan_graph(plan).cycles
    assert all(edge.source in edges[edge.target] for edge in cycle)
    assert [edge.target for edge in cycle] == [*(edge.source for edge in cycle[1:]), cycle[0].source]
    assert len({edge.source for edge in cycle}) == len(cycle)
    messages = [message for _, message in errors({name: {"needs": list(sources)} for name, sources in edges.items()})]
    assert any(message.startswith("the steps wait for each other: ") for message in messages)
    assert check_plan(plan).critical_path == ()


def test_a_cycle_is_told_with_its_path_and_its_reasons() -> None:
    steps: dict[str, JsonValue] = {
        "a": {"with": {"x": "${{ steps.c.output }}"}},
        "b": {"needs": ["a"]},
        "c": {"if": "steps.b.skipped"},
        "d": {"needs": ["e"]},
        "e": {"needs": ["d"]},
    }
    report = check_plan(plan_of(steps))
    found = [
        (issue.path, issue.message, issue.expected) for issue in report.errors if "wait for each other" in issue.message
    ]
    assert found == [
        (
            "steps.a",
            "the steps wait for each other: a > b > c > a",
            "no cycle; b waits for a at needs[0]; c waits for b at if; a waits for c at with.x",
        ),
        (
            "steps.d",
            "the steps wait for each other: d > e > d",
            "no cycle; e waits for d at needs[0]; d waits for e at needs[0]",
        ),
    ]


def test_a_long_cycle_is_shortened_in_the_message() -> None:
    steps: dict[str, JsonValue] = {f"s{at}": {"needs": [f"s{(at - 1) % 40}"]} for at in range(40)}
    ((_, message),) = errors(steps)
    assert message.endswith("s10 > (29 more) > s0")


def test_every_kind_of_reference_makes_an_edge_with_its_origin() -> None:
    plan = plan_of(
        {
            "a": {"foreach": {"over": [1]}},
            "b": {"foreach": {"each": "a"}},
            "c": {
                "if": "not steps.a.skipped",
                "with": {"x": [{"y": "${{ steps.b.output }}"}]},
                "checks": [{"rule": "steps.d.output == 1"}, {"call": "f", "with": {"k": "${{ steps.e.output }}"}}],
                "needs": ["f"],
                "effect": {"key": "${{ steps.g.output }}"},
            },
            **{name: {} for name in "defg"},
            "h": {"human": {"ask": "?", "show": ["${{ steps.c.output }}"], "choices": ["y"]}},
            "i": {"task": "Use ${{ steps.h.output.choice }}", "pool": "p"},
            "j": {"foreach": {"over": "steps.b.passed"}},
        }
    )
    assert [(edge.source, edge.target, edge.kind, edge.origin) for edge in plan_graph(plan).edges.values()] == [
        ("a", "b", "each", "foreach.each"),
        ("a", "c", "reference", "if"),
        ("b", "c", "reference", "with.x[0].y"),
        ("g", "c", "reference", "effect.key"),
        ("d", "c", "reference", "checks[0].rule"),
        ("e", "c", "reference", "checks[1].with.k"),
        ("f", "c", "needs", "needs[0]"),
        ("c", "h", "reference", "human.show[0]"),
        ("h", "i", "reference", "task"),
        ("b", "j", "reference", "foreach.over"),
    ]


def test_the_critical_path_is_the_heaviest_chain() -> None:
    graph = PlanGraph("abcd", [needs("a", "b"), needs("b", "d"), needs("a", "c"), needs("c", "d")])
    assert graph.critical_path({"a": 1, "b": 5, "c": 2, "d": 1}) == (("a", "b", "d"), 7.0)
    assert graph.critical_path({"a": 1, "b": 2, "c": 5, "d": 1}) == (("a", "c", "d"), 7.0)
    assert graph.ancestors("d") == {"a", "b", "c"}
    assert graph.descendants("b") == {"d"}
    assert graph.generations == (("a",), ("b", "c"), ("d",))


@pytest.mark.parametrize("module", ["models", "graph", "estimate"])
def test_reading_a_plan_does_not_load_the_graph_library(module: str) -> None:
    code = f"import sys, orchestrator.plan.{module}; raise SystemExit('networkx' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
