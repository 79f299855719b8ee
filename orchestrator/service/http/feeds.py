"""The events of runs for any number of readers: one task follows the journal for all who look at a run.

A feed keeps the newest messages, already written. A reader has a place in them and nothing else, so a slow one holds no
memory; who asks for older ones reads those from the journal, page by page, until it has caught up.
"""

from collections import deque
from collections.abc import AsyncIterator, Callable
from typing import Final

import anyio
import structlog
from pydantic_core import to_json

from orchestrator.core.event import canonical_event
from orchestrator.engine.driver import Heard
from orchestrator.engine.engine import RunEngine
from orchestrator.engine.handle import Run
from orchestrator.errors import OrchestratorError, WrongState
from orchestrator.ids import JsonValue, RunId
from orchestrator.ports.journal import Recorded
from orchestrator.ports.tasks import TaskDelta

RING: Final = 1_000  #: newest messages that a feed keeps …
RING_BYTES: Final = 4 << 20  #: … as far as they are not larger than this together
BEHIND_MAX: Final = 1_000  #: messages that a reader who was up to date may fall behind
SAID_MAX: Final = 256  #: words of workers that wait for one reader; further ones push the oldest out
PAGE: Final = 200  #: records read at a time for a reader that catches up
CHUNK_BYTES: Final = 64 << 10  #: written to a reader at once
KEEP_ALIVE_S: Final = 15.0  #: of silence before a comment is sent
READERS_MAX: Final = 20_000  #: of one service at once
log = structlog.get_logger(__name__)


def fact_message(record: Recorded) -> bytes:
    """A record as a server-sent event, with its sequence number as id."""
    return b"id: %d\nevent: fact\ndata: %b\n\n" % (record.seq, to_json(canonical_event(record)))


def said_message(heard: Heard) -> bytes:
    """A worker's word as a server-sent event. It has no id: nobody can come back to it."""
    said: dict[str, JsonValue] = {
        "run": heard.key.run_id,
        "step": heard.key.step_id,
        "branch": heard.key.branch,
        "attempt": heard.key.attempt,
    }
    if isinstance(heard, TaskDelta):
        said["text"] = heard.text
    else:
        said |= {"message": heard.message, "fraction": heard.fraction}
    return b"event: said\ndata: %b\n\n" % to_json(said)


def end_message(reason: str) -> bytes:
    """The last message of a stream."""
    return b"event: end\ndata: %b\n\n" % to_json({"reason": reason})


class Feed:
    """The newest events of one run. Somebody drives `pump` while there are readers."""

    def __init__(self, engine: RunEngine, run_id: RunId, head: int) -> None:
        self._engine, self.run_id = engine, run_id
        self.head = head  #: sequence number of the newest record that was seen
        self._ring: deque[bytes] = deque()  #: messages up to `head`, without a gap
        self._ring_bytes = 0
        self.changed = anyio.Event()
        self.ending = ""  #: why nothing more will come
        self.readers: dict[object, deque[bytes] | None] = {}  #: what workers say, for those who want to hear it
        self.scope = anyio.CancelScope()

    async def pump(self) -> None:
        """Follow the journal until the run is over or nobody reads any more."""
        stop: Callable[[], None] | None = None
        with self.scope:
            try:
                try:
                    stop = Run(self._engine, self.run_id).watch(self._hear)
                except WrongState:
                    stop = None  # it is driven elsewhere, or not at all: nothing is heard of its workers
                async for record in Run(self._engine, self.run_id).events(after=self.head):
                    self._keep(fact_message(record), record.seq)
                self.ending = "ended"
            except OrchestratorError as error:
                log.error("the events of a run cannot be read", run=self.run_id, error=str(error))
                self.ending = "unavailable"
            except Exception as error:  # noqa: BLE001  # the engine runs this: a reader's trouble must not end it
                log.error("a feed failed", run=self.run_id, error=f"{type(error).__name__}: {error}")
                self.ending = "unavailable"
            finally:
                if stop is not None:
                    stop()
        self.ending = self.ending or "unavailable"
        self.wake()

    def _keep(self, message: bytes, seq: int) -> None:
        self._ring.append(message)
        self._ring_bytes += len(message)
        while len(self._ring) > RING or (self._ring_bytes > RING_BYTES and len(self._ring) > 1):
            self._ring_bytes -= len(self._ring.popleft())
        self.head = seq
        self.wake()

    def _hear(self, heard: Heard) -> None:
        told = [words for words in self.readers.values() if words is not None]
        if told:
            message = said_message(heard)
            for words in told:
                words.append(message)
            self.wake()

    def wake(self) -> None:
        """Let every reader look again."""
        self.changed.set()
        self.changed = anyio.Event()

    def after(self, seq: int) -> list[bytes] | None:
        """The messages that follow a sequence number, as many as fit a chunk; None: they are not kept any more."""
        first = self.head - len(self._ring) + 1
        if seq + 1 < first:
            return None
        found: list[bytes] = []
        size = 0
        for place in range(seq + 1 - first, len(self._ring)):
            found.append(self._ring[place])
            size += len(found[-1])
            if size >= CHUNK_BYTES:
                break
        return found


class Feeds:
    """The feeds of one service."""

    def __init__(self, engine: RunEngine) -> None:
        self._engine = engine
        self._feeds: dict[RunId, Feed] = {}
        self.leaving = anyio.Event()  #: set when the service is being stopped
        self.reading = 0  #: readers now

    def leave(self) -> None:
        """End every stream: the service is being stopped."""
        self.leaving.set()
        for feed in self._feeds.values():
            feed.wake()

    async def read(self, run_id: RunId, after: int, head: int, *, said: bool) -> AsyncIterator[bytes]:
        """What one reader is sent, in chunks: everything after a sequence number, until the run is over.

        `head` is the run's newest sequence number as the caller has just read it.
        """
        feed = self._feeds.get(run_id)
        if feed is None or (feed.ending and feed.head < head):  # what follows the end is an audit record
            feed = self._feeds[run_id] = Feed(self._engine, run_id, head)
            self._engine.spawn(feed.pump)
        reader, words = object(), deque[bytes](maxlen=SAID_MAX) if said else None
        self.reading += 1
        feed.readers[reader] = words
        try:
            async for chunk in self._chunks(feed, after, words):
                yield chunk
        finally:
            self.reading -= 1
            del feed.readers[reader]
            if not feed.readers:
                feed.scope.cancel()
                if self._feeds.get(run_id) is feed:
                    del self._feeds[run_id]

    async def _chunks(self, feed: Feed, seq: int, heard: deque[bytes] | None) -> AsyncIterator[bytes]:
        current = False  #: whether the reader has been up to date
        while True:
            changed = feed.changed
            found = feed.after(seq)
            if found is None:
                records = await self._engine.journal.read(feed.run_id, after=seq, limit=PAGE)
                found = [fact_message(record) for record in records]
                if not found:  # the run was deleted meanwhile
                    yield end_message("unavailable")
                    return
            seq += len(found)
            words = [heard.popleft() for _ in range(len(heard))] if heard else []
            if found or words:
                behind = feed.head - seq
                yield b"".join((*found, *words))
                if current and feed.head - seq > max(behind, BEHIND_MAX):  # a burst that is worked off is no reason
                    yield end_message("too-slow")
                    return
                continue
            current = True
            if self.leaving.is_set() or feed.ending:
                yield end_message("leaving" if self.leaving.is_set() else feed.ending)
                return
            with anyio.move_on_after(KEEP_ALIVE_S) as quiet:
                await changed.wait()
            if quiet.cancelled_caught:
                yield b": nothing new\n\n"
