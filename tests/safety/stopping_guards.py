"""A process that stops itself while guards look at inputs, and prints what came of the runs once it goes on."""

import functools
import os
import signal
import sys
import threading

import anyio
import pytest

from orchestrator import Engine
from orchestrator.ports.guard import PASS, Passing, Ruling, Stage
from tests.safety.test_guards import desk, frozen, ran, trips
from workers.guard_looks import STUCK_MAX

LIMIT_S = 2.0  #: of a guard, in this process
CROWD = STUCK_MAX + 4  #: looks at once


@functools.cache
def _stand_still() -> None:
    os.kill(os.getpid(), signal.SIGSTOP)


class Guard:
    name = "g"
    stages: frozenset[Stage] = frozenset({"input"})
    looks = 0


class Plain(Guard):
    def look(self, passing: Passing) -> Ruling:
        self.looks += 1
        _stand_still()
        return PASS


class Crowd(Guard):
    def __init__(self) -> None:
        self.all_look = threading.Barrier(CROWD, action=_stand_still)

    def look(self, passing: Passing) -> Ruling:
        self.looks += 1
        self.all_look.wait(60)
        return PASS


class Asynchronous(Guard):
    async def look(self, passing: Passing) -> Ruling:
        self.looks += 1
        _stand_still()
        await anyio.sleep(0.01)  # whatever is due ends it here
        return PASS


class Endless(Guard):
    async def look(self, passing: Passing) -> Ruling:
        self.looks += 1
        _stand_still()
        await anyio.sleep_forever()
        return PASS


async def main(kind: str) -> None:
    guard = {"plain": Plain, "crowd": Crowd, "asynchronous": Asynchronous, "endless": Endless}[kind]()
    pool, given = desk(guard, concurrency=CROWD)
    found: list[tuple[str, object]] = []

    async def one(engine: Engine) -> None:
        result, facts = await ran(engine, frozen())
        found.append((type(result).__name__, trips(facts)))

    async with Engine(pools=[pool], store="memory:") as engine, anyio.create_task_group() as group:
        for _ in range(CROWD if kind == "crowd" else 1):
            group.start_soon(one, engine)
    assert len(given) == sum(name == "Succeeded" for name, _ in found)
    print(guard.looks, *sorted({str(one) for one in found}))


if __name__ == "__main__":
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("workers.guarding.GUARD_S", LIMIT_S)
        anyio.run(main, sys.argv[1])
