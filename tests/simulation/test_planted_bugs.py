"""The only proof that finding nothing means something: mistakes that are put in on purpose are found."""

import random

import pytest

from orchestrator.testing.simulation.profile import Schedule
from orchestrator.testing.simulation.world import simulate
from tests.simulation.bugs import BUGS, bug
from tests.simulation.found import FOUND
from tests.simulation.sizes import SIZES


def test_at_least_thirty_bugs_are_known() -> None:
    assert len(BUGS) >= 30
    assert sorted(FOUND) == sorted(BUGS)


#: a full proof looks for all of them from the first seed on; a push looks at some, where they were found before
_LOOKED_FOR = (
    sorted(BUGS) if SIZES.bugs >= len(BUGS) else sorted(random.Random("bugs").sample(sorted(BUGS), SIZES.bugs))
)


@pytest.mark.parametrize("name", _LOOKED_FOR)
def test_a_planted_bug_is_found(name: str) -> None:
    seeds = range(SIZES.seeds) if SIZES.bugs >= len(BUGS) else (FOUND[name],)
    with bug(name):
        found = next((told for seed in seeds if (told := simulate(Schedule(seed=seed)).violations)), None)

    assert found, f"{name} was not found within {len(seeds)} seeds"


@pytest.mark.parametrize("name", _LOOKED_FOR)
def test_without_it_the_same_seed_keeps_every_promise(name: str) -> None:
    assert simulate(Schedule(seed=FOUND[name])).violations == ()
