"""Where the time of the fleet goes: the producer's process and one worker's, sampled while they do jobs of nothing."""

import json
from typing import Any, Final

from benchmarks.performance.queues.peers_runner import answers_of, cpu_of
from benchmarks.performance.queues.sections import CELL_S, WORKERS, Options, Section
from benchmarks.performance.queues.site import Site, our_producer, our_workers
from benchmarks.performance.report import table

SAMPLED: Final = "benchmarks.performance.queues.sampled"
WAYS: Final = {"map": 10, "runs": 1}  #: how many times as many jobs, so that each takes seconds
SHOWN: Final = 12  #: layers, and functions


def profile(site: Site, options: Options) -> Section:
    """Shares of the processor time by layer, of a map and of a run for each job."""
    found = Section(f"where the time goes: shares of the processor time, {WORKERS} workers")
    tables = []
    for way, times in WAYS.items():
        jobs = options.jobs * times
        files = {who: options.folder / f"{way}-{who}.json" for who in ("producer", "worker")}
        with (
            site.redis() as redis,
            our_workers(redis.url, workers=WORKERS, concurrency=100, under=(SAMPLED, str(files["worker"]))) as workers,
        ):
            child = our_producer(site, redis.url, way, "quick", jobs, 1_000, under=(SAMPLED, str(files["producer"])))
            facts = answers_of(child, CELL_S)
            redis_s = cpu_of(redis.pid)
            workers.drain()
        found.facts[f"ours ({way})"] = [facts]
        if "failure" in facts:
            tables.append(f"{way}: {facts['failure']}")
            continue
        for who, file in files.items():
            told = json.loads(file.read_text())
            facts[who] = told
            tables.append(_shares(f"{way}, {who}", told, jobs))
        tables.append(f"Redis: {redis_s / jobs * 1e6:.0f} us a job")
    found.table = "\n\n".join(tables)
    return found


def _shares(title: str, told: dict[str, Any], jobs: int) -> str:
    whole = max(told["samples"], 1)
    layers, functions = list(told["layers"].items())[:SHOWN], list(told["functions"].items())[:SHOWN]
    rows = [
        [layer, f"{count / whole:.1%}", function, f"{of_function / whole:.1%}"]
        for (layer, count), (function, of_function) in zip(layers, functions, strict=False)
    ]
    spent = f"{told['work_s'] / jobs * 1e6:.0f} us a job of all, other threads {told['other_threads_s']:.1f} s"
    return f"{title} ({spent})\n\n" + table(["layer", "share", "function", "share"], rows)


__all__ = ["profile"]
