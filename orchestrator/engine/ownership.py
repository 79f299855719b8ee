"""Owning runs in a store that several processes share: keep the lease, take orphans over, let go of what was lost.

What makes this safe is not here: every append carries the run's epoch, and the journal refuses one that is not the
newest. The lease only decides when somebody else may take a run, so a paused owner that wakes up late harms nobody.
"""

import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal

import anyio
import structlog

from orchestrator.core.facts import RunEnded
from orchestrator.engine.loop import GIVEN_UP, TAKEN, goes_on
from orchestrator.engine.petitioning import Petitioner, serve
from orchestrator.engine.plan_book import remember
from orchestrator.engine.takeover import parents_first
from orchestrator.errors import JournalError
from orchestrator.ids import RunId
from orchestrator.ports.journal import RunQuery, RunRow
from orchestrator.ports.ownership import LEASE_S, Adopted, Notices, Ownership, Petitions

if TYPE_CHECKING:
    from orchestrator.engine.engine import RunEngine

#: `mine`: what is submitted here, and what is recovered by name; `leased`: orphans too, all the time;
#: `nothing`: runs submitted here are left to others.
Owns = Literal["mine", "leased", "nothing"]
BEATS: Final = 3  #: renewals in the time of one lease
POLL_S: Final = 1.0  #: between two looks for orphans, when no notice comes
ADOPT_MAX: Final = 100  #: runs taken over at once …
PACE_S: Final = 0.25  #: … and the pause after so many: a restart with thousands of open runs is no storm
STEADY_S: Final = 0.5  #: a run that was loaded so long ago has not ended its owner
PETITIONS_MAX: Final = 32  #: taken at once
SERVED_MAX: Final = 10_000  #: petitions remembered
LOOK_S: Final = 0.5  #: between two looks at what others drive, when no notice comes
NEXT: Final = "the next owner"  #: of a run that nobody drives at the moment
END_S: Final = 5.0  #: for giving everything up at the end
log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Shared:
    """What a journal offers that several processes share."""

    ownership: Ownership
    petitions: Petitions
    notices: Notices
    owns: Owns = "mine"
    lease_s: float = LEASE_S


