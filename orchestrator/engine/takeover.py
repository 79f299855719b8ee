"""Taking over runs that another process left open. A run that cannot go on here is parked, and the others go on."""

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Final

import anyio

from orchestrator.core import facts as f
from orchestrator.core.machine import RunMachine
from orchestrator.core.state import SETTLED
from orchestrator.engine.doubts import late_doubts
from orchestrator.engine.driver import RunDriver
from orchestrator.engine.loop import Resume, parking_reason
from orchestrator.engine.perform import resuming
from orchestrator.engine.plan_book import remember
from orchestrator.engine.recovery import recover
from orchestrator.errors import JournalError
from orchestrator.ids import RunId
from orchestrator.plan.catalogue import PoolCatalogue
from orchestrator.plan.models import Step
from orchestrator.ports.journal import RunQuery, RunRow

if TYPE_CHECKING:
    from orchestrator.engine.engine import RunEngine

UNFIT_MAX: Final = 10_000  #: runs that need what is not here, remembered
RECOVER_MAX: Final = 1_000_000  #: open runs read back at start


class TakeOver:
    """Reads runs back and hands them to the engine, each once, whoever asks for it."""

    def __init__(self, engine: "RunEngine") -> None:
        self._engine = engine
        self._under_way: dict[RunId, anyio.Event] = {}
        self.unfit: dict[RunId, str] = {}  #: runs that need what is not here, and what that is

    @property
    def under_way(self) -> frozenset[RunId]:
        """Runs that are being read back."""
        return frozenset(self._under_way)

    async def recover(self, run_id: RunId | None) -> list[RunDriver]:
        """Take over every open run, oldest first, or one with its sub-plans; return those that were not driven yet."""
        rows = await self._engine.journal.runs(RunQuery(status=("open",), limit=RECOVER_MAX))
        found: list[RunDriver] = []
        for row in parents_first(reversed(rows)):
            wanted = run_id is None or row.run_id == run_id or row.run_id.startswith(f"{run_id}.")
            if wanted and self._engine.driver(row.run_id) is None:
                driver = await self.take(row)
                if driver is not None:
                    found.append(driver)
        return found

    async def take(self, row: RunRow, *, claimed: bool = False) -> RunDriver | None:
        """Drive an open run, which was `claimed` already or is claimed now; None when it was parked instead."""
        engine, run_id = self._engine, row.run_id
        while run_id in self._under_way:
            await self._under_way[run_id].wait()
        known = engine.driver(run_id)
        if known is not None:
            return known
        done = self._under_way[run_id] = anyio.Event()
        try:
            over = row.parent is not None and await self._is_over(row.parent)
            why = engine.parked(row.parent) if row.parent is not None and not over else None
            if why is not None:
                engine.note_parked(run_id, f"its parent {row.parent} is parked: {why}")
                return None
            driver = await self._read_back(row, row.epoch if claimed else None, orphan=over)
            if over and driver is not None:  # its owner died before it could be told
                engine.post(driver, f.CancelRequested(at_s=engine.clock.now_s(), reason=f"{row.parent} has ended"))
            return driver
        finally:
            del self._under_way[run_id]
            done.set()

    async def _is_over(self, run_id: RunId) -> bool:
        """Whether a run that is not driven here has ended, wherever; then nothing that parked it here counts."""
        if self._engine.driver(run_id) is not None:
            return False
        try:
            rows = await self._engine.journal.runs(RunQuery(run_id=run_id, limit=1))
        except JournalError:
            return False  # who reads the run back says so
        return bool(rows) and rows[0].status != "open"

    async def _read_back(self, row: RunRow, epoch: int | None, *, orphan: bool) -> RunDriver | None:
        engine = self._engine
        try:
            driver = await recover(
                engine.journal,
                row.run_id,
                engine.owner,
                lambda m: missing(m, engine.catalogue),
                epoch,
                engine.observer,
            )
            late = [] if isinstance(driver, str) else await late_doubts(engine.journal, driver, engine.clock.now_s())
        except JournalError as error:
            self._park(row, parking_reason(error))
            return None
        if isinstance(driver, str):
            remember(self.unfit, row.run_id, driver, UNFIT_MAX)
            self._park(row, driver)
            return None
        why = engine.parked(row.parent) if row.parent is not None and not orphan else None
        if why is not None:  # since this one was begun to be read
            engine.note_parked(row.run_id, f"its parent {row.parent} is parked: {why}")
            return None
        engine.keep(driver)
        engine.post(driver, Resume(driver.epoch, kept=resuming(engine.transport) is not None))
        for taken_back in late:
            engine.post(driver, taken_back)
        return driver

    def _park(self, row: RunRow, reason: str) -> None:
        engine = self._engine
        engine.note_parked(row.run_id, reason)
        parent = engine.driver(row.parent) if row.parent is not None else None
        if parent is not None:
            engine.park(parent, f"its sub-plan {row.run_id} is parked: {reason}")


def parents_first(rows: Iterable[RunRow]) -> list[RunRow]:
    """Runs in their order, but none before its parent: by the clock of another owner a sub-plan may be older."""
    return sorted(rows, key=lambda row: row.run_id.count("."))


def missing(machine: RunMachine, catalogue: PoolCatalogue) -> str:
    """What a run still needs and these pools do not have; empty when nothing is missing."""
    for state in machine.state.steps:
        if state.status not in SETTLED:
            for pool, function in needs_of(state.spec.step):
                if pool not in catalogue.pools():
                    return f"step {state.spec.id} needs pool {pool!r}, which is not here: open the engine with it"
                if function is not None and function not in catalogue.functions(pool):
                    return f"step {state.spec.id} needs function {function!r}, which pool {pool!r} does not have"
    return ""


def needs_of(step: Step) -> Iterator[tuple[str, str | None]]:
    """Every pool that a step may be sent to, with the function where one is named; those of a sub-plan included."""
    if step.pool is not None:
        yield step.pool, step.call
    for check in step.checks:
        if check.call is not None:
            pool = check.pool or step.pool
            if pool is not None:
                yield pool, check.call
    for rung in step.on_fail:
        if rung.escalate is not None and rung.escalate.pool is not None:
            yield rung.escalate.pool, step.call
    for below in step.plan.steps.values() if step.plan is not None else ():
        yield from needs_of(below)
