"""LlamaIndex workflows: events between steps.

It has no edges between named steps: the chain is one step that sends itself the next event, the fan-out a step that
sends N events and one that counts them in, and the layered graph needs a coordinating step with dependency counters,
which is scheduling written by the user.
"""

import asyncio

from workflows import Context, Workflow, step
from workflows.events import Event, StartEvent, StopEvent

from benchmarks.performance.cell import Job, Probe, graph_measure, main, sessions, sleeping_step
from benchmarks.performance.shapes import CAP, Shape, noop


class Task(Event):
    """A step may run."""

    node: int
    inputs: list[int]


class Done(Event):
    """A step has run."""

    node: int
    value: int


class Chain(Workflow):
    """One step that sends itself on."""

    last = 0

    @step
    async def first(self, ev: StartEvent) -> Task:
        return Task(node=0, inputs=[])

    @step
    async def link(self, ev: Task) -> Task | StopEvent:
        value = await noop(ev.node, ev.inputs)
        if ev.node == self.last:
            return StopEvent(result=value)
        return Task(node=ev.node + 1, inputs=[value])


class Counted(Workflow):
    """Dependency counters in a coordinating step; each ready step is an event."""

    graph: Shape
    consumers: list[list[int]]
    missing: list[int]
    values: list[int]

    def prepare(self, graph: Shape) -> None:
        """Set the counters for one run."""
        self.graph, self.consumers = graph, graph.consumers()
        self.missing = [len(needs) for needs in graph.inputs]
        self.values = [0] * len(graph.inputs)

    @step
    async def first(self, ctx: Context, ev: StartEvent) -> Task | None:
        for node in [node for node, missing in enumerate(self.missing) if not missing]:
            ctx.send_event(Task(node=node, inputs=[]))
        return None

    @step(num_workers=CAP)
    async def work(self, ev: Task) -> Done:
        return Done(node=ev.node, value=await noop(ev.node, ev.inputs))

    @step(num_workers=1)
    async def settle(self, ctx: Context, ev: Done) -> Task | StopEvent | None:
        self.values[ev.node] = ev.value
        if ev.node == self.graph.sink:
            return StopEvent(result=ev.value)
        for consumer in self.consumers[ev.node]:
            self.missing[consumer] -= 1
            if not self.missing[consumer]:
                inputs = [self.values[need] for need in self.graph.inputs[consumer]]
                ctx.send_event(Task(node=consumer, inputs=inputs))
        return None


async def steps(graph: Shape, probe: Probe) -> int:
    """Construct the workflow, run."""
    probe.start()
    if graph.name == "chain":
        chained = Chain(timeout=None)
        chained.last = graph.sink
        probe.built()
        answer = await chained.run()
        probe.keep.append(chained)
    else:
        counted = Counted(timeout=None)
        counted.prepare(graph)
        probe.built()
        answer = await counted.run()
        probe.keep.append(counted)
    probe.stop()
    return int(answer)


class First(Event):
    """After the first sleep."""

    number: int


class Second(Event):
    """After the second sleep."""

    number: int


class Session(Workflow):
    """Three sleeping steps in a row."""

    sleep_s = 0.0

    @step(num_workers=CAP)
    async def first(self, ev: StartEvent) -> First:
        return First(number=await sleeping_step(ev.get("number"), self.sleep_s))

    @step(num_workers=CAP)
    async def second(self, ev: First) -> Second:
        return Second(number=await sleeping_step(ev.number, self.sleep_s))

    @step(num_workers=CAP)
    async def third(self, ev: Second) -> StopEvent:
        return StopEvent(result=await sleeping_step(ev.number, self.sleep_s))


async def start_all(runs: int, sleep_s: float) -> list[int]:
    """All sessions at once on one workflow object."""
    workflow = Session(timeout=None)
    workflow.sleep_s = sleep_s

    async def one(run: int) -> int:
        return int(await workflow.run(number=run))

    return list(await asyncio.gather(*(one(run) for run in range(runs))))


async def many_sessions(_job: Job, probe: Probe) -> None:
    """Sessions at once."""
    await sessions(probe, start_all)


if __name__ == "__main__":
    main({"steps": graph_measure(steps), "sessions": many_sessions})
