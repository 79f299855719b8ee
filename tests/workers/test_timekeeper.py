"""A timekeeper ends what has had its time of this process's running, asks it once, and counts no standstill."""

from collections.abc import AsyncIterator

import anyio
import anyio.lowlevel
import pytest

from workers import standstill
from workers.standstill import Late
from workers.timekeeper import LOOKS_S_MIN, Timekeeper

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
            still.still_s += 3600.0  # nor does it help that the process stands still then
            return "done"

    with pytest.raises(Late):
        await keeper.within(0.01, ask)


@pytest.mark.parametrize("anyio_backend", ["trio"], indirect=True)  # its clock jumps
async def test_each_ends_when_its_own_time_is_over(still: Still, keeper: Timekeeper) -> None:
    ended: dict[float, float] = {}

    async def one(limit_s: float) -> None:
        began_s = anyio.current_time()
        with pytest.raises(Late):
            await keeper.within(limit_s, anyio.sleep_forever)
        ended[limit_s] = anyio.current_time() - began_s

    async with anyio.create_task_group() as group:
        for number in range(30):
            group.start_soon(one, float(1 + number * 7 % 30))
    assert all(limit_s <= took_s <= limit_s + LOOKS_S_MIN for limit_s, took_s in ended.items())
    assert sorted(ended) == [float(number) for number in range(1, 31)]


@pytest.mark.parametrize("anyio_backend", ["trio"], indirect=True)  # its clock jumps
async def test_it_looks_when_somebodys_time_may_be_over_and_not_before(
    monkeypatch: pytest.MonkeyPatch, still: Still, keeper: Timekeeper
) -> None:
    looks: list[float] = []
    look = keeper._look

    def counted() -> float:
        looks.append(anyio.current_time())
        return look()

    monkeypatch.setattr(keeper, "_look", counted)
    for _ in range(1_000):
        await keeper.within(10.0, anyio.lowlevel.checkpoint)
    assert not keeper._timed
    await anyio.sleep(100.0)
    assert len(looks) <= 2  # as the first began, and when that one's time would have been over


async def test_what_ends_at_the_same_moment_is_looked_at_once(
    monkeypatch: pytest.MonkeyPatch, still: Still, keeper: Timekeeper
) -> None:
    looks = 0
    look = keeper._look

    def counted() -> float:
        nonlocal looks
        looks += 1
        return look()

    monkeypatch.setattr(keeper, "_look", counted)

    async def one(limit_s: float) -> None:
        with pytest.raises(Late):
            await keeper.within(limit_s, anyio.sleep_forever)

    async with anyio.create_task_group() as group:
        for number in range(100):
            group.start_soon(one, 0.02 + number * LOOKS_S_MIN / 1_000)
    assert looks <= 4  # and not a hundred


@pytest.mark.parametrize("closes", [True, False])
async def test_what_is_at_work_when_it_closes_or_comes_later_still_has_its_limit(still: Still, *, closes: bool) -> None:
    one, ended = Timekeeper(), list[str]()

    async def ask(name: str) -> None:
        with pytest.raises(Late):
            await one.within(0.1, anyio.sleep_forever)
        ended.append(name)

    with anyio.fail_after(30):
        async with anyio.create_task_group() as outer:
            async with anyio.create_task_group() as group:
                group.start_soon(one.run)
                outer.start_soon(ask, "before")
                await anyio.wait_all_tasks_blocked()
                if closes:
                    one.close()
                else:
                    group.cancel_scope.cancel()
            outer.start_soon(ask, "after")
    assert sorted(ended) == ["after", "before"]


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
    with anyio.fail_after(30):
        async with anyio.create_task_group() as group:
            group.start_soon(one.run)
            await anyio.lowlevel.checkpoint()
            one.close()


async def test_it_may_be_closed_before_it_runs(still: Still) -> None:
    one = Timekeeper()
    one.close()
    with anyio.fail_after(30):
        await one.run()
