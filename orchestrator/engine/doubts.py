"""What was found wrong in relatives of a run: a result that several runs share is taken over by none of them again."""

from collections.abc import Sequence
from typing import Final

from orchestrator.core import facts as f
from orchestrator.core.rebuild import built_on
from orchestrator.engine.driver import RunDriver
from orchestrator.engine.recovery import machine_of, read_all
from orchestrator.ids import RunId, StepId
from orchestrator.ports.journal import Journal, Recorded, RunQuery

RELATIVES_MAX: Final = 100  #: runs of one origin that are looked at, the newest
LATE: Final = "found wrong as it was taken over"
Result = tuple[StepId, str]  #: a step and the digest of what passed


async def doubted_of(journal: Journal, origin: RunId) -> frozenset[Result]:
    """Results that were quarantined in any run of this origin, with what was built on them.

    The result of a sub-plan is doubted where something that it was made of was quarantined in the sub-plan's run.

    Raises:
        JournalError: a run cannot be read.
    """
    found: set[Result] = set()
    for row in await journal.runs(RunQuery(origin=origin, top_level=True, limit=RELATIVES_MAX)):
        records = await read_all(journal, row.run_id)
        gone = await _gone(journal, records)
        passed = (record.fact for record in records if isinstance(record.fact, f.StepPassed | f.StepReused))
        found |= {(fact.step, str(fact.digest)) for fact in passed if fact.step in gone and fact.digest}
    return frozenset(found)


async def late_doubts(journal: Journal, driver: RunDriver, now_s: float) -> list[f.StepQuarantined]:
    """What takes back the results that a run read back has from relatives, and that somebody found wrong there.

    Whoever began the run looked before and after it took them over, and may have died in between.

    Raises:
        JournalError: a relative cannot be read.
    """
    if not driver.reused or driver.ended is not None:
        return []
    wrong = {step for step, _ in driver.reused & await doubted_of(journal, driver.accepted.origin)}
    return [f.StepQuarantined(at_s=now_s, step=step, reason=LATE, affected=()) for step in sorted(wrong)]


async def _gone(journal: Journal, records: Sequence[Recorded]) -> set[StepId]:
    """Steps of a run whose results count no more."""
    gone: set[StepId] = set()
    for record in records:
        fact = record.fact
        if isinstance(fact, f.StepQuarantined):
            gone |= {fact.step, *fact.affected}
        elif isinstance(fact, f.ChildEnded) and fact.status in ("succeeded", "degraded"):
            gone |= {fact.step} if await _spoiled(journal, fact.child) else set()
    return gone


async def _spoiled(journal: Journal, child: RunId) -> bool:
    """Whether the result of a sub-plan was made of something that counts no more."""
    records = await read_all(journal, child)
    gone = await _gone(journal, records)
    if not gone:
        return False
    if any(record.forgotten for record in records):
        return True  # nobody can tell any more what it was made of
    state = machine_of(records).state
    made_of = {state.steps[index].spec.id for index in state.plan.result_steps}
    below = {name for step in map(state.step, gone) if step is not None for name in built_on(state, step)}
    return not made_of.isdisjoint(gone | below)
