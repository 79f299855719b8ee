"""Second floor: a task per step as soon as it is ready, held at an `anyio.Semaphore`; what one writes first."""

import anyio
from anyio.abc import TaskGroup

from benchmarks.performance.cell import Probe, graph_measure, main
from benchmarks.performance.shapes import CAP, Shape, noop


async def steps(graph: Shape, probe: Probe) -> int:
    """Build the counters, run, return the sink's value."""
    probe.start()
    consumers = graph.consumers()
    missing = [len(needs) for needs in graph.inputs]
    values = [0] * len(graph.inputs)
    slots = anyio.Semaphore(CAP)
    probe.built()

    async def step(node: int, tasks: TaskGroup) -> None:
        async with slots:
            values[node] = await noop(node, [values[need] for need in graph.inputs[node]])
        for consumer in consumers[node]:
            missing[consumer] -= 1
            if not missing[consumer]:
                tasks.start_soon(step, consumer, tasks)

    async with anyio.create_task_group() as tasks:
        for source in [node for node, count in enumerate(missing) if not count]:
            tasks.start_soon(step, source, tasks)
    probe.keep.append(values)
    probe.stop()
    return values[graph.sink]


if __name__ == "__main__":
    main({"steps": graph_measure(steps)})
