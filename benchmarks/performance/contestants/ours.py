"""This project: the engine with the gate on; memory journal, or the SQLite journal where it is to be durable."""

import asyncio
import dataclasses
import json
import sqlite3
from collections import Counter
from pathlib import Path

from pydantic import BaseModel

from benchmarks.performance.cell import Job, Probe, graph_measure, main, sessions, sleeping_step
from benchmarks.performance.eager_facts import EagerClock, report
from benchmarks.performance.shapes import CAP, Shape, noop
from orchestrator import Budget, Engine, Plan, Run, Succeeded
from orchestrator.ports.journal import Recorded
from workers import Pool, WorkContext

pool = Pool("bench", concurrency=CAP)
sleepers = Pool("sleepers", concurrency=10_000)  # every session may sleep at once
clocked = Pool("clocked", concurrency=CAP)
clock = EagerClock()


class FanoutIn(BaseModel):
    """The branches' node numbers."""

    nodes: list[int]


class SessionIn(BaseModel):
    """What one session starts from."""

    number: int


class EagerIn(BaseModel):
    """Which of the eagerness runs it is."""

    run: int


@pool.worker
async def add(ctx: WorkContext, node: int, values: list[int]) -> int:
    """The no-op step."""
    return await noop(node, values)


@pool.worker
async def leaf(ctx: WorkContext, node: int, base: int) -> int:
    """The no-op step of a branch."""
    return await noop(node, [base])


@sleepers.worker
async def sleep(ctx: WorkContext, number: int, sleep_s: float) -> int:
    """One step of a session."""
    return await sleeping_step(number, sleep_s)


@clocked.worker
async def slow(ctx: WorkContext, run: int) -> int:
    """The one-second sibling."""
    return await clock.slow(run)


@clocked.worker
async def quick(ctx: WorkContext, run: int) -> int:
    """The 50 ms step."""
    return await clock.quick(run)


@clocked.worker
async def dependent(ctx: WorkContext, run: int) -> int:
    """The step that needs only the quick one."""
    return await clock.dependent(run)


def build(graph: Shape) -> Plan:
    """The plan of a shape: a map for the fan-out, a step and its references per node otherwise."""
    if graph.name == "fanout":
        with Plan("fanout", inputs=FanoutIn) as plan:
            source = plan.step(add, node=0, values=[])
            leaves = plan.map(leaf, over=plan.inputs.nodes, base=source, max_parallel=CAP)
            plan.result(plan.step(add, node=graph.sink, values=leaves))
        return plan
    with Plan(graph.name) as plan:
        refs: list[object] = []
        for node, needs in enumerate(graph.inputs):
            refs.append(plan.step(add, id=f"n{node}", node=node, values=[refs[need] for need in needs]))
        plan.result(refs[graph.sink])
    return plan


async def run_shape(graph: Shape, probe: Probe, engine: Engine) -> tuple[int, Run]:
    """Build, freeze, check against the pools and compile; then submit and await. The sink's value."""
    frozen = build(graph).freeze()
    engine.runs.prepare(frozen)  # once per plan, whatever the number of its runs; `submit` would do it
    probe.built()
    inputs = {"nodes": list(range(1, graph.sink))} if graph.name == "fanout" else {}
    run = await engine.submit(frozen, inputs, budget=Budget(steps=len(graph.inputs)))
    result = await run.result()
    probe.keep += [frozen, run, result, engine]
    probe.stop()
    return number_of(result), run


def number_of(result: object) -> int:
    """The integer that a run ended with.

    Raises:
        AssertionError: it did not succeed with one.
    """
    if not isinstance(result, Succeeded) or not isinstance(result.output, int):
        raise AssertionError(f"expected a success with an integer, got {str(result)[:300]}")
    return result.output


async def steps(graph: Shape, probe: Probe) -> int:
    """Memory journal, gate on."""
    probe.start()
    async with Engine(pools=[pool], store="memory:") as engine:
        answer, _ = await run_shape(graph, probe, engine)
    return answer


