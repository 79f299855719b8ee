"""Following runs, and many of them at once: no gap, no duplicate, nobody starved, nothing left behind."""

from collections.abc import Sequence

import anyio
import pytest

from orchestrator import FrozenPlan, Plan, Succeeded
from orchestrator.adapters.memory.journal import MemoryJournal
from orchestrator.core import facts as f
from orchestrator.engine.handle import EVENTS_PAGE
from orchestrator.engine.loop import PROGRESS_MAX
from orchestrator.engine.operations import Operations
from orchestrator.ids import RunId
from orchestrator.ports.journal import Append, Recorded
from orchestrator.ports.tasks import TaskProgress
from tests.engine.conftest import OpenEngine
from tests.engine.helpers import double, facts_of, pool_of, sleep_for, total, until, virtual
from workers import Pool, WorkContext

pytestmark = pytest.mark.anyio


@pytest.fixture
def pool() -> Pool:
    """Built first: plans name its functions."""
    return pool_of(double, total, sleep_for)


def wide(branches: int) -> FrozenPlan:
    """A map and its sum."""
    with Plan("wide") as p:
        doubled = p.map(double, id="doubled", over=list(range(branches)), max_parallel=branches)
        p.result(p.step(total, id="sum", xs=doubled))
    return p.freeze()


class Counting(MemoryJournal):
    """Notes the size of every page that is read."""

    def __init__(self) -> None:
        super().__init__()
        self.pages: list[int] = []

    async def read(self, run_id: RunId, after: int = 0, limit: int = 10_000) -> list[Recorded]:
        records = await super().read(run_id, after, limit)
        self.pages.append(len(records))
        return records


@pytest.mark.parametrize("after", [0, 1, 7, 700])
async def test_a_reader_sees_every_record_once_and_then_the_end(
    open_engine: OpenEngine, pool: Pool, after: int
) -> None:
    async with open_engine(pool) as engine:
        run = await engine.submit(wide(400))
        live = [record.seq async for record in run.events(after)]
        later = [record.seq async for record in run.events(after)]
        last = [record.fact.KIND async for record in run.events(after=live[-1] - 1)]
        assert [record async for record in run.events(after=live[-1])] == []
    assert live == later == list(range(after + 1, live[-1] + 1))
    assert last == ["run.ended"]


async def test_a_reader_that_reconnects_at_every_record_misses_none(open_engine: OpenEngine, pool: Pool) -> None:
    seen: list[int] = []
    async with open_engine(pool) as engine:
        run = await engine.submit(wide(20))
        while True:
            async for record in run.events(after=len(seen)):
                seen.append(record.seq)
                break
            else:
                break
    assert seen == list(range(1, len(seen) + 1))


async def test_a_slow_reader_holds_one_page(open_engine: OpenEngine, pool: Pool) -> None:
    journal = Counting()
    async with open_engine(pool, journal=journal) as engine:
        run = await engine.submit(wide(1000))
        events = run.events()
        await anext(events)
        await run.result()
        assert len(events._page) <= EVENTS_PAGE
        rest = [record async for record in events]
    assert max(journal.pages) <= EVENTS_PAGE
    assert rest[-1].fact.KIND == "run.ended"


async def test_ten_readers_of_one_run_see_the_same(open_engine: OpenEngine, pool: Pool) -> None:
    seen: dict[int, list[str]] = {}

    async with open_engine(pool) as engine:
        run = await engine.submit(wide(50))

        async def read(number: int) -> None:
            seen[number] = [record.hash async for record in run.events()]

        async with anyio.create_task_group() as group:
            for number in range(10):
                group.start_soon(read, number)
    assert len(seen) == 10
    assert len({tuple(hashes) for hashes in seen.values()}) == 1


