"""The child's side of a measurement: read one job, run it, check its answer, print one JSON line.

A contestant file defines coroutines named by what they measure and hands them to `main`. Clocks start where the
contestant calls `probe.start()`: after imports and after opening a database, before the first line that depends on the
graph; `probe.built()` splits building from running.
"""

import asyncio
import gc
import json
import os
import sqlite3
import sys
import time
import tracemalloc
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import TypedDict

from benchmarks.performance.shapes import CAP, Executions, Shape, shape

WARM_STEPS = 20  #: size of the untimed run before the timed one
PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


class Job(TypedDict, total=False):
    """What the parent asks of one process; the keys that matter depend on `measure`."""

    measure: str  #: steps | durable | sessions | eager
    shape: str
    size: int
    variant: str  #: a form of the contestant, such as `static` or `normal`
    directory: str  #: scratch directory of this cell, empty at the start
    trace_memory: bool  #: also count allocations; slows the run down, so its times are not used
    count_commits: bool  #: also count SQL commits; slows the run down, so its times are not used
    runs: int
    sleep_s: float
    commits: int  #: transactions in all, for the raw floor that repeats those of ours
    rows: int  #: rows in all of them together
    row_bytes: int  #: payload of one row


class NotExpressible(Exception):
    """The contestant cannot run this job; the message says why and is printed in the table."""


class Probe:
    """Clocks, memory and facts of one measurement."""

    def __init__(self, job: Job) -> None:
        self.job = job
        self.facts: dict[str, object] = {}
        self.keep: list[object] = []  #: what must stay alive until memory was read (the plan, the run, its engine)
        self._traced = job.get("trace_memory", False)

    def start(self) -> None:
        """Start the clocks; call it once everything that does not depend on the graph is ready."""
        gc.collect()
        self._rss = rss_bytes()
        if self._traced:
            tracemalloc.start()
        self._cpu_s, self._wall_s = time.process_time(), time.perf_counter()
        self._built = (self._cpu_s, self._wall_s)

    def built(self) -> None:
        """The graph is built and checked; from here on it runs."""
        self._built = (time.process_time(), time.perf_counter())

    def stop(self) -> None:
        """Stop the clocks and read the memory that is still held."""
        wall_s, cpu_s = time.perf_counter(), time.process_time()
        self.facts |= {
            "wall_s": wall_s - self._wall_s,
            "cpu_s": cpu_s - self._cpu_s,
            "build_wall_s": self._built[1] - self._wall_s,
            "build_cpu_s": self._built[0] - self._cpu_s,
            "rss_bytes": rss_bytes() - self._rss,
        }
        if self._traced:
            gc.collect()
            held, peak = tracemalloc.get_traced_memory()
            tracemalloc.stop()
            self.facts |= {"held_bytes": held, "peak_bytes": peak}


StepsMeasure = Callable[[Shape, Probe], Awaitable[int]]
Measure = Callable[[Job, Probe], Awaitable[None]]


def rss_bytes() -> int:
    """Resident memory of this process now, in bytes (Linux)."""
    return int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1]) * PAGE_BYTES


def peak_rss_bytes() -> int:
    """Highest resident memory of this process so far, in bytes (Linux)."""
    for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    raise LookupError("/proc/self/status has no VmHWM line; this benchmark needs Linux")


def stored_bytes(directory: str) -> int:
    """Bytes of all files below `directory`, after the write-ahead logs were folded into their databases."""
    files = [path for path in Path(directory).rglob("*") if path.is_file()]
    for path in files:
        with path.open("rb") as handle:
            is_database = handle.read(15) == b"SQLite format 3"
        if is_database:
            connection = sqlite3.connect(path, timeout=10)
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            connection.close()
    return sum(path.stat().st_size for path in files if path.exists())


