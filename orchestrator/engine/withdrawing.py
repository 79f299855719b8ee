"""Takes answers of steps that turned out wrong out of the cache: in their run, where they came from, and below them."""

from typing import Final

from orchestrator.core import facts as f
from orchestrator.engine.offers import Offers
from orchestrator.engine.recovery import read_all
from orchestrator.ids import RunId, StepId
from orchestrator.ports.journal import Journal, RunQuery

RUNS_MAX: Final = 10_000  #: that are looked through for one quarantine: a chain of retries, and sub-plans
PAGE: Final = 500  #: rows asked for at once


async def withdraw(journal: Journal, offers: Offers, run_id: RunId, steps: frozenset[StepId]) -> None:
    """What these steps of a run brought into the cache, and what they had from it, is served no more.

    A step may have been taken over from an earlier run, and a sub-plan is a run of its own: its steps go with it.

    Raises:
        JournalError: the journal cannot be read.
    """
    left: list[tuple[RunId, frozenset[StepId] | None]] = [(run_id, steps)]  #: None: all steps
    seen: set[tuple[RunId, frozenset[StepId] | None]] = set()
    while left and len(seen) < RUNS_MAX:
        at = left.pop()
        if at in seen:
            continue
        seen.add(at)
        run, named = at
        facts = [record.fact for record in await read_all(journal, run)]
        if not facts or not isinstance(facts[0], f.RunAccepted):
            continue
        of_steps = [one for one in facts if isinstance(one, f.StepFact) and (named is None or one.step in named)]
        served = tuple(one for one in of_steps if isinstance(one, f.ModelCalled))
        wrong = frozenset(one.step for one in of_steps) if named is None else named
        offers.withdraw(facts[0], tuple(sorted(wrong)), served)
        left += [(source, wrong) for source in {one.source for one in of_steps if isinstance(one, f.StepReused)}]
        left += [(child, None) for child in await _children(journal, run, wrong)]


async def _children(journal: Journal, run_id: RunId, steps: frozenset[StepId]) -> list[RunId]:
    """Sub-plans of some steps."""
    found: list[RunId] = []
    before: RunId | None = None
    while True:
        rows = await journal.runs(RunQuery(parent=run_id, before=before, limit=PAGE))
        for row in rows:
            first = await journal.read(row.run_id, limit=1)
            if first and isinstance(first[0].fact, f.RunAccepted) and first[0].fact.parent_step in steps:
                found.append(row.run_id)
        if len(rows) < PAGE:
            return found
        before = rows[-1].run_id
