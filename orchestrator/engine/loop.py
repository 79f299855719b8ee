"""The one loop that all runs of a process share: take what came, ask the machines, append, act. In that order.

Everything that arrives while a commit is under way goes into the next one, so commits are shared by all runs.
"""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, cast

import anyio
import structlog

from orchestrator.core import commands as c
from orchestrator.core import facts as f
from orchestrator.core.inputs import Input, TimerFired
from orchestrator.engine.driver import RunDriver
from orchestrator.engine.observing import Guarded
from orchestrator.engine.offers import Offers
from orchestrator.engine.refusals import ASKED, Refusals
from orchestrator.engine.translate import input_of, verdict_of
from orchestrator.errors import (
    IllegalTransition,
    JournalError,
    JournalFull,
    JournalUnreachable,
    OrchestratorError,
    ValueRefused,
)
from orchestrator.ids import RunId
from orchestrator.ports import tasks as t
from orchestrator.ports.clock import Clock
from orchestrator.ports.journal import Append, InstantJournal, Journal

BATCH_MAX: Final = 256  #: inputs handled before the next append, and before the event loop gets a turn
INLINE_MAX: Final = 256  #: the same, where workers have the queue handled
FULL_RETRY_S: Final = 1.0  #: between two tries while the disk is full
PROGRESS_MAX: Final = 32  #: progress messages of one task that are journaled from one batch; a flood says no more
#: facts that must survive a power cut at once
SYNC: Final = (f.RunAccepted, f.EffectIntended, f.ToolIntended, f.ApprovalAnswered)
FAILED: Final = "the journal failed"
TAKEN: Final = "another owner has taken this run over"
GIVEN_UP: Final = "its owner gave it up"  #: whoever adopts it goes on
log = structlog.get_logger(__name__)
Unwanted = Callable[
    [f.RunAccepted, tuple[f.Fact, ...]], None
]  #: facts of a run are journaled; what they cancel is let go


@dataclass(frozen=True, slots=True)
class Begin:
    """The first facts of a new run."""

    facts: tuple[f.Fact, ...]


@dataclass(frozen=True, slots=True)
class Resume:
    """A run was read back from the journal. `kept`: its transport can tell which of its tasks are still under way."""

    epoch: int
    kept: bool = False


@dataclass(frozen=True, slots=True)
class Told:
    """An item whose sender wants to know when what follows from it is journaled, or that it never will be."""

    item: "Input | Begin"
    done: Callable[[bool], None]


Content = Input | t.TaskMessage | Begin | Resume
Item = Content | Told