async def ticker(lags_s: list[float], every_s: float = 0.01) -> None:
    """Append to `lags_s` by how much each sleep of `every_s` overshot: the stall of the event loop, sampled."""
    while True:
        before = time.perf_counter()
        await asyncio.sleep(every_s)
        lags_s.append(time.perf_counter() - before - every_s)


def stall_facts(lags_s: list[float]) -> dict[str, object]:
    """Longest and 99th percentile of the sampled stalls, seconds."""
    ordered = sorted(lags_s)
    return {"stall_max_s": ordered[-1], "stall_p99_s": ordered[min(len(ordered) - 1, int(len(ordered) * 0.99))]}


async def sessions(probe: Probe, start_all: Callable[[int, float], Awaitable[list[int]]]) -> None:
    """Measure `start_all(runs, sleep_s)`: all runs at once, each three sleeping steps; run i must answer i + 3."""
    runs, sleep_s = probe.job["runs"], probe.job["sleep_s"]
    lags_s: list[float] = []
    watching = asyncio.create_task(ticker(lags_s))
    await asyncio.sleep(0.05)
    lags_s.clear()
    probe.start()
    before_bytes = rss_bytes()
    answers = await start_all(runs, sleep_s)
    probe.stop()
    watching.cancel()
    if answers != [run + 3 for run in range(runs)]:
        raise AssertionError(f"{runs} sessions did not answer their own number plus three")
    peak_bytes = max(0, peak_rss_bytes() - before_bytes)
    probe.facts |= stall_facts(lags_s) | {"peak_bytes_per_run": peak_bytes / runs}


async def sleeping_step(number: int, sleep_s: float) -> int:
    """One step of a session: sleeps, then adds one."""
    await asyncio.sleep(sleep_s)
    return number + 1


def graph_measure(run: StepsMeasure) -> Measure:
    """A measurement of `run` on the shape that the job names, with its answer and its executions checked."""

    async def measured(job: Job, probe: Probe) -> None:
        graph = shape(job["shape"], job["size"])
        expected = graph.answer()
        Executions.count = 0
        answer = await run(graph, probe)
        if answer != expected:
            raise AssertionError(f"{graph.name} of {graph.steps}: answer {answer}, expected {expected}")
        if Executions.count != len(graph.inputs):
            raise AssertionError(f"{graph.name}: {Executions.count} executions, expected {len(graph.inputs)}")
        probe.facts |= {"steps": graph.steps, "executions": Executions.count, "cap": CAP}
        if "directory" in job:
            probe.facts["stored_bytes"] = stored_bytes(job["directory"])

    return measured


def main(measures: Mapping[str, Measure]) -> None:
    """Run the job in `sys.argv[1]` and print its result as one JSON line.

    The line holds `ok: true` and the facts, or `unsupported` with the reason. Any other failure is a traceback and a
    non-zero exit, which the parent reports.
    """
    job: Job = json.loads(sys.argv[1])
    probe = Probe(job)
    try:
        measure = measures.get(job["measure"])
        if measure is None:
            raise NotExpressible(f"has no measurement named {job['measure']}")
        asyncio.run(_run(measure, job, probe))
    except NotExpressible as error:
        print(json.dumps({"unsupported": str(error)}), flush=True)
        return
    print(json.dumps({"ok": True, **probe.facts}), flush=True)


async def _run(measure: Measure, job: Job, probe: Probe) -> None:
    """Measure once on a tiny job, so that lazy imports are not counted, then for good."""
    tiny: Job = {**job, "trace_memory": False, "size": WARM_STEPS, "runs": 2, "sleep_s": 0.0}
    if "directory" in job:
        tiny["directory"], job["directory"] = (_make(job["directory"], name) for name in ("warm", "timed"))
    if job["measure"] != "eager":  # its step bodies sleep for a fixed time, and imports do not fall into its delays
        await measure(tiny, Probe(tiny))
    await measure(job, probe)


def _make(parent: str, name: str) -> str:
    path = Path(parent) / name
    path.mkdir()
    return str(path)
