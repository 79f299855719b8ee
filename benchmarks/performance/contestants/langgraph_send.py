"""LangGraph, second form: few nodes, many tasks; no saver.

Fan-out is a `Send` per branch, the chain a node that loops. A graph of steps has no such form of its own; variant
`waves` adds a coordinating node that keeps dependency counters and sends every ready step: scheduling written by the
user, where each wave waits for its slowest step.
"""

from typing import Annotated, Literal, TypedDict

from langgraph.graph import END, START, StateGraph
from langgraph.types import Send

from benchmarks.performance.cell import NotExpressible, Probe, graph_measure, main
from benchmarks.performance.contestants.langgraph_static import config, update
from benchmarks.performance.shapes import Shape, noop


class State(TypedDict):
    """One value per node."""

    values: Annotated[dict[int, int], update]


class Task(TypedDict):
    """What a sent step receives."""

    node: int
    inputs: list[int]


class Looping(TypedDict):
    """State of the looping node."""

    node: int
    value: int


async def run_task(task: Task) -> State:
    """A sent step."""
    return {"values": {task["node"]: await noop(task["node"], task["inputs"])}}


def fanout(graph: Shape) -> StateGraph[State]:
    """Source, a Send per branch, sink."""

    async def source(_state: State) -> State:
        return {"values": {0: await noop(0, [])}}

    def branches(state: State) -> list[Send]:
        value = state["values"][0]
        return [Send("leaf", {"node": node, "inputs": [value]}) for node in range(1, graph.sink)]

    async def sink(state: State) -> State:
        values = state["values"]
        return {"values": {graph.sink: await noop(graph.sink, [values[need] for need in graph.inputs[graph.sink]])}}

    builder = StateGraph(State)
    builder.add_node("source", source)
    builder.add_node("leaf", run_task)
    builder.add_node("sink", sink)
    builder.add_edge(START, "source")
    builder.add_conditional_edges("source", branches, ["leaf"])
    builder.add_edge("leaf", "sink")
    builder.add_edge("sink", END)
    return builder


def chain(graph: Shape) -> StateGraph[Looping]:
    """One node that runs again until the last step is done."""

    async def step(state: Looping) -> Looping:
        node = state["node"]
        inputs = [state["value"]] if node else []
        return {"node": node + 1, "value": await noop(node, inputs)}

    def again(state: Looping) -> Literal["step", "__end__"]:
        return "step" if state["node"] <= graph.sink else "__end__"

    builder = StateGraph(Looping)
    builder.add_node("step", step)
    builder.add_edge(START, "step")
    builder.add_conditional_edges("step", again)
    return builder


def waves(graph: Shape) -> StateGraph[State]:
    """A coordinator with dependency counters that sends each wave of ready steps."""
    consumers = graph.consumers()
    missing = [len(needs) for needs in graph.inputs]
    ready = [node for node, count in enumerate(missing) if not count]

    async def coordinate(_state: State) -> State:
        return {"values": {}}

    def send_ready(state: State) -> list[Send] | Literal["__end__"]:
        nonlocal ready
        if not ready:
            return "__end__"
        values = state["values"]
        sends = [Send("step", {"node": n, "inputs": [values[i] for i in graph.inputs[n]]}) for n in ready]
        released = []
        for node in ready:
            for consumer in consumers[node]:
                missing[consumer] -= 1
                if not missing[consumer]:
                    released.append(consumer)
        ready = released
        return sends

    builder = StateGraph(State)
    builder.add_node("coordinate", coordinate)
    builder.add_node("step", run_task)
    builder.add_edge(START, "coordinate")
    builder.add_conditional_edges("coordinate", send_ready, ["step", END])
    builder.add_edge("step", "coordinate")
    return builder


async def steps(graph: Shape, probe: Probe) -> int:
    """Build, compile, run."""
    by_user = probe.job.get("variant") == "waves"
    if graph.name == "dag" and not by_user:
        raise NotExpressible("sent tasks have no edges between them; see langgraph-waves")
    probe.start()
    if graph.name == "chain":
        looping = chain(graph).compile()
        probe.built()
        end = await looping.ainvoke({"node": 0, "value": 0}, config(graph))
        probe.keep += [looping, end]
        probe.stop()
        return int(end["value"])
    compiled = (waves(graph) if by_user else fanout(graph)).compile()
    probe.built()
    state = await compiled.ainvoke({"values": {}}, config(graph))
    probe.keep += [compiled, state]
    probe.stop()
    return int(state["values"][graph.sink])


if __name__ == "__main__":
    main({"steps": graph_measure(steps)})
