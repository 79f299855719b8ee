"""SIGKILL between a tool's intent and its outcome: the intent is journaled, and the next attempt has the same key."""

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from orchestrator.adapters.sql.journal import SqliteJournal
from orchestrator.core import facts as f
from orchestrator.core.history import check_history
from orchestrator.core.story import story
from orchestrator.ports.journal import Recorded, RunQuery

pytestmark = [pytest.mark.anyio, pytest.mark.crash]


def run(folder: Path, when: str, root: Path) -> "subprocess.CompletedProcess[str]":
    store = f"sqlite:///{folder / 'journal.db'}"
    command = [sys.executable, "-m", "tests.agents.victim", store, str(folder / "witness"), when]
    return subprocess.run(command, cwd=root, capture_output=True, text=True, timeout=60, check=False)


async def records(folder: Path) -> list[Recorded]:
    journal = await SqliteJournal.open(folder / "journal.db")
    try:
        (row,) = await journal.runs(RunQuery())
        return await journal.read(row.run_id)
    finally:
        await journal.close()


@pytest.mark.parametrize(("when", "acted"), [("before", 0), ("after", 1)])
async def test_the_intent_survives_and_the_key_stays(when: str, acted: int, tmp_path: Path, root: Path) -> None:
    killed = run(tmp_path, when, root)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    before = await records(tmp_path)
    (intended,) = (record.fact for record in before if isinstance(record.fact, f.ToolIntended))
    assert before[-1].fact == intended  # and nothing of its outcome
    witness = tmp_path / "witness"
    assert len(witness.read_text().splitlines() if witness.exists() else []) == acted

    resumed = run(tmp_path, "never", root)
    assert (resumed.returncode, resumed.stdout) == (0, "sent it\n"), resumed.stderr

    after = await records(tmp_path)
    assert not check_history(after)
    intents = [record.fact for record in after if isinstance(record.fact, f.ToolIntended)]
    assert [(one.attempt, one.key, one.tool) for one in intents] == [
        (1, intended.key, "send"),
        (2, intended.key, "send"),
    ]
    assert witness.read_text().splitlines() == [f"{n} {intended.key} ada" for n in range(2 - acted, 3)]
    told = [line.text for line in story(after, "write")]
    assert told.count(f"tool send is about to act under the key {intended.key}") == 2
    assert any("its worker was lost" in line for line in told)
