"""The transport inside one process: queues per pool and lane, delivered by a plain call in the same event loop."""

import time
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Final

import anyio

from orchestrator.errors import PromiseError
from orchestrator.ids import PoolName
from orchestrator.ports.tasks import (
    LANES,
    Backlog,
    OwnerReply,
    OwnerRequest,
    StepTask,
    TaskDone,
    TaskFailed,
    TaskKey,
    TaskMessage,
)

TURN: Final = 8  #: every eighth take begins at another lane than the highest, so that none starves
_LANE: Final = {lane: index for index, lane in enumerate(LANES)}
_USUAL: Final = tuple(range(len(LANES)))
#: Who is favoured in those takes, in turn; the others follow from the lowest upwards.
_TURNS: Final = ((3, 2, 1, 0), (2, 3, 1, 0), (1, 3, 2, 0))


class _Entry:
    """A task on its way. `task` is None once it was revoked while waiting."""

    __slots__ = ("queue", "running", "task")

    def __init__(self, task: StepTask, queue: "_PoolQueue") -> None:
        self.task: StepTask | None = task
        self.queue = queue
        self.running = False


class _PoolQueue:
    """The lanes of one pool."""

    __slots__ = ("cancels", "lanes", "running", "taken", "taker", "waiters", "waiting", "waiting_by_lane")

    def __init__(self) -> None:
        self.lanes: tuple[deque[_Entry], ...] = tuple(deque() for _ in LANES)
        self.waiting_by_lane = [0] * len(LANES)
        self.waiting = 0
        self.running = 0
        self.taken = 0
        self.taker = False  #: somebody is about to take what comes next, so nobody need be woken for it
        self.waiters: deque[anyio.Event] = deque()
        self.cancels: list[Callable[[TaskKey], None]] = []

    def next(self) -> StepTask | None:
        """The next task, marked as running; None when nothing waits."""
        if not self.waiting:
            return None
        self.taken += 1
        order = _USUAL if self.taken % TURN else _TURNS[self.taken // TURN % len(_TURNS)]
        for index in order:
            if not self.waiting_by_lane[index]:
                continue
            lane = self.lanes[index]
            while True:
                entry = lane.popleft()
                if entry.task is not None:
                    break
            entry.running = True
            self.waiting_by_lane[index] -= 1
            self.waiting -= 1
            self.running += 1
            return entry.task
        raise AssertionError("a lane holds what the counter says")

    def drop_revoked(self, index: int) -> None:
        """Let go of revoked entries once they are the larger part of a lane."""
        lane = self.lanes[index]
        if len(lane) > 64 and len(lane) > 2 * self.waiting_by_lane[index]:
            kept = [entry for entry in lane if entry.task is not None]
            lane.clear()
            lane.extend(kept)


class MemoryTransport:
    """Both sides of the transport for one process and one event loop. Nothing is copied: tasks are frozen.

    A task is known from `send` until its answer or its revocation, and sending a known one again changes nothing.
    Messages reach the owner within `post`; late ones too, for the owner alone can tell what still counts.
    """

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self._deliver: Callable[[TaskMessage], None] | None = None
        self._answer: Callable[[OwnerRequest], Awaitable[OwnerReply]] | None = None
        self._turn: Callable[[], None] | None = None
        self._entries: dict[TaskKey, _Entry] = {}
        self._pools: dict[PoolName, _PoolQueue] = {}

    # ---- the owner's side

    def bind(self, deliver: Callable[[TaskMessage], None]) -> None:
        self._deliver = deliver

    def bind_answer(self, answer: Callable[[OwnerRequest], Awaitable[OwnerReply]]) -> None:
        self._answer = answer

    def bind_turn(self, turn: Callable[[], None]) -> None:
        """What the owner may be asked when a worker is free and nothing waits: handle what was posted, and send on.

        In a chain the next task is then there without the event loop going round twice.
        """
        self._turn = turn

    def send(self, task: StepTask) -> None:
        if task.key in self._entries:
            return
        queue = self._pools.get(task.pool)
        if queue is None:
            queue = self._queue(task.pool)
        entry = self._entries[task.key] = _Entry(task, queue)
        index = _LANE[task.lane]
        queue.lanes[index].append(entry)
        queue.waiting_by_lane[index] += 1
        queue.waiting += 1
        if queue.waiters and not (queue.taker and queue.waiting == 1):
            queue.waiters.popleft().set()

    def revoke(self, key: TaskKey) -> None:
        entry = self._entries.pop(key, None)
        if entry is None or entry.task is None:
            return
        queue = entry.queue
        if entry.running:
            queue.running -= 1
            for cancel in tuple(queue.cancels):
                cancel(key)
        else:
            index = _LANE[entry.task.lane]
            entry.task = None
            queue.waiting -= 1
            queue.waiting_by_lane[index] -= 1
            queue.drop_revoked(index)

    async def backlog(self) -> list[Backlog]:
        now_s = self._clock()
        found = []
        for name in sorted(self._pools):
            queue = self._pools[name]
            first = [next((e.task for e in lane if e.task is not None), None) for lane in queue.lanes]
            oldest_s = min((task.sent_at_s for task in first if task is not None), default=now_s)
            found.append(
                Backlog(
                    pool=name,
                    waiting=queue.waiting,
                    running=queue.running,
                    oldest_wait_s=max(now_s - oldest_s, 0.0),
                    by_lane=dict(zip(LANES, queue.waiting_by_lane, strict=True)),
                )
            )
        return found

    # ---- the workers' side

    async def fetch(self, pool: PoolName, slots: int) -> list[StepTask]:
        queue = self._queue(pool)
        while not queue.waiting:
            arrival = anyio.Event()
            queue.waiters.append(arrival)
            try:
                await arrival.wait()
            finally:
                if arrival.is_set():
                    self._pass_on(queue)
                else:
                    queue.waiters.remove(arrival)
        tasks: list[StepTask] = []
        while len(tasks) < slots and (task := queue.next()) is not None:
            tasks.append(task)
        return tasks

    def take(self, pool: PoolName) -> StepTask | None:
        queue = self._pools.get(pool)
        if queue is None:
            return None
        if not queue.waiting and self._turn is not None:
            queue.taker = True
            try:
                self._turn()
            finally:
                queue.taker = False
        return queue.next()

    def post(self, message: TaskMessage) -> None:
        if isinstance(message, TaskDone | TaskFailed):
            entry = self._entries.pop(message.key, None)
            if entry is not None:
                self._settle(entry)
        if self._deliver is None:
            raise PromiseError("a worker answered, but nobody owns its run", "call `bind` before `send`")
        self._deliver(message)

    async def ask(self, request: OwnerRequest) -> OwnerReply:
        if self._answer is None:
            raise PromiseError("a worker asked, but nobody owns its run", "call `bind_answer` before `send`")
        return await self._answer(request)

    def on_revoke(self, pool: PoolName, cancel: Callable[[TaskKey], None]) -> None:
        self._queue(pool).cancels.append(cancel)

    # ---- inside

    def _queue(self, pool: PoolName) -> _PoolQueue:
        return self._pools.setdefault(pool, _PoolQueue())

    @staticmethod
    def _pass_on(queue: _PoolQueue) -> None:
        """Work may be left for another waiter: after a wake-up that was cancelled, or one for several tasks."""
        if queue.waiters and queue.waiting:
            queue.waiters.popleft().set()

    @staticmethod
    def _settle(entry: _Entry) -> None:
        if entry.running:
            entry.queue.running -= 1
        elif entry.task is not None:  # answered by somebody who never took it here
            index = _LANE[entry.task.lane]
            entry.task = None
            entry.queue.waiting -= 1
            entry.queue.waiting_by_lane[index] -= 1
