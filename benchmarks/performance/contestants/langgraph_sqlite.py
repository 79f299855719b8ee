"""LangGraph with AsyncSqliteSaver and `durability="sync"`: each superstep is committed before the next.

Variants: `static` (one node per step), `send` (Send map and looping node), `task` (functional API, `@task`), each as
the saver sets itself up (`-full`: WAL, synchronous FULL) or with synchronous NORMAL for a like-for-like contrast
(`-normal`).
"""

import asyncio
from pathlib import Path

from langgraph.checkpoint.sqlite.aio import AsyncSqliteSaver
from langgraph.func import entrypoint, task

from benchmarks.performance.cell import Probe, graph_measure, main
from benchmarks.performance.contestants import langgraph_send, langgraph_static
from benchmarks.performance.shapes import Shape, noop


async def functional(graph: Shape, probe: Probe, saver: AsyncSqliteSaver) -> int:
    """The functional API: an entrypoint that awaits one task per step."""

    @task
    async def step(node: int, inputs: list[int]) -> int:
        return await noop(node, inputs)

    @entrypoint(checkpointer=saver)
    async def flow(_start: int) -> int:
        values: list[int] = []
        for wave in graph.layers():
            calls = [step(node, [values[need] for need in graph.inputs[node]]) for node in wave]
            values += await asyncio.gather(*calls)
        return values[graph.sink]

    probe.start()
    probe.built()
    answer = await flow.ainvoke(0, {"configurable": {"thread_id": "1"}, **langgraph_static.config(graph)})
    probe.stop()
    return int(answer)


async def steps(graph: Shape, probe: Probe) -> int:
    """Open the saver, then build and run with it."""
    form, _, mode = probe.job["variant"].partition("-")
    async with AsyncSqliteSaver.from_conn_string(str(Path(probe.job["directory"]) / "saver.sqlite")) as saver:
        await saver.setup()
        if mode == "normal":
            await saver.conn.execute("PRAGMA synchronous=NORMAL")
        if form == "task":
            return await functional(graph, probe, saver)
        config = {"configurable": {"thread_id": "1"}, **langgraph_static.config(graph)}
        probe.start()
        if form == "send" and graph.name == "chain":
            looping = langgraph_send.chain(graph).compile(checkpointer=saver)
            probe.built()
            end = await looping.ainvoke({"node": 0, "value": 0}, config, durability="sync")
            probe.stop()
            return int(end["value"])
        builder = langgraph_send.fanout(graph) if form == "send" else langgraph_static.build(graph)
        compiled = builder.compile(checkpointer=saver)
        probe.built()
        state = await compiled.ainvoke({"values": {}}, config, durability="sync")
        probe.stop()
        return int(state["values"][graph.sink])


if __name__ == "__main__":
    main({"durable": graph_measure(steps)})
