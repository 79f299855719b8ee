"""LangGraph, first form: one node per step and one edge per dependency; no saver.

The state is one dictionary that a reducer updates in place: the cheapest channel that can carry a value per step.
LangGraph has no join over edges of different lengths but the one that `add_edge([sources], target)` builds.
"""

import asyncio
import operator
from typing import Annotated, TypedDict

from langgraph.graph import END, START, StateGraph
from langgraph.graph.state import CompiledStateGraph

from benchmarks.performance.cell import Job, Probe, graph_measure, main, sessions, sleeping_step
from benchmarks.performance.eager_facts import EagerClock, report
from benchmarks.performance.shapes import CAP, Shape, noop


def update(into: dict[int, int], new: dict[int, int]) -> dict[int, int]:
    """Merge in place; a copy per step would be quadratic."""
    into.update(new)
    return into


class State(TypedDict):
    """One value per node."""

    values: Annotated[dict[int, int], update]


def build(graph: Shape) -> StateGraph[State]:
    """The graph before compilation."""
    builder = StateGraph(State)
    for node, needs in enumerate(graph.inputs):

        async def step(state: State, node: int = node, needs: tuple[int, ...] = needs) -> State:
            values = state["values"]
            return {"values": {node: await noop(node, [values[need] for need in needs])}}

        builder.add_node(f"n{node}", step)
        if len(needs) == 0:
            builder.add_edge(START, f"n{node}")
        elif len(needs) == 1:
            builder.add_edge(f"n{needs[0]}", f"n{node}")
        else:
            builder.add_edge([f"n{need}" for need in needs], f"n{node}")
    builder.add_edge(f"n{graph.sink}", END)
    return builder


def config(graph: Shape) -> dict[str, int]:
    """Cap and recursion limit for a run of `graph`."""
    return {"recursion_limit": len(graph.inputs) + 10, "max_concurrency": CAP}


async def steps(graph: Shape, probe: Probe) -> int:
    """Build, compile, run."""
    probe.start()
    compiled = build(graph).compile()
    probe.built()
    state = await compiled.ainvoke({"values": {}}, config(graph))
    probe.keep += [compiled, state]
    probe.stop()
    return int(state["values"][graph.sink])


class Session(TypedDict):
    """State of one session."""

    number: int


def session_graph(sleep_s: float) -> CompiledStateGraph[Session]:
    """Three sleeping nodes in a row."""

    async def step(state: Session) -> Session:
        return {"number": await sleeping_step(state["number"], sleep_s)}

    builder = StateGraph(Session)
    names = ["first", "second", "third"]
    for name in names:
        builder.add_node(name, step)
    for source, target in zip([START, *names], [*names, END], strict=True):
        builder.add_edge(source, target)
    return builder.compile()


async def start_all(runs: int, sleep_s: float) -> list[int]:
    """All sessions at once on one compiled graph."""
    compiled = session_graph(sleep_s)
    states = await asyncio.gather(*(compiled.ainvoke({"number": run}) for run in range(runs)))
    return [state["number"] for state in states]


async def many_sessions(_job: Job, probe: Probe) -> None:
    """Sessions at once."""
    await sessions(probe, start_all)


class Eager(TypedDict):
    """State of one eagerness run."""

    run: int
    seen: Annotated[int, operator.add]


async def eager(job: Job, probe: Probe) -> None:
    """Delay from the end of the quick node to the start of the node behind it."""
    clock = EagerClock()

    async def slow(state: Eager) -> dict[str, int]:
        await clock.slow(state["run"])
        return {"seen": 1}

    async def quick(state: Eager) -> dict[str, int]:
        await clock.quick(state["run"])
        return {"seen": 1}

    async def dependent(state: Eager) -> dict[str, int]:
        await clock.dependent(state["run"])
        return {"seen": 1}

    builder = StateGraph(Eager)
    builder.add_node("slow", slow)
    builder.add_node("quick", quick)
    builder.add_node("dependent", dependent)
    builder.add_edge(START, "slow")
    builder.add_edge(START, "quick")
    builder.add_edge("quick", "dependent")
    builder.add_edge("dependent", END)
    builder.add_edge("slow", END)
    compiled = builder.compile()
    probe.start()
    for run in range(job["runs"]):
        await compiled.ainvoke({"run": run, "seen": 0})
    probe.stop()
    report(clock, probe)


if __name__ == "__main__":
    main({"steps": graph_measure(steps), "sessions": many_sessions, "eager": eager})
