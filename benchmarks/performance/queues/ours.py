"""Our producer: a supervisor with its journal in PostgreSQL that sends jobs as steps and hands back their results.

Usage: python -m benchmarks.performance.queues.ours STORE TRANSPORT WAY KIND JOBS IN_FLIGHT. WAY is `map` (one run, a
branch per job), `runs` (a run of one step per job) or `chain` (one run, one step after the other). With BENCH_WARM in
the environment so many jobs go before those that count, and BENCH_SETTLE_S seconds pass then.
"""

import json
import os
import resource
import signal
import sys
import time

import anyio

from benchmarks.performance.queues import bench_pool
from orchestrator import Engine, Plan
from orchestrator.plan.models import Plan as FrozenPlan
from orchestrator.settings import Settings

INTEGER = {"type": "integer"}


def plan_of(way: str, kind: str, jobs: int, in_flight: int) -> FrozenPlan:
    """The plan of one run."""
    function = {"quick": bench_pool.quick, "slow": bench_pool.slow}[kind]
    budget = {"wall": "2h", "steps": 200_000}
    if way == "map":
        with Plan("bench-map", inputs={"numbers": {"type": "array", "items": INTEGER}}, budget=budget) as p:
            p.result(p.map(function, over=p.inputs.numbers, max_parallel=in_flight))
        return p.freeze()
    if way == "runs":
        with Plan("bench-run", inputs={"n": INTEGER}, budget=budget) as p:
            p.result(p.step(function, n=p.inputs.n))
        return p.freeze()
    with Plan("bench-chain", budget=budget) as p:
        last = p.step(function, id="s0", n=0)
        for number in range(1, jobs):
            last = p.step(function, id=f"s{number}", n=last)
        p.result(last)
    return p.freeze()


async def send(engine: Engine, way: str, kind: str, jobs: int, in_flight: int) -> list[float]:
    """Send, wait, and return how long each took, where each is a run."""
    plan, times = plan_of(way, kind, jobs, in_flight), []
    if way == "map":
        run = await engine.submit(plan, {"numbers": list(range(jobs))})
        result = await run.result()
        assert result.output == list(range(jobs)), "every job's answer, in order"  # type: ignore[union-attr]  # it succeeded
    elif way == "chain":
        run = await engine.submit(plan)
        await run.result()
    else:
        numbers = iter(range(jobs))

        async def lane() -> None:
            for n in numbers:
                sent_s = time.perf_counter()
                run = await engine.submit(plan, {"n": n})
                result = await run.result()
                assert result.output == n, "its own answer"  # type: ignore[union-attr]  # it succeeded
                times.append(time.perf_counter() - sent_s)

        async with anyio.create_task_group() as group:
            for _ in range(in_flight):
                group.start_soon(lane)
    return times


async def produce(store: str, transport: str, way: str, kind: str, jobs: int, in_flight: int) -> None:
    """Send, wait, tell."""
    settings = Settings(store=store, transport=transport, pools=(), open_runs_max=100_000)
    async with Engine(settings, pools=[bench_pool.jobs], recover=False) as engine:
        if warm := int(os.environ.get("BENCH_WARM", "0")):
            await send(engine, way, kind, warm, in_flight)
            await anyio.sleep(float(os.environ.get("BENCH_SETTLE_S", "0")))
            if callable(signal.getsignal(signal.SIGUSR1)):  # whoever counts begins anew
                signal.raise_signal(signal.SIGUSR1)
        cpu_s, began_s = time.process_time(), time.perf_counter()
        times = await send(engine, way, kind, jobs, in_flight)
        seconds, cpu = time.perf_counter() - began_s, time.process_time() - cpu_s
    closed_cpu_s = time.process_time() - cpu_s  # closing tells what was not yet told
    times.sort()
    print(json.dumps({
        "done": jobs, "failed": 0, "seconds": seconds, "cpu_s": cpu, "closed_cpu_s": closed_cpu_s,
        "times_ms": [round(t * 1000, 3) for t in times], "rss_kib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss,
        "pid": os.getpid(),
    }), flush=True)  # fmt: skip


if __name__ == "__main__":
    store, transport, way, kind, jobs, in_flight = sys.argv[1:]
    anyio.run(produce, store, transport, way, kind, int(jobs), int(in_flight))
