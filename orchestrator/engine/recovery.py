"""Reading a run back from the journal: the machine that replays its facts is the run."""

from collections.abc import Callable, Sequence

from orchestrator.core import facts as f
from orchestrator.core.machine import RunMachine
from orchestrator.engine.driver import RunDriver
from orchestrator.engine.observing import Guarded
from orchestrator.errors import ExpressionError, JournalCorrupt, PlanError, RunNotFound
from orchestrator.ids import RunId
from orchestrator.plan.compiled import compile_plan
from orchestrator.plan.models import Plan
from orchestrator.ports.journal import Journal, Recorded, RunQuery, RunRow

PAGE = 10_000  #: records read at a time
TAIL = 50  #: records among which the end of a run is looked for first


async def read_all(journal: Journal, run_id: RunId, after: int = 0) -> list[Recorded]:
    """Every record of a run with a sequence number above `after`, in order."""
    records: list[Recorded] = []
    while True:
        page = await journal.read(run_id, after=records[-1].seq if records else after, limit=PAGE)
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
    try:
        machine = RunMachine(compile_plan(plan_of(records)))
    except (ValueError, PlanError, ExpressionError) as error:
        raise JournalCorrupt(records[0].run_id, 0, f"its plan cannot be read: {error}") from error
    replay(machine, records)
    return machine


def replay(machine: RunMachine, records: Sequence[Recorded]) -> None:
    """Bring a machine up to further records.

    Raises:
        JournalCorrupt: a fact that does not fit the state before it.
    """
    for record in records:
        try:
            machine.replay(record.fact)
        except Exception as error:
            reason = f"{record.fact.KIND} does not fit what was before it ({type(error).__name__}: {error})"
            raise JournalCorrupt(record.run_id, record.seq, reason) from error


async def recover(
    journal: Journal,
    run_id: RunId,
    owner: str,
    unfit: Callable[[RunMachine], str] = lambda _machine: "",
    claimed: int | None = None,
    observer: Guarded | None = None,
) -> RunDriver | str:
    """Take an open run over: a new epoch, so that no owner before can write, then its facts.

    `claimed` is the epoch where the run has been claimed already.

    What `unfit` says of the machine, if anything, is returned instead, and the run is left to its owner.

    Raises:
        RunNotFound: no such run.
        JournalCorrupt: it cannot be read back; the journal stays as it is.
    """
    records = await read_all(journal, run_id)
    if not records:
        raise JournalCorrupt(run_id, 1, "its row is there and its records are not")
    machine = machine_of(records)
    gone = next((record for record in records if record.forgotten), None)
    if gone is not None and not machine.state.ended:
        raise JournalCorrupt(run_id, gone.seq, f"what this {gone.fact.KIND} said was deleted while the run was open")
    accepted = records[0].fact
    if not isinstance(accepted, f.RunAccepted):
        raise JournalCorrupt(run_id, 1, "the first record is not run.accepted")
    reason = unfit(machine)
    if reason:
        return reason
    epoch = claimed if claimed is not None else await journal.claim(run_id, owner)
    late = await read_all(journal, run_id, after=records[-1].seq)  # from an owner before, until the claim
    replay(machine, late)
    last = (late or records)[-1]
    if observer is not None:
        observer.resumed(accepted, [record.fact for record in (*records, *late)])
    driver = RunDriver(machine, accepted, epoch=epoch, next_seq=last.seq + 1)
    driver.recovered = True
    driver.reused = frozenset(
        (record.fact.step, str(record.fact.digest)) for record in records if isinstance(record.fact, f.StepReused)
    )
    driver.last_at_s = last.fact.at_s
    if machine.state.ended:  # late charges may follow the end
        driver.ended = next(r.fact for r in reversed([*records, *late]) if isinstance(r.fact, f.RunEnded))
    return driver


async def ended_of(journal: Journal, run_id: RunId) -> f.RunEnded | None:
    """How a run ended; None while it is open.

    Raises:
        RunNotFound: no such run.
    """
    rows = await journal.runs(RunQuery(run_id=run_id, limit=1))
    if not rows:
        raise RunNotFound(run_id)
    return await ended_fact(journal, rows[0])


async def ended_fact(journal: Journal, row: RunRow) -> f.RunEnded | None:
    """How a run ended; None while it is open."""
    if row.status == "open":
        return None
    for after in (max(row.last_seq - TAIL, 0), 0):  # audit records may follow the end
        for record in reversed(await read_all(journal, row.run_id, after=after)):
            if isinstance(record.fact, f.RunEnded):
                return record.fact
    raise JournalCorrupt(row.run_id, row.last_seq, "it has ended, and there is no run.ended")
