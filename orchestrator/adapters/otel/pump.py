"""Keeps spans until they are exported, in a thread of its own, so that nobody waits for a collector.

Whoever tells of something makes its spans, and encodes them, soon: of a few dozen things at once, as the code that does
it has left the processor's caches between one and the next, and each would take several times as long alone, measured.
In a thread the same work took twice the time too, since what it looks at lies in the cache of another core, and slowed
the event loop down by as much again: the thread makes what waits when it is time to send. Only what holds content waits
for it always: striking out takes long.

The queue is bounded. What finds no room is dropped and counted: a collector that is away costs spans, not runs. Spans
wait as bytes: objects that live for seconds would keep a garbage collector busy.
"""

import os
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable
from typing import Final

import structlog
from opentelemetry.context import _SUPPRESS_INSTRUMENTATION_KEY, attach, detach, set_value
from opentelemetry.sdk.resources import Resource

from orchestrator.adapters.otel import names
from orchestrator.adapters.otel.sink import Formed, Sink
from orchestrator.adapters.otel.span import Ended, Passed, Span, Told
from orchestrator.ports.redaction import Redactor

QUEUE_MAX: Final = 20_000  #: spans that wait; OTEL_BSP_MAX_QUEUE_SIZE where it is set
BATCH_MAX: Final = 4_096  #: spans of one export, about; OTEL_BSP_MAX_EXPORT_BATCH_SIZE: a request costs as much as 100s
AT_ONCE: Final = 64  #: things told of which the spans are made together; a millisecond or two
DELAY_S: Final = 5.0  #: between two exports where fewer are there; OTEL_BSP_SCHEDULE_DELAY, in milliseconds
CLOSE_S: Final = 5.0  #: that closing waits for what is queued
log = structlog.get_logger(__name__)


