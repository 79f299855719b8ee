"""kill -9 at moments all over a run: every question is answered once, none handed over twice, the bill is right."""

import json
import subprocess
import sys
from pathlib import Path

import anyio
import pytest

from orchestrator.adapters.sql.journal import SqliteJournal
from orchestrator.core import facts as f
from orchestrator.core.invariants import check_history
from orchestrator.engine.recovery import read_all
from orchestrator.ports.journal import RunQuery
from tests.batch import work
from tests.batch.stand_in import Service, serving
from tests.conftest import ROOT
from tests.sizes import SIZES

FULL = SIZES.name == "prove"
COUNT, FAILING, POINTS = (1_000, 50, 100) if FULL else (12, 1, 3)


def started(service: Service, store: Path, at: int) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "tests.batch.victim", service.url, str(store), str(COUNT), str(FAILING), str(at)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)


def ended(done: subprocess.CompletedProcess[str]) -> dict[str, object]:
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert isinstance(found, dict)
    return found


async def _called(store: Path) -> list[f.ModelCalled]:
    journal = await SqliteJournal.open(store)
    try:
        (row,) = await journal.runs(RunQuery(top_level=True))
        records = await read_all(journal, row.run_id)
    finally:
        await journal.close()
    assert check_history(records) == ()
    return [one.fact for one in records if isinstance(one.fact, f.ModelCalled)]


def test_a_process_that_is_killed_anywhere_is_followed_by_one_that_pays_for_nothing_twice(tmp_path: Path) -> None:
    with serving(Service()) as service:
        clean = ended(started(service, tmp_path / "clean" / "j.db", 0))
    moments = clean["moments"]
    assert isinstance(moments, int)
    assert moments > 4 * POINTS or not FULL
    for number in range(POINTS):
        at = 1 + (number * (moments - 1)) // max(POINTS - 1, 1)
        store = tmp_path / str(at) / "j.db"
        with serving(Service()) as service:
            killed = started(service, store, at)
            again = ended(started(service, store, 0))
        assert killed.returncode in (-9, 0), killed.stderr  # 0: it was quicker this time, and passed fewer moments
        assert (again["status"], again["output"]) == ("Succeeded", work.questions(COUNT, FAILING)), at
        assert len(service.items()) == len(set(service.items())) == COUNT, f"handed over twice, killed at {at}"
        called = anyio.run(_called, store)
        batched = [one for one in called if one.charge.startswith("batch.")]
        assert len({one.charge for one in batched}) == COUNT
        paid = sum({one.charge: one.usd for one in batched}.values())
        assert paid == pytest.approx(sum(map(work.usd, service.billed.values())) / 2, abs=1e-9), at
        direct = [one for one in called if not one.charge.startswith("batch.") and not one.unknown]
        assert FAILING <= len(direct) <= len(service.direct)