class Loop:
    """Mailbox, machines, journal, commands."""

    def __init__(
        self,
        journal: Journal,
        clock: Clock,
        perform: Callable[[RunDriver], None],
        park: Callable[[RunDriver, str], None],
        owner: str = "",
        leave: Callable[[t.TaskMessage], None] | None = None,
        observer: Guarded | None = None,
        offers: Offers | None = None,
        unwanted: Unwanted | None = None,
    ) -> None:
        self._offers, self._unwanted = offers, unwanted
        self._observer = observer
        self._owner = owner  #: of the runs that begin here, where several processes share the journal
        self._journal, self._clock, self._perform, self._park = journal, clock, perform, park
        self._inbox: deque[tuple[RunDriver, Item]] = deque()
        self._wake: anyio.Event | None = None
        self._settled: anyio.Event | None = None
        self._talk: dict[t.TaskKey, int] = {}  #: progress messages of this batch
        self.full: JournalFull | None = None  #: there is no room at the moment
        self.posted = 0  #: items so far
        self.journaled = 0  #: of these, those that are handled, with all that followed from them in the journal
        #: Who keeps the messages whose consequences could not be journaled here; None: nobody else could use them.
        self._leave = leave
        self._unsafe: dict[RunDriver, list[t.TaskMessage]] = {}  #: messages of this batch, while somebody keeps them
        self._instant = _instant(journal)
        self._busy = False  #: inside a turn
        self.refusals = Refusals()
        self._inline = INLINE_MAX  #: items that may still be handled before the event loop gets a turn

    def post(self, driver: RunDriver, item: Item) -> None:
        """Queue something for a run. Never blocks; the order of posting is kept."""
        self._inbox.append((driver, item))
        self.posted += 1
        driver.queued += 1
        if self._wake is not None:
            self._wake.set()

    async def settle(self) -> None:
        """Wait until nothing is queued and everything handled is journaled and carried out."""
        while self._inbox or self._wake is None:
            if self._settled is None:
                self._settled = anyio.Event()
            await self._settled.wait()

    def close(self) -> None:
        """Tell everybody whose item was not handled that it never will be."""
        while self._inbox:
            driver, item = self._inbox.popleft()
            driver.queued -= 1
            if isinstance(item, Told):
                item.done(False)

    async def run(self) -> None:
        """Serve until cancelled."""
        while True:
            if not self._inbox:
                self._wake = anyio.Event()
                if self._settled is not None:
                    self._settled.set()
                    self._settled = None
                await self._wake.wait()
                self._wake = None
            if self._instant is not None:
                self._inline = INLINE_MAX
                self.turn()
                self.journaled = self.posted - len(self._inbox)
            else:
                dirty = self._take()
                taken = self.posted - len(self._inbox)
                if dirty:
                    await self._commit(dirty)
                self.journaled = taken
            await anyio.lowlevel.checkpoint()

    def turn(self) -> None:
        """Handle what is queued at once, where the journal need not be waited for; else, or inside a turn, nothing.

        Anybody may ask. Once `INLINE_MAX` items were handled this way, the rest waits for the event loop to go round:
        when ten thousand sleepers wake at the same moment, nobody is kept waiting for all of them.
        """
        if not self._inbox or self._busy or self._instant is None or self._inline <= 0:
            return
        self._inline -= len(self._inbox)
        self._busy = True
        try:
            dirty = self._take()
            if dirty:
                self._carry_out(dirty, self._append_now(self._instant, _entries(dirty, self._owner)))
        finally:
            self._busy = False

    def _take(self) -> dict[RunDriver, list[f.Fact]]:
        """Handle what is queued; return the runs that have facts to append or commands to carry out."""
        dirty: dict[RunDriver, list[f.Fact]] = {}
        inbox, now_s = self._inbox, self._clock.now_s()
        self._talk.clear()
        self._unsafe.clear()
        for _ in range(min(len(inbox), BATCH_MAX)):
            driver, item = inbox.popleft()
            driver.queued -= 1
            content: Content = item.item if isinstance(item, Told) else item
            if isinstance(item, Told):
                driver.on_journaled.append(item.done)
            if driver.parked:
                driver.park(driver.parked)
                if self._leave is not None and isinstance(content, t.TaskMessage) and goes_on(driver.parked):
                    self._leave(content)
                continue
            try:
                self._handle(driver, content, now_s)
            except Exception as error:  # noqa: BLE001  # whatever a run meets, the others in this loop go on
                driver.machine.facts()
                dirty.pop(driver, None)
                self._unsafe.pop(driver, None)
                self._park(driver, f"our bug: {_said(error)}")
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
            self._hand_over(driver, item, item.actor, item.KIND, ours=not isinstance(item, ASKED))
        elif isinstance(item, TimerFired):
            self._timer(driver, item, now_s)
        elif isinstance(item, Begin):
            for fact in item.facts:
                driver.commands += machine.handle(fact)
        elif isinstance(item, Resume):
            driver.resuming = item.kept
            driver.commands += machine.outstanding(now_s, lost=not item.kept, epoch=item.epoch)
        else:
            self._message(driver, item, now_s)

    def _message(self, driver: RunDriver, message: t.TaskMessage, now_s: float) -> None:
        key = message.key
        if isinstance(message, t.TaskOffered):
            if self._offers is not None:
                self._offers.offered(message)
            return
        if self._leave is not None:
            self._unsafe.setdefault(driver, []).append(message)
        try:
            event = input_of(message, driver.machine.state, now_s)
        except ValueRefused as error:
            self.refusals.note(driver.run_id, message.worker, key, error)
            return
        sent = key in driver.inflight
        if isinstance(message, t.TaskDone | t.TaskFailed):
            driver.inflight.pop(key, None)
            driver.started.pop(key, None)
        elif key in driver.inflight:
            driver.inflight[key] = now_s
            if isinstance(message, t.TaskStarted):
                driver.started[key] = now_s
        if isinstance(message, t.TaskDelta):
            driver.hear(message)
            return
        if isinstance(message, t.TaskProgress):
            driver.hear(message)
            if message.journal and self._floods(key):
                return
        if event is not None:
            self._hand_over(driver, event, message.worker, key, ours=sent)

    def _hand_over(self, driver: RunDriver, event: Input, who: str, about: object, *, ours: bool) -> None:
        """Have the machine take an input in. One that cannot be is a bug of ours, or a worker speaks of no task."""
        try:
            driver.commands += driver.machine.handle(event)
        except IllegalTransition as error:
            if ours:
                raise
            self.refusals.note(driver.run_id, who, about, error)

    def _floods(self, key: t.TaskKey) -> bool:
        """Whether a task has said enough in this batch; it counts as a sign of life all the same."""
        said = self._talk[key] = self._talk.get(key, 0) + 1
        return said > PROGRESS_MAX

    def _timer(self, driver: RunDriver, event: TimerFired, now_s: float) -> None:
        if event.kind == "attempt" and event.check:
            key = t.TaskKey(driver.run_id, event.step, event.branch, event.attempt, event.sample, "check", event.check)
            if driver.inflight.pop(key, None) is None:
                return
            driver.commands.append(  # the same key may be asked again, and then it must reach a worker
                c.Revoke(
                    step=event.step,
                    branch=event.branch,
                    attempt=event.attempt,
                    sample=0,
                    purpose="check",
                    check=event.check,
                )
            )
            late = verdict_of(key, driver.machine.state, now_s, "check_broken", ("the check did not answer in time",))
            driver.commands += driver.machine.handle(late)
            return
        if event.kind == "attempt":
            driver.inflight.pop(t.TaskKey(driver.run_id, event.step, event.branch, event.attempt, event.sample), None)
        driver.commands += driver.machine.handle(event)

    async def _append(self, entries: list[Append]) -> tuple[RunId, ...]:
        """Append; while there is no room, everything pauses and nothing is lost."""
        try:
            while True:
                try:
                    return await self._journal.append(entries)
                except JournalFull as error:
                    if self.full is None:
                        log.error("no room for the journal; all runs pause until there is", error=str(error))
                    self.full = error
                    await anyio.sleep(FULL_RETRY_S)
        finally:
            self.full = None  # also after another trouble: the next append tells whether there is room

    async def _commit(self, dirty: dict[RunDriver, list[f.Fact]]) -> None:
        """Append the facts of all runs in one go, then carry out their commands."""
        self._carry_out(dirty, await self._append_each(_entries(dirty, self._owner)))

    def _carry_out(self, dirty: dict[RunDriver, list[f.Fact]], refused: dict[RunId, str]) -> None:
        """What was asked of the world, now that the facts that led to it are journaled."""
        for driver, made in dirty.items():
            reason = refused.get(driver.run_id)
            if reason is not None:
                self._park(driver, reason)
                if self._leave is not None:
                    for message in self._unsafe.get(driver, ()):
                        self._leave(message)
                continue
            facts = tuple(made)
            if facts and self._observer is not None:
                self._observer.journaled(driver.accepted, driver.next_seq, facts)
            if facts and self._offers is not None:
                self._offers.journaled(driver.accepted, facts)
            if facts and self._unwanted is not None:
                self._unwanted(driver.accepted, facts)
            driver.journaled(facts)
            if driver.commands:
                try:
                    self._perform(driver)
                except Exception as error:  # noqa: BLE001  # as above: one run's trouble is its own
                    self._park(driver, f"our bug: {_said(error)}")

    async def _append_each(self, entries: list[Append]) -> dict[RunId, str]:
        """Append; return the runs whose entry is not in the journal, and why.

        An error speaks of the whole call, so each entry is then tried alone: what only one run holds against the
        journal parks that run and no other.
        """
        if not entries:
            return {}
        try:
            refused = await self._append(entries)
        except JournalError as error:
            if len(entries) == 1 or isinstance(error, JournalUnreachable):
                return {entry.run_id: f"{FAILED}: {error}" for entry in entries}
            found: dict[RunId, str] = {}
            for entry in entries:
                found |= await self._append_each([entry])
            return found
        return dict.fromkeys(refused, TAKEN)

    def _append_now(self, journal: InstantJournal, entries: list[Append]) -> dict[RunId, str]:
        """As `_append_each`, where the journal need not be waited for."""
        if not entries:
            return {}
        try:
            refused = journal.append_now(entries)
        except JournalError as error:
            if len(entries) == 1:
                return {entries[0].run_id: f"{FAILED}: {error}"}
            found: dict[RunId, str] = {}
            for entry in entries:
                found |= self._append_now(journal, [entry])
            return found
        return dict.fromkeys(refused, TAKEN)


def goes_on(reason: str) -> bool:
    """Whether a run that is parked so may go on at once: with another owner, or when it can be journaled."""
    return FAILED in reason or TAKEN in reason or GIVEN_UP in reason


def parking_reason(error: OrchestratorError) -> str:
    """Why a run is parked for an error of its journal: one that did not answer says nothing about the run itself."""
    return f"{FAILED}: {error}" if isinstance(error, JournalUnreachable) else str(error)


def _said(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"


def _instant(journal: Journal) -> InstantJournal | None:
    """The journal, where it offers `append_now`; not where a class below exchanged `append` alone."""
    for cls in type(journal).__mro__:
        if "append" in vars(cls):
            return cast(InstantJournal, journal) if "append_now" in vars(cls) else None
    return None


def _entries(dirty: dict[RunDriver, list[f.Fact]], owner: str) -> list[Append]:
    return [
        Append(
            run_id=driver.run_id,
            first_seq=driver.next_seq,
            epoch=driver.epoch,
            facts=tuple(made),
            sync=any(isinstance(fact, SYNC) for fact in made),
            owner=owner,
        )
        for driver, made in dirty.items()
        if made
    ]
