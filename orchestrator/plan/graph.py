"""The edges of a plan and what follows from them: cycles, generations, the critical path, ancestors, descendants.

The only file that imports networkx, and only when a question is asked, because the import takes a fifth of a second.
"""

from collections import deque
from collections.abc import Iterable, Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Final, Literal, NamedTuple

from orchestrator.plan.expressions import Ref
from orchestrator.plan.issues import path_text

if TYPE_CHECKING:
    import networkx as nx

__all__ = ["CYCLES_MAX", "Edge", "PlanGraph"]

CYCLES_MAX: Final = 20  #: cycles reported, one for each knot of steps


class Edge(NamedTuple):
    """`target` waits for `source`, because of what stands at `origin` of the target."""

    source: str
    target: str
    kind: Literal["reference", "needs", "each"]
    path: tuple[str | int, ...]  #: where in the target
    ref: Ref | None = None  #: the reference that made the edge

    @property
    def origin(self) -> str:
        """Where in the target, such as `with.tables`, `checks[0].rule` or `needs[1]`."""
        return path_text(self.path)

    @property
    def text(self) -> str:
        """The reference, such as `steps.sources.passed`; empty for `needs` and `each`."""
        return str(self.ref) if self.ref is not None else ""


def _one_less(waits: dict[str, int], step: str) -> bool:
    """Take one away from what a step waits for; whether that was the last."""
    waits[step] -= 1
    return not waits[step]


class PlanGraph:
    """Steps and edges. The first edge between two steps stands for all of them. Self-edges are left out."""

    def __init__(self, steps: Iterable[str], edges: Iterable[Edge]) -> None:
        self.steps = tuple(steps)
        known = set(self.steps)
        self.edges: dict[tuple[str, str], Edge] = {}
        for edge in edges:
            if edge.source in known and edge.source != edge.target:
                self.edges.setdefault((edge.source, edge.target), edge)

    @cached_property
    def _into(self) -> dict[str, list[Edge]]:
        found: dict[str, list[Edge]] = {}
        for edge in self.edges.values():
            found.setdefault(edge.target, []).append(edge)
        return found

    def into(self, step: str) -> list[Edge]:
        """The edges that end in a step, one for each step it waits for."""
        return self._into.get(step, [])

    @cached_property
    def _graph(self) -> "nx.DiGraph[str]":
        import networkx as nx

        graph: nx.DiGraph[str] = nx.DiGraph()
        graph.add_nodes_from(self.steps)
        graph.add_edges_from(self.edges)
        return graph

    @cached_property
    def cycles(self) -> tuple[tuple[Edge, ...], ...]:
        """One shortest cycle for each knot of steps that wait for each other, as edges from a step back to itself."""
        if self._acyclic():
            return ()  # the usual case, at a tenth of the price, and without the library
        import networkx as nx

        position = {step: at for at, step in enumerate(self.steps)}
        knots = [knot for knot in nx.strongly_connected_components(self._graph) if len(knot) > 1]
        knots.sort(key=lambda knot: min(position[step] for step in knot))
        return tuple(self._cycle(min(knot, key=position.__getitem__), knot) for knot in knots[:CYCLES_MAX])

    def _acyclic(self) -> bool:
        """Whether every step can be taken once all that it waits for were (Kahn, 1962)."""
        return bool(self.generations) or not self.steps

    def _counted(self) -> tuple[dict[str, int], dict[str, list[str]]]:
        """How many steps each waits for, and which wait for it."""
        waits = dict.fromkeys(self.steps, 0)
        after: dict[str, list[str]] = {}
        for source, target in self.edges:
            waits[target] += 1
            after.setdefault(source, []).append(target)
        return waits, after

    def _cycle(self, start: str, knot: set[str]) -> tuple[Edge, ...]:
        """The shortest way from `start` back to it inside its knot."""
        came_from: dict[str, str] = {}
        todo = deque([start])
        while todo:
            step = todo.popleft()
            for after in self._graph.successors(step):
                if after not in knot or (after in came_from and after != start):
                    continue
                came_from[after] = step
                if after == start:
                    return self._walk_back(start, came_from)
                todo.append(after)
        raise AssertionError("a strongly connected component of several steps has a cycle through each of them")

    def _walk_back(self, start: str, came_from: Mapping[str, str]) -> tuple[Edge, ...]:
        edges: list[Edge] = []
        at = start
        while not edges or at != start:
            edges.append(self.edges[came_from[at], at])
            at = came_from[at]
        return tuple(reversed(edges))

    @cached_property
    def generations(self) -> tuple[tuple[str, ...], ...]:
        """Steps by depth: each has all its dependencies in earlier generations. Empty when there is a cycle."""
        waits, after = self._counted()
        found: list[tuple[str, ...]] = []
        ready = [step for step, count in waits.items() if not count]
        while ready:
            found.append(tuple(ready))
            ready = [target for step in ready for target in after.get(step, ()) if _one_less(waits, target)]
        return tuple(found) if sum(map(len, found)) == len(self.steps) else ()

    def critical_path(self, weights: Mapping[str, float]) -> tuple[tuple[str, ...], float]:
        """The chain of steps with the greatest sum of `weights`, and that sum; nothing when there is a cycle.

        `weights` are seconds by step; a step that is not in it weighs nothing.
        """
        best: dict[str, float] = {}
        before: dict[str, str] = {}
        for generation in self.generations:
            for step in generation:
                longest = 0.0
                for edge in self.into(step):
                    if best[edge.source] > longest or step not in before:
                        longest, before[step] = best[edge.source], edge.source
                best[step] = longest + weights.get(step, 0.0)
        if not best:
            return (), 0.0
        last = max(best, key=best.__getitem__)
        path = [last]
        while path[-1] in before:
            path.append(before[path[-1]])
        return tuple(reversed(path)), best[last]

    def ancestors(self, step: str) -> set[str]:
        """Every step that `step` waits for, directly or not."""
        import networkx as nx

        found: set[str] = nx.ancestors(self._graph, step)
        return found

    def descendants(self, step: str) -> set[str]:
        """Every step that waits for `step`, directly or not."""
        import networkx as nx

        found: set[str] = nx.descendants(self._graph, step)
        return found
