"""What is told is made into spans a few dozen at once: in order, by one at a time, and none is left when it closes."""

import threading
from collections.abc import Iterable, Iterator

import pytest
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from orchestrator.adapters.otel.pump import AT_ONCE, Pump
from orchestrator.adapters.otel.sink import LibrarySink
from orchestrator.adapters.otel.span import Span
from orchestrator.ports.redaction import CLEAR


@pytest.fixture
def exporter() -> InMemorySpanExporter:
    return InMemorySpanExporter()


@pytest.fixture
def pump(monkeypatch: pytest.MonkeyPatch, exporter: InMemorySpanExporter) -> Iterator[Pump]:
    monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "600000")  # so that only the number counts, or that it closes
    made = Pump(LibrarySink(exporter), Resource({}), CLEAR)
    yield made
    made.close()


def named(made: list[str], name: str) -> Iterable[Span]:
    made.append(name)
    return (Span(1, len(made), 0, name, 1.0, 2.0),)


def test_the_spans_of_few_dozen_are_made_together_in_their_order(pump: Pump, exporter: InMemorySpanExporter) -> None:
    made: list[str] = []
    for number in range(AT_ONCE - 1):
        pump.later(named, made, str(number))
    assert made == []
    pump.later(named, made, "last")
    assert made == [*map(str, range(AT_ONCE - 1)), "last"]
    pump.later(named, made, "one more")
    pump.close()
    assert [span.name for span in exporter.get_finished_spans()] == made == [*made[:AT_ONCE], "one more"]


def test_what_waits_is_made_when_it_is_time_to_send(
    monkeypatch: pytest.MonkeyPatch, exporter: InMemorySpanExporter
) -> None:
    monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "10")
    pump, sent = Pump(LibrarySink(exporter), Resource({}), CLEAR), threading.Event()
    export = exporter.export
    monkeypatch.setattr(exporter, "export", lambda spans: (export(spans), sent.set())[0])
    pump.later(named, [], "alone")
    assert sent.wait(60)
    assert [span.name for span in exporter.get_finished_spans()] == ["alone"]
    pump.close()


def test_one_that_cannot_be_made_is_counted_and_those_behind_it_are_made(
    pump: Pump, exporter: InMemorySpanExporter
) -> None:
    def broken() -> Iterable[Span]:
        raise KeyError("odd")

    pump.later(broken)
    pump.later(named, [], "behind")
    pump.close()
    pump.later(named, [], "too late")
    assert [span.name for span in exporter.get_finished_spans()] == ["behind"]
    assert (pump.exported, pump.failed, pump.dropped, pump.broken) == (1, 0, 1, 1)


def test_more_than_the_queue_holds_is_dropped_and_counted(
    monkeypatch: pytest.MonkeyPatch, exporter: InMemorySpanExporter
) -> None:
    monkeypatch.setenv("OTEL_BSP_MAX_QUEUE_SIZE", "5")
    pump = Pump(LibrarySink(exporter), Resource({}), CLEAR)
    with pump._making:  # somebody else is at it
        for number in range(8):
            pump.later(named, [], str(number))
    pump.close()
    assert [span.name for span in exporter.get_finished_spans()] == list("01234")
    assert (pump.exported, pump.dropped) == (5, 3)


def test_a_queue_of_few_is_emptied_before_it_is_full(
    monkeypatch: pytest.MonkeyPatch, exporter: InMemorySpanExporter
) -> None:
    monkeypatch.setenv("OTEL_BSP_MAX_QUEUE_SIZE", str(AT_ONCE // 2))
    monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "600000")
    pump, made = Pump(LibrarySink(exporter), Resource({}), CLEAR), list[str]()
    for number in range(AT_ONCE // 2):
        pump.later(named, made, str(number))
    assert len(made) == AT_ONCE // 2
    pump.close()
    assert (pump.exported, pump.dropped) == (AT_ONCE // 2, 0)


@pytest.mark.parametrize("how", ["later", "always"])
def test_a_queue_that_was_full_once_is_emptied_by_who_comes_next(
    monkeypatch: pytest.MonkeyPatch, exporter: InMemorySpanExporter, how: str
) -> None:
    monkeypatch.setenv("OTEL_BSP_MAX_QUEUE_SIZE", "4")
    monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "600000")
    pump, made = Pump(LibrarySink(exporter), Resource({}), CLEAR), list[str]()
    with pump._making:  # somebody else is at it
        for number in range(4):
            getattr(pump, how)(named, made, str(number))
    for number in range(4, 20):
        pump.later(named, made, str(number))
    pump.close()
    assert made == list(map(str, range(20)))


def test_what_lets_go_of_something_is_never_dropped(
    monkeypatch: pytest.MonkeyPatch, exporter: InMemorySpanExporter
) -> None:
    monkeypatch.setenv("OTEL_BSP_MAX_QUEUE_SIZE", "1")
    pump, made = Pump(LibrarySink(exporter), Resource({}), CLEAR), list[str]()
    with pump._making:  # somebody else is at it
        for number in range(3):
            pump.always(named, made, str(number))
    pump.close()
    assert made == ["0", "1", "2"]


def test_many_threads_tell_and_nothing_is_made_by_two_at_once(pump: Pump) -> None:
    inside: list[int] = []
    overlaps: list[int] = []
    order: dict[int, list[int]] = {}

    def tell(thread: int, number: int) -> Iterable[Span]:
        inside.append(thread)
        overlaps.append(len(inside))
        order.setdefault(thread, []).append(number)
        inside.pop()
        return ()

    def work(thread: int) -> None:
        for number in range(2_000):
            pump.later(tell, thread, number)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    pump.close()
    assert set(overlaps) == {1}
    assert order == {thread: list(range(2_000)) for thread in range(4)}
    assert pump.dropped == pump.broken == 0
