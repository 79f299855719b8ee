"""What was found wrong in relatives of a run: a result that several runs share is taken over by none of them again."""

from collections.abc import Sequence
from typing import Final

from orchestrator.core import facts as f
from orchestrator.engine.recovery import read_all
from orchestrator.ids import RunId, StepId
from orchestrator.ports.journal import Journal, Recorded, RunQuery

RELATIVES_MAX: Final = 100  #: runs of one origin that are looked at, the newest
Result = tuple[StepId, str]  #: a step and the digest of what passed


async def doubted_of(journal: Journal, origin: RunId) -> frozenset[Result]:
    """Results that were quarantined in any run of this origin, with what was built on them.

    Raises:
        JournalError: a run cannot be read.
    """
    found: set[Result] = set()
    for row in await journal.runs(RunQuery(origin=origin, top_level=True, limit=RELATIVES_MAX)):
        found |= _doubted(await read_all(journal, row.run_id))
    return frozenset(found)


def _doubted(records: Sequence[Recorded]) -> set[Result]:
    gone: set[StepId] = set()
    for record in records:
        if isinstance(record.fact, f.StepQuarantined):
            gone |= {record.fact.step, *record.fact.affected}
    if not gone:
        return set()
    passed = (record.fact for record in records if isinstance(record.fact, f.StepPassed | f.StepReused))
    return {(fact.step, str(fact.digest)) for fact in passed if fact.step in gone and fact.digest}
