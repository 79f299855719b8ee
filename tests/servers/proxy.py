"""A small TCP proxy that breaks on command: it cuts, delays, swallows, stops after so many bytes, changes its target.

Runs in a thread with an event loop of its own, so that neither the tests' loop nor blocked code holds it up.
"""

import asyncio
import threading
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Final, Literal, TypeVar

T = TypeVar("T")
Way = Literal["to_server", "to_client"]
WAYS: Final[tuple[Way, ...]] = ("to_server", "to_client")
_CHUNK_BYTES: Final = 1 << 16
_ANSWER_S: Final = 10.0


@dataclass
class _Faults:
    delay_s: float = 0.0
    swallow: set[Way] = field(default_factory=set)
    cut_after: dict[Way, int] = field(default_factory=dict)  #: bytes of all connections together, then they are cut
    refuse: bool = False


class FaultProxy:
    """A proxy before `127.0.0.1:target_port`. Every command takes effect at once, on connections that are open too."""

    def __init__(self, target_port: int) -> None:
        self._target = target_port
        self._faults = _Faults()
        self._pairs: set[tuple[asyncio.StreamWriter, asyncio.StreamWriter]] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="fault proxy", daemon=True)
        self._thread.start()
        self._server = self._do(asyncio.start_server(self._accept, "127.0.0.1", 0))
        self.port: int = self._server.sockets[0].getsockname()[1]
        self.connections = 0  #: accepted so far

    @property
    def url(self) -> str:
        """Of a Redis server behind it."""
        return f"redis://127.0.0.1:{self.port}/0"

    def cut(self) -> None:
        """Close every connection, at once and without a word."""
        self._now(self._cut)

    def delay(self, seconds: float) -> None:
        """Hold every piece back for so long, in both ways."""
        self._now(lambda: setattr(self._faults, "delay_s", seconds))

    def black_hole(self, *ways: Way) -> None:
        """Swallow what goes these ways, both when none is named; connections stay open."""
        self._now(lambda: self._faults.swallow.update(ways or WAYS))

    def cut_after(self, count: int, way: Way) -> None:
        """Let `count` more bytes through that way, then cut every connection, once."""
        self._now(lambda: self._faults.cut_after.__setitem__(way, count))

    def refuse(self) -> None:
        """Close new connections as soon as they are made."""
        self._now(lambda: setattr(self._faults, "refuse", True))

    def lead_to(self, target_port: int) -> None:
        """Cut everything; new connections lead to another port, as an address does after a failover."""

        def change() -> None:
            self._target = target_port
            self._cut()

        self._now(change)

    def heal(self) -> None:
        """No fault any more. What was swallowed is gone: connections that lost something are cut."""

        def change() -> None:
            if self._faults.swallow:
                self._cut()
            self._faults = _Faults()

        self._now(change)

    def close(self) -> None:
        """Cut everything and end the thread."""
        self._do(self._end())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    # ---- inside the thread

    def _do(self, work: Coroutine[object, object, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(_ANSWER_S)

    def _now(self, change: Callable[[], None]) -> None:
        async def run() -> None:
            change()

        self._do(run())

    def _cut(self) -> None:
        for pair in self._pairs:
            for writer in pair:
                writer.transport.abort()
        self._pairs.clear()

    async def _end(self) -> None:
        self._server.close()
        self._cut()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        if self._faults.refuse:
            writer.transport.abort()
            return
        try:
            there, back = await asyncio.open_connection("127.0.0.1", self._target)
        except OSError:
            writer.transport.abort()
            return
        pair = (writer, back)
        self._pairs.add(pair)
        for source, sink, way in ((reader, back, WAYS[0]), (there, writer, WAYS[1])):
            task = asyncio.create_task(self._pump(source, sink, way, pair))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _pump(
        self,
        source: asyncio.StreamReader,
        sink: asyncio.StreamWriter,
        way: Way,
        pair: tuple[asyncio.StreamWriter, asyncio.StreamWriter],
    ) -> None:
        try:
            while data := await source.read(_CHUNK_BYTES):
                if self._faults.delay_s:
                    await asyncio.sleep(self._faults.delay_s)
                if way in self._faults.swallow:
                    continue
                left = self._faults.cut_after.get(way)
                if left is not None and len(data) >= left:
                    del self._faults.cut_after[way]
                    sink.write(data[:left])
                    await sink.drain()
                    self._cut()
                    return
                if left is not None:
                    self._faults.cut_after[way] = left - len(data)
                sink.write(data)
                await sink.drain()
        except (OSError, asyncio.IncompleteReadError):
            pass
        finally:
            for writer in pair:
                writer.transport.abort()
            self._pairs.discard(pair)


@contextmanager
def fault_proxy(target_port: int) -> Iterator[FaultProxy]:
    """A proxy that is gone at the end."""
    proxy = FaultProxy(target_port)
    try:
        yield proxy
    finally:
        proxy.close()
