"""SIGKILL at numbered commands to the transport, of the owner of a run and of its worker: as if nothing had happened.

Real: the processes, the kills, a Valkey server, the journal's file. A command is met before it is sent, once it is sent
and before its answer, and after its answer.
"""

import json
import os
import random
import select
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import anyio
import pytest

from orchestrator.adapters.sql.journal import SqliteJournal
from tests.conftest import ROOT
from tests.crash.reference import REFERENCES
from tests.crash.tally import tally
from tests.crash.test_crash_points import produced
from tests.crash.test_pairs import Story, must_be_right, story
from tests.servers.redis import RedisServer, redis_server
from tests.sizes import SIZES

pytestmark = pytest.mark.crash
FULL = SIZES.name == "prove"
OWNER_POINTS = 25 if FULL else 1  #: of each plan; with the next 300 of all plans
WORKER_POINTS = 13 if FULL else 1
MOMENTS = ("before", "during", "after")
DRAWS_MAX = 4  #: per kill wanted: how many commands there are depends on the moment
PATIENCE_S = 60.0
PLANS = [reference.name for reference in REFERENCES]


class Nursery:
    """A process that children are forked from, one at a time."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.crash.nursery"],
            cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1,
        )  # fmt: skip
        self.pid = 0

    def begin(self, **wish: Any) -> None:
        """Let a child live."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(wish) + "\n")
        self._process.stdin.flush()
        self.pid = self._answer()["pid"]

    def ended(self) -> int:
        """Wait for its end; its exit code."""
        code = self._answer()["code"]
        self.pid = 0
        return code

    def end(self) -> None:
        """Kill the child, if there is one."""
        if self.pid:
            os.kill(self.pid, signal.SIGKILL)
            self.ended()

    def close(self) -> None:
        """No more children."""
        if self.pid:
            os.kill(self.pid, signal.SIGKILL)
        self._process.kill()
        self._process.communicate()

    def _answer(self) -> dict[str, int]:
        assert self._process.stdout is not None
        readable, _, _ = select.select([self._process.stdout], [], [], PATIENCE_S)
        assert readable, "the child does not end"
        told: dict[str, int] = json.loads(self._process.stdout.readline())
        return told


@contextmanager
def nursery() -> Iterator[Nursery]:
    """One that ends with the block."""
    one = Nursery()
    try:
        yield one
    finally:
        one.close()


@pytest.fixture(scope="module")
def owners() -> Iterator[Nursery]:
    with nursery() as one:
        yield one


@pytest.fixture(scope="module")
def workers() -> Iterator[Nursery]:
    with nursery() as one:
        yield one


@pytest.fixture(scope="module")
def server() -> Iterator[RedisServer]:
    with redis_server("valkey") as started:
        yield started


class Case:
    """One run of one plan, in a folder of its own."""

    def __init__(self, folder: Path, url: str, plan: str) -> None:
        folder.mkdir()
        self.folder, self.url, self.plan = folder, url, plan

    def wish(self, role: str, at: int | None = None, moment: str = "") -> dict[str, Any]:
        """What a child is to do."""
        return {
            "role": role, "at": at, "moment": moment, "plan": self.plan, "url": self.url,
            "store": str(self.folder / "journal.db"), "witness": str(self.folder / "witness"),
            "said": str(self.folder / "said"), "tally": str(self.folder / role),
        }  # fmt: skip

    def said(self) -> Any:
        """The result the owner told."""
        return json.loads((self.folder / "said").read_text())

    def seen(self, role: str) -> int:
        """How many commands it sent."""
        path = self.folder / role
        return int(path.read_text()) if path.exists() else 0

    def done(self) -> list[str]:
        """What was executed, in order."""
        path = self.folder / "witness"
        return path.read_text().splitlines() if path.exists() else []

    def journal(self) -> tuple[Story, set[str]]:
        """All facts, and the steps whose output is among them."""

        async def look() -> tuple[Story, set[str]]:
            journal = await SqliteJournal.open(self.folder / "journal.db")
            try:
                return await story(journal), await produced(journal)
            finally:
                await journal.close()

        return anyio.run(look)


@pytest.mark.parametrize("plan", PLANS)
def test_an_owner_killed_at_any_command_changes_nothing(
    plan: str, owners: Nursery, workers: Nursery, server: RedisServer, tmp_path: Path
) -> None:
    def live(case: Case, at: int | None, moment: str) -> int:
        owners.begin(**case.wish("owner", at, moment))
        return owners.ended()

    calm = Case(tmp_path / "calm", server.url, plan)
    workers.begin(**calm.wish("worker"))
    assert live(calm, None, "") == 0
    workers.end()
    expected, count = calm.said(), calm.seen("owner")

    chance = random.Random(f"owner {plan}")
    killed = 0
    for number in range(OWNER_POINTS * DRAWS_MAX):
        if killed == OWNER_POINTS:
            break
        at, moment = chance.randint(1, count), chance.choice(MOMENTS)
        case = Case(tmp_path / str(number), server.url, plan)
        workers.begin(**case.wish("worker"))
        code = live(case, at, moment)
        assert code in (0, -signal.SIGKILL)
        if code:
            killed += 1
            before, there = case.journal()
            seen = len(case.done())
            assert live(case, None, "") == 0, f"killed {moment} command {at} of {count}"
            again = {line.split(" ")[0] for line in case.done()[seen:]} & there
            assert not again, f"killed {moment} command {at}: executed again although journaled: {again}"
            must_be_right([before], case.journal()[0])
        workers.end()
        assert case.said() == expected, f"killed {moment} command {at} of {count}"
    assert killed == OWNER_POINTS
    tally("commands to Redis", f"{plan}, owner", killed)


@pytest.mark.parametrize("plan", PLANS if FULL else ["diamond", "effecting"])
def test_a_worker_killed_at_any_command_changes_nothing(
    plan: str, owners: Nursery, workers: Nursery, server: RedisServer, tmp_path: Path
) -> None:
    calm = Case(tmp_path / "calm", server.url, plan)
    workers.begin(**calm.wish("worker"))
    owners.begin(**calm.wish("owner"))
    assert owners.ended() == 0
    workers.end()
    expected, count = calm.said(), calm.seen("worker")

    chance = random.Random(f"worker {plan}")
    killed = 0
    for number in range(WORKER_POINTS * DRAWS_MAX):
        if killed == WORKER_POINTS:
            break
        at, moment = chance.randint(1, count), chance.choice(MOMENTS)
        case = Case(tmp_path / str(number), server.url, plan)
        owners.begin(**case.wish("owner"))
        workers.begin(**case.wish("worker", at, moment))
        assert workers.ended() == -signal.SIGKILL  # while it has nothing to do it goes on asking, so the point comes
        killed += 1
        workers.begin(**case.wish("worker"))
        assert owners.ended() == 0, f"killed {moment} command {at} of {count}"
        workers.end()
        assert case.said() == expected, f"killed {moment} command {at} of {count}"
        must_be_right([], case.journal()[0])
    assert killed == WORKER_POINTS
    tally("commands to Redis", f"{plan}, worker", killed)
