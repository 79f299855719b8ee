"""Plans and runs as Mermaid, DOT and text."""

from pathlib import Path

from orchestrator.ids import JsonValue
from orchestrator.plan.drawing import LABEL_CHARS_MAX, NodeState, dot, mermaid, tree
from orchestrator.plan.files import load_plan
from tests.plan.checking import plan_of

BRIEF = load_plan(Path(__file__).parent / "market-brief.plan.yaml")
STATES = {
    "sources": NodeState(status="passed", attempts=3, branches={"passed": 2, "gap": 1}),
    "sizing": NodeState(status="running", attempts=1, note="0.10 USD"),
}


def test_mermaid_draws_a_plan() -> None:
    assert mermaid(BRIEF).splitlines() == [
        "flowchart TD",
        '  n0[["sources × n<br/>research: task"]]',
        '  n1["sizing<br/>analyst.size_market"]',
        '  n2["draft<br/>writer: task"]',
        '  n3{{"approve<br/>a person: publish / hold"}}',
        '  n4["publish<br/>tools.publish"]',
        "  n0 -->|at least 2| n1",
        "  n1 --> n2",
        "  n0 --> n2",
        "  n2 -->|if| n3",
        "  n3 -->|if| n4",
        "  n2 --> n4",
    ]


def test_mermaid_draws_a_run() -> None:
    lines = mermaid(BRIEF, STATES).splitlines()
    assert lines[1:3] == [
        '  n0[["sources × 3<br/>research: task<br/>passed, 3 attempts<br/>2 passed, 1 gap"]]:::passed',
        '  n1["sizing<br/>analyst.size_market<br/>running<br/>0.10 USD"]:::running',
    ]
    assert lines[-2:] == [
        "  classDef passed stroke:#1a7f37,fill:#dafbe1,color:#1f2328",
        "  classDef running stroke:#1f6feb,fill:#ddf4ff,color:#1f2328",
    ]


def test_dot_draws_a_run() -> None:
    assert dot(BRIEF, STATES).splitlines() == [
        'digraph "market-brief" {',
        '  node [shape=box style="rounded,filled" fillcolor=white fontname="sans-serif"];',
        (
            '  n0 [label="sources × 3\\nresearch: task\\npassed, 3 attempts\\n2 passed, 1 gap" peripheries=2 '
            'color="#1a7f37" fillcolor="#dafbe1"];'
        ),
        '  n1 [label="sizing\\nanalyst.size_market\\nrunning\\n0.10 USD" color="#1f6feb" fillcolor="#ddf4ff"];',
        '  n2 [label="draft\\nwriter: task"];',
        '  n3 [label="approve\\na person: publish / hold" shape=hexagon];',
        '  n4 [label="publish\\ntools.publish"];',
        '  n0 -> n1 [label="at least 2"];',
        "  n1 -> n2;",
        "  n0 -> n2;",
        '  n2 -> n3 [label="if"];',
        '  n3 -> n4 [label="if"];',
        "  n2 -> n4;",
        "}",
    ]


def test_the_tree_shows_depth_order_and_sub_plans() -> None:
    inner: JsonValue = {"name": "inner", "steps": {"x": {"pool": "p", "call": "f"}}}
    steps: dict[str, JsonValue] = {
        "bye": {"finally": True, "with": {"s": "${{ steps.late.status }}"}},
        "late": {"needs": ["early"], "join": "any", "early": True},
        "early": {"plan": inner},
        "each": {"foreach": {"over": [1, 2]}},
        "more": {"foreach": {"each": "each"}},
        "ask": {"goal": "Find out"},
    }
    states = {"each": NodeState(status="failed", attempts=2)}
    assert tree(plan_of(steps), states).splitlines() == [
        "plan",
        "├─ early  plan inner",
        "│  └─ x  p.f",
        "├─ ✗ each × 2  p.f  failed, 2 attempts",
        "├─ ask  goal",
        "├─ late  p.f  ← early",
        "├─ more × 2  p.f  ← each",
        "└─ bye  p.f  ← late  (finally)",
    ]


def test_what_a_plan_says_cannot_break_the_drawing() -> None:
    note = 'x"]; click n0 "javascript:alert(1)" <b>\x1b[31m\n' + "long " * 100
    plan = plan_of({"a": {}})
    states = {"a": NodeState(status="gap", note=note)}
    drawn = mermaid(plan, states)
    assert "<b>" not in drawn
    assert "\x1b" not in drawn
    assert drawn.count('"') == 2
    assert len(drawn.splitlines()) == 3
    assert 'label="a\\np.f\\ngap\\nx\\"]; click' in dot(plan, states)
    assert max(map(len, tree(plan, states).splitlines())) <= LABEL_CHARS_MAX + 40
