"""Floor: a task group, dependency counters and a ready queue; a task exists only while its step runs."""

from collections import deque

import anyio
from anyio.abc import TaskGroup

from benchmarks.performance.cell import Job, Probe, graph_measure, main, sessions, sleeping_step
from benchmarks.performance.eager_facts import EagerClock, report
from benchmarks.performance.shapes import CAP, Shape, noop


class Scheduler:
    """Runs one shape; at most `CAP` steps at once."""

    def __init__(self, graph: Shape) -> None:
        self.inputs = graph.inputs
        self.consumers = graph.consumers()
        self.missing = [len(needs) for needs in graph.inputs]
        self.values = [0] * len(graph.inputs)
        self.ready = deque(node for node, missing in enumerate(self.missing) if not missing)
        self.running = 0

    def fill(self, tasks: TaskGroup) -> None:
        """Start ready steps while the cap allows."""
        while self.ready and self.running < CAP:
            self.running += 1
            tasks.start_soon(self.step, self.ready.popleft(), tasks)

    async def step(self, node: int, tasks: TaskGroup) -> None:
        """Run one step and release those that waited for it alone."""
        self.values[node] = await noop(node, [self.values[need] for need in self.inputs[node]])
        self.running -= 1
        for consumer in self.consumers[node]:
            self.missing[consumer] -= 1
            if not self.missing[consumer]:
                self.ready.append(consumer)
        self.fill(tasks)


async def steps(graph: Shape, probe: Probe) -> int:
    """Build the counters, run, return the sink's value."""
    probe.start()
    scheduler = Scheduler(graph)
    probe.built()
    async with anyio.create_task_group() as tasks:
        scheduler.fill(tasks)
    probe.keep.append(scheduler)
    probe.stop()
    return scheduler.values[graph.sink]


async def start_all(runs: int, sleep_s: float) -> list[int]:
    """All sessions as tasks of one group."""
    answers = [0] * runs

    async def session(run: int) -> None:
        number = run
        for _ in range(3):
            number = await sleeping_step(number, sleep_s)
        answers[run] = number

    async with anyio.create_task_group() as tasks:
        for run in range(runs):
            tasks.start_soon(session, run)
    return answers


async def many_sessions(_job: Job, probe: Probe) -> None:
    """Sessions at once."""
    await sessions(probe, start_all)


async def eager(job: Job, probe: Probe) -> None:
    """Delay from the end of the quick step to the start of the step behind it."""
    clock = EagerClock()
    probe.start()

    async def quick_then_next(slot: int) -> None:
        await clock.quick(slot)
        await clock.dependent(slot)

    for slot in range(job["runs"]):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(clock.slow, slot)
            tasks.start_soon(quick_then_next, slot)
    probe.stop()
    report(clock, probe)


if __name__ == "__main__":
    main({"steps": graph_measure(steps), "sessions": many_sessions, "eager": eager})