@virtual
async def test_waiting_is_noticed_while_other_runs_are_busy(open_engine: OpenEngine, pool: Pool) -> None:
    with Plan("asking") as p:
        p.result(p.human("said", ask="Go on?", choices=["yes"]).output["choice"])
    with Plan("busy") as busy:
        x = busy.step(double, id="s0", x=1)
        for index in range(1, 2000):
            x = busy.step(double, id=f"s{index}", x=x)
    async with open_engine(pool) as engine:
        other = await engine.submit(busy.freeze())
        for _ in range(20):
            run = await engine.submit(p.freeze())
            with anyio.fail_after(1):
                assert await run.result_or_waiting() is None
            await Operations(engine.runs).approve(run.id, "said", "yes")
            with anyio.fail_after(1):
                assert isinstance(await run.result_or_waiting(), Succeeded)
        await other.cancel()


async def test_a_thousand_runs_at_once(open_engine: OpenEngine, pool: Pool) -> None:
    async with open_engine(pool) as engine:
        runs = [await engine.submit(wide(1)) for _ in range(1000)]
        results = [await run.result() for run in runs]
        assert engine.runs.drivers() == []
        assert not engine.runs._drivers.top
    assert {(type(result), result.output) for result in results} == {(Succeeded, 0)}  # type: ignore[union-attr]  # Succeeded


async def test_a_flood_of_progress_starves_nobody_and_is_cut_in_the_journal(open_engine: OpenEngine) -> None:
    go = anyio.Event()

    async def chatty(ctx: WorkContext) -> int:
        await go.wait()
        for number in range(10_000):
            ctx.progress(number / 10_000, "still at it")
        return 1

    heard: list[TaskProgress] = []
    pool = pool_of(chatty, double, total)
    with Plan("chatty") as p:
        p.result(p.step(chatty, id="c"))
    async with open_engine(pool) as engine:
        flood = await engine.submit(p.freeze())
        driver = engine.runs.driver(flood.id)
        assert driver is not None
        driver.watchers.append(heard.append)
        go.set()
        begun_s = anyio.current_time()
        assert isinstance(await (await engine.submit(wide(10))).result(), Succeeded)
        took_s = anyio.current_time() - begun_s
        assert isinstance(await flood.result(), Succeeded)
        journaled = len(await facts_of(flood, f.StepProgress))
    assert took_s < 2.0
    assert len(heard) == 10_000
    assert PROGRESS_MAX <= journaled <= 2_000


class Boom(Exception):
    """Something outside of every rule."""


class Exploding(MemoryJournal):
    """A journal with a bug of its own."""

    async def append(self, entries: Sequence[Append]) -> tuple[RunId, ...]:
        if any(isinstance(fact, f.StepProduced) for entry in entries for fact in entry.facts):
            raise Boom
        return await super().append(entries)


async def test_an_engine_whose_loop_dies_ends_everything_and_says_why(open_engine: OpenEngine, pool: Pool) -> None:
    waited: list[str] = []
    with pytest.raises(ExceptionGroup) as caught:  # noqa: PT012  # the whole life of an engine
        async with open_engine(pool, journal=Exploding()) as engine:
            run = await engine.submit(wide(3))
            try:
                await run.result()
            finally:
                waited.append("ended")
    assert waited == ["ended"]
    assert caught.group_contains(Boom)


@pytest.mark.parametrize("kind", [ValueError, KeyboardInterrupt])
async def test_an_error_in_the_body_closes_the_engine_and_comes_out_as_it_is(
    open_engine: OpenEngine, pool: Pool, kind: type[BaseException]
) -> None:
    with Plan("long") as p:
        p.step(sleep_for, id="s", seconds=3600.0)
    with pytest.raises(kind):  # noqa: PT012  # the whole life of an engine
        async with open_engine(pool, drain_s=60.0) as engine:
            run = await engine.submit(p.freeze())
            await until(run, f.StepDispatched)
            raise kind
    with anyio.fail_after(60), pytest.raises(Exception, match="the engine was closed"):
        await run.result()
