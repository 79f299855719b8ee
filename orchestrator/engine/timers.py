"""Due times: when to wake the machine. What comes too late is harmless, so entries are dropped lazily, in bulk."""

import heapq
from collections import deque
from collections.abc import Callable
from itertools import count
from typing import Final
from weakref import ReferenceType, ref

import anyio

from orchestrator.core.inputs import TimerFired
from orchestrator.engine.driver import RunDriver
from orchestrator.ports.clock import Clock
from orchestrator.ports.tasks import TaskKey

LANES_MAX: Final = 64  #: distinct attempt timeouts that get a queue of their own
SWEEP_MIN: Final = 256  #: entries below which nothing is swept
Held = ReferenceType[RunDriver]  #: a run that has ended is not kept until its timers would have fired
Entry = tuple[float, int, Held, TimerFired]


class _Lane:
    """Attempts that share one timeout, in order of arrival, and so in order of their due times."""

    __slots__ = ("entries", "sweep_at")

    def __init__(self) -> None:
        self.entries: deque[tuple[float, TaskKey, Held]] = deque()
        self.sweep_at = SWEEP_MIN

    def add(self, at_s: float, key: TaskKey, driver: RunDriver) -> None:
        entries = self.entries
        while entries and not _open(entries[0]):
            entries.popleft()
        if len(entries) >= self.sweep_at:  # one slow task at the front holds back everything answered behind it
            self.entries = entries = deque(entry for entry in entries if _open(entry))
            self.sweep_at = max(SWEEP_MIN, 2 * len(entries))
        entries.append((at_s, key, ref(driver)))


class Timers:
    """All timers of an engine.

    Attempts nearly all share a few timeouts, so each timeout has a queue in order of arrival whose answered
    entries fall off the front; everything else is in one heap. Arming costs O(1) for an attempt. Entries of
    what is over are swept once they could be half of all, so that an ended run is not held until its wall time.
    """

    def __init__(self, clock: Clock, fire: Callable[[RunDriver, TimerFired], None]) -> None:
        self._clock, self._fire = clock, fire
        self._heap: list[Entry] = []
        self._sweep_at = SWEEP_MIN
        self._lanes: dict[float, _Lane] = {}
        self._order = count()
        self._wake: anyio.Event | None = None
        self._next_s = float("inf")

    def __len__(self) -> int:
        """Entries held, those that will come to nothing included."""
        return len(self._heap) + sum(len(lane.entries) for lane in self._lanes.values())

    def arm(self, driver: RunDriver, event: TimerFired) -> None:
        """Fire `event` at its `at_s`."""
        if len(self._heap) >= self._sweep_at:
            self._heap = [entry for entry in self._heap if (driver_of := entry[2]()) is not None and not driver_of.over]
            heapq.heapify(self._heap)
            self._sweep_at = max(SWEEP_MIN, 2 * len(self._heap))
        heapq.heappush(self._heap, (event.at_s, next(self._order), ref(driver), event))
        self._sooner(event.at_s)

    def arm_attempt(self, driver: RunDriver, key: TaskKey, now_s: float, timeout_s: float) -> None:
        """Fire `attempt` for a task unless it has been answered by then."""
        lane = self._lanes.get(timeout_s)
        if lane is None:
            if len(self._lanes) >= LANES_MAX:
                self.arm(driver, _attempt(key, now_s + timeout_s))
                return
            lane = self._lanes[timeout_s] = _Lane()
        lane.add(now_s + timeout_s, key, driver)
        self._sooner(now_s + timeout_s)

    def _sooner(self, at_s: float) -> None:
        if at_s < self._next_s and self._wake is not None:
            self._wake.set()

    def fire_due(self) -> float:
        """Fire everything that is due; return when the next one is, in seconds since the epoch."""
        now_s = self._clock.now_s()
        while self._heap and self._heap[0][0] <= now_s:
            _, _, held, event = heapq.heappop(self._heap)
            driver = held()
            if driver is not None:
                self._fire(driver, event)
        following = float("inf")
        for timeout_s in list(self._lanes):
            entries = self._lanes[timeout_s].entries
            while entries and (entries[0][0] <= now_s or not _open(entries[0])):
                _, key, held = entries.popleft()
                driver = held()
                if driver is not None and key in driver.inflight:
                    self._fire(driver, _attempt(key, now_s))
            if entries:
                following = min(following, entries[0][0])
            else:
                del self._lanes[timeout_s]
        # Looked at last: what fired may have armed another.
        return min(following, self._heap[0][0]) if self._heap else following

    async def run(self) -> None:
        """Fire what is due until cancelled."""
        while True:
            self._next_s = self.fire_due()
            self._wake = anyio.Event()
            wait_s = max(self._next_s - self._clock.now_s(), 0.0)
            with anyio.move_on_after(None if wait_s == float("inf") else wait_s):
                await self._wake.wait()


def _open(entry: tuple[float, TaskKey, Held]) -> bool:
    driver = entry[2]()
    return driver is not None and entry[1] in driver.inflight


def _attempt(key: TaskKey, at_s: float) -> TimerFired:
    return TimerFired(
        kind="attempt",
        at_s=at_s,
        step=key.step_id,
        branch=key.branch,
        attempt=key.attempt,
        sample=key.sample,
        check=key.check,
    )
