"""Time in which a process stands still is counted by a thread that ticks, and is no part of a limit of time."""

import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from types import SimpleNamespace

import anyio
import pytest

from tests.workers.conftest import Stood
from workers import standstill
from workers.standstill import GAP_S, TICK_S, Late, Rest, Standstill, waited

pytestmark = pytest.mark.anyio


@dataclass
class Clocks:
    """What a process sees of time."""

    now_s: float = 100.0
    used_s: float = 5.0

    def pass_(self, seconds: float, *, used: float = 0.0) -> None:
        self.now_s += seconds
        self.used_s += used


@pytest.fixture
def one(clocks: Clocks) -> Iterator[Standstill]:
    """Ticks only when a test says so."""
    over = threading.Event()

    class Ticking(Standstill):
        def _run(self) -> None:
            over.wait()

    yield Ticking(now=lambda: clocks.now_s, used=lambda: clocks.used_s)
    over.set()


@pytest.fixture
def clocks() -> Clocks:
    return Clocks()


@pytest.mark.parametrize(
    ("passed_s", "used_s", "still_s"),
    [
        (11.0, 0.0, 11.0 - TICK_S),  # stopped
        (11.0, 0.5, 10.5 - TICK_S),  # starved
        (11.0, 11.0, 0.0),  # something held the interpreter and computed
        (11.0, 22.0, 0.0),  # in two threads
        (GAP_S - 0.01, 0.0, 0.0),  # a busy machine
    ],
)
def test_a_gap_between_ticks_counts_as_far_as_no_processor_was_used(
    clocks: Clocks, one: Standstill, passed_s: float, used_s: float, still_s: float
) -> None:
    assert one.seconds() == 0.0
    clocks.pass_(passed_s, used=used_s)
    assert one.seconds() == pytest.approx(still_s)  # before the thread comes to tick
    one.tick()
    assert one.seconds() == pytest.approx(still_s)
    clocks.pass_(2.0)
    assert one.seconds() == pytest.approx(still_s + 2.0 - TICK_S)


def test_what_passes_while_the_thread_ticks_is_no_standstill(clocks: Clocks, one: Standstill) -> None:
    one.seconds()
    for _ in range(100):
        clocks.pass_(TICK_S)
        one.tick()
    assert one.seconds() == 0.0


def test_many_short_standstills_do_not_stop_the_time(clocks: Clocks, one: Standstill) -> None:
    one.seconds()
    for _ in range(40):
        clocks.pass_(GAP_S)
        one.tick()
    assert one.seconds() == pytest.approx(40 * (GAP_S - TICK_S))


def test_a_standstill_between_two_looks_at_a_clock_is_counted(
    monkeypatch: pytest.MonkeyPatch, one: Standstill, clocks: Clocks
) -> None:
    """A tick reads each clock once: what passes between two readings would be in no gap."""
    one.seconds()
    readings = 0

    def now() -> float:
        nonlocal readings
        readings += 1
        if readings == 2:
            clocks.pass_(11.0)
        return clocks.now_s

    monkeypatch.setattr(one, "_now", now)
    one.tick()
    one.tick()
    assert one.seconds() == pytest.approx(11.0 - TICK_S)


def test_a_forked_child_ticks_by_itself() -> None:
    program = """
import os, sys, threading
from workers.standstill import STANDSTILL
STANDSTILL.seconds()
child = os.fork()
if child:
    sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
alone = threading.active_count() == 1
STANDSTILL.seconds()
os._exit(3 if alone and "standstill" in [one.name for one in threading.enumerate()] else 4)
"""
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", program], check=False, timeout=60)
    assert done.returncode == 3


def test_a_rest_is_of_the_time_that_was_not_stood_still(monkeypatch: pytest.MonkeyPatch) -> None:
    now_s, still_s = 100.0, 60.0  # what was stood still before is not credited
    monkeypatch.setattr(standstill, "STANDSTILL", SimpleNamespace(seconds=lambda: still_s))
    monkeypatch.setattr(standstill, "anyio", SimpleNamespace(current_time=lambda: now_s))
    rest = Rest(10.0)
    now_s += 4.0
    assert rest.seconds() == 6.0
    now_s, still_s = now_s + 11.0, still_s + 11.0
    assert rest.seconds() == 6.0
    now_s += 6.0
    assert rest.seconds() == 0.0
    still_s += 100.0
    assert rest.seconds() == 10.0  # two clocks that disagree give nobody more than the limit


@pytest.mark.parametrize("side", ["before", "after"])
@pytest.mark.parametrize("moment", ["begins", "is read"])
def test_a_standstill_beside_a_look_at_the_clock_is_no_part_of_a_rest(
    monkeypatch: pytest.MonkeyPatch, moment: str, side: str
) -> None:
    time_s = {"now": 100.0, "still": 60.0}
    jump = ""

    def stand_still(where: str) -> None:
        if jump == where:
            time_s["now"] += 11.0
            time_s["still"] += 11.0

    def now() -> float:
        stand_still("before")
        read_s = time_s["now"]
        stand_still("after")
        return read_s

    monkeypatch.setattr(standstill, "STANDSTILL", SimpleNamespace(seconds=lambda: time_s["still"]))
    monkeypatch.setattr(standstill, "anyio", SimpleNamespace(current_time=now))
    jump = side if moment == "begins" else ""
    rest = Rest(10.0)
    jump = side if moment == "is read" else ""
    assert rest.seconds() == 10.0


async def test_waiting_again_has_what_is_left_and_not_the_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    """A standstill that gives back half of what passed each time; with the whole limit anew it would never end."""
    still_s = 0.0
    monkeypatch.setattr(standstill, "STANDSTILL", SimpleNamespace(seconds=lambda: still_s))
    waits: list[float] = []

    async def wait() -> None:
        nonlocal still_s
        began_s = anyio.current_time()
        try:
            await anyio.sleep_forever()
        finally:
            waits.append(anyio.current_time() - began_s)
            still_s += waits[-1] / 2

    with pytest.raises(Late):
        await waited(0.2, wait)
    assert len(waits) > 1
    assert waits[1] < waits[0]


async def test_a_wait_that_a_standstill_cut_off_is_begun_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(standstill, "STANDSTILL", Stood())
    begun: list[int] = []

    async def wait() -> str:
        begun.append(len(begun))
        if len(begun) == 1:
            await anyio.sleep_forever()
        return "came"

    assert await waited(0.01, wait) == "came"
    assert begun == [0, 1]


async def test_a_wait_without_a_standstill_is_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(standstill, "STANDSTILL", SimpleNamespace(seconds=lambda: 60.0))
    begun: list[int] = []

    async def wait() -> None:
        begun.append(len(begun))
        await anyio.sleep_forever()

    with pytest.raises(Late):
        await waited(0.01, wait)
    assert begun == [0]


async def test_what_waiting_raises_goes_through_and_so_does_a_cancellation_from_outside() -> None:
    async def broken() -> None:
        raise TimeoutError("its own")

    with pytest.raises(TimeoutError, match="its own"):
        await waited(10.0, broken)
    with anyio.move_on_after(0.01) as clock:
        await waited(10.0, anyio.sleep_forever)
    assert clock.cancelled_caught
