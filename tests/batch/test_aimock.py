"""Against a server that somebody else wrote: files, batches, results by their ids, and a process that is killed.

It answers every item alike and lets none fail; which answer belongs to which item is shown by the stand-in beside it.
"""

import json
import subprocess
import sys
import urllib.request
from pathlib import Path
from typing import Any, TypedDict

import pytest

from benchmarks.cost.batch import work
from benchmarks.cost.batch.killing import chosen
from orchestrator import Succeeded
from orchestrator.app import Engine
from orchestrator.core import facts as f
from orchestrator.engine.recovery import read_all
from tests.ask.conftest import aimock, llmock
from tests.conftest import ROOT
from tests.sizes import SIZES

__all__ = ["llmock"]
pytestmark = pytest.mark.node
COUNT, POINTS = (1_000, 100) if SIZES.name == "prove" else (40, 2)
SAID = "Mock batch completion"
HALF_USD = work.usd((1, 1)) / 2  #: it counts one token in and one out for every item


class Told(TypedDict):
    """What a process says at its end; one that was killed has passed no moments that anybody was told of."""

    output: list[str]
    moments: list[str]


def batches(url: str) -> list[dict[str, Any]]:
    with urllib.request.urlopen(f"{url}/batches?limit=100", timeout=10) as answer:
        found = json.load(answer)["data"]
    assert isinstance(found, list)
    return found


@pytest.fixture
def fixtures(tmp_path: Path) -> Path:
    """One, because it wants some: nothing here asks for it."""
    file = tmp_path / "fixtures.json"
    file.write_text(json.dumps({"fixtures": [{"match": {"userMessage": "nothing"}, "response": {"content": "no"}}]}))
    return file


@pytest.mark.anyio
@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_many_questions_are_one_batch_at_half_the_price(llmock: Path, fixtures: Path, tmp_path: Path) -> None:
    with aimock(llmock, fixtures) as server:
        async with Engine(work.settings(server.url, tmp_path / "j.db"), pools=[work.writer()]) as engine:
            run = await engine.submit(work.plan(), {"questions": list(work.questions(COUNT))})
            result = await run.result()
            records = await read_all(engine.runs.journal, run.id)
        (batch,) = batches(server.url)
    assert isinstance(result, Succeeded)
    assert result.output == [SAID] * COUNT
    assert (batch["status"], batch["request_counts"]) == (
        "completed",
        {"total": COUNT, "completed": COUNT, "failed": 0},
    )
    called = [one.fact for one in records if isinstance(one.fact, f.ModelCalled)]
    assert len({one.charge for one in called}) == COUNT
    assert result.usage.usd == pytest.approx(COUNT * HALF_USD, abs=1e-12)


def test_a_process_that_is_killed_hands_nothing_over_twice(llmock: Path, fixtures: Path, tmp_path: Path) -> None:
    clean, _ = _ended(llmock, fixtures, tmp_path / "clean", [0])
    killed = 0
    for at in chosen(clean["moments"], POINTS):
        first, batched = _ended(llmock, fixtures, tmp_path / str(at), [at, 0])
        killed += not first["moments"]
        assert sum(one["total"] for one in batched) == COUNT, at  # of what was gathered when it died, nothing twice
        assert all(one["total"] == one["completed"] for one in batched), at
    assert killed >= 0.9 * POINTS  # the last moments are looks at the batch: there are fewer where it was quicker


def _ended(llmock: Path, fixtures: Path, folder: Path, moments: list[int]) -> tuple[Told, list[dict[str, int]]]:
    """What the first of some processes said, each begun where the one before it ended, and what was handed over."""
    told: list[Told] = []
    with aimock(llmock, fixtures) as server:
        command = [
            sys.executable,
            "-m",
            "benchmarks.cost.batch.victim",
            server.url,
            str(folder / "j.db"),
            str(COUNT),
            "0",
        ]
        for at in moments:
            done = subprocess.run(
                [*command, str(at)], cwd=ROOT, capture_output=True, text=True, timeout=600, check=False
            )
            assert done.returncode == 0 or (at and done.returncode == -9), (at, done.stderr)
            told.append(json.loads(done.stdout) if done.returncode == 0 else {"output": [SAID] * COUNT, "moments": []})
            assert told[-1]["output"] == [SAID] * COUNT, at
        return told[0], [one["request_counts"] for one in batches(server.url)]
