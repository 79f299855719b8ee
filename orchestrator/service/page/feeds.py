"""The documents of runs for any number of open pages: one task reads a run for all who look at it."""

from collections import OrderedDict
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Final

import anyio
import anyio.to_thread
import structlog
from pydantic_core import to_json

from orchestrator.engine.engine import RunEngine
from orchestrator.engine.handle import Run
from orchestrator.errors import OrchestratorError
from orchestrator.ids import JsonValue, RunId
from orchestrator.ports.journal import Recorded
from orchestrator.service.page.run import RunPage
from orchestrator.service.page.step import REPLAYED_MAX, StepPages, all_inputs, last_sent

READERS_MAX: Final = 2_000  #: open pages of one service
KEPT_MAX: Final = 16  #: documents kept for readers who come back
RECORDS_AT_ONCE: Final = 1_000  #: read and taken in between two looks at whoever else wants the loop
RECORDS_FIRST: Final = 100  #: read before the first message: the plan is among the first two
DRAWING_S: Final = 0.3  #: a browser needs to draw a graph of the most nodes that are shown
RECORDS_READ: Final = 10_000  #: read at a time for one question
PAUSE_S: Final = 0.2  #: between two messages to one page: what happens meanwhile goes into one
KEEP_ALIVE_S: Final = 15.0  #: of silence before a comment is sent
Document = dict[str, JsonValue]
log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class _Kept:
    """A document; threads take records in and write messages, one at a time."""

    page: RunPage = field(default_factory=RunPage)
    lock: anyio.Lock = field(default_factory=anyio.Lock)


class PageFeed:
    """One run's document, kept current while somebody looks at it."""

    def __init__(self, engine: RunEngine, run_id: RunId, kept: "_Kept") -> None:
        self._engine, self._run_id = engine, run_id
        self.page, self.lock = kept.page, kept.lock
        self.changed = anyio.Event()
        self.ending = ""  #: why nothing more will come
        self.readers = 0
        self.scope = anyio.CancelScope()

    async def pump(self) -> None:
        """Read what there is, then follow, until the run is over or nobody looks any more."""
        with self.scope:
            try:
                await self._catch_up()
                async for record in Run(self._engine, self._run_id).events(after=self.page.seq):
                    async with self.lock:
                        self.page.take([record])
                    self._wake()
                self.ending = "ended" if self.page.ended else "quiet"
            except OrchestratorError as error:
                log.error("the page of a run cannot be made", run=self._run_id, error=str(error))
            except Exception as error:  # noqa: BLE001  # the engine runs this: a page's trouble must not end it
                log.error("the page of a run failed", run=self._run_id, error=f"{type(error).__name__}: {error}")
        self.end("unavailable")

    def end(self, why: str) -> None:
        """Nothing more will come; the first reason counts."""
        self.ending = self.ending or why
        self._wake()

    async def _catch_up(self) -> None:
        """A large plan takes a while to be laid into nodes: that is a thread's work, not the loop's.

        A page that begins is sent its graph before the rest of a long history is read: that takes the processor away
        from whoever sends and draws it.
        """
        limit = RECORDS_AT_ONCE if self.page.seq else RECORDS_FIRST
        while True:
            records = await self._engine.journal.read(self._run_id, after=self.page.seq, limit=limit)
            async with self.lock:
                await anyio.to_thread.run_sync(self.page.take, records)
            self._wake()
            if len(records) < limit:
                return
            if limit == RECORDS_FIRST:
                await anyio.sleep(DRAWING_S)
            limit = RECORDS_AT_ONCE

    def _wake(self) -> None:
        self.changed.set()
        self.changed = anyio.Event()

    async def message(self, after: int) -> bytes:
        """What a page does not know that has read up to a sequence number, as a server-sent event."""

        def written() -> bytes:
            return b"id: %d\nevent: page\ndata: %b\n\n" % (self.page.seq, to_json(self.page.since(after)))

        async with self.lock:
            return await anyio.to_thread.run_sync(written)


