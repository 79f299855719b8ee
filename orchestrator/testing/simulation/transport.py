"""The transport of a schedule: queues on a server that outlives every process, and loses, doubles, delays and forgets.

It promises what the contract of a transport asks, at least once with leases: a task that is not answered reaches a
worker in the end, an answer stays in its owner's box until its facts are journaled, and what the server has forgotten
is sent again by its owner. Everything else it does as badly as it can.
"""

import random
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass, field
from typing import Final

import anyio
from anyio.abc import TaskGroup

from orchestrator.ids import PoolName
from orchestrator.ports import tasks as t
from orchestrator.testing.simulation.node import Node

LEASE_S: Final = 6.0  #: a worker may be silent
DELIVERIES_MAX: Final = 5  #: of one task, before it is a dead letter
SWEEP_S: Final = 1.0  #: between two looks for leases that have ended
RECONCILE_S: Final = 5.0  #: between two looks of an owner for what the server has lost
PUMP_S: Final = 0.5  #: between two looks for what can be acknowledged
LATE_S: Final = 12.0  #: longest delay of a late message
USUAL_S: Final = 0.003
ASK_S: Final = 8.0  #: a worker waits for its owner
ASKS_MAX: Final = 4
UNWANTED: Final = t.OwnerReply(granted=False, limit="run")
LEFT_S: Final = 600.0  #: how long words that an owner could not use lie there for another
Answer = t.TaskDone | t.TaskFailed
KEPT: Final = (t.TaskDone, t.TaskFailed, t.TaskSpent, t.TaskCalled)


@dataclass(slots=True)
class _Entry:
    task: t.StepTask
    owner: str
    deliveries: int = 0
    holder: str = ""  #: the worker that has it; empty while it waits
    until_s: float = 0.0


@dataclass(slots=True)
class _Box:
    """Messages for one owner, until they are acknowledged."""

    messages: dict[int, t.TaskMessage] = field(default_factory=dict)
    arrived: anyio.Event | None = None


class SimServer:
    """What all processes share."""

    def __init__(self, now_s: Callable[[], float], dice: random.Random) -> None:
        self.now_s, self._dice = now_s, dice
        self.entries: dict[t.TaskKey, _Entry] = {}
        self.boxes: dict[str, _Box] = {}
        self.owners: dict[str, SimTransport] = {}
        self.left: list[tuple[float, t.TaskMessage]] = []  #: words for whoever takes a run over, and since when
        self._queue: dict[PoolName, deque[t.TaskKey]] = {}
        self._owner_of: dict[t.TaskKey, str] = {}  #: of every task there ever was: late answers go there
        self._arrived = anyio.Event()
        self._count = 0

    # ---- tasks

    def put(self, task: t.StepTask, owner: str, *, twice: bool = False) -> None:
        """Queue a task; a known one only changes hands."""
        self._owner_of[task.key] = owner
        entry = self.entries.get(task.key)
        if entry is not None:
            entry.owner = owner
            return
        self.entries[task.key] = _Entry(task, owner)
        for _ in range(1 + twice):
            self._enqueue(task)

    def _enqueue(self, task: t.StepTask) -> None:
        queue = self._queue.setdefault(task.pool, deque())
        queue.insert(self._dice.randint(0, len(queue)), task.key)
        self._arrived.set()
        self._arrived = anyio.Event()

    def owned(self, key: t.TaskKey, owner: str) -> bool:
        """Make a task the owner's, if the server knows it."""
        entry = self.entries.get(key)
        if entry is not None:
            entry.owner = self._owner_of[key] = owner
        return entry is not None

    def drop(self, key: t.TaskKey) -> None:
        """Nobody wants it any more."""
        self.entries.pop(key, None)

    async def take(self, worker: str) -> t.StepTask:
        """Wait for a task of any pool, and hold it."""
        while True:
            for name in sorted(self._queue):
                queue = self._queue[name]
                while queue:
                    entry = self.entries.get(queue.popleft())
                    if entry is not None:
                        entry.holder, entry.until_s = worker, self.now_s() + LEASE_S
                        entry.deliveries += 1
                        return entry.task
            await self._arrived.wait()

    def renew(self, key: t.TaskKey, worker: str) -> bool:
        """A worker is still at it. False: it is not its task any more."""
        entry = self.entries.get(key)
        if entry is None or entry.holder != worker:
            return False
        entry.until_s = self.now_s() + LEASE_S
        return True

    async def sweep(self) -> None:
        """Give what silent workers hold to others, as long as the schedule lasts."""
        while True:
            await anyio.sleep(SWEEP_S)
            for key, entry in list(self.entries.items()):
                if not entry.holder or entry.until_s > self.now_s():
                    continue
                if entry.task.idempotency_key is not None and key.purpose == "work":
                    self.drop(key)
                    lost = t.TaskFailed(key=key, worker=entry.holder, error="lost", message="its lease ended")
                    self.post(entry.owner, lost)
                elif entry.deliveries >= DELIVERIES_MAX:
                    self.drop(key)
                    dead = t.TaskFailed(key=key, worker="", error="terminal", message="dead letter")
                    self.post(entry.owner, dead)
                else:
                    entry.holder = ""
                    self._enqueue(entry.task)

    def forget(self) -> None:
        """Lose everything."""
        self.entries.clear()
        self._queue.clear()
        self.left.clear()
        for box in self.boxes.values():
            box.messages.clear()

    # ---- messages

    def owner_of(self, key: t.TaskKey) -> str:
        """Who gets the messages of a task."""
        entry = self.entries.get(key)
        return entry.owner if entry is not None else self._owner_of.get(key, "")

    def answer(self, message: t.TaskMessage, *, lost: bool, twice: bool) -> None:
        """A worker's message has reached the server. An answer ends its task there."""
        owner = self.owner_of(message.key)
        if isinstance(message, t.TaskDone | t.TaskFailed):
            self.drop(message.key)
        if owner and not lost:
            for _ in range(1 + twice):
                self.post(owner, message)

    def post(self, owner: str, message: t.TaskMessage) -> None:
        """Put a message into an owner's box."""
        box = self.boxes.setdefault(owner, _Box())
        self._count += 1
        box.messages[self._count] = message
        if box.arrived is not None:
            box.arrived.set()

    def is_left(self, message: t.TaskMessage) -> bool:
        """Whether somebody else may still read it."""
        return any(one is message for _, one in self.left)

    def left_unread(self, me: str) -> list[t.TaskMessage]:
        """What is in the boxes of other owners, the living too, and what was left behind."""
        boxes = [box for owner, box in self.boxes.items() if owner != me]
        self.left = [(at_s, message) for at_s, message in self.left if at_s > self.now_s() - LEFT_S]
        return [*(one for box in boxes for one in box.messages.values()), *(message for _, message in self.left)]


