"""One run in this process: its machine, its place in the journal, and who waits for it."""

from collections.abc import Callable

import anyio
import structlog

from orchestrator.core.commands import Command
from orchestrator.core.facts import Fact, RunAccepted, RunAdopted, RunEnded, StepDispatched
from orchestrator.core.machine import RunMachine
from orchestrator.ids import RunId, StepId
from orchestrator.ports.tasks import TaskDelta, TaskKey, TaskProgress

Heard = TaskProgress | TaskDelta  #: what watchers of a run are told, of its sub-plans too
log = structlog.get_logger(__name__)


class RunDriver:
    """What the loop keeps of an open run. Holds no rules: those are the machine's."""

    __slots__ = (
        "__weakref__",
        "above",
        "accepted",
        "asking",
        "below",
        "changed",
        "commands",
        "done",
        "ended",
        "epoch",
        "holding",
        "inflight",
        "last_at_s",
        "machine",
        "new_tasks",
        "next_seq",
        "on_journaled",
        "on_resume",
        "parked",
        "queued",
        "recovered",
        "resuming",
        "reused",
        "run_id",
        "saw",
        "started",
        "tenant",
        "waits_below",
        "wall_held",
        "was_waiting",
        "watchers",
    )

    def __init__(self, machine: RunMachine, accepted: RunAccepted, *, epoch: int, next_seq: int) -> None:
        self.machine = machine
        self.accepted = accepted
        self.run_id: RunId = accepted.run
        self.tenant = accepted.tenant
        self.epoch = epoch
        self.next_seq = next_seq
        self.commands: list[Command] = []  #: to be carried out once the facts that led to them are journaled
        #: tasks sent and not answered; value: last sign of life, infinite while a watched one has not begun
        self.inflight: dict[TaskKey, float] = {}
        self.started: dict[TaskKey, float] = {}  #: of those that had to wait for a worker: when one began
        self.asking: dict[TaskKey, anyio.CancelScope] = {}  #: judges and planners that have been asked
        self.queued = 0  #: items posted and not handled
        self.above: RunDriver | None = None  #: of the run whose sub-plan this is
        self.below: dict[RunId, RunDriver] = {}  #: of the sub-plans that are open here
        self.was_waiting: float | None = None  #: since when, when it waited last time it was looked at
        self.last_at_s = accepted.at_s  #: of the last fact that moved the run
        self.on_resume: Callable[[RunDriver, float], None] | None = None  #: sub-plans wait no more; since when they did
        self.waits_below = False  #: it waits in sub-plans, where its own machine cannot see it
        self.wall_held = False  #: the wall time ran out while all sub-plans waited for people
        self.holding = False  #: nothing is sent out any more: the engine is about to close
        self.on_journaled: list[Callable[[bool], None]] = []  #: told once: whether the next append took place
        self.changed: anyio.Event | None = None
        self.done: anyio.Event | None = None
        self.ended: RunEnded | None = None
        self.parked = ""  #: why the run is not driven any more, although it has not ended
        self.resuming = False  #: what is sent next may have been sent by an owner before, but for `new_tasks`
        self.new_tasks: frozenset[TaskKey] = frozenset()  #: journaled for the first time in the turn of a take-over
        self.recovered = False  #: read back from the journal: its sub-plans may exist already
        #: steps and digests of what a run that is read back has from another run
        self.reused: frozenset[tuple[StepId, str]] = frozenset()
        self.watchers: list[Callable[[Heard], None]] = []
        self.saw: Callable[[RunId, tuple[Fact, ...]], None] | None = None  #: who learns from what is journaled

    @property
    def waiting(self) -> bool:
        """Everything open waits for a person, here or in sub-plans."""
        if self.asking:
            return False
        state = self.machine.state
        if state.paused_at_s is not None:
            return True
        if not 0 < state.active <= len(self.below):
            return False
        below = [child for child in self.below.values() if not child.over and not child.machine.state.cancelled]
        return state.active == len(below) and all(child.waiting for child in below)

    @property
    def waiting_since_s(self) -> float:
        """While `waiting`: since when."""
        paused_at_s = self.machine.state.paused_at_s
        if paused_at_s is not None:
            return paused_at_s
        return max(self.last_at_s, *(child.waiting_since_s for child in self.below.values() if child.waiting))

    @property
    def quiet(self) -> bool:
        """Nothing is queued that could move the run or its sub-plans."""
        return not self.queued and all(child.quiet for child in self.below.values())

    @property
    def finding_children(self) -> bool:
        """A sub-plan that is open in the journal is not driven here yet."""
        prefix = f"{self.run_id}."
        return any(charge.startswith(prefix) and charge not in self.below for charge in self.machine.state.ledger.open)

    @property
    def over(self) -> bool:
        """The run has ended, or is not driven here any more."""
        return self.ended is not None or bool(self.parked)

    def _key(self, sent: StepDispatched) -> TaskKey:
        return TaskKey(self.run_id, sent.step, sent.branch, sent.attempt, sent.sample, sent.purpose, sent.check)

    def journaled(self, facts: tuple[Fact, ...]) -> None:
        """Facts are in the journal, or nothing followed: wake whoever follows the run."""
        if not facts:
            self._told(True)
            if self.holding or self.waiting:
                self._wake_all()
            return
        self.next_seq += len(facts)
        if self.resuming:
            self.new_tasks = frozenset(self._key(fact) for fact in facts if isinstance(fact, StepDispatched))
        if self.saw is not None:
            self.saw(self.run_id, facts)
        last = facts[-1]
        if self.ended is None and self.machine.state.ended:  # late charges may follow the end in one batch
            self.ended = next((fact for fact in reversed(facts) if isinstance(fact, RunEnded)), None)
        if not isinstance(last, RunAdopted):
            self.last_at_s = last.at_s
        self._tell(True)
        self._look_up()

    def hear(self, message: Heard) -> None:
        """Tell whoever watches this run, or a run above it, what a worker says."""
        driver: RunDriver | None = self
        while driver is not None:
            for watcher in tuple(driver.watchers):
                try:
                    watcher(message)
                except Exception as error:  # noqa: BLE001  # a watcher is the host's code: its trouble stops no run
                    log.error("a watcher failed and is not called again", run=driver.run_id, error=repr(error))
                    driver.watchers.remove(watcher)
            driver = driver.above

    def _look_up(self) -> None:
        """Whoever waits for the runs above must learn when this one begins or ceases to wait."""
        since_s = self.waiting_since_s if self.waiting else None
        if (since_s is None) == (self.was_waiting is None):
            return
        before, self.was_waiting = self.was_waiting, since_s
        if before is None:
            self.waits_below = self.machine.state.paused_at_s is None
        elif self.waits_below and self.on_resume is not None:
            self.on_resume(self, before)
        if self.above is not None:
            self.above._wake()
            self.above._look_up()

    def park(self, reason: str) -> None:
        """Stop driving; the journal stays as it is."""
        self.parked = self.parked or reason
        self.commands.clear()
        self.drop_questions()
        self._tell(False)

    def drop_questions(self) -> None:
        """Nobody waits for judges and planners any more."""
        asking, self.asking = self.asking, {}
        for scope in asking.values():
            scope.cancel()

    def _told(self, well: bool) -> None:
        if self.on_journaled:
            told, self.on_journaled = self.on_journaled, []
            for callback in told:
                callback(well)

    def _tell(self, well: bool) -> None:
        self._told(well)
        self._wake()
        if self.over and self.done is not None:
            self.done.set()

    def _wake(self) -> None:
        if self.changed is not None:
            self.changed.set()
            self.changed = None

    def _wake_all(self) -> None:
        """Whoever waits for quiet, here or above, must learn that something was handled without a trace."""
        driver: RunDriver | None = self
        while driver is not None:
            driver._wake()
            driver = driver.above

    def hold(self) -> None:
        """From now on record what comes in, and send nothing out."""
        self.holding = True
        self.machine.hold()

    async def change(self) -> None:
        """Wait until something more is in the journal, or the run is over."""
        if self.over:
            return
        if self.changed is None:
            self.changed = anyio.Event()
        await self.changed.wait()

    async def finished(self) -> None:
        """Wait until the run is over."""
        if self.over:
            return
        if self.done is None:
            self.done = anyio.Event()
        await self.done.wait()
