"""Ten thousand runs at once, each of three steps of two seconds: what a run costs, and how late it ends."""

import json
import os
import resource
import subprocess
import sys
import time
from pathlib import Path

import anyio

from benchmarks.performance.queues import bench_pool
from benchmarks.performance.queues.peers_runner import ROOT, answers_of, cpu_of
from benchmarks.performance.queues.sections import Options, Section, number, percentile
from benchmarks.performance.queues.site import Site, our_workers
from benchmarks.performance.report import Verdict, table
from orchestrator import Engine, Plan
from orchestrator.settings import Settings
from tests.servers.postgres import TEMPLATE

STEPS, STEP_S = 3, 2.0
IDEAL_S = STEPS * STEP_S
WORKERS = 2
CELL_S = 900.0
HEADER = (
    "ended", "wall s", "late p50 s", "late p99 s", "CPU ms/run owner", "workers", "PostgreSQL", "Redis",
    "KiB/run owner",
)  # fmt: skip


async def produce(store: str, transport: str, runs: int) -> None:
    """Submit all runs as fast as they are taken; each is timed from its submission to its journaled end."""
    settings = Settings(store=store, transport=transport, pools=(), open_runs_max=100_000)
    with Plan("bench-scale", budget={"wall": "2h"}) as p:
        last = p.step(bench_pool.nap, id="s0", n=0, seconds=STEP_S)
        for index in range(1, STEPS):
            last = p.step(bench_pool.nap, id=f"s{index}", n=last, seconds=STEP_S)
        p.result(last)
    plan, times = p.freeze(), []
    async with Engine(settings, pools=[bench_pool.jobs], recover=False) as engine:
        before_kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        cpu_s, began_s = time.process_time(), time.perf_counter()

        async def one() -> None:
            sent_s = time.perf_counter()
            run = await engine.submit(plan)
            result = await run.result()
            assert type(result).__name__ == "Succeeded", result
            times.append(time.perf_counter() - sent_s)

        async with anyio.create_task_group() as group:
            for _ in range(runs):
                group.start_soon(one)
        seconds, cpu = time.perf_counter() - began_s, time.process_time() - cpu_s
    times.sort()
    print(json.dumps({
        "done": runs, "seconds": seconds, "cpu_s": cpu, "times_ms": [round(t * 1000, 1) for t in times],
        "kib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before_kib,
    }), flush=True)  # fmt: skip


def scale(site: Site, options: Options) -> Section:
    """One supervisor and two workers; what is late is counted from the ideal of six seconds."""
    runs = options.scale_runs
    found = Section(f"{runs:,} runs at once of {STEPS} steps of {STEP_S:g} s (ideal {IDEAL_S:g} s), {WORKERS} workers")
    with site.redis() as redis, our_workers(redis.url, workers=WORKERS, concurrency=runs) as workers:
        before_s, postgres_s, redis_s = workers.cpu_s(), _postgres_cpu(site), cpu_of(redis.pid)
        child = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.performance.queues.scale", site.postgres.database(TEMPLATE), redis.url,
             str(runs)],
            cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True,
            env={**os.environ, "PYTHONPATH": str(ROOT), "BENCH_WITNESS": "/dev/null"},
        )  # fmt: skip
        facts = answers_of(child, CELL_S)
        facts |= {
            "workers_cpu_s": workers.cpu_s() - before_s,
            "postgres_cpu_s": _postgres_cpu(site) - postgres_s,
            "redis_cpu_s": cpu_of(redis.pid) - redis_s,
        }
    found.facts["ours"] = [facts]
    if "failure" in facts:
        found.table = str(facts["failure"])
        return found
    over = {share: percentile(facts, share) / 1000 - IDEAL_S for share in (0.5, 0.99)}
    per_run = {
        key: number(facts, key) / runs * 1000 for key in ("cpu_s", "workers_cpu_s", "postgres_cpu_s", "redis_cpu_s")
    }
    found.table = table(
        HEADER,
        [[
            f"{facts['done']:,}", f"{number(facts, 'seconds'):.1f}", f"{over[0.5]:.2f}", f"{over[0.99]:.2f}",
            *(f"{value:.2f}" for value in per_run.values()), f"{number(facts, 'kib') / runs:.1f}",
        ]],
    )  # fmt: skip
    met = number(facts, "done") == runs
    found.verdicts.append(Verdict(target=f"all {runs:,} runs end", measured=f"{facts['done']:,}", met=met))
    return found


def _postgres_cpu(site: Site) -> float:
    """Of the postmaster and the children it has waited for, and of those that live."""
    assert site.postgres._process is not None, "it runs"  # the server of the tests, which keeps it to itself
    pid = site.postgres._process.pid
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return cpu_of(pid, waited=True) + sum(cpu_of(int(child)) for child in children)


if __name__ == "__main__":
    anyio.run(produce, sys.argv[1], sys.argv[2], int(sys.argv[3]))
