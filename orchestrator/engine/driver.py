"""One run in this process: its machine, its place in the journal, and who waits for it."""

from collections.abc import Callable

import anyio

from orchestrator.core.commands import Command
from orchestrator.core.facts import Fact, RunAccepted, RunEnded
from orchestrator.core.machine import RunMachine
from orchestrator.ids import RunId
from orchestrator.ports.tasks import TaskKey, TaskProgress


class RunDriver:
    """What the loop keeps of an open run. Holds no rules: those are the machine's."""

    __slots__ = (
        "accepted",
        "asking",
        "changed",
        "commands",
        "done",
        "ended",
        "epoch",
        "holding",
        "inflight",
        "machine",
        "next_seq",
        "on_journaled",
        "parked",
        "queued",
        "recovered",
        "run_id",
        "tenant",
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
        self.asking: dict[TaskKey, anyio.CancelScope] = {}  #: judges and planners that have been asked
        self.queued = 0  #: items posted and not handled
        self.holding = False  #: nothing is sent out any more: the engine is about to close
        self.on_journaled: list[Callable[[bool], None]] = []  #: told once: whether the next append took place
        self.changed: anyio.Event | None = None
        self.done: anyio.Event | None = None
        self.ended: RunEnded | None = None
        self.parked = ""  #: why the run is not driven any more, although it has not ended
        self.recovered = False  #: read back from the journal: its sub-plans may exist already
        self.watchers: list[Callable[[TaskProgress], None]] = []

    @property
    def waiting(self) -> bool:
        """Everything open waits for a person."""
        return self.machine.state.paused_at_s is not None and not self.asking

    @property
    def quiet(self) -> bool:
        """Nothing is queued that could move the run."""
        return not self.queued

    @property
    def over(self) -> bool:
        """The run has ended, or is not driven here any more."""
        return self.ended is not None or bool(self.parked)

    def journaled(self, facts: tuple[Fact, ...]) -> None:
        """Facts are in the journal, or nothing followed: wake whoever follows the run."""
        if not facts:
            self._told(True)
            if self.holding or self.waiting:  # whoever waits for quiet must learn of it
                self._wake()
            return
        self.next_seq += len(facts)
        if isinstance(facts[-1], RunEnded):
            self.ended = facts[-1]
        self._tell(True)

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
