"""The graphs that every contestant runs, their no-op step and the answer each graph must give.

A shape is a list of dependency tuples in topological order; the last node is the sink that everything without a
consumer flows into, so that a value lost or duplicated on any edge changes the sink's value.
"""

import asyncio
import random
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cache

PRIME = 1_000_000_007  #: values stay below it, so that a deep graph does not grow big integers
LAYER_WIDTH = 100  #: nodes per layer of the layered graph
LAYERS_BACK = 10  #: a node draws its inputs from this many layers before its own
INPUTS_PER_NODE = 3
CAP = 100  #: steps in flight at once, for every contestant that has a cap


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """A graph of no-op steps: `inputs[i]` names the nodes (all below i) whose values node i adds up."""

    name: str
    steps: int  #: nominal size, the divisor of every "per step" figure
    inputs: tuple[tuple[int, ...], ...]

    @property
    def sink(self) -> int:
        """The node whose value is the answer."""
        return len(self.inputs) - 1

    def consumers(self) -> list[list[int]]:
        """For each node the nodes that read it."""
        found: list[list[int]] = [[] for _ in self.inputs]
        for node, needs in enumerate(self.inputs):
            for need in needs:
                found[need].append(node)
        return found

    def layers(self) -> list[list[int]]:
        """Nodes by longest distance from a source: what a contestant without edges must run wave by wave."""
        depth = [0] * len(self.inputs)
        for node, needs in enumerate(self.inputs):
            depth[node] = 1 + max((depth[need] for need in needs), default=-1)
        waves: list[list[int]] = [[] for _ in range(max(depth) + 1)]
        for node, level in enumerate(depth):
            waves[level].append(node)
        return waves

    def answer(self) -> int:
        """The value that the sink must have, worked out without any scheduler."""
        values: list[int] = []
        for node, needs in enumerate(self.inputs):
            values.append(combine(node, (values[need] for need in needs)))
        return values[-1]


class Executions:
    """Counts how often a step body ran in this process."""

    count = 0


def combine(node: int, values: Iterable[int]) -> int:
    """The work of a no-op step: its number plus its inputs, modulo `PRIME`."""
    return (node + sum(values)) % PRIME


async def noop(node: int, values: Iterable[int]) -> int:
    """The no-op step: gives way to the loop once, then adds its inputs."""
    await asyncio.sleep(0)
    Executions.count += 1
    return combine(node, values)


def fanout(size: int) -> Shape:
    """One source, `size` steps that need only it, one sink that needs them all (size + 2 executions)."""
    leaves = tuple(range(1, size + 1))
    return Shape(name="fanout", steps=size, inputs=((), *((0,) for _ in leaves), leaves))


def chain(size: int) -> Shape:
    """`size` steps, each needing the one before."""
    return Shape(name="chain", steps=size, inputs=((), *((node,) for node in range(size - 1))))


def dag(size: int) -> Shape:
    """Layers of `LAYER_WIDTH`; each node needs `INPUTS_PER_NODE` nodes of the `LAYERS_BACK` layers before (seed 0).

    The last of the `size` nodes is the sink: it needs every node that no other node reads.
    """
    draw = random.Random(0)
    width = min(LAYER_WIDTH, max(1, size // 10))
    inputs: list[tuple[int, ...]] = []
    for node in range(size - 1):
        first = (node // width) * width
        pool = range(max(0, first - LAYERS_BACK * width), first)
        inputs.append(tuple(draw.sample(pool, min(INPUTS_PER_NODE, len(pool)))))
    read = {need for needs in inputs for need in needs}
    inputs.append(tuple(node for node in range(size - 1) if node not in read))
    return Shape(name="dag", steps=size, inputs=tuple(inputs))


SHAPES: dict[str, Callable[[int], Shape]] = {"fanout": fanout, "chain": chain, "dag": dag}


@cache
def shape(name: str, size: int) -> Shape:
    """The shape `name` of `size` steps.

    Raises:
        KeyError: no shape has that name.
    """
    return SHAPES[name](size)
