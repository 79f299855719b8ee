"""Time in which a process stands still is counted by a thread that ticks, and is no part of what `within` allows."""

import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass

import anyio
import pytest

from tests.workers.conftest import Stood
from workers import standstill
from workers.standstill import GAP_S, TICK_S, Late, Standstill, within

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
        (11.0, 0.0, 11.0),  # stopped
        (11.0, 0.5, 10.5),  # starved
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
    assert one.seconds() == pytest.approx(still_s + 2.0)


def test_what_passes_while_the_thread_ticks_is_no_standstill(clocks: Clocks, one: Standstill) -> None:
    one.seconds()
    for _ in range(100):
        clocks.pass_(TICK_S)
        one.tick()
    assert one.seconds() == 0.0


def test_a_forked_child_ticks_by_itself() -> None:
    program = """
import os, sys, time
from workers.standstill import GAP_S, STANDSTILL
STANDSTILL.seconds()
child = os.fork()
if child:
    sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
STANDSTILL.seconds()
time.sleep(2 * GAP_S)
os._exit(3 if STANDSTILL.seconds() == 0.0 else 4)
"""
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", program], check=False, timeout=60)
    assert done.returncode == 3


async def test_what_a_standstill_cut_off_is_asked_again_for_the_rest_of_its_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(standstill, "STANDSTILL", Stood())
    begun: list[int] = []

    async def ask() -> str:
        begun.append(len(begun))
        await anyio.sleep(0.1 if len(begun) == 1 else 0.0)
        return "done"

    assert await within(0.01, ask) == "done"
    assert begun == [0, 1]


async def test_without_a_standstill_it_is_asked_once_and_cut_off() -> None:
    begun: list[int] = []

    async def ask() -> None:
        begun.append(len(begun))
        await anyio.sleep_forever()

    with pytest.raises(Late):
        await within(0.01, ask)
    assert begun == [0]


async def test_what_it_raises_goes_through_and_so_does_a_cancellation_from_outside() -> None:
    async def broken() -> None:
        raise TimeoutError("its own")

    with pytest.raises(TimeoutError, match="its own"):
        await within(10.0, broken)
    with anyio.move_on_after(0.01) as clock:
        await within(10.0, anyio.sleep_forever)
    assert clock.cancelled_caught
