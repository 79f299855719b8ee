"""A process that gives birth to owners and workers of a fleet, each in a fork of its own, and tells how each one died.

Usage: python -m tests.crash.nursery. One request a line, as JSON; two answers a line each: {"pid": N} at birth, and
{"code": N} at the end. Everything is imported once, so that a birth takes milliseconds.

A child dies by SIGKILL at the transport command number `at`, from 1: before it is sent, once it is sent and before its
answer, or after its answer.
"""

import asyncio
import json
import os
import random
import signal
import sys
import traceback
from dataclasses import asdict
from pathlib import Path
from typing import Any

import anyio

from orchestrator.adapters.redis.wire import Argument, Wire
from orchestrator.adapters.redis.worker import RedisWorkers
from orchestrator.adapters.sql.journal import SqliteJournal
from orchestrator.app import Engine
from orchestrator.engine import fleet
from orchestrator.engine.handle import Run
from orchestrator.ports.journal import RunQuery
from orchestrator.settings import Settings
from tests.crash.reference import REFERENCES, WITNESS_FILE, pool
from workers import Workers

WORKER_S = 60.0  #: a worker that nobody kills ends by itself
POLLS = frozenset({"XREAD", "XREADGROUP"})  #: they wait for others and change nothing; their number means nothing


class Commands:
    """Counts the commands of this process, and ends it at one of them."""

    def __init__(self, at: int | None, moment: str, tally: Path) -> None:
        self.at, self.moment, self.seen, self.tally = at, moment, 0, tally

    def install(self) -> None:
        """Stand between the adapters and their connections."""
        call = Wire.call
        chance = random.Random(self.at)

        async def counted(wire: Wire, *words: Argument, block_s: float = 0.0) -> object:
            if words[0] in POLLS or block_s:
                return await call(wire, *words, block_s=block_s)
            self.seen += 1
            self.tally.write_text(str(self.seen))
            if self.seen != self.at:
                return await call(wire, *words, block_s=block_s)
            if self.moment == "during":
                self.sending = asyncio.ensure_future(call(wire, *words, block_s=block_s))
                for _ in range(chance.randint(1, 6)):  # it waits for its turn, connects, sends, waits for the answer
                    await asyncio.sleep(0)
            elif self.moment == "after":
                await call(wire, *words, block_s=block_s)
            os.kill(os.getpid(), signal.SIGKILL)
            raise AssertionError("dead")

        Wire.call = counted  # type: ignore[method-assign, assignment] # this process lives for one child alone


async def own(store: str, url: str, plan: str) -> dict[str, Any]:
    """Own the run that is there, or begin one; drive it to its end."""
    reference = next(one for one in REFERENCES if one.name == plan)
    journal = await SqliteJournal.open(Path(store))
    async with Engine(Settings(transport=url), pools=[pool], journal=journal, recover=False, drain_s=0.0) as engine:
        found = await engine.runs.journal.runs(RunQuery(top_level=True))
        if found:
            await engine.runs.recover()
            run = Run(engine.runs, found[0].run_id)
        else:
            run = await engine.submit(reference.plan(), idempotency_key="once")
        result = await reference.drive(engine, run)
    await journal.close()
    said = {"kind": type(result).__name__, **asdict(result)}
    said.pop("run_id")
    return said


async def work(url: str) -> dict[str, Any]:
    """Serve until killed."""
    port = await RedisWorkers.open(url, worker="child", lease_s=0.5)
    async with anyio.create_task_group() as group:
        Workers([pool], port, worker=port.name).open(group)
        await asyncio.sleep(WORKER_S)
    return {}


def live(wish: dict[str, Any]) -> None:
    """The life of one child; it never returns."""
    code = 1
    try:
        os.dup2(2, 1)  # answers alone go to standard output
        fleet.HEARD_S, fleet.RECONCILE_S = 0.05, 0.2  # type: ignore[misc] # a test has less time
        WITNESS_FILE.append(Path(wish["witness"]))
        Commands(wish["at"], wish["moment"], Path(wish["tally"])).install()
        if wish["role"] == "owner":
            said = asyncio.run(own(wish["store"], wish["url"], wish["plan"]))
            Path(wish["said"]).write_text(json.dumps(said, sort_keys=True))
        else:
            asyncio.run(work(wish["url"]))
        code = 0
    except BaseException:  # noqa: BLE001 # told here: nothing of this child goes on
        traceback.print_exc()
    finally:
        sys.stderr.flush()
        os._exit(code)


def main() -> None:
    """Serve requests until standard input ends."""
    for line in sys.stdin:
        wish = json.loads(line)
        if (child := os.fork()) == 0:
            live(wish)
        print(json.dumps({"pid": child}), flush=True)
        code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        print(json.dumps({"code": code}), flush=True)


if __name__ == "__main__":
    main()
