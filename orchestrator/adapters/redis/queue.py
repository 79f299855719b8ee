"""The reader of one pool: waits for tasks while somebody wants them, and shares them out."""

import asyncio
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import Final, cast

import structlog

from orchestrator.adapters.redis import codec, scripts
from orchestrator.adapters.redis.leases import Lease
from orchestrator.adapters.redis.limits import (
    BLOCK_S,
    DELIVERIES_MAX,
    GROUP,
    HOLD_AFTER,
    SPARE_S,
    STREAM_KEEP_S,
)
from orchestrator.adapters.redis.pace import Pace
from orchestrator.adapters.redis.wire import Argument, Wire, entries_of
from orchestrator.errors import TransportError
from orchestrator.ids import PoolName, RunId, StepId
from orchestrator.ports.tasks import StepTask, TaskKey

LANES: Final = ("1", "2", "3", "4")
_NO_KEY: Final = TaskKey(RunId(""), StepId(""), -1, 0)  #: of an entry whose own key cannot be read
log = structlog.get_logger(__name__)


def give_words(namespace: str, worker: str, given: Sequence[tuple[Lease, float]]) -> list[Argument]:
    """What give.lua is told: leases, and the delay in seconds of each."""
    words: list[Argument] = [namespace, GROUP, worker]
    for lease, delay_s in given:
        words += (lease.pool, lease.lane, lease.entry, lease.deliveries, lease.key_text, int(delay_s * 1000))
    return words


class Delivery:
    """A task with the lease it came under."""

    __slots__ = ("lease", "task")

    def __init__(self, lease: Lease, task: StepTask) -> None:
        self.lease, self.task = lease, task


class _Waiter:
    __slots__ = ("found", "slots")

    def __init__(self, slots: int) -> None:
        self.slots = slots
        self.found: asyncio.Future[list[Delivery]] = asyncio.get_running_loop().create_future()


