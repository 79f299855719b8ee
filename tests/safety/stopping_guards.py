"""A process that stops itself while a guard looks at an input, and prints what came of the run once it goes on."""

import functools
import os
import signal
import sys

import anyio

import workers.guarding
from orchestrator import Engine
from orchestrator.ports.guard import PASS, Passing, Ruling, Stage
from tests.safety.test_guards import desk, frozen, ran, trips

LIMIT_S = 1.0  #: of a guard, in this process


@functools.cache
def _stand_still() -> None:
    """Once; a guard that was cancelled as its process stood still is asked again."""
    os.kill(os.getpid(), signal.SIGSTOP)


class Plain:
    name = "plain"
    stages: frozenset[Stage] = frozenset({"input"})

    def look(self, passing: Passing) -> Ruling:
        _stand_still()
        return PASS


class Asynchronous:
    name = "asynchronous"
    stages: frozenset[Stage] = frozenset({"input"})

    async def look(self, passing: Passing) -> Ruling:
        _stand_still()
        await anyio.sleep(0.01)  # whatever is due ends it here
        return PASS


class Endless:
    name = "endless"
    stages: frozenset[Stage] = frozenset({"input"})

    async def look(self, passing: Passing) -> Ruling:
        _stand_still()
        await anyio.sleep_forever()
        return PASS


async def main(kind: str) -> None:
    workers.guarding.GUARD_S = LIMIT_S  # type: ignore[misc]  # this process alone
    pool, given = desk({"plain": Plain, "asynchronous": Asynchronous, "endless": Endless}[kind]())
    async with Engine(pools=[pool], store="memory:") as engine:
        result, facts = await ran(engine, frozen())
    print(type(result).__name__, len(given), trips(facts))


if __name__ == "__main__":
    anyio.run(main, sys.argv[1])
