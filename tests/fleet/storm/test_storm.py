"""A kill storm on real processes: whatever dies, freezes or forgets, every acknowledged run ends once, and right."""

from pathlib import Path

import pytest

from tests.fleet.storm.account import WASTE_MAX, Storm
from tests.fleet.storm.fleet import SLOTS
from tests.fleet.storm.nemesis import FAULTS
from tests.fleet.storm.storm import run_storm
from tests.sizes import SIZES

pytestmark = [pytest.mark.anyio, pytest.mark.crash, pytest.mark.slow]
SMALL = Storm(steps=600, seed=3, faults_min=8, every_s=(1.0, 3.0), freeze_s=(1.0, 6.0), lease_s=3.0, calm_s=180.0)
FULL = Storm(steps=10_000, seed=7, faults_min=300, faults_s=1_800.0)


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


async def test_a_storm_loses_nothing_and_repeats_next_to_nothing(tmp_path: Path) -> None:
    storm = SMALL if SIZES.name == "ci" else FULL

    account = await run_storm(storm, tmp_path)

    found = account.findings
    assert found.wrong == [], account.markdown()
    assert found.steps >= storm.steps
    assert found.effects == found.runs
    assert sum(account.faults.values()) >= storm.faults_min
    assert account.faults_s >= storm.faults_s
    # In so short a storm there is a fault for every hundred steps: what one may cost is what is at work at that moment.
    at_work = sum(account.faults.values()) * SLOTS
    allowed = WASTE_MAX * found.steps if SIZES.name != "ci" else max(WASTE_MAX * found.steps, at_work)
    assert found.begun - found.steps <= allowed, account.markdown()
    if SIZES.name != "ci":
        assert set(account.faults) == {name for name, _ in FAULTS}, "every kind of fault came"
