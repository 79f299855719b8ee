"""Reading a run back from the journal: the machine that replays its facts is the run."""

from collections.abc import Sequence

from orchestrator.core import facts as f
from orchestrator.core.machine import RunMachine
from orchestrator.engine.driver import RunDriver
from orchestrator.errors import JournalCorrupt
from orchestrator.ids import RunId
from orchestrator.plan.compiled import compile_plan
from orchestrator.plan.models import Plan
from orchestrator.ports.journal import Journal, Recorded

PAGE = 10_000  #: records read at a time


async def read_all(journal: Journal, run_id: RunId) -> list[Recorded]:
    """Every record of a run, in order."""
    records: list[Recorded] = []
    while True:
        page = await journal.read(run_id, after=records[-1].seq if records else 0, limit=PAGE)
        records += page
        if len(page) < PAGE:
            return records


def plan_of(records: Sequence[Recorded]) -> Plan:
    """The plan a run was frozen with; patches come on top.

    Raises:
        JournalCorrupt: there is none, or its payload was deleted.
    """
    for record in records:
        if isinstance(record.fact, f.PlanFrozen):
            if record.forgotten:
                raise JournalCorrupt(record.run_id, record.seq, "the plan's payload was deleted")
            return Plan.model_validate(record.fact.plan)
    raise JournalCorrupt(records[0].run_id if records else "?", 0, "there is no plan.frozen")


def machine_of(records: Sequence[Recorded]) -> RunMachine:
    """The machine as it was when the last record was written.

    Raises:
        JournalCorrupt: no plan, or a fact that does not fit the state before it.
    """
    machine = RunMachine(compile_plan(plan_of(records)))
    for record in records:
        try:
            machine.replay(record.fact)
        except (KeyError, IndexError, AssertionError, TypeError) as error:
            reason = f"{record.fact.KIND} does not fit what was before it ({type(error).__name__}: {error})"
            raise JournalCorrupt(record.run_id, record.seq, reason) from error
    return machine


async def recover(journal: Journal, run_id: RunId, owner: str) -> RunDriver:
    """Take an open run over: a new epoch first, so that no owner before can write, then its facts.

    Raises:
        RunNotFound: no such run.
        JournalCorrupt: it cannot be read back; the journal stays as it is.
    """
    epoch = await journal.claim(run_id, owner)
    records = await read_all(journal, run_id)
    machine = machine_of(records)
    accepted = records[0].fact
    if not isinstance(accepted, f.RunAccepted):
        raise JournalCorrupt(run_id, 1, "the first record is not run.accepted")
    driver = RunDriver(machine, accepted, epoch=epoch, next_seq=records[-1].seq + 1)
    driver.recovered = True
    last = records[-1].fact
    if isinstance(last, f.RunEnded):
        driver.ended = last
    return driver
