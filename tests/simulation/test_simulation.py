"""Seeded histories keep every promise; the same seed gives the same bytes; what failed once is replayed for ever."""

import json
from pathlib import Path

import pytest

from orchestrator.testing.simulation.campaign import LEGAL, PAIRS, campaign
from orchestrator.testing.simulation.profile import Schedule
from orchestrator.testing.simulation.world import simulate
from tests.simulation.sizes import SIZES

KEPT = sorted((Path(__file__).parent / "kept").glob("*.json"))


def test_no_schedule_breaks_a_promise() -> None:
    tally = campaign(SIZES.first, SIZES.schedules)

    assert tally.failing == []
    assert tally.schedules == SIZES.schedules
    assert len(LEGAL & tally.edges.keys()) >= SIZES.edges * len(LEGAL)
    assert len(tally.pairs) >= SIZES.pairs * len(PAIRS)


def test_the_same_seed_gives_the_same_bytes() -> None:
    first, second = (simulate(Schedule(seed=7), record=True) for _ in range(2))

    assert (first.digest, first.violations, first.facts) == (second.digest, second.violations, second.facts)


@pytest.mark.parametrize("path", KEPT, ids=lambda path: path.stem)
def test_what_failed_once_is_kept(path: Path) -> None:
    told = json.loads(path.read_text(encoding="utf-8"))

    assert simulate(Schedule.of(told["schedule"])).violations == (), f"it was once: {told['violations']}"
