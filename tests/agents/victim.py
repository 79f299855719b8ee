"""A real process whose agent sends a letter, and is killed right before or right after it did.

Usage: python -m tests.agents.victim STORE WITNESS before|after|never
"""

import os
import signal
import sys
from pathlib import Path

import anyio

from orchestrator.app import Engine
from orchestrator.core.results import Succeeded
from orchestrator.engine.handle import Run
from orchestrator.plan.files import parse_plan
from orchestrator.ports.journal import RunQuery
from tests.agents.saying import Saying, calls, says
from workers import Pool, ToolContext, tool

PLAN = """
version: 1
name: letter
steps:
  write: {pool: p, task: Send ada a letter.}
result: ${{ steps.write.output }}
"""


def pool_of(witness: Path, when: str) -> Pool:
    """A pool whose agent's tool writes down what it did, and dies on the way."""

    @tool(effect=True)
    async def send(ctx: ToolContext, to: str) -> str:
        """Send a letter."""
        if when == "before":
            os.kill(os.getpid(), signal.SIGKILL)
        with witness.open("a") as file:
            file.write(f"{ctx.attempt} {ctx.key} {to}\n")
        if when == "after":
            os.kill(os.getpid(), signal.SIGKILL)
        return "sent"

    pool = Pool("p")
    pool.agent("clerk", "You send letters.", tools=[send])
    return pool


async def main(store: str, witness: str, when: str) -> None:
    models = Saying([calls(("send", {"to": "ada"})), says("sent it")])
    pool = pool_of(Path(witness), when)
    async with Engine(pools=[pool], store=store, recover=False, models=models, drain_s=0.0) as engine:
        found = await engine.runs.journal.runs(RunQuery(top_level=True))
        if found:
            await engine.runs.recover()
            run = Run(engine.runs, found[0].run_id)
        else:
            run = await engine.submit(parse_plan(PLAN))
        result = await run.result()
        assert isinstance(result, Succeeded), result
        print(result.output, flush=True)


if __name__ == "__main__":
    anyio.run(main, *sys.argv[1:])