class Owning:
    """The ownership side of one engine."""

    def __init__(self, engine: "RunEngine", shared: Shared) -> None:
        self._engine, self.owner = engine, engine.owner
        self._shared, self.owns = shared, shared.owns
        self._ownership = shared.ownership
        self._undriven: dict[RunId, str] = {}  #: held at the last beat, and not driven here
        self._adopting: set[RunId] = set()  #: taken over, and not read back yet
        self._served: dict[str, bool] = {}  #: petitions that were begun here
        self._wake = anyio.Event()  #: there may be orphans
        self._asked = anyio.Event()  #: there may be petitions
        self._changed = anyio.Event()  #: somebody else may have done something
        self._stop: Callable[[], None] = lambda: None
        self.petitioner = Petitioner(shared.petitions, self.change)

    # ---- life

    async def begin(self) -> None:
        """Take the lease; from now on runs can be owned here."""
        if self.owns != "nothing":
            await self._ownership.renew(self.owner, self._shared.lease_s)
        self._stop = self._shared.notices.listen(self._heard)
        if self.owns != "nothing":
            self._engine.spawn(self._beat)
            self._engine.spawn(self._serve)
        if self.owns == "leased":
            self._engine.spawn(self._adopt)

    async def end(self) -> None:
        """Give everything up, so that others can go on at once."""
        self._stop()
        if self.owns == "nothing":
            return
        with anyio.move_on_after(END_S, shield=True):
            try:
                await self._ownership.release(self.owner, None)
            except JournalError as error:
                log.error("the lease could not be given up; it ends by itself", error=str(error))

    def _heard(self, topic: str, _subject: str) -> None:
        if topic in {"new", "gap"}:
            self._wake.set()
        if topic in {"ask", "gap"}:
            self._asked.set()
        if topic in {"end", "answer", "gap"}:
            self._changed.set()
            self._changed = anyio.Event()

    # ---- the lease

    async def _beat(self) -> None:
        """Renew the lease, and compare what is driven with what is held."""
        pause_s = self._shared.lease_s / BEATS
        while True:
            await anyio.sleep(pause_s * random.uniform(0.9, 1.0))
            try:
                if not await self._ownership.renew(self.owner, self._shared.lease_s):
                    log.warning("the lease had ended; runs may have been taken over", owner=self.owner)
                    self._wake.set()
                await self.compare()
            except JournalError as error:
                log.error("the lease cannot be renewed", error=str(error))
            self._asked.set()

    async def compare(self) -> None:
        """Drop the runs that others have; give up those that are held and cannot be driven here."""
        engine = self._engine
        drivers = [driver for driver in engine.drivers() if driver.next_seq > 1]  # before the store is asked
        held = await self._ownership.held(self.owner)
        for driver in drivers:
            epoch = held.get(driver.run_id)
            ending = bool(driver.machine.state.ended)  # the store may know of its end before the answer is here
            if not driver.over and not ending and (epoch is None or epoch > driver.epoch):
                engine.park(driver, TAKEN)
        loading = self._adopting | engine.takeover.under_way  # why they were left alone before counts no more
        undriven = {
            run_id: engine.parked(run_id) or ""
            for run_id in held
            if engine.driver(run_id) is None and run_id not in loading
        }
        for run_id, reason in undriven.items():
            if reason or run_id in self._undriven:  # without a reason it may be just beginning or ending
                await self._give_up(run_id, reason)
        self._undriven = undriven

    async def _give_up(self, run_id: RunId, reason: str) -> None:
        """Let others have a run that is parked here; or nobody, where it would go the same with them."""
        engine, root = self._engine, run_id.partition(".")[0]
        for driver in engine.drivers():
            if driver.run_id.partition(".")[0] == root:
                engine.park(driver, reason or GIVEN_UP)
        mine_alone = (
            not reason or goes_on(reason) or any(name in engine.takeover.unfit for name in (run_id, RunId(root)))
        )
        await self._ownership.release(self.owner, [run_id], parked="" if mine_alone else reason)

    # ---- orphans

    async def _adopt(self) -> None:
        while True:
            self._wake = anyio.Event()
            some, driven = 0, list[RunId]()
            try:
                some, driven = await self.adopt_some()
            except JournalError as error:
                log.error("no orphans can be looked for", error=str(error))
            if driven:
                self._asked.set()  # what was asked of them may have waited for an owner
                # There may be more; where none could be driven, it would be the same ones again
                await anyio.sleep(PACE_S * min(some / ADOPT_MAX, 1.0))
                continue
            with anyio.move_on_after(POLL_S * random.uniform(0.8, 1.2)):
                await self._wake.wait()

    async def adopt_some(self) -> tuple[int, list[RunId]]:
        """Take some orphans over, oldest first; return how many there were, and those that are driven here now."""
        engine = self._engine
        limit = min(ADOPT_MAX, engine.room())
        adopted = await self._ownership.adopt(self.owner, limit, but_not=tuple(engine.takeover.unfit))
        driven: list[RunId] = []
        loading = {one.row.run_id for one in adopted}
        self._adopting |= loading
        try:
            for row in parents_first(one.row for one in adopted):
                driver = await engine.takeover.take(row, claimed=True)
                self._adopting.discard(row.run_id)
                if driver is not None:
                    driven.append(driver.run_id)
                elif engine.parked(row.run_id):
                    await self._give_up(row.run_id, engine.parked(row.run_id) or "")
        finally:
            self._adopting -= loading
        await self._settle(adopted)
        return len(adopted), driven

    async def _settle(self, adopted: list[Adopted]) -> None:
        """Say that loading these did no harm, after a while; of suspects, before anything else is loaded."""
        if not adopted:
            return
        run_ids = [one.row.run_id for one in adopted]
        if any(one.loads > 1 for one in adopted):
            await self._say_steady(run_ids)
        else:
            self._engine.spawn(self._say_steady, run_ids)

    async def _say_steady(self, run_ids: list[RunId]) -> None:
        await anyio.sleep(STEADY_S)
        try:
            await self._ownership.steady(self.owner, run_ids)
        except JournalError as error:  # they stay suspects, which is harmless
            log.error("runs could not be called steady", error=str(error))

    # ---- people, and runs that others drive

    async def _serve(self) -> None:
        """Do what people ask of the runs that are owned here."""
        while True:
            self._asked = anyio.Event()
            try:
                taken = await self._shared.petitions.take(self.owner, PETITIONS_MAX)
                for petition in taken:
                    if petition.id in self._served:  # its taking was told twice
                        continue
                    remember(self._served, petition.id, True, SERVED_MAX)
                    self._engine.spawn(serve, self._engine, self._shared.petitions, petition)
                if len(taken) == PETITIONS_MAX:
                    continue
            except JournalError as error:
                log.error("petitions cannot be read", error=str(error))
            await self._asked.wait()

    async def elsewhere(self, run_id: RunId) -> str | None:
        """The other process that drives an open run; None: nobody, or this one.

        Who drives nothing itself leaves what is asked to the next owner, where a run is between two of them.
        """
        driver = self._engine.driver(run_id)
        if driver is not None and not driver.over:
            return None
        owner = await self._ownership.owner_of(run_id)
        if owner is None and self.owns == "nothing":
            rows = await self._engine.journal.runs(RunQuery(run_id=run_id, limit=1))
            return NEXT if rows and self.leaves(rows[0]) else None
        return owner if owner != self.owner else None

    def leaves(self, row: RunRow) -> bool:
        """Whether what is asked of a run is left to its owner, or to the next one: nothing is driven here."""
        return self.owns == "nothing" and row.status == "open" and not row.parked

    async def change(self) -> None:
        """Wait until somebody else may have done something; at most `LOOK_S` seconds."""
        with anyio.move_on_after(LOOK_S):
            await self._changed.wait()

    async def until_ended(self, run_id: RunId) -> RunEnded:
        """How a run ended that others drive.

        Raises:
            RunNotFound: no such run.
        """
        while True:
            ended = await self._engine.ended(run_id)
            if ended is not None:
                return ended
            await self.change()
