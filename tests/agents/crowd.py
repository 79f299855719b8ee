"""A process with many agent runs at once, on a model that answers at once; says what it took, as JSON.

Usage: python -m tests.agents.crowd RUNS
"""

import json
import resource
import sys
import time

import anyio
import anyio.lowlevel

from orchestrator.adapters.memory.journal import MemoryJournal
from orchestrator.app import Engine
from orchestrator.core.results import Succeeded
from orchestrator.plan.files import parse_plan
from orchestrator.ports.model import Completion, Meter, ModelCall, Prompt
from tests.agents.saying import calls, says
from workers import Pool, tool

PLAN = """
version: 1
name: crowd
inputs: {topic: {type: string}}
steps:
  write: {pool: p, task: "Write about ${{ inputs.topic }}.", with: {notes: "${{ inputs.topic }}"}}
result: ${{ steps.write.output }}
"""
DATA_CHARS = 4_000  #: of each run, as a page of notes has


class Crowd:
    """Answers nobody before everybody has asked; then everybody at once: a call of a tool, then a text."""

    def __init__(self, size: int) -> None:
        self.size, self.inside, self.most = size, 0, 0
        self.all_here = anyio.Event()

    async def complete(self, prompt: Prompt, meter: Meter, on_delta: object = None) -> Completion:
        charge = await meter.reserve(0.0, 100)
        first = len(prompt.messages) == 2
        if first:
            self.inside += 1
            self.most = max(self.most, self.inside)
            if self.inside == self.size:
                self.all_here.set()
            await self.all_here.wait()
        meter.called(ModelCall(charge=charge, model="m", endpoint="e", outcome="ok", tokens_in=90, tokens_out=10))
        for _ in range(20):
            meter.delta("a piece of the answer ")
        return calls(("look", {"term": "x"})) if first else says("done")


def rss_bytes(line: str = "VmHWM") -> int:
    """The most memory this process has held, in bytes."""
    with open("/proc/self/status", encoding="ascii") as status:  # noqa: PTH123  # a special file
        return next(int(text.split()[1]) * 1024 for text in status if text.startswith(line))


async def main(size: int) -> None:
    models = Crowd(size)

    @tool
    async def look(term: str) -> str:
        """Look something up."""
        await anyio.lowlevel.checkpoint()
        return "found " * 100

    pool = Pool("p", concurrency=size)
    pool.agent("writer", "You write.", tools=[look])
    plan = parse_plan(PLAN)
    at_start = rss_bytes()
    began = time.perf_counter()
    async with Engine(pools=[pool], journal=MemoryJournal(), models=models, open_runs_max=size) as engine:
        runs = [await engine.submit(plan, {"topic": f"{number} " + "x" * DATA_CHARS}) for number in range(size)]
        results = [await run.result() for run in runs]
        took_s = time.perf_counter() - began
    assert all(isinstance(result, Succeeded) and result.output == "done" for result in results)
    said = {"runs": size, "at_once": models.most, "seconds": round(took_s, 2)}
    usage = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    print(json.dumps({**said, "rss_at_start": at_start, "rss_most": max(rss_bytes(), usage)}))


if __name__ == "__main__":
    anyio.run(main, int(sys.argv[1]))
