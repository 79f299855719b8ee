"""A timekeeper ends what has had its time of this process's running, asks it once, and counts no standstill."""

from collections.abc import AsyncIterator

import anyio
import anyio.lowlevel
import pytest

from workers import standstill
from workers.standstill import Late
from workers.timekeeper import Timekeeper

pytestmark = pytest.mark.anyio


class Still:
    """How long the process stood still, as a test says."""

    def __init__(self) -> None:
        self.still_s = 60.0  #: long before, and nobody's gain

    def seconds(self) -> float:
        return self.still_s


@pytest.fixture
def still(monkeypatch: pytest.MonkeyPatch) -> Still:
    one = Still()
    monkeypatch.setattr(standstill, "STANDSTILL", one)
    return one


@pytest.fixture
async def keeper() -> AsyncIterator[Timekeeper]:
    one = Timekeeper()
    async with anyio.create_task_group() as group:
        group.start_soon(one.run)
        yield one
        one.close()


async def test_what_is_done_in_time_is_given(still: Still, keeper: Timekeeper) -> None:
    async def ask() -> str:
        await anyio.lowlevel.checkpoint()
        return "done"

    assert await keeper.within(60.0, ask) == "done"


async def test_what_is_not_is_cut_off(still: Still, keeper: Timekeeper) -> None:
    with pytest.raises(Late):
        await keeper.within(0.01, anyio.sleep_forever)


async def test_a_standstill_is_not_its_time_and_cuts_nothing_off(still: Still, keeper: Timekeeper) -> None:
    asked = 0

    async def ask() -> str:
        nonlocal asked
        asked += 1
        still.still_s += 3600.0
        await anyio.sleep(0.05)
        return "done"

    assert await keeper.within(0.02, ask) == "done"
    assert asked == 1


async def test_a_standstill_gives_no_more_than_its_own_time(still: Still, keeper: Timekeeper) -> None:
    async def stands_still_at_times() -> None:
        while True:
            await anyio.sleep(0.01)
            still.still_s += 0.005

    with pytest.raises(Late):
        await keeper.within(0.05, stands_still_at_times)


@pytest.mark.parametrize("anyio_backend", ["asyncio"])  # a clock that jumps sees nothing of it
async def test_what_computes_and_never_lets_go_does_not_stand_still(keeper: Timekeeper) -> None:
    async def ask() -> int:
        return sum(range(60_000_000))  # no other thread gets a turn meanwhile

    with pytest.raises(Late):
        await keeper.within(0.01, ask)


async def test_what_swallows_the_end_of_its_time_is_late_all_the_same(still: Still, keeper: Timekeeper) -> None:
    async def ask() -> str:
        try:
            await anyio.sleep_forever()
        except anyio.get_cancelled_exc_class():
            return "done"

    with pytest.raises(Late):
        await keeper.within(0.01, ask)


async def test_a_shorter_limit_does_not_wait_for_a_longer_one(still: Still, keeper: Timekeeper) -> None:
    ended: list[float] = []

    async def one(limit_s: float) -> None:
        with pytest.raises(Late):
            await keeper.within(limit_s, anyio.sleep_forever)
        ended.append(limit_s)

    async with anyio.create_task_group() as group:
        for limit_s in (0.3, 0.01, 0.1):
            group.start_soon(one, limit_s)
            await anyio.lowlevel.checkpoint()
    assert ended == [0.01, 0.1, 0.3]


async def test_what_it_raises_goes_through_and_so_does_a_cancellation_from_outside(
    still: Still, keeper: Timekeeper
) -> None:
    async def broken() -> None:
        raise TimeoutError("its own")

    with pytest.raises(TimeoutError, match="its own"):
        await keeper.within(60.0, broken)
    with anyio.move_on_after(0.01) as clock:
        await keeper.within(60.0, anyio.sleep_forever)
    assert clock.cancelled_caught


async def test_closing_ends_it(still: Still) -> None:
    one = Timekeeper()
    async with anyio.create_task_group() as group:
        group.start_soon(one.run)
        await anyio.lowlevel.checkpoint()
        one.close()
