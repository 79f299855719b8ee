"""The graph of a plan as the page draws it: nodes, edges, depth; large plans folded to a bounded number of nodes."""

from collections.abc import Hashable, Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Final

from orchestrator.core.facts import PlanFrozen, PlanPatched
from orchestrator.ids import JsonValue
from orchestrator.plan.collecting import undisturbed
from orchestrator.plan.graph import PlanGraph
from orchestrator.plan.models import Plan, Step
from orchestrator.plan.patch import Patch, apply_patch
from orchestrator.plan.references import plan_graph

NODES_MAX: Final = 300  #: drawn at once; a plan with more steps is folded
EDGES_MAX: Final = 2_000  #: drawn at once; what is left out is counted


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """One box: a step, or several steps that do the same at the same depth."""

    id: str
    steps: tuple[str, ...]  #: one, or those that are folded
    kind: str  #: task, call, human, plan, goal, or group
    what: str  #: pool and function, or a few words
    level: int  #: depth: 0 waits for nothing; of a folded plan, the number of its band
    mapped: bool = False
    last: bool = False  #: runs whatever happened

    def document(self) -> dict[str, JsonValue]:
        """As the page reads it; what is usual is left out."""
        told: dict[str, JsonValue] = {"id": self.id, "kind": self.kind, "what": self.what, "level": self.level}
        if self.kind == "group":
            told["steps"] = len(self.steps)
        if self.mapped:
            told["mapped"] = True
        if self.last:
            told["finally"] = True
        return told


class Shape:
    """A plan as a drawing. Made once for each revision of a plan."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.graph: PlanGraph = plan_graph(plan)
        self.nodes = _fold(plan, self._levels())
        self.node_of: dict[str, Node] = {step: node for node in self.nodes for step in node.steps}

    def _levels(self) -> dict[str, int]:
        last = {name for name, step in self.plan.steps.items() if step.finally_}
        level = {name: at for at, names in enumerate(self.graph.generations) for name in names}
        below = 1 + max((at for name, at in level.items() if name not in last), default=-1)
        return {name: below + at if name in last else at for name, at in level.items()}

    @cached_property
    def edges(self) -> tuple[tuple[str, str], ...]:
        """From node to node, each once, in the order of the plan; those inside one band are not drawn."""
        found: dict[tuple[str, str], None] = {}
        for source, target in self.graph.edges:
            begin, end = self.node_of[source], self.node_of[target]
            if begin is not end and begin.level < end.level:
                found[begin.id, end.id] = None
        return tuple(found)

    def document(self) -> dict[str, JsonValue]:
        """{nodes, edges, edges_left_out, steps, folded}."""
        return {
            "nodes": [node.document() for node in self.nodes],
            "edges": [[source, target] for source, target in self.edges[:EDGES_MAX]],
            "edges_left_out": max(len(self.edges) - EDGES_MAX, 0),
            "steps": len(self.plan.steps),
            "folded": any(node.kind == "group" for node in self.nodes),
        }


def _fold(plan: Plan, level: dict[str, int]) -> tuple[Node, ...]:
    """At most `NODES_MAX` nodes: first what does the same at the same depth, then in wider and wider bands."""
    if len(plan.steps) <= NODES_MAX:
        return tuple(_single(name, step, level[name]) for name, step in plan.steps.items())
    band, deepest = 1, max(level.values(), default=0)
    while band <= 2 * deepest + 2:
        groups = _groups((((level[name] // band), what_it_does(step)), name) for name, step in plan.steps.items())
        if len(groups) <= NODES_MAX:
            return _nodes(plan, level, groups, band)
        band *= 2
    band = max(1, -(-(deepest + 1) // NODES_MAX))
    return _nodes(plan, level, _groups((level[name] // band, name) for name in plan.steps), band)


def _groups(keyed: Iterable[tuple[Hashable, str]]) -> list[list[str]]:
    found: dict[Hashable, list[str]] = {}
    for key, name in keyed:
        found.setdefault(key, []).append(name)
    return list(found.values())


def _nodes(plan: Plan, level: dict[str, int], groups: list[list[str]], band: int) -> tuple[Node, ...]:
    nodes: list[Node] = []
    for names in groups:
        at = level[names[0]] // band
        if len(names) == 1:
            nodes.append(_single(names[0], plan.steps[names[0]], at))
            continue
        doing = dict.fromkeys(what_it_does(plan.steps[name]) for name in names)
        what = next(iter(doing)) if len(doing) == 1 else f"{len(doing)} kinds of work"
        nodes.append(Node(id=f"group:{len(nodes)}", steps=tuple(names), kind="group", what=what, level=at))
    return tuple(nodes)


def _single(name: str, step: Step, level: int) -> Node:
    return Node(
        id=name,
        steps=(name,),
        kind=step.kind,
        what=what_it_does(step),
        level=level,
        mapped=step.foreach is not None,
        last=step.finally_,
    )


def what_it_does(step: Step) -> str:
    """A step's work in a few words."""
    match step.kind:
        case "task":
            return f"{step.pool}: task"
        case "call":
            return f"{step.pool}.{step.call}"
        case "human":
            return "a person"
        case "plan":
            return f"plan {step.plan.name if step.plan is not None else ''}"
        case "goal":
            return "goal"


def shape_after(shape: Shape | None, fact: PlanFrozen | PlanPatched) -> Shape | None:
    """The drawing once a fact has changed the plan; None while the plan is not known, or its payload was deleted."""
    with undisturbed():  # a large plan is many objects at once: looking for garbage between them takes half the time
        if isinstance(fact, PlanFrozen):
            return Shape(Plan.model_validate(fact.plan)) if fact.plan else None
        if shape is None or not fact.patch:
            return shape
        return Shape(apply_patch(shape.plan, Patch.model_validate(fact.patch), locked=(), check=False))