class SimTransport:
    """One owner's side."""

    def __init__(
        self, server: SimServer, node: Node, dice: random.Random, on_send: Callable[[t.StepTask, str], None]
    ) -> None:
        self.node, self._server, self._dice, self._on_send = node, server, dice, on_send
        self._deliver: Callable[[t.TaskMessage], None] | None = None
        self._answer: Callable[[t.OwnerRequest], Awaitable[t.OwnerReply]] | None = None
        self._counts: Callable[[], tuple[int, int]] = lambda: (0, 0)
        self.on_ack: Callable[[t.TaskMessage], None] = lambda _message: None
        self._sent: dict[t.TaskKey, t.StepTask] = {}
        self._group: TaskGroup | None = None
        server.owners[node.name] = self
        server.boxes.setdefault(node.name, _Box())

    def bind(self, deliver: Callable[[t.TaskMessage], None]) -> None:
        """See `Transport`."""
        self._deliver = deliver

    def bind_answer(self, answer: Callable[[t.OwnerRequest], Awaitable[t.OwnerReply]]) -> None:
        """See `Transport`."""
        self._answer = answer

    def bind_counts(self, counts: Callable[[], tuple[int, int]]) -> None:
        """How many messages were taken over, and how many of these are in the journal: the others are not acked."""
        self._counts = counts

    def open(self, group: TaskGroup) -> None:
        """Begin to listen."""
        self._group = group
        group.start_soon(self._pump)
        group.start_soon(self._reconcile)

    def send(self, task: t.StepTask) -> None:
        """See `Transport`."""
        if task.key in self._sent or self.node.dead:
            return
        self._sent[task.key] = task
        self._on_send(task, self.node.name)
        self._go(self._put, task)

    def resume(self, task: t.StepTask) -> None:
        """See `Resuming`."""
        if task.key in self._sent or self.node.dead:
            return
        self._sent[task.key] = task
        self._on_send(task, self.node.name)
        self._go(self._resume, task)

    def let_go(self, key: t.TaskKey) -> None:
        """See `Resuming`."""
        self._sent.pop(key, None)

    def leave(self, message: t.TaskMessage) -> None:
        """See `Resuming`: it lies there until it is old, and whoever takes the run over reads it."""
        if not self.node.dead and isinstance(message, KEPT):
            self._server.left.append((self._server.now_s(), message))

    def revoke(self, key: t.TaskKey) -> None:
        """See `Transport`."""
        if self._sent.pop(key, None) is not None and not self.node.dead:
            self._go(self._revoke, key)

    async def backlog(self) -> list[t.Backlog]:
        """See `Transport`; nobody asks."""
        return []

    # ---- inside

    def _go(self, work: Callable[..., Coroutine[object, object, None]], *args: object) -> None:
        if self._group is not None:
            self._group.start_soon(work, *args)

    async def _way(self, late: str) -> None:
        await self.node.sleep(self._dice.random() * (LATE_S if self.node.strikes(late) else USUAL_S))

    async def _put(self, task: t.StepTask) -> None:
        await self._way("task.late")
        if task.key in self._sent and not self.node.strikes("task.lost"):
            self._server.put(task, self.node.name, twice=self.node.strikes("task.twice"))

    async def _revoke(self, key: t.TaskKey) -> None:
        await self._way("task.late")
        if key not in self._sent:  # it may have been asked for again, as a check is
            self._server.drop(key)

    async def _resume(self, task: t.StepTask) -> None:
        await self._way("task.late")
        answered = False
        for message in self._server.left_unread(self.node.name):
            if message.key == task.key:
                self._server.post(self.node.name, message)
                answered = answered or isinstance(message, t.TaskDone | t.TaskFailed)
        if not answered and task.key in self._sent and not self._server.owned(task.key, self.node.name):
            self._again(task)

    def _again(self, task: t.StepTask) -> None:
        """The server does not know it. What may have changed the world is not sent again but reported as lost."""
        if task.idempotency_key is not None and task.key.purpose == "work":
            del self._sent[task.key]
            gone = t.TaskFailed(key=task.key, worker="", error="lost", message="the server lost it")
            self._server.post(self.node.name, gone)
        else:
            self._server.put(task, self.node.name)

    async def _reconcile(self) -> None:
        while True:
            await self.node.sleep(RECONCILE_S)
            box = self._server.boxes[self.node.name]
            answered = {message.key for message in box.messages.values() if isinstance(message, Answer)}
            for key, task in list(self._sent.items()):
                if key not in answered and not self._server.owned(key, self.node.name):
                    self._again(task)

    async def _pump(self) -> None:
        box = self._server.boxes[self.node.name]
        taken: dict[int, tuple[int, t.TaskMessage]] = {}
        while True:
            await self.node.pass_gate()
            for number, message in list(box.messages.items()):
                if number not in taken:
                    if isinstance(message, Answer):
                        self._sent.pop(message.key, None)
                    assert self._deliver is not None, "it is bound before the first task"
                    self._deliver(message)
                    taken[number] = (self._counts()[0], message)
            journaled = self._counts()[1]
            for number, (posted, message) in list(taken.items()):
                if posted <= journaled or number not in box.messages:
                    if box.messages.pop(number, None) is not None:
                        self.on_ack(message)
                    del taken[number]
            box.arrived = anyio.Event()
            if any(number not in taken for number in box.messages):
                continue
            with anyio.move_on_after(PUMP_S if taken else None):
                await box.arrived.wait()

    async def asked(self, request: t.OwnerRequest, reply: Callable[[t.OwnerReply], None]) -> None:
        """A worker's question has arrived."""
        await self._way("answer.late")
        assert self._answer is not None, "it is bound before the first task"
        said = await self._answer(request)
        await self._way("answer.late")
        reply(said)

    def spawn(self, work: Callable[..., Coroutine[object, object, None]], *args: object) -> None:
        """Do something in this process, for as long as it lives."""
        self._go(work, *args)


