"""A real process that runs a reference plan on a SQLite journal until it is done, or killed.

Usage: python -m tests.crash.victim STORE WITNESS PLAN
"""

import json
import sys
from dataclasses import asdict
from pathlib import Path

import anyio

from orchestrator.app import Engine
from orchestrator.engine.handle import Run
from orchestrator.ports.journal import RunQuery
from tests.crash import reference
from tests.crash.reference import REFERENCES, WITNESS_FILE, pool


async def main(store: str, name: str) -> None:
    """Take over what is there, or begin; say so, and then how it ended."""
    chosen = next(one for one in REFERENCES if one.name == name)
    async with Engine(pools=[pool], store=store, recover=False, drain_s=0.0) as engine:
        found = await engine.runs.journal.runs(RunQuery(top_level=True))
        print("ready", flush=True)
        if found:
            await engine.runs.recover()
            run = Run(engine.runs, found[0].run_id)
        else:
            run = await engine.submit(chosen.plan(), idempotency_key="once")
        result = await chosen.drive(engine, run)
        said = {"kind": type(result).__name__, **asdict(result)}
        said.pop("run_id")
        print(json.dumps(said, sort_keys=True), flush=True)


if __name__ == "__main__":
    reference.PAUSE_S = 0.004
    WITNESS_FILE.append(Path(sys.argv[2]))
    anyio.run(main, sys.argv[1], sys.argv[3])
