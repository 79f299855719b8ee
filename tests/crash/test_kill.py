"""SIGKILL of a real process at any moment: the resumed run ends the same, and repeats nothing paid for."""

import json
import random
import select
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from orchestrator.adapters.sql.journal import SqliteJournal
from tests.crash.reference import REFERENCES
from tests.crash.test_crash_points import produced
from tests.sizes import SIZES

pytestmark = [pytest.mark.anyio, pytest.mark.crash]
NAMES = [reference.name for reference in REFERENCES]
KILLS_EACH = max(SIZES.kill_points // len(REFERENCES), 1)
PATIENCE_S = 60.0


def start(folder: Path, name: str, root: Path) -> "subprocess.Popen[str]":
    store = f"sqlite:///{folder / 'journal.db'}"
    command = [sys.executable, "-m", "tests.crash.victim", store, str(folder / "witness"), name]
    return subprocess.Popen(command, cwd=root, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def wait_ready(process: "subprocess.Popen[str]") -> None:
    assert process.stdout is not None
    readable, _, _ = select.select([process.stdout], [], [], PATIENCE_S)
    assert readable, "the process did not get ready"
    assert process.stdout.readline() == "ready\n", process.stderr.read() if process.stderr else ""


def finish(process: "subprocess.Popen[str]") -> dict[str, object]:
    assert process.stdout is not None
    assert process.stderr is not None
    with process:
        said_all = process.stdout.readlines()  # not `communicate`: a line may wait in the buffer behind `ready`
        err = process.stderr.read()
        assert process.wait(timeout=PATIENCE_S) == 0, err
    said: dict[str, object] = json.loads(said_all[-1])
    return said


def witnessed(folder: Path) -> list[str]:
    path = folder / "witness"
    return path.read_text().splitlines() if path.exists() else []


async def journaled(folder: Path) -> set[str]:
    if not (folder / "journal.db").exists():
        return set()
    journal = await SqliteJournal.open(folder / "journal.db")
    try:
        return await produced(journal)
    finally:
        await journal.close()


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("anyio_backend", ["asyncio"], indirect=True)
async def test_kill_minus_nine_at_any_moment_changes_nothing(name: str, tmp_path: Path, root: Path) -> None:
    calm = tmp_path / "calm"
    calm.mkdir()
    process = start(calm, name, root)
    wait_ready(process)
    began = time.monotonic()
    expected = finish(process)
    lasted = time.monotonic() - began

    draw = random.Random(name)
    for number in range(KILLS_EACH):
        folder = tmp_path / str(number)
        folder.mkdir()
        victim = start(folder, name, root)
        wait_ready(victim)
        # The real thing needs real time: a moment drawn anew over the length of the undisturbed run.
        select.select([], [], [], draw.uniform(0, lasted))
        victim.send_signal(signal.SIGKILL)
        victim.communicate()  # what it still said does not matter
        before, seen = await journaled(folder), len(witnessed(folder))

        heir = start(folder, name, root)
        wait_ready(heir)
        assert finish(heir) == expected
        again = {line.split(" ")[0] for line in witnessed(folder)[seen:]} & before
        assert not again, f"executed again although journaled: {again}"
