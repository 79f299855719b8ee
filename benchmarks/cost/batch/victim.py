"""A process that runs questions over the Batch API and kills itself at a numbered moment.

A moment is before or after one of its calls of the store or of the service.
`python -m benchmarks.cost.batch.victim URL STORE COUNT FAILING AT`; 0 never dies.

It ends with one line of JSON: the run's status, its output, and the moments that it passed.
"""

import json
import os
import signal
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path

import anyio

from benchmarks.cost.batch import work
from orchestrator.adapters.openai.batches import OpenAIBatches
from orchestrator.adapters.sql.batches import SqliteBatches
from orchestrator.app import Engine
from orchestrator.ids import JsonValue

STORE = ("put", "gather", "claim", "settle")  #: what only reads changes nothing
SERVICE = ("submit", "find", "state", "outcomes")


class Moments:
    """Counts, and dies at one."""

    def __init__(self, at: int) -> None:
        self.at = at
        self.names: list[str] = []

    def passed(self, name: str) -> None:
        """One more; the last one, if it is the one."""
        self.names.append(name)
        if len(self.names) == self.at:
            os.kill(os.getpid(), signal.SIGKILL)

    def around(self, owner: type, name: str) -> None:
        """Make a method pass a moment before and one after it took effect."""
        inner: Callable[..., Awaitable[object]] = getattr(owner, name)

        async def call(*args: object, **named: object) -> object:
            self.passed(f"before {name}")
            found = await inner(*args, **named)
            self.passed(f"after {name}")
            return found

        setattr(owner, name, call)


async def run(url: str, store: Path, count: int, failing: int, moments: Moments) -> dict[str, object]:
    """Submit the questions, or go on with them, and wait for the end."""
    asked: dict[str, JsonValue] = {"questions": list(work.questions(count, failing))}
    async with Engine(work.settings(url, store), pools=[work.writer()]) as engine:
        run = await engine.submit(work.plan(), asked, idempotency_key="questions")
        result = await run.result()
    return {"status": type(result).__name__, "output": getattr(result, "output", None), "moments": moments.names}


def main() -> None:
    """Run as a child."""
    url, store, count, failing, at = sys.argv[1:6]
    moments = Moments(int(at))
    for owner, names in ((SqliteBatches, STORE), (OpenAIBatches, SERVICE)):
        for name in names:
            moments.around(owner, name)
    print(json.dumps(anyio.run(run, url, Path(store), int(count), int(failing), moments)))


if __name__ == "__main__":
    main()