class SimPort:
    """A worker's side."""

    def __init__(self, server: SimServer, node: Node, dice: random.Random) -> None:
        self._server, self.node, self._dice = server, node, dice

    async def take(self) -> t.StepTask:
        """The next task."""
        await self.node.pass_gate()
        return await self._server.take(self.node.name)

    def renew(self, key: t.TaskKey) -> bool:
        """Say that the task is still in work."""
        return self._server.renew(key, self.node.name)

    async def post(self, message: t.TaskMessage) -> None:
        """Send a message to whoever owns the run by then."""
        late = self.node.strikes("answer.late")
        await self.node.sleep(self._dice.random() * (LATE_S if late else USUAL_S))
        self._server.answer(message, lost=self.node.strikes("answer.lost"), twice=self.node.strikes("answer.twice"))

    async def ask(self, request: t.OwnerRequest) -> t.OwnerReply:
        """Ask the owner, again where it does not answer; see `WorkerPort`."""
        for _ in range(ASKS_MAX):
            await self.node.pass_gate()
            owner = self._server.owners.get(self._server.owner_of(request.key))
            if owner is None or owner.node.dead:
                await self.node.sleep(ASK_S / 4)
                continue
            heard = anyio.Event()
            said: list[t.OwnerReply] = []

            def reply(word: t.OwnerReply, heard: anyio.Event = heard, said: list[t.OwnerReply] = said) -> None:
                said.append(word)
                heard.set()

            owner.spawn(owner.asked, request, reply)
            with anyio.move_on_after(ASK_S):
                await heard.wait()
            await self.node.pass_gate()
            if said:
                return said[0]
        return UNWANTED


__all__ = ["SimPort", "SimServer", "SimTransport"]
