"""The stream that belongs to one process: one blocking reader, every message taken once and deleted when it is safe."""

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from typing import cast

import structlog

from orchestrator.adapters.redis.codec import Undecodable
from orchestrator.adapters.redis.limits import NAMESPACE, READ_BLOCK_S, READ_MAX
from orchestrator.adapters.redis.pace import Pace
from orchestrator.adapters.redis.wire import Wire, entries_of
from orchestrator.errors import TransportError

log = structlog.get_logger(__name__)
Word = tuple[str, dict[bytes, bytes], bytes]  #: tag, fields and body of a message


def id_of(text: str) -> tuple[int, int]:
    """A stream id as numbers, which compare."""
    high, _, low = text.partition("-")
    return int(high), int(low or 0)


class Inbox:
    """Reads `in:<name>` for ever. `take` gets tag, fields and body of each entry."""

    def __init__(
        self, url: str, namespace: str, name: str, take: Callable[[str, dict[bytes, bytes], bytes], None]
    ) -> None:
        self.stream = f"{namespace}:in:{name}"
        self._read = Wire(url, name=f"orchestrator-in-{name}")
        self._clean = Wire(url, name=f"orchestrator-clean-{name}")
        self._take = take
        self._at = "0-0"  #: the last entry taken
        self._waiting: list[tuple[tuple[int, int], asyncio.Event]] = []
        #: Taken and not known to be journaled: count at which it is, id, blobs.
        self._unsafe: deque[tuple[int, str, list[bytes]]] = deque()
        self.posted: Callable[[], int] | None = None
        self.journaled: Callable[[], int] | None = None

    async def run(self) -> None:
        """Read until cancelled."""
        cleaner = asyncio.create_task(self._clean_always(), name="transport inbox cleaner")
        pace = Pace("messages to read")
        try:
            while True:
                try:
                    await self._read_once()
                    pace.well()
                except TransportError as error:
                    await pace.wait(error)
        finally:
            cleaner.cancel()
            await asyncio.gather(cleaner, return_exceptions=True)

    async def _read_once(self) -> None:
        reply = await self._read.call(
            "XREAD", "COUNT", READ_MAX, "BLOCK", int(READ_BLOCK_S * 1000), "STREAMS", self.stream, self._at,
            block_s=READ_BLOCK_S,
        )  # fmt: skip
        rows = entries_of(reply).get(self.stream, [])
        if not rows:
            await self._check_restart()
            return
        blobs: list[bytes] = []
        for entry, fields in rows:
            body = fields.get(b"b", b"")
            blob = fields.get(b"r")
            if blob is not None:
                body = cast(bytes, await self._read.call("GET", blob)) or b""
                blobs.append(blob)
            self._at = entry
            self.hand_over([(fields.get(b"t", b"").decode(errors="replace"), fields, body)])
        count = self.posted() if self.posted is not None else 0
        self._unsafe.append((count, rows[-1][0], blobs))
        self._arrived()

    def hand_over(self, words: Sequence[Word]) -> None:
        """Have these taken, one by one."""
        for tag, fields, body in words:
            try:
                self._take(tag, fields, body)
            except (Undecodable, KeyError, UnicodeDecodeError) as error:
                log.error("a message that cannot be read was put aside", tag=tag[:40], error=str(error))
            except Exception:  # whatever one message meets, those behind it must arrive
                log.exception("our bug: a message could not be handled", tag=tag[:40])

    async def _check_restart(self) -> None:
        """After the server lost its data it may count from an earlier time: then begin at the beginning."""
        info = await self._read.call("XREVRANGE", self.stream, "+", "-", "COUNT", 1)
        rows = cast(list[list[object]], info or [])
        if rows and id_of(cast(bytes, rows[0][0]).decode()) < id_of(self._at):
            self._at = "0-0"

    def _arrived(self) -> None:
        at = id_of(self._at)
        for mark, event in self._waiting:
            if mark <= at:
                event.set()

    async def reached(self, entry: str) -> None:
        """Wait until everything up to `entry` was taken; at most a second longer than one blocking read.

        Raises:
            TransportError: it was not.
        """
        mark = id_of(entry)
        if mark <= id_of(self._at):
            return
        event = asyncio.Event()
        item = (mark, event)
        self._waiting.append(item)
        try:
            async with asyncio.timeout(READ_BLOCK_S + 1.0):
                await event.wait()
        except TimeoutError as error:
            raise TransportError(f"messages up to {entry} have not arrived") from error
        finally:
            self._waiting.remove(item)

    # ---- deleting

    async def _clean_always(self) -> None:
        """Delete what is journaled; by the id up to which it is, so never more."""
        pace = Pace("messages to delete")
        while True:
            await asyncio.sleep(0.1)
            try:
                await self._clean_once()
                pace.well()
            except TransportError as error:
                await pace.wait(error)

    async def _clean_once(self) -> None:
        safe = self.journaled() if self.journaled is not None else 0
        upto, blobs = "", list[bytes]()
        while self._unsafe and self._unsafe[0][0] <= safe:
            _, upto, names = self._unsafe.popleft()
            blobs += names
        if upto:
            high, low = id_of(upto)
            await self._clean.call("XTRIM", self.stream, "MINID", f"{high}-{low + 1}")
        if blobs:
            await self._clean.call("UNLINK", *blobs)

    def recount(self) -> None:
        """What was taken has been posted only now: it is safe once all that is posted by now is journaled."""
        count = self.posted() if self.posted is not None else 0
        self._unsafe = deque((count, entry, blobs) for _, entry, blobs in self._unsafe)

    async def leave(self, wire: Wire) -> None:
        """Remove the stream if nothing is left in it; what is left, another owner finds.

        Raises:
            TransportError: the server cannot be told.
        """
        await self._clean_once()
        if await wire.call("XLEN", self.stream) == 0:
            await wire.call("UNLINK", self.stream)

    async def close(self) -> None:
        """Close the connections."""
        await self._read.close()
        await self._clean.close()


__all__ = ["NAMESPACE", "Inbox", "Word", "id_of"]
