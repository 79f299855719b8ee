"""Gathers items into groups, hands each group over once, and brings back what became of every item.

There is no task of its own: whoever waits for an item does the next piece of work for all. A group's key is in the
store before it is handed over. Where a hand-over may or may not have happened (the process died, the answer got lost)
the service is asked for the key first, so that no group is handed over twice.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from time import time
from typing import Final

import anyio
import structlog

from orchestrator.errors import OrchestratorError
from orchestrator.ports.batches import BatchEntry, BatchGroup, BatchItem, BatchService, BatchStore
from orchestrator.ports.model_errors import ModelBadRequest, ModelError, ModelNotFound, ModelUnauthorised

SENT_MAX: Final = 2  #: times an item is handed over; given back untouched after that, it is asked directly
_REFUSED: Final = (ModelBadRequest, ModelUnauthorised, ModelNotFound)  #: the service will not take it next time either
OPEN: Final = ("waiting", "sent")
LET_GO_S: Final = 10.0  #: to have a batch stopped that nobody wants any more
log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """How long things wait, in seconds, and how large groups get."""

    gather_s: float = 30.0  #: an item waits so long for others
    poll_s: float = 30.0  #: between two looks at a group that is worked on
    lease_s: float = 120.0  #: a hand-over of another process that took longer is taken over
    items_max: int = 10_000  #: of one group
    grace_s: float = 60.0  #: after its time is over, an item waits so long for the end of a group that was cancelled


@dataclass(slots=True, eq=False)
class _Waiter:
    """Somebody who waits for an item."""

    item: BatchItem
    entry: BatchEntry  #: as it was at the last look
    asker: str = ""
    unwanted: bool = False  #: whoever asked is gone for good, and not only this process
    event: anyio.Event = field(default_factory=anyio.Event)

    def wake(self) -> None:
        """There is something new."""
        self.event.set()

    async def woken(self, most_s: float) -> bool:
        """Wait for that, at most `most_s` seconds; whether it came."""
        with anyio.move_on_after(most_s):
            await self.event.wait()
        found = self.event.is_set()
        self.event = anyio.Event()
        return found


@dataclass(slots=True, eq=False)
class _Desk:
    """Who waits at one endpoint. One of them, the first, looks after all: however many wait, the service and the store
    are asked once."""

    waiters: dict[_Waiter, None] = field(default_factory=dict)  #: in the order they came
    busy: bool = False
    unwanted: dict[str, list[str]] = field(default_factory=dict)  #: ids of items that nobody wants, by group
    heard: bool = False  #: the service has told something since the last look
    fresh: int = 0  #: items that came since then

    @property
    def first(self) -> _Waiter | None:
        return next(iter(self.waiters), None)


class BatchLane:
    """One per process; any number of processes may share the store."""

    def __init__(
        self,
        services: Mapping[str, BatchService],
        store: BatchStore,
        *,
        owner: str,
        pace: Pace,
        now_s: Callable[[], float] = time,
    ) -> None:
        self._services, self._store, self._owner, self._pace, self._now_s = services, store, owner, pace, now_s
        self._desks: dict[str, _Desk] = {}
        self._askers: dict[str, list[_Waiter]] = {}
        self._cancelled: set[str] = set()

    async def outcome(self, item: BatchItem, asker: str = "") -> BatchEntry:
        """Keep an item, and wait until it has an end: answered, failed (`late` where its time was over while it was
        worked on), or withdrawn (its time was over before anybody took it). `asker`: the name for `unwanted`.

        Raises:
            JournalError: the store cannot be read or written.
        """
        waiter = _Waiter(item, await self._store.put(item), asker)
        desk = self._desks.setdefault(item.line, _Desk())
        desk.waiters[waiter] = None
        self._askers.setdefault(asker, []).append(waiter)
        desk.fresh += 1
        if desk.fresh >= self._pace.items_max and desk.first is not None:
            desk.first.wake()  # a group is full
        pace, gathered = self._pace, False
        try:
            while waiter.entry.state in OPEN:
                now_s = self._now_s()
                left_s = self._until(waiter) - now_s
                if left_s <= 0:
                    waiter.entry = await self._over(waiter.entry)
                    continue
                first = desk.first is waiter
                wait_s = (pace.poll_s if first else left_s) if gathered else pace.gather_s
                if (
                    first
                ):  # near the end of its time it looks more often: what is over is cancelled, not left to be billed
                    wait_s = min(wait_s, max(item.until_s - now_s, pace.poll_s / 10))
                woken = await waiter.woken(min(wait_s, left_s))
                gathered = gathered or not woken
                if desk.first is waiter:
                    await self.work(item.line)
                elif not woken and waiter.entry.state == "waiting" and desk.first is not None:
                    desk.first.wake()  # what has gathered by now is handed over
        except BaseException:
            self._leave(desk, waiter)
            with anyio.CancelScope(shield=True):
                if waiter.entry.state == "waiting":
                    await self._store.settle([replace(waiter.entry, state="withdrawn")], "waiting")
                elif waiter.unwanted:
                    await self._let_go(desk, waiter)
            raise
        finally:
            self._leave(desk, waiter)
        return waiter.entry

    def _until(self, waiter: _Waiter) -> float:
        return waiter.item.until_s + (self._pace.grace_s if waiter.entry.state == "sent" else 0.0)

    def unwanted(self, asker: str) -> None:
        """Whoever asked under this name will never take an answer: when it stops waiting, its item is not left to be
        worked on by a group of which nobody wants anything."""
        for waiter in self._askers.get(asker, ()):
            waiter.unwanted = True

    async def _let_go(self, desk: _Desk, waiter: _Waiter) -> None:
        """One stops waiting for what nobody wants; the last one of a group has it cancelled, if all of it is that."""
        key = waiter.entry.group
        desk.unwanted.setdefault(key, []).append(waiter.item.id)
        if any(other.entry.group == key for other in desk.waiters):
            return
        ids = desk.unwanted.pop(key)
        try:
            with anyio.move_on_after(LET_GO_S):
                group = next((one for one in await self._store.groups(waiter.item.line) if one.key == key), None)
                if group is None or not group.batch:
                    return  # nobody knows yet whether it was handed over
                entries = await self._store.look(ids)
                ends = [replace(one, state="failed", error="unwanted") for one in entries if one.group == key]
                await self._store.settle(ends, "sent")
                if {item.id for item in group.items} <= set(ids):
                    await self._services[group.line].cancel(group.batch)
        except OrchestratorError as error:
            log.warning("a batch that nobody wants is left to its end", group=key, error=str(error))

    def _leave(self, desk: _Desk, waiter: _Waiter) -> None:
        if waiter not in desk.waiters:
            return
        of_asker = self._askers.get(waiter.asker, [])
        of_asker.remove(waiter)
        if not of_asker:
            del self._askers[waiter.asker]
        was_first = desk.first is waiter
        desk.waiters.pop(waiter, None)
        if was_first and desk.first is not None:
            desk.first.wake()  # the next one looks after all from now on

    def heard(self) -> None:
        """The service has told that something has ended: at each endpoint one who waits looks at once, for all."""
        for desk in self._desks.values():
            if desk.first is not None:
                desk.heard = True
                desk.first.wake()

    async def work(self, line: str) -> None:
        """Do what is due at one endpoint, and tell those who wait for it; nothing while somebody else is at it."""
        desk = self._desks.setdefault(line, _Desk())
        if desk.busy:
            return
        desk.busy, desk.heard, desk.fresh = True, False, 0
        try:
            for group in await self._store.groups(line):
                await self._guarded(group, self._look_after)
            while True:
                now_s = self._now_s()
                found = await self._store.gather(
                    line, owner=self._owner, now_s=now_s, ripe_s=now_s - self._pace.gather_s, most=self._pace.items_max
                )
                if found is None:
                    break
                await self._guarded(found, self._hand_over)
            await self._tell(desk)
        finally:
            desk.busy = False
            if desk.heard and desk.first is not None:
                desk.first.wake()  # it was told something while the look was under way

    async def _tell(self, desk: _Desk) -> None:
        """Look at all that is waited for, and wake those whose wait has changed."""
        waiters = list(desk.waiters)
        known = {one.item.id: one for one in await self._store.look([waiter.item.id for waiter in waiters])}
        now_s = self._now_s()
        for waiter in waiters:
            waiter.entry = known.get(waiter.item.id, waiter.entry)
            if waiter.entry.state not in OPEN or self._until(waiter) <= now_s:
                waiter.wake()

    async def _guarded(self, group: BatchGroup, work: "Callable[[BatchGroup], object]") -> None:
        """A service that fails is asked again at the next look; what it will never take is asked directly."""
        try:
            await work(group)  # type: ignore[misc]  # both are coroutines
        except _REFUSED as error:
            log.warning("the batch service refuses a group", group=group.key, error=str(error))
            await self._fail(group, group.items, error.kind)
        except ModelError as error:
            log.warning("the batch service cannot be asked", group=group.key, error=str(error))

    async def _look_after(self, group: BatchGroup) -> None:
        service, now_s = self._services[group.line], self._now_s()
        if not group.batch:
            if group.owner != self._owner:
                if now_s - group.at_s < self._pace.lease_s:
                    return  # it is being handed over elsewhere
                if not await self._store.claim(group, owner=self._owner, now_s=now_s):
                    return
                group = replace(group, owner=self._owner, at_s=now_s)
            batch = await service.find(group.key, min((item.asked_at_s for item in group.items), default=0.0))
            if batch:
                await self._store.claim(group, owner=self._owner, now_s=now_s, batch=batch)
            else:
                await self._hand_over(group)
            return
        state = await service.state(group.batch)
        if state == "working":
            if group.batch not in self._cancelled and all(item.until_s <= now_s for item in group.items):
                await service.cancel(group.batch)
                self._cancelled.add(group.batch)
        elif state == "refused":
            await self._fail(group, group.items, "refused")
        else:
            await self._take(group, service)

    async def _hand_over(self, group: BatchGroup) -> None:
        """Hand a group over, and stay its owner meanwhile, however long that takes: others take over what they believe
        to be left behind. One that was taken over all the same is left to whoever has it."""
        batch = ""
        failed: ModelError | None = None
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._hold, group, tasks.cancel_scope)
            try:
                batch = await self._services[group.line].submit(group.key, group.items)
            except ModelError as error:
                failed = error
            tasks.cancel_scope.cancel()
        if failed is not None:
            raise failed
        if batch:
            await self._store.claim(group, owner=self._owner, now_s=self._now_s(), batch=batch)

    async def _hold(self, group: BatchGroup, scope: anyio.CancelScope) -> None:
        while True:
            await anyio.sleep(self._pace.lease_s / 3)
            if not await self._store.claim(group, owner=self._owner, now_s=self._now_s()):
                scope.cancel()

    async def _take(self, group: BatchGroup, service: BatchService) -> None:
        """Write down what became of each item of a group that has ended."""
        told = {one.id: one for one in await service.outcomes(group.batch)}
        known = {one.item.id: one for one in await self._store.look([item.id for item in group.items])}
        now_s = self._now_s()
        ends: list[BatchEntry] = []
        for item in group.items:
            entry, said = known[item.id], told.get(item.id)
            if said is None:
                ends.append(replace(entry, state="failed", error="missing"))
            elif said.reply is not None:
                ends.append(replace(entry, state="answered", reply=said.reply))
            elif said.untouched and entry.sent < SENT_MAX and item.until_s > now_s:
                ends.append(replace(entry, state="waiting"))
            else:
                ends.append(replace(entry, state="failed", error="untouched" if said.untouched else said.error))
        await self._store.settle(ends, "sent")
        self._cancelled.discard(group.batch)

    async def _fail(self, group: BatchGroup, items: Sequence[BatchItem], error: str) -> None:
        entries = await self._store.look([item.id for item in items])
        ends = [replace(one, state="failed", error=error) for one in entries if one.group == group.key]
        await self._store.settle(ends, "sent")

    async def _over(self, entry: BatchEntry) -> BatchEntry:
        """The time of an item is over: take it back, or leave it where it is worked on. What it is by then."""
        late = entry.state == "sent"
        end = replace(entry, state="failed", error="late") if late else replace(entry, state="withdrawn")
        if not await self._store.settle([end], entry.state):
            (end,) = await self._store.look([entry.item.id])
        return end

    async def aclose(self) -> None:
        """Close the connections to all services."""
        with anyio.CancelScope(shield=True):
            for service in self._services.values():
                try:
                    await service.aclose()
                except OrchestratorError as error:
                    log.warning("a batch service did not close", error=str(error))