class Commits:
    """Counts what every SQLite connection opened from now on executes; wraps `sqlite3.connect` of this process."""

    def __init__(self) -> None:
        self.statements: Counter[str] = Counter()
        self.pragmas: list[str] = []
        self._connect = sqlite3.connect
        sqlite3.connect = self._counted  # type: ignore[assignment] # same arguments, same result

    def _counted(self, *arguments: object, **options: object) -> sqlite3.Connection:
        connection: sqlite3.Connection = self._connect(*arguments, **options)  # type: ignore[call-overload] # handed on
        connection.set_trace_callback(self._statement)
        return connection

    def _statement(self, text: str) -> None:
        words = text.split(maxsplit=1)
        self.statements[words[0].upper().rstrip(";")] += 1
        if "SYNCHRONOUS" in text.upper():
            self.pragmas.append(text.upper())


async def durable_steps(graph: Shape, probe: Probe) -> int:
    """SQLite journal, gate on."""
    commits = Commits() if probe.job.get("count_commits") else None
    store = f"sqlite:///{Path(probe.job['directory']) / 'journal.db'}"
    async with Engine(pools=[pool], store=store) as engine:
        before = commits.statements["COMMIT"] if commits else 0
        probe.start()
        answer, run = await run_shape(graph, probe, engine)
        if commits:
            if commits.statements["COMMIT"] == before:
                raise AssertionError("the journal committed nothing that could be counted")
            probe.facts |= {
                "commits": commits.statements["COMMIT"] - before,
                "statements": dict(commits.statements),
                "pragmas": sorted(set(commits.pragmas)),
            }
        sizes = [event_bytes(event) async for event in run.events(after=0)]
        probe.facts |= {"events": len(sizes), "canonical_bytes": sum(sizes)}
    return answer


def event_bytes(event: Recorded) -> int:
    """Bytes of one event as canonical JSON: run, sequence, kind, chain hash, and each field that is not its default."""
    fact = event.fact
    said: dict[str, object] = {
        field.name: getattr(fact, field.name)
        for field in dataclasses.fields(fact)
        if getattr(fact, field.name) != field.default
    }
    said |= {"run": event.run_id, "seq": event.seq, "kind": fact.KIND, "prev_hash": event.prev_hash}
    text = json.dumps(said, sort_keys=True, separators=(",", ":"), ensure_ascii=False, default=dataclasses.asdict)
    return len(text.encode())


async def many_sessions(_job: Job, probe: Probe) -> None:
    """Sessions at once: one plan, frozen before, one run each."""
    async with Engine(pools=[sleepers], store="memory:", open_runs_max=20_000) as engine:

        async def start_all(runs: int, sleep_s: float) -> list[int]:
            with Plan("session", inputs=SessionIn) as plan:
                first = plan.step(sleep, number=plan.inputs.number, sleep_s=sleep_s)
                second = plan.step(sleep, number=first, sleep_s=sleep_s)
                plan.result(plan.step(sleep, number=second, sleep_s=sleep_s))
            frozen = plan.freeze()

            async def one(number: int) -> int:
                run = await engine.submit(frozen, {"number": number})
                return number_of(await run.result())

            return list(await asyncio.gather(*(one(number) for number in range(runs))))

        await sessions(probe, start_all)


async def eager(job: Job, probe: Probe) -> None:
    """Delay from the end of the quick step to the start of the step behind it, runs one after the other."""
    with Plan("eager", inputs=EagerIn) as plan:
        sibling = plan.step(slow, run=plan.inputs.run)
        first = plan.step(quick, run=plan.inputs.run)
        behind = plan.step(dependent, run=first)
        plan.result({"slow": sibling, "behind": behind})
    frozen = plan.freeze()
    async with Engine(pools=[clocked], store="memory:") as engine:
        probe.start()
        for number in range(job["runs"]):
            run = await engine.submit(frozen, {"run": number})
            result = await run.result()
            if not isinstance(result, Succeeded) or result.output != {"slow": number, "behind": number}:
                raise AssertionError(f"eager run {number}: {result}")
        probe.stop()
    report(clock, probe)


if __name__ == "__main__":
    main(
        {
            "steps": graph_measure(steps),
            "durable": graph_measure(durable_steps),
            "sessions": many_sessions,
            "eager": eager,
        }
    )
