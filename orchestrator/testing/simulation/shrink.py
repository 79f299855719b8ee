"""Makes a failing schedule small: fewer faults, fewer runs, a shorter phase one, as long as the same promise breaks."""

from dataclasses import replace
from typing import Final

from orchestrator.testing.simulation.profile import FAULTS, Schedule, profile_of
from orchestrator.testing.simulation.world import Outcome, simulate

TRIES_MAX: Final = 120


def shrink(outcome: Outcome) -> Outcome:
    """The smallest schedule found that breaks the same promise first."""
    rule = _rule(outcome)
    best, tries = outcome, 0
    again = True
    while again and tries < TRIES_MAX:
        again = False
        for smaller in _smaller(best.schedule):
            tries += 1
            found = simulate(smaller)
            if found.violations and _rule(found) == rule:
                best, again = found, True
                break
            if tries >= TRIES_MAX:
                break
    return best


def _rule(outcome: Outcome) -> str:
    return outcome.violations[0].partition(":")[0]


def _smaller(schedule: Schedule) -> list[Schedule]:
    profile = profile_of(schedule)
    striking = [fault for fault in FAULTS if fault in profile.chances or fault in profile.pauses_s]
    striking += ["clock.skew"] if profile.skew_s else []
    found = []
    if len(striking) > 3:  # half of them at once, first
        half = len(striking) // 2
        found += [
            replace(schedule, without=schedule.without.union(part)) for part in (striking[:half], striking[half:])
        ]
    found += [replace(schedule, without=schedule.without | {fault}) for fault in striking]
    if profile.runs > 1:
        found.append(replace(schedule, runs=profile.runs - 1))
    if profile.faults_s > 2.0:
        found.append(replace(schedule, faults_s=profile.faults_s / 2))
    return found
