"""pydantic-graph, builder form: map and join for the fan-out, edges for the chain.

It has no join that waits for named steps (a join closes when its fork has no active task) and no cap: the layered graph
runs wave by wave, each wave a map and a join, and a semaphore in the step stands in for the cap.
"""

import asyncio
from dataclasses import dataclass, field

from pydantic_graph import Graph, GraphBuilder, StepContext, reduce_list_append

from benchmarks.performance.cell import Probe, graph_measure, main
from benchmarks.performance.shapes import CAP, Shape, noop


@dataclass
class State:
    """Values per node and the slots of the cap."""

    values: list[int]
    slots: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(CAP))


def fanout(graph: Shape) -> Graph[State, None, None, int]:
    """Source, map over the branches, join, sink."""
    builder = GraphBuilder(state_type=State, output_type=int)

    async def source(ctx: StepContext[State, None, None]) -> list[int]:
        ctx.state.values[0] = await noop(0, [])
        return list(range(1, graph.sink))

    async def leaf(ctx: StepContext[State, None, int]) -> int:
        async with ctx.state.slots:
            return await noop(ctx.inputs, [ctx.state.values[0]])

    async def sink(ctx: StepContext[State, None, list[int]]) -> int:
        return await noop(graph.sink, ctx.inputs)

    source_step, leaf_step, sink_step = builder.step(source), builder.step(leaf), builder.step(sink)
    collect = builder.join(reduce_list_append, initial_factory=list[int], node_id="collect")
    builder.add(
        builder.edge_from(builder.start_node).to(source_step),
        builder.edge_from(source_step).map().to(leaf_step),
        builder.edge_from(leaf_step).to(collect),
        builder.edge_from(collect).to(sink_step),
        builder.edge_from(sink_step).to(builder.end_node),
    )
    return builder.build()


def chain(graph: Shape) -> Graph[State, None, None, int]:
    """A step and an edge per step."""
    builder = GraphBuilder(state_type=State, output_type=int)
    previous = builder.start_node
    for node in range(graph.sink + 1):

        async def step(ctx: StepContext[State, None, int | None], node: int = node) -> int:
            return await noop(node, [] if ctx.inputs is None else [ctx.inputs])

        current = builder.step(step, node_id=f"n{node}")
        builder.add(builder.edge_from(previous).to(current))
        previous = current
    builder.add(builder.edge_from(previous).to(builder.end_node))
    return builder.build()


def waves(graph: Shape) -> Graph[State, None, None, int]:
    """Per wave a step that lists its nodes, a map over them and a join."""
    builder = GraphBuilder(state_type=State, output_type=int)
    previous = builder.start_node
    for level, nodes in enumerate(graph.layers()):

        async def listing(_ctx: StepContext[State, None, object], nodes: list[int] = nodes) -> list[int]:
            return nodes

        async def step(ctx: StepContext[State, None, int]) -> int:
            values = ctx.state.values
            async with ctx.state.slots:
                values[ctx.inputs] = await noop(ctx.inputs, [values[need] for need in graph.inputs[ctx.inputs]])
            return ctx.inputs

        listed = builder.step(listing, node_id=f"list{level}")
        mapped = builder.step(step, node_id=f"wave{level}")
        joined = builder.join(reduce_list_append, initial_factory=list[int], node_id=f"join{level}")
        builder.add(
            builder.edge_from(previous).to(listed),
            builder.edge_from(listed).map().to(mapped),
            builder.edge_from(mapped).to(joined),
        )
        previous = joined

    async def last(ctx: StepContext[State, None, list[int]]) -> int:
        return ctx.state.values[graph.sink]

    answer = builder.step(last)
    builder.add(builder.edge_from(previous).to(answer), builder.edge_from(answer).to(builder.end_node))
    return builder.build()


FORMS = {"fanout": fanout, "chain": chain, "dag": waves}


async def steps(graph: Shape, probe: Probe) -> int:
    """Build (with its structure check), run."""
    probe.start()
    built = FORMS[graph.name](graph)
    probe.built()
    state = State(values=[0] * len(graph.inputs))
    answer = await built.run(state=state)
    probe.keep += [built, state]
    probe.stop()
    return answer


if __name__ == "__main__":
    main({"steps": graph_measure(steps)})