class Pump:
    """Takes spans from any thread; exports them in one of its own."""

    def __init__(self, sink: Sink, resource: Resource, redactor: Redactor) -> None:
        self._sink, self._resource, self._redactor = sink, resource, redactor
        self._queue_max = _number("OTEL_BSP_MAX_QUEUE_SIZE", QUEUE_MAX)
        self._batch_max = min(_number("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", BATCH_MAX), self._queue_max)
        self._at_once = min(AT_ONCE, self._queue_max)
        self._delay_s = _number("OTEL_BSP_SCHEDULE_DELAY", int(DELAY_S * 1000)) / 1000
        self._later: deque[tuple[Callable[..., Iterable[Told]], tuple[object, ...]]] = deque()
        self._making = threading.Lock()
        self._content: deque[Span] = deque()  #: what has to be struck out first
        self._pairs: deque[Formed] = deque()  #: of two spans each
        self._singles: deque[Formed] = deque()
        self._wake = threading.Event()
        self._closing = False
        self.exported = 0  #: spans that the exporter took
        self.failed = 0  #: spans that it did not take
        self.dropped = 0  #: things told that found no room
        self.broken = 0  #: things told of which no span could be made: our bug, logged once
        self._thread = threading.Thread(target=self._run, name="telemetry", daemon=True)
        self._thread.start()

    def later(self, tell: Callable[..., Iterable[Told]], *of: object) -> None:
        """Have `tell` called with the rest, soon, one after the other; take what it tells. Never blocks, never raises.

        It is called in this thread or in that of the pump, never in two at once.
        """
        if len(self._later) >= self._queue_max:
            self._try_to_make()
        if self._closing or len(self._later) >= self._queue_max:
            self.dropped += 1
            return
        self.always(tell, *of)

    def always(self, tell: Callable[..., Iterable[Told]], *of: object) -> None:
        """As `later`, for what is not dropped: it lets go of something, and is as rare as runs are."""
        self._later.append((tell, of))
        if len(self._later) >= self._at_once:
            self._try_to_make()

    def _try_to_make(self) -> None:
        """Unless somebody is at it."""
        if self._making.acquire(blocking=False):
            try:
                self._make()
            finally:
                self._making.release()

    def _make(self) -> None:
        later = self._later
        for _ in range(len(later)):
            tell, of = later.popleft()
            try:
                self.take(tell(*of))
            except Exception as error:  # noqa: BLE001  # one run's odd journal must not end the telling of all others
                self.broke(error)

    def take(self, told: Iterable[Told]) -> None:
        """Keep the spans of what is told until they are sent. Never blocks and never raises."""
        for one in told:
            if self._closing or self._waiting() >= self._queue_max:
                self.dropped += 1
                continue
            if type(one) is Span and one.content:
                self._content.append(one)
                continue
            self._form(one)
        if self._waiting() >= self._batch_max and not self._wake.is_set():
            self._wake.set()

    def broke(self, error: Exception) -> None:
        """Something was told of which no span could be made. That is our bug, and nobody else's."""
        self.broken += 1
        if self.broken == 1:
            log.error("no span could be made; this is said once", error=f"{type(error).__name__}: {error}")

    def close(self) -> None:
        """Export what is queued, for at most `CLOSE_S` seconds, and let go of the exporter."""
        with self._making:
            self._make()
            self._closing = True
        self._wake.set()
        self._thread.join(CLOSE_S)
        self.dropped += len(self._content) + len(self._pairs) + len(self._singles)
        self._sink.shutdown()

    def _waiting(self) -> int:
        """Spans."""
        return len(self._singles) + 2 * len(self._pairs) + len(self._content)

    def _run(self) -> None:
        token = attach(set_value(_SUPPRESS_INSTRUMENTATION_KEY, True))  # the exporter's own requests are no news
        next_s = time.monotonic() + self._delay_s
        try:
            while True:
                self._wake.wait(max(next_s - time.monotonic(), 0.0))
                self._wake.clear()
                closing, due = self._closing, time.monotonic() >= next_s
                if closing or due:
                    next_s = time.monotonic() + self._delay_s
                    with self._making:
                        self._make()
                while self._content:
                    self._form(self._struck(self._content.popleft()))
                while spans := len(self._singles) + 2 * len(self._pairs):
                    if not (closing or due or spans >= self._batch_max):
                        break
                    self._export()
                if closing:
                    return
        finally:
            detach(token)

    def _form(self, one: Told) -> None:
        try:
            if type(one) is Passed or type(one) is Ended:
                self._pairs.append(self._sink.form(one))
                return
            if type(one) is Span and one.error:
                one.attributes[names.ERROR] = one.error
            self._singles.append(self._sink.form(one))
        except Exception as error:  # noqa: BLE001  # whoever tells of its work must not learn of our bug
            self.broke(error)

    def _struck(self, span: Span) -> Span:
        for name in names.CONTENT & span.attributes.keys():
            try:
                span.attributes[name] = self._redactor.text(str(span.attributes[name]))
            except Exception as error:  # noqa: BLE001  # what could not be struck out is not told
                del span.attributes[name]
                self.broke(error)
        return span

    def _export(self) -> None:
        """One batch, of all that is there at most."""
        formed: list[Formed] = []
        pairs, singles = self._pairs, self._singles
        while pairs and 2 * len(formed) < self._batch_max:
            formed.append(pairs.popleft())
        spans = 2 * len(formed)
        while singles and spans < self._batch_max:
            formed.append(singles.popleft())
            spans += 1
        try:
            well = self._sink.send(formed, self._resource)
        except Exception as error:  # noqa: BLE001  # whatever an exporter raises, the next batch may go well
            log.error("an export of spans failed", error=f"{type(error).__name__}: {error}")
            well = False
        if well:
            self.exported += spans
        else:
            self.failed += spans


def _number(variable: str, default: int) -> int:
    text = os.environ.get(variable, "")
    return int(text) if text.isdigit() and int(text) > 0 else default