class PageFeeds:
    """The documents of one service."""

    def __init__(self, engine: RunEngine, leaving: anyio.Event) -> None:
        """`leaving` is set when the service is being stopped: pages then come back to whoever serves them next."""
        self._engine, self._leaving = engine, leaving
        self._feeds: dict[RunId, PageFeed] = {}
        self._kept: OrderedDict[RunId, _Kept] = OrderedDict()
        self.reading = 0  #: open pages
        engine.spawn(self._leave)

    async def _leave(self) -> None:
        await self._leaving.wait()
        for feed in self._feeds.values():
            feed.end("leaving")

    async def read(self, run_id: RunId, after: int, head: int) -> AsyncIterator[bytes]:
        """What one page is sent: its document, then what changes, until the run is over.

        `head` is the run's newest sequence number as the caller has just read it.
        """
        feed = self._feeds.get(run_id)
        if feed is None or feed.ending:
            feed = self._feeds[run_id] = PageFeed(self._engine, run_id, self._of(run_id, head))
            self._engine.spawn(feed.pump)
        feed.readers += 1
        self.reading += 1
        try:
            async for message in _messages(feed, after if after <= head else 0):
                yield message
        finally:
            self.reading -= 1
            feed.readers -= 1
            if not feed.readers:
                feed.scope.cancel()
                if self._feeds.get(run_id) is feed:
                    del self._feeds[run_id]

    def _of(self, run_id: RunId, head: int) -> _Kept:
        kept = self._kept.pop(run_id, None)
        if kept is None or kept.page.seq > head:  # the journal was restored
            kept = _Kept()
        self._kept[run_id] = kept
        while len(self._kept) > KEPT_MAX:
            self._kept.popitem(last=False)
        return kept

    async def page(self, run_id: RunId, head: int) -> RunPage:
        """The document of a run as of now, for one question; no task follows it."""
        return (await self._current(run_id, head)).page

    async def _current(self, run_id: RunId, head: int) -> _Kept:
        kept = self._of(run_id, head)
        async with kept.lock:
            while kept.page.seq < head:
                records = await self._engine.journal.read(run_id, after=kept.page.seq, limit=RECORDS_AT_ONCE)
                if not records:
                    break
                await anyio.to_thread.run_sync(kept.page.take, records)
        return kept

    async def step(
        self, run_id: RunId, head: int, step: str, branch: int, *, first: int, inputs: bool
    ) -> Document | None:
        """Everything about a step or branch; None: the run has no such step. Of a long run only a part is read."""
        kept = await self._current(run_id, head)
        wanted = kept.page.wanted(step)
        if wanted is None:
            return None
        records = wanted.merged(await self._between(run_id, wanted.first, wanted.last))
        given: dict[tuple[str, int], JsonValue] | None = None
        if inputs:
            sent = last_sent(records, step, branch)
            before = await self._between(run_id, 1, sent) if sent <= REPLAYED_MAX else records
            given = await anyio.to_thread.run_sync(all_inputs, before)

        def made() -> Document | None:
            pages = StepPages(records, shape=kept.page.shape, counted=kept.page.tally, inputs=given)
            return pages.page(step, branch, first=first)

        async with kept.lock:
            return await anyio.to_thread.run_sync(made)

    async def _between(self, run_id: RunId, first: int, last: int) -> list[Recorded]:
        found: list[Recorded] = []
        while first <= last:
            limit = min(last - first + 1, RECORDS_READ)
            records = await self._engine.journal.read(run_id, after=first - 1, limit=limit)
            if not records:
                break
            found += records
            first = records[-1].seq + 1
        return found


async def _messages(feed: PageFeed, after: int) -> AsyncIterator[bytes]:
    while True:
        changed = feed.changed
        if feed.page.seq > after:
            message = await feed.message(after)
            after = int(message[4 : message.index(b"\n")])
            yield message
            with anyio.move_on_after(PAUSE_S):
                await _ended(feed)
            continue
        if feed.ending:
            yield b'event: end\ndata: {"reason":"%b"}\n\n' % feed.ending.encode()
            return
        with anyio.move_on_after(KEEP_ALIVE_S) as quiet:
            await changed.wait()
        if quiet.cancelled_caught:
            yield b": nothing new\n\n"


async def _ended(feed: PageFeed) -> None:
    """Wait until nothing more will come."""
    while not feed.ending:
        await feed.changed.wait()


__all__ = ["READERS_MAX", "PageFeeds"]
