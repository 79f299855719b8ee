"""The metrics of one process: what is counted from the journal, and what is seen around it, as one text."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

import anyio
import anyio.to_thread
import structlog

from orchestrator.errors import JournalError
from orchestrator.ports.journal import Journal
from orchestrator.ports.observer import MetricsSink
from orchestrator.service.metrics import kept
from orchestrator.service.metrics.exposition import text_of
from orchestrator.service.metrics.reader import JournalReader
from orchestrator.service.metrics.seen import Surroundings, look_at_cases, look_at_runs
from orchestrator.service.metrics.values import Values

KEEP_S: Final = 30.0  #: between two times that the counts are written down
FRESH_S: Final = 1.0  #: whoever asks again within this time is told the same
log = structlog.get_logger(__name__)


class Station:
    """Answers `/metrics`. `path`: where the counts are kept between two lives; None: counted anew after each start."""

    def __init__(
        self,
        journal: Journal,
        surroundings: Surroundings,
        *,
        path: Path | None = None,
        now_s: Callable[[], float] = time.time,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._journal, self._surroundings, self._path = journal, surroundings, path
        self._now_s, self._clock = now_s, clock
        self._reader = JournalReader(journal, clock)
        self._lock = anyio.Lock()
        self._kept_s = clock()
        self._told: tuple[float, tuple[bytes, str]] | None = None
        if path is not None:
            kept.load(self._reader, path)

    async def text(self) -> tuple[bytes, str]:
        """All metrics as text, and its content type. Whoever asks meanwhile waits, and is told the same.

        Raises:
            PromiseError: `prometheus-client` is not installed.
            JournalError: the journal cannot be read.
        """
        async with self._lock:
            now_s = self._clock()
            if self._told is None or not 0 <= now_s - self._told[0] < FRESH_S:
                self._told = now_s, text_of(await self._values())
            return self._told[1]

    async def push(self, sink: MetricsSink) -> None:
        """Send all metrics again and again, until cancelled. A journal or a collector that is away is asked again."""
        while True:
            try:
                async with self._lock:
                    seen = (await self._values()).seen()
            except JournalError as error:
                log.warning("the metrics cannot be read", error=str(error))
            else:
                await anyio.to_thread.run_sync(sink.send, seen, self._now_s(), abandon_on_cancel=True)
            await anyio.sleep(sink.interval_s)

    async def close(self) -> None:
        """Write down what is counted."""
        async with self._lock:
            self._keep()

    async def _values(self) -> Values:
        self._reader = await kept.catch_up(self._reader, JournalReader(self._journal, self._clock))
        values = self._reader.tally.values
        await self._surroundings.look(values)
        look_at_runs(values, self._reader.open_runs, self._reader.behind, self._now_s())
        look_at_cases(values, self._reader.tally.cases)
        if self._clock() - self._kept_s >= KEEP_S:
            self._keep()
        return values

    def _keep(self) -> None:
        self._kept_s = self._clock()
        if self._path is None:
            return
        try:
            kept.save(self._reader, self._path)
        except OSError as error:
            log.warning("the metrics cannot be kept", path=str(self._path), error=str(error))


__all__ = ["Station"]
