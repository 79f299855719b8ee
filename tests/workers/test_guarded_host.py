"""A host whose pool has guards ends as any other, and leaves no look without a limit."""

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager

import anyio
import pytest

from orchestrator.adapters.memory.transport import MemoryTransport
from orchestrator.ports.guard import PASS, Passing, Ruling, Stage
from tests.workers.conftest import Bench, opened
from workers import Pool, PoolHost
from workers.guarding import GUARDING, Refused

pytestmark = pytest.mark.anyio
Start = Callable[[Pool], AbstractAsyncContextManager[Bench]]


class Passes:
    name = "passes"
    stages: frozenset[Stage] = frozenset({"input"})

    async def look(self, passing: Passing) -> Ruling:
        return PASS


class Endless:
    name = "endless"
    stages: frozenset[Stage] = frozenset({"tool_call"})

    def __init__(self) -> None:
        self.looks = anyio.Event()

    async def look(self, passing: Passing) -> Ruling:
        self.looks.set()
        await anyio.sleep_forever()
        return PASS


def test_it_is_made_where_no_loop_runs() -> None:
    pool = Pool("p", guards=[Passes()])
    assert PoolHost(pool, MemoryTransport(clock=lambda: 0.0), worker="w").pool is pool


async def test_its_group_ends_once_it_is_drained(start: Start) -> None:
    pool = Pool("p", guards=[Passes()])

    @pool.worker
    async def f() -> str:
        return "x"

    with anyio.fail_after(30):
        async with start(pool) as bench:
            assert await bench.output("f") == "x"


async def test_its_group_ends_although_draining_was_cut_off() -> None:
    pool, works, go_on = Pool("p", guards=[Passes()]), anyio.Event(), anyio.Event()

    @pool.worker
    async def f() -> None:
        works.set()
        await go_on.wait()

    with anyio.fail_after(30):
        async with anyio.create_task_group() as group:
            bench = opened(pool, group)
            bench.send("f")
            await works.wait()
            with anyio.move_on_after(0.01) as clock:
                await bench.host.drain(20.0)
            assert clock.cancelled_caught
            go_on.set()


@pytest.mark.parametrize("drains", [True, False])
async def test_a_look_that_cannot_be_cancelled_ends_with_its_own_time(
    monkeypatch: pytest.MonkeyPatch, start: Start, *, drains: bool
) -> None:
    monkeypatch.setattr("workers.guarding.GUARD_S", 0.5)
    monkeypatch.setattr("workers.host.CANCEL_S", 0.01)
    guard, told = Endless(), list[str]()
    pool = Pool("p", guards=[guard])

    @pool.worker
    async def f() -> None:
        with anyio.CancelScope(shield=True):
            try:
                guarding = GUARDING.get()
                assert guarding is not None
                await guarding.tool_call("t", {}, effect=False)
            except Refused as error:
                told.append(str(error))

    with anyio.fail_after(30):
        async with start(pool) as bench:
            bench.send("f")
            await guard.looks.wait()
            if drains:
                await bench.host.drain(0.0)
            bench.group.cancel_scope.cancel()
    assert told == ["guard endless stopped the tool call of t: it said nothing within 0.5 s"]
