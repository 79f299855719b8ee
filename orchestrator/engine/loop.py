"""The one loop that all runs of a process share: take what came, ask the machines, append, act. In that order.

Everything that arrives while a commit is under way goes into the next one, so commits are shared by all runs.
"""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import anyio
import structlog

from orchestrator.core import facts as f
from orchestrator.core.inputs import Input, TimerFired
from orchestrator.engine.driver import RunDriver
from orchestrator.engine.translate import input_of, verdict_of
from orchestrator.errors import IllegalTransition, JournalError, JournalFull
from orchestrator.ports import tasks as t
from orchestrator.ports.clock import Clock
from orchestrator.ports.journal import Append, Journal

BATCH_MAX: Final = 512  #: inputs handled before the next append
FULL_RETRY_S: Final = 1.0  #: between two tries while the disk is full
SYNC: Final = (f.RunAccepted, f.EffectIntended, f.ApprovalAnswered)  #: facts that must survive a power cut at once
log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Begin:
    """The first facts of a new run."""

    facts: tuple[f.Fact, ...]


@dataclass(frozen=True, slots=True)
class Resume:
    """A run was read back from the journal."""

    epoch: int


@dataclass(frozen=True, slots=True)
class Told:
    """An item whose sender wants to know when what follows from it is journaled, or that it never will be."""

    item: "Input | Begin"
    done: Callable[[bool], None]


Content = Input | t.TaskMessage | Begin | Resume
Item = Content | Told


class Loop:
    """Mailbox, machines, journal, commands."""

    def __init__(self, journal: Journal, clock: Clock, perform: Callable[[RunDriver], None]) -> None:
        self._journal, self._clock, self._perform = journal, clock, perform
        self._inbox: deque[tuple[RunDriver, Item]] = deque()
        self._wake: anyio.Event | None = None
        self.broken: JournalError | None = None  #: why nothing can be journaled any more
        self.full: JournalFull | None = None  #: there is no room at the moment

    def post(self, driver: RunDriver, item: Item) -> None:
        """Queue something for a run. Never blocks; the order of posting is kept."""
        self._inbox.append((driver, item))
        if self._wake is not None:
            self._wake.set()
            self._wake = None

    @property
    def idle(self) -> bool:
        """Nothing is queued."""
        return not self._inbox

    async def run(self) -> None:
        """Serve until cancelled."""
        while True:
            if not self._inbox:
                self._wake = anyio.Event()
                await self._wake.wait()
            dirty = self._take()
            if dirty:
                await self._commit(dirty)
            await anyio.lowlevel.checkpoint()

    def _take(self) -> dict[RunDriver, list[f.Fact]]:
        """Handle what is queued; return the runs that have facts to append or commands to carry out."""
        dirty: dict[RunDriver, list[f.Fact]] = {}
        inbox, now_s = self._inbox, self._clock.now_s()
        for _ in range(min(len(inbox), BATCH_MAX)):
            driver, item = inbox.popleft()
            content: Content
            if isinstance(item, Told):
                driver.on_journaled.append(item.done)
                content = item.item
            else:
                content = item
            if driver.parked:
                driver.park(driver.parked)
                continue
            try:
                self._handle(driver, content, now_s)
            except IllegalTransition as error:
                driver.machine.facts()
                dirty.pop(driver, None)
                log.error("run parked: a rule was broken", run=driver.run_id, error=str(error))
                driver.park(f"our bug: {error}")
                continue
            made = driver.machine.facts()
            held = dirty.get(driver)
            if held is None:
                dirty[driver] = list(made)
            else:
                held.extend(made)
        return dirty

    def _handle(self, driver: RunDriver, item: Content, now_s: float) -> None:
        machine = driver.machine
        if isinstance(item, f.Fact):
            driver.commands += machine.handle(item)
        elif isinstance(item, TimerFired):
            self._timer(driver, item, now_s)
        elif isinstance(item, Begin):
            for fact in item.facts:
                driver.commands += machine.handle(fact)
        elif isinstance(item, Resume):
            driver.commands += machine.handle(f.RunAdopted(at_s=now_s, epoch=item.epoch))
            driver.commands += machine.outstanding(now_s, lost=True)
        else:
            self._message(driver, item, now_s)

    def _message(self, driver: RunDriver, message: t.TaskMessage, now_s: float) -> None:
        key = message.key
        if isinstance(message, t.TaskDone | t.TaskFailed):
            driver.inflight.pop(key, None)
        elif key in driver.inflight:
            driver.inflight[key] = now_s
        if isinstance(message, t.TaskProgress):
            for watcher in driver.watchers:
                watcher(message)
        event = input_of(message, driver.machine.state, now_s)
        if event is not None:
            driver.commands += driver.machine.handle(event)

    def _timer(self, driver: RunDriver, event: TimerFired, now_s: float) -> None:
        if event.kind == "attempt" and event.check:
            key = t.TaskKey(driver.run_id, event.step, event.branch, event.attempt, event.sample, "check", event.check)
            if driver.inflight.pop(key, None) is None:
                return
            late = verdict_of(key, driver.machine.state, now_s, "check_broken", ("the check did not answer in time",))
            driver.commands += driver.machine.handle(late)
            return
        if event.kind == "attempt":
            driver.inflight.pop(t.TaskKey(driver.run_id, event.step, event.branch, event.attempt, event.sample), None)
        driver.commands += driver.machine.handle(event)

    async def _append(self, entries: list[Append]) -> tuple[str, ...]:
        """Append; while there is no room, everything pauses and nothing is lost."""
        while True:
            try:
                refused = await self._journal.append(entries)
            except JournalFull as error:
                if self.full is None:
                    log.error("no room for the journal; all runs pause until there is", error=str(error))
                self.full = error
                await anyio.sleep(FULL_RETRY_S)
                continue
            self.full = None
            return refused

    async def _commit(self, dirty: dict[RunDriver, list[f.Fact]]) -> None:
        """Append the facts of all runs in one go, then carry out their commands."""
        entries = [
            Append(
                run_id=driver.run_id,
                first_seq=driver.next_seq,
                epoch=driver.epoch,
                facts=tuple(made),
                sync=any(isinstance(fact, SYNC) for fact in made),
            )
            for driver, made in dirty.items()
            if made
        ]
        refused: tuple[str, ...] = ()
        if entries:
            try:
                refused = await self._append(entries)
            except JournalError as error:
                self.broken = error
                log.error("journal failed; the runs it concerns are parked", error=str(error), runs=len(entries))
                for driver in dirty:
                    driver.park(f"the journal failed: {error}")
                return
        for driver, made in dirty.items():
            if driver.run_id in refused:
                log.warning("run lost to another owner", run=driver.run_id, epoch=driver.epoch)
                driver.park("another owner has taken this run over")
                continue
            driver.journaled(tuple(made))
            if driver.commands:
                self._perform(driver)
