"""Real processes, really killed: what was acknowledged is there, and a file has one owner."""

import random
import signal
import subprocess
import sys
from pathlib import Path

import anyio
import pytest

from orchestrator.adapters.sql.journal import SqliteJournal
from orchestrator.adapters.sql.ownership import owner_pid
from orchestrator.core.facts import StepProduced
from orchestrator.errors import JournalOwned
from orchestrator.ids import RunId
from orchestrator.ports.journal import Recorded
from tests.sizes import SIZES

pytestmark = pytest.mark.crash
CHILD = Path(__file__).with_name("journal_child.py")
KILLS = max(SIZES.kill_points, 20)
RUNS = 3


def start(*arguments: str | Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, CHILD, *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=CHILD.parents[2],
        env={"PYTHONPATH": str(CHILD.parents[2])},
    )


async def stories(path: Path) -> dict[str, list[Recorded]]:
    journal = await SqliteJournal.open(path)
    try:
        found = {}
        for n in range(RUNS):
            found[f"run-{n}"] = await journal.read(RunId(f"run-{n}"), limit=1_000_000)
            if found[f"run-{n}"]:
                assert await journal.verify_run(RunId(f"run-{n}")) == len(found[f"run-{n}"])
        return found
    finally:
        await journal.close()


def test_no_acknowledged_fact_is_lost_to_a_kill(tmp_path: Path) -> None:
    path = tmp_path / "journal.db"
    chance = random.Random(2_026)
    acknowledged = {f"run-{n}": 0 for n in range(RUNS)}
    for kill in range(KILLS):
        child = start("write", path, str(RUNS))
        assert child.stdout is not None
        wanted = chance.choice([1, 2, 3, 5, 10, 30, 100])
        for line in child.stdout:
            name, seq = line.split()
            acknowledged[name] = max(acknowledged[name], int(seq))
            wanted -= 1
            if wanted == 0:
                child.kill()
                break
        for (
            line
        ) in child.stdout.read().splitlines():  # what it said before it died; a last number cut short is a smaller one
            words = line.split()
            if len(words) == 2 and words[0] in acknowledged:
                acknowledged[words[0]] = max(acknowledged[words[0]], int(words[1]))
        child.communicate()
        assert child.returncode == -signal.SIGKILL
        if kill % 4 == 0 or kill == KILLS - 1:
            told = anyio.run(stories, path)
            assert {name: len(records) >= acknowledged[name] for name, records in told.items()} == dict.fromkeys(
                told, True
            )
            for records in told.values():
                assert len(records) % 2 == 1  # a pair is never torn
                outputs = [record.fact.output for record in records if isinstance(record.fact, StepProduced)]
                assert [output["seq"] for output in outputs] == list(range(2, len(records) + 1, 2))  # type: ignore[index, call-overload] # an object, see the child


def test_of_two_that_race_one_becomes_the_owner(tmp_path: Path) -> None:
    path = tmp_path / "journal.db"
    rivals = [start("own", path) for _ in range(4)]
    said = {}
    for rival in rivals:
        assert rival.stdout is not None
        said[rival.pid] = rival.stdout.readline().strip()
    (owner,) = [pid for pid, word in said.items() if word == "owner"]
    assert {pid: word for pid, word in said.items() if pid != owner} == {
        rival.pid: f"owned by {owner}" for rival in rivals if rival.pid != owner
    }
    assert owner_pid(path) == owner

    with pytest.raises(JournalOwned) as caught:
        anyio.run(stories, path)
    assert (caught.value.path, caught.value.pid) == (str(path), owner)

    for rival in rivals:
        if rival.pid == owner:
            rival.kill()
        rival.communicate()
    assert owner_pid(path) is None
    assert anyio.run(stories, path) == {f"run-{n}": [] for n in range(RUNS)}
