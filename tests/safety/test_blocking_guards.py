"""A guard that blocks holds up nobody else, and what it was asked about is stopped when it is not done in time."""

import threading
import time

import anyio
import anyio.to_thread
import pytest

from orchestrator import Engine, Failed
from orchestrator.ports.guard import PASS, Passing, Ruling, Stage
from tests.safety.test_guards import desk, frozen, output_of, ran, trips
from workers.guard_looks import STUCK, STUCK_MAX

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"  # threads do not wait for a clock that jumps


class Blocking:
    """A guard of plain code that waits until somebody lets it go on."""

    name = "blocking"
    stages: frozenset[Stage] = frozenset({"input"})

    def __init__(self, ruling: object = PASS) -> None:
        self.ruling, self.threads = ruling, set[int]()
        self.begun, self.go_on = threading.Event(), threading.Event()

    def look(self, passing: Passing) -> Ruling:
        self.threads.add(threading.get_ident())
        self.begun.set()
        assert self.go_on.wait(30)
        if isinstance(self.ruling, BaseException):
            raise self.ruling
        return self.ruling  # type: ignore[return-value]  # some tests give back nonsense on purpose


def failure_of(result: object) -> str:
    assert isinstance(result, Failed), result
    return str(result)


async def until_none_is_stuck() -> None:
    with anyio.fail_after(10):
        while STUCK.count:  # noqa: ASYNC110  # a thread tells nobody that it has ended
            await anyio.sleep(0.001)


async def test_the_loop_goes_on_while_a_guard_blocks() -> None:
    guard = Blocking()
    pool, given = desk(guard)
    async with Engine(pools=[pool], store="memory:") as engine, anyio.create_task_group() as group:

        async def let_go() -> None:
            await anyio.to_thread.run_sync(guard.begun.wait, 30)
            guard.go_on.set()  # had the guard held the loop, nothing would have come here

        group.start_soon(let_go)
        result, facts = await ran(engine, frozen())
    assert output_of(result)
    assert given
    assert trips(facts) == []
    assert threading.get_ident() not in guard.threads


@pytest.mark.parametrize(
    ("ruling", "why"),
    [
        (Ruling(verdict="block", reasons=("no",)), "no"),
        (ValueError("secret words"), "it broke: ValueError"),
        (StopIteration("secret words"), "it broke: RuntimeError"),
        (SystemExit("secret words"), "it broke: SystemExit"),
        (None, "it gave a NoneType and no ruling"),
    ],
)
async def test_a_guard_of_plain_code_stops_as_any_other(ruling: object, why: str) -> None:
    guard = Blocking(ruling)
    guard.go_on.set()
    pool, given = desk(guard)
    async with Engine(pools=[pool], store="memory:") as engine:
        result, facts = await ran(engine, frozen())
    assert "guard blocking stopped the input" in failure_of(result)
    assert given == []
    assert trips(facts) == [("blocking", "input", "block", (why,))]


async def test_a_guard_that_is_not_done_in_time_stops_the_value_whatever_it_says_later(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("workers.guarding.GUARD_S", 0.05)
    guard = Blocking(PASS)
    pool, given = desk(guard)
    async with Engine(pools=[pool], store="memory:") as engine:
        result, facts = await ran(engine, frozen())
        assert STUCK.count == 1
        guard.go_on.set()
        await until_none_is_stuck()
    assert failure_of(result)
    assert given == []
    assert trips(facts) == [("blocking", "input", "block", ("it said nothing within 0.05 s",))]


async def test_with_too_many_that_never_came_back_no_further_one_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("workers.guarding.GUARD_S", 0.01)
    guard = Blocking(PASS)
    pool, given = desk(guard)
    async with Engine(pools=[pool], store="memory:") as engine:
        with anyio.fail_after(30):
            while STUCK.count < STUCK_MAX:  # a thread that has not begun in time never asks, and is not counted
                await ran(engine, frozen())
        assert STUCK.count == STUCK_MAX
        guard.begun.clear()
        _, facts = await ran(engine, frozen())
        assert not guard.begun.is_set()
        guard.go_on.set()
        await until_none_is_stuck()
    assert trips(facts) == [("blocking", "input", "block", (f"{STUCK_MAX} looks of guards have never come back",))]
    assert given == []


class Holding:
    """An asynchronous guard that does what it must not: it blocks the loop, where no clock can end it."""

    name = "holding"
    stages: frozenset[Stage] = frozenset({"input"})

    async def look(self, passing: Passing) -> Ruling:
        time.sleep(0.02)  # noqa: ASYNC251  # on purpose
        return PASS


async def test_an_asynchronous_guard_that_held_the_loop_too_long_stops_the_value(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("workers.guarding.GUARD_S", 0.01)
    pool, given = desk(Holding())
    async with Engine(pools=[pool], store="memory:") as engine:
        result, facts = await ran(engine, frozen())
    assert failure_of(result)
    assert given == []
    assert trips(facts) == [("holding", "input", "block", ("it said nothing within 0.01 s",))]
