"""What earlier runs of a journal taught: read once, before the first choice is made."""

from typing import Final

from orchestrator.ids import RunId
from orchestrator.ports.journal import Journal, RunQuery
from orchestrator.ports.routing import Routing

FACTS_MAX: Final = 5_000  #: of one run that are read


async def learn_from(journal: Journal, routing: Routing, runs: int) -> int:
    """Let `routing` see the latest `runs` ended runs, oldest first; return how many there were.

    Raises:
        JournalError: the journal cannot be read.
    """
    if not runs:
        return 0
    ended = RunQuery(status=("succeeded", "degraded", "stopped", "failed"), limit=runs)
    found: list[RunId] = [row.run_id for row in await journal.runs(ended)]
    for run_id in reversed(found):
        routing.saw(run_id, [one.fact for one in await journal.read(run_id, limit=FACTS_MAX) if not one.forgotten])
    return len(found)