class PoolQueue:
    """Tasks of one pool for the fetchers of this process.

    The blocking read runs in a task of its own and is never cancelled: an entry delivered to a reader that has gone
    would lie there until its lease ends. What nobody here takes goes back.
    """

    def __init__(
        self,
        url: str,
        namespace: str,
        pool: PoolName,
        worker: str,
        *,
        lease_s: float,
        accept: Callable[[Lease, StepTask], bool],
        refuse: Callable[[Lease, str], None],
        give_back: Callable[[Lease, float], None],
    ) -> None:
        self.pool = pool
        self._ns, self._worker, self._lease_ms = namespace, worker, int(lease_s * 1000)
        self._wire = Wire(url, name=f"orchestrator-{pool}-{worker}"[:200])
        self._accept, self._refuse, self._give_back = accept, refuse, give_back
        self._streams = [f"{namespace}:q:{pool}:{lane}" for lane in LANES]
        self._waiters: deque[_Waiter] = deque()
        self._spare: deque[Delivery] = deque()
        self._spare_timer: asyncio.TimerHandle | None = None
        self._wanted = asyncio.Event()
        self._uncounted = 0  #: takes the turn of the lanes has not been told of
        self._dry = False  #: the last blocking read found less than there was room for
        self._connects = 0
        self._look_from = 0.0  #: before, others may be about to renew what they hold
        self._stopping = False
        self._broken: Exception | None = None
        self._task = asyncio.create_task(self._read_always(), name=f"transport queue {pool}")

    # ---- for the fetchers

    async def fetch(self, slots: int) -> list[StepTask]:
        """Wait for tasks; see the port."""
        if self._broken is not None:
            raise self._broken
        found = self._from_spare(slots)
        if found:
            return found
        waiter = _Waiter(slots)
        self._waiters.append(waiter)
        self._wanted.set()
        try:
            return [delivery.task for delivery in await waiter.found]
        except asyncio.CancelledError:
            if waiter.found.done() and not waiter.found.cancelled():
                self._leave(waiter.found.result())
            elif waiter in self._waiters:
                self._waiters.remove(waiter)
            raise

    def take(self) -> StepTask | None:
        """A task that is here already."""
        found = self._from_spare(1)
        return found[0] if found else None

    def _from_spare(self, slots: int) -> list[StepTask]:
        found: list[StepTask] = []
        while self._spare and len(found) < slots:
            found.append(self._spare.popleft().task)
        return found

    # ---- the reader

    async def _read_always(self) -> None:
        try:
            await self._read_until_stopped()
        except Exception as error:
            log.critical("our bug: the reader of a pool broke", pool=self.pool, exc_info=True)
            self._broken = error
            for waiter in self._waiters:
                waiter.found.set_exception(error)
            self._waiters.clear()

    async def _read_until_stopped(self) -> None:
        pace = Pace(f"tasks of pool {self.pool}")
        while not self._stopping:
            await self._wanted.wait()
            self._wanted.clear()
            while self._waiters and not self._stopping:
                try:
                    await self._read_once()
                    pace.well()
                except TransportError as error:
                    await pace.wait(error)

    async def _read_once(self) -> None:
        due_ms: int | None = 0
        # While reads bring less than there is room for, nothing waits, and the script would only be asked in vain.
        if not self._dry or time.monotonic() >= self._look_from:
            due_ms = await self._read_now()
        if self._stopping or not self._waiters or due_ms is None:
            return
        block_ms = max(min(BLOCK_S, self._look_from - time.monotonic()) * 1000, 1)
        block_ms = int(min(block_ms, due_ms) if due_ms else block_ms)
        reply = await self._wire.call(
            "XREADGROUP", "GROUP", GROUP, self._worker, "COUNT", self._slots(), "BLOCK", block_ms,
            "STREAMS", *self._streams, ">", ">", ">", ">",
            block_s=BLOCK_S,
        )  # fmt: skip
        slots = self._slots()
        found: list[Delivery] = []
        back: list[Lease] = []
        for stream, rows in sorted(entries_of(reply).items()):  # the highest lane first
            lane = stream.rsplit(":", 1)[1]
            for entry, fields in rows:
                key, owner, body = fields.get(b"k"), fields.get(b"o"), fields.get(b"b")
                # COUNT is per stream, so several lanes may bring more than there are slots. And the script knows what
                # to do with what is not one of ours, and where a body is that lies beside its entry.
                if len(found) >= slots or key is None or owner is None or body is None:
                    back.append(Lease(self.pool, lane, entry, 1, _NO_KEY, "", ""))
                else:
                    self._add(found, lane, entry, 1, key, owner.decode(), body)
        self._dry = bool(found) and not back and len(found) < slots
        self._uncounted += len(found)
        self._share(found)
        if back:
            await self._wire.run(scripts.GIVE, *give_words(self._ns, self._worker, [(lease, 0.0) for lease in back]))

    async def _read_now(self) -> int | None:
        """What is there; None when there was something, else when the next held back task is due (0: none)."""
        look = time.monotonic() >= self._look_from
        words: list[Argument] = [
            self._ns, GROUP, self.pool, self._worker, self._slots(), self._uncounted, int(look), self._lease_ms,
            DELIVERIES_MAX, HOLD_AFTER, int(STREAM_KEEP_S * 1000),
        ]  # fmt: skip
        reply = cast(tuple[int, list[list[object]]], await self._wire.run(scripts.FETCH, *words))
        self._uncounted = 0
        if self._wire.connects != self._connects:
            # After an outage every lease looks ended. Those who hold them get the time to renew them first.
            if self._connects:
                self._look_from = time.monotonic() + self._lease_ms / 2000
            self._connects = self._wire.connects
        elif look:
            self._look_from = time.monotonic() + min(BLOCK_S, self._lease_ms / 4000)
        found: list[Delivery] = []
        for row in reply[1]:
            lane, entry, count, key, owner, body = cast(tuple[bytes, bytes, int, bytes, bytes, bytes], row)
            self._add(found, lane.decode(), entry.decode(), count, key, owner.decode(), body)
        self._share(found)
        return None if reply[1] else reply[0]

    def _slots(self) -> int:
        return max(sum(waiter.slots for waiter in self._waiters), 1)

    def _add(
        self, found: list[Delivery], lane: str, entry: str, count: int, key: bytes, owner: str, body: bytes
    ) -> None:
        try:
            lease = Lease(self.pool, lane, entry, count, codec.key_of(key), key.decode(), owner)
            task = codec.task_of(body)
        except (codec.Undecodable, UnicodeDecodeError) as error:
            self._bury(lane, entry, count, key, owner, f"the task cannot be read: {error}")
            return
        if task.key != lease.key or task.pool != self.pool:
            self._bury(lane, entry, count, key, owner, "the task is not the one its entry names")
        elif self._accept(lease, task):
            found.append(Delivery(lease, task))

    def _bury(self, lane: str, entry: str, count: int, key: bytes, owner: str, why: str) -> None:
        text = key.decode(errors="replace")
        self._refuse(Lease(self.pool, lane, entry, count, _NO_KEY, text, owner), why)

    def _share(self, found: list[Delivery]) -> None:
        left = deque(found)
        while left and self._waiters:
            waiter = self._waiters.popleft()
            if waiter.found.done():
                continue
            waiter.found.set_result([left.popleft() for _ in range(min(waiter.slots, len(left)))])
        if left:
            self._leave(list(left))

    def _leave(self, deliveries: list[Delivery]) -> None:
        """Nobody wants these any more: whoever comes next gets them, and soon they go back."""
        while deliveries and self._waiters:
            self._share([deliveries.pop(0)])
        self._spare.extend(deliveries)
        if self._spare and self._spare_timer is None:
            self._spare_timer = asyncio.get_running_loop().call_later(SPARE_S, self._spare_back)

    def _spare_back(self) -> None:
        self._spare_timer = None
        while self._spare:
            self._give_back(self._spare.popleft().lease, 0.0)

    async def stop(self) -> None:
        """Read nothing more; wait until the read under way is over, and give back what it brought."""
        self._stopping = True
        self._wanted.set()
        await self._task
        if self._spare_timer is not None:
            self._spare_timer.cancel()
        self._spare_back()
        for waiter in self._waiters:
            waiter.found.cancel()
        await self._wire.close()
