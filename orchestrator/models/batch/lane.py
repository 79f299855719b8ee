"""Gathers items into groups, hands each group over once, and brings back what became of every item.

There is no task of its own: whoever waits for an item does the next piece of work for all. A group's key is in the
store before it is handed over. Where a hand-over may or may not have happened (the process died, the answer got lost)
the service is asked for the key first, so that no group is handed over twice.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
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
log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """How long things wait, in seconds, and how large groups get."""

    gather_s: float = 30.0  #: an item waits so long for others
    poll_s: float = 30.0  #: between two looks at a group that is worked on
    lease_s: float = 120.0  #: a hand-over of another process that took longer is taken over
    items_max: int = 10_000  #: of one group
    grace_s: float = 60.0  #: after its time is over, an item waits so long for the end of a group that was cancelled


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
        self._waiting: dict[str, anyio.Event] = {}
        self._busy = False
        self._cancelled: set[str] = set()

    async def outcome(self, item: BatchItem) -> BatchEntry:
        """Keep an item, and wait until it has an end: answered, failed (`late` where its time was over while it was
        worked on), or withdrawn (its time was over before anybody took it).

        Raises:
            JournalError: the store cannot be read or written.
        """
        entry = await self._store.put(item)
        began = True
        try:
            while entry.state in OPEN:
                if self._now_s() >= item.until_s + (self._pace.grace_s if entry.state == "sent" else 0.0):
                    return await self._over(entry)
                event = self._waiting[item.id] = anyio.Event()
                wait_s = self._pace.gather_s if began else self._pace.poll_s
                with anyio.move_on_after(min(wait_s, max(item.until_s - self._now_s(), self._pace.poll_s / 10))):
                    await event.wait()
                began = False
                await self.work(item.line)
                (entry,) = await self._store.look([item.id])
        except BaseException:
            if entry.state == "waiting":
                with anyio.CancelScope(shield=True):
                    await self._store.settle([replace(entry, state="withdrawn")], "waiting")
            raise
        finally:
            self._waiting.pop(item.id, None)
        return entry

    def heard(self) -> None:
        """The service has told that something has ended: one who waits looks at once, for all."""
        for event in self._waiting.values():
            if not event.is_set():
                event.set()
                return

    async def work(self, line: str) -> None:
        """Do what is due at one endpoint, unless another waiter is at it."""
        if self._busy:
            return
        self._busy = True
        try:
            for group in await self._store.groups(line):
                await self._guarded(group, self._look_after)
            while True:
                now_s = self._now_s()
                found = await self._store.gather(
                    line, owner=self._owner, now_s=now_s, ripe_s=now_s - self._pace.gather_s, most=self._pace.items_max
                )
                if found is None:
                    return
                await self._guarded(found, self._hand_over)
        finally:
            self._busy = False

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
            batch = await service.find(group.key)
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
        batch = await self._services[group.line].submit(group.key, group.items)
        await self._store.claim(group, owner=self._owner, now_s=self._now_s(), batch=batch)

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
        await self._settle(ends)
        self._cancelled.discard(group.batch)

    async def _fail(self, group: BatchGroup, items: Sequence[BatchItem], error: str) -> None:
        entries = await self._store.look([item.id for item in items])
        await self._settle([replace(one, state="failed", error=error) for one in entries if one.group == group.key])

    async def _settle(self, entries: Sequence[BatchEntry]) -> None:
        for written in await self._store.settle(entries, "sent"):
            event = self._waiting.get(written)
            if event is not None:
                event.set()

    async def _over(self, entry: BatchEntry) -> BatchEntry:
        """The time of an item is over: take it back, or leave it where it is worked on."""
        if entry.state == "waiting":
            end = replace(entry, state="withdrawn")
        else:
            end = replace(entry, state="failed", error="late")
        if not await self._store.settle([end], entry.state):
            (end,) = await self._store.look([entry.item.id])
            if end.state in OPEN:
                return await self._over(end)
        return end

    async def aclose(self) -> None:
        """Close the connections to all services."""
        with anyio.CancelScope(shield=True):
            for service in self._services.values():
                try:
                    await service.aclose()
                except OrchestratorError as error:
                    log.warning("a batch service did not close", error=str(error))
