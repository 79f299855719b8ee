"""Makes spans of what it is told and hands them to an exporter in a thread of its own, so that nobody waits for it.

The queue in front of it is bounded. What finds no room is dropped and counted: an engine is never held up, and a
collector that is away costs spans, not runs. What is told soon waits as bytes or less: objects that live for seconds
would cost a busy process more, by its garbage collector, than making spans of them.
"""

import os
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, Final

import structlog
from opentelemetry.context import _SUPPRESS_INSTRUMENTATION_KEY, attach, detach, set_value
from opentelemetry.sdk.resources import Resource

from orchestrator.adapters.otel import names
from orchestrator.adapters.otel.sink import Formed, Sink
from orchestrator.adapters.otel.span import Passed, Span, Told
from orchestrator.ports.redaction import Redactor

QUEUE_MAX: Final = 20_000  #: things told and not handled; OTEL_BSP_MAX_QUEUE_SIZE where it is set
BATCH_MAX: Final = 4_096  #: spans of one export, about; OTEL_BSP_MAX_EXPORT_BATCH_SIZE: a request costs as much as 100s
DELAY_S: Final = 5.0  #: between two exports where fewer are there; OTEL_BSP_SCHEDULE_DELAY, in milliseconds
WAKE_FACTS: Final = 512  #: that are told and not handled; above it the thread does not wait for more
BREATH_TOLD: Final = 128  #: after so many the thread steps aside: an event loop waits for it meanwhile
BREATH_S: Final = 0.000_05
CLOSE_S: Final = 5.0  #: that closing waits for what is queued
log = structlog.get_logger(__name__)
Work = Callable[..., Sequence[Told]]  #: makes the spans of one thing that was told
#: A task that was worked on, as a tuple of texts and numbers alone: a garbage collector does not follow those. Its
#: `traceparent`, run, step, branch, attempt, pool, function, when it was sent, worker, begin, end, error.
Note = tuple[str, str, str, int, int, str, str, float, str, float, float, str | None]


class Pump:
    """Takes work from any thread; makes, redacts and exports spans in one of its own."""

    def __init__(
        self, sink: Sink, resource: Resource, redactor: Redactor, worked: Callable[[Note], Told | None]
    ) -> None:
        self._sink, self._resource, self._redactor, self._worked = sink, resource, redactor, worked
        self._queue_max = _number("OTEL_BSP_MAX_QUEUE_SIZE", QUEUE_MAX)
        self._batch_max = min(_number("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", BATCH_MAX), self._queue_max)
        self._wake_facts = min(WAKE_FACTS, self._batch_max)
        self._delay_s = _number("OTEL_BSP_SCHEDULE_DELAY", int(DELAY_S * 1000)) / 1000
        self._queue: deque[tuple[Work, tuple[Any, ...]]] = deque()
        self._notes: deque[Note] = deque()
        self._pairs: deque[Formed] = deque()  #: of two spans each
        self._singles: deque[Formed] = deque()
        self._wake = threading.Event()
        self._weight = 0  #: of what was queued since the thread last woke; threads may lose some of it to each other
        self._closing = False
        self.exported = 0  #: spans that the exporter took
        self.failed = 0  #: spans that it did not take
        self.dropped = 0  #: things told that found no room
        self.broken = 0  #: things told of which no span could be made: our bug, logged once
        self._thread = threading.Thread(target=self._run, name="telemetry", daemon=True)
        self._thread.start()

    def put(self, work: Work, *told: object, weight: int = 1) -> None:
        """Queue something, what `work` makes its spans of, and about how many. Never blocks and never raises."""
        queue = self._queue
        if self._closing or len(queue) >= self._queue_max:
            self.dropped += 1
            return
        queue.append((work, told))
        self._weight += weight
        if self._weight >= self._wake_facts and not self._wake.is_set():
            self._wake.set()

    def note(self, note: Note) -> None:
        """Queue a task that was worked on. Never blocks and never raises."""
        notes = self._notes
        if self._closing or len(notes) >= self._queue_max:
            self.dropped += 1
            return
        notes.append(note)
        if len(notes) >= self._wake_facts and not self._wake.is_set():
            self._wake.set()

    def add(self, told: Told) -> None:
        """Take spans that are made, from any thread. Never blocks and never raises."""
        if self._closing or len(self._singles) >= self._queue_max:
            self.dropped += 1
            return
        try:
            self._form(told)
        except Exception as error:  # noqa: BLE001  # whoever tells of its work must not learn of our bug
            self._broke(error)
        if len(self._singles) >= self._batch_max and not self._wake.is_set():
            self._wake.set()

    def close(self) -> None:
        """Export what is queued, for at most `CLOSE_S` seconds, and let go of the exporter."""
        self._closing = True
        self._wake.set()
        self._thread.join(CLOSE_S)
        self.dropped += len(self._queue) + len(self._notes) + len(self._pairs) + len(self._singles)
        self._sink.shutdown()

    def _run(self) -> None:
        token = attach(set_value(_SUPPRESS_INSTRUMENTATION_KEY, True))  # the exporter's own requests are no news
        next_s = time.monotonic() + self._delay_s
        try:
            while True:
                self._wake.wait(max(next_s - time.monotonic(), 0.0))
                self._weight = 0
                self._wake.clear()
                self._make()
                self._make_noted()
                closing, due = self._closing, time.monotonic() >= next_s
                if closing or due:
                    next_s = time.monotonic() + self._delay_s
                while spans := len(self._singles) + 2 * len(self._pairs):
                    if not (closing or due or spans >= self._batch_max):
                        break
                    self._export()
                if closing and not self._queue and not self._notes:
                    return
        finally:
            detach(token)

    def _make(self) -> None:
        queue, since_breath = self._queue, 0
        while queue:
            work, told = queue.popleft()
            try:
                for one in work(*told):
                    self._form(one)
                    since_breath += 1
                    if since_breath >= BREATH_TOLD:
                        since_breath = 0
                        time.sleep(BREATH_S)
            except Exception as error:  # noqa: BLE001  # one run's odd journal must not end the telling of all others
                self._broke(error)
            if len(self._singles) + 2 * len(self._pairs) >= self._batch_max:
                self._export()

    def _make_noted(self) -> None:
        notes, made = self._notes, 0
        while notes:
            note = notes.popleft()
            try:
                told = self._worked(note)
                if told is not None:
                    self._form(told)
            except Exception as error:  # noqa: BLE001  # as above
                self._broke(error)
            made += 1
            if not made % BREATH_TOLD:
                time.sleep(BREATH_S)
            if len(self._singles) >= self._batch_max:
                self._export()

    def _form(self, one: Told) -> None:
        if type(one) is Passed:
            self._pairs.append(self._sink.form(one))
            return
        if type(one) is Span and (one.content or one.error):
            self._complete(one)
        self._singles.append(self._sink.form(one))

    def _broke(self, error: Exception) -> None:
        self.broken += 1
        if self.broken == 1:
            log.error("no span could be made; this is said once", error=f"{type(error).__name__}: {error}")

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

    def _complete(self, span: Span) -> None:
        """What content holds is struck out, and how it failed is told."""
        attributes = span.attributes
        if span.content:
            for name in names.CONTENT & attributes.keys():
                attributes[name] = self._redactor.text(str(attributes[name]))
        if span.error:
            attributes[names.ERROR] = span.error


def _number(variable: str, default: int) -> int:
    text = os.environ.get(variable, "")
    return int(text) if text.isdigit() and int(text) > 0 else default
