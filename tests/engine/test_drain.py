"""Closing in good order: what runs may finish, nothing new is sent, and the next engine goes on without a loss."""

import anyio
import pytest

from orchestrator import FrozenPlan, Plan, Succeeded, checks, ladder
from orchestrator.adapters.memory.journal import MemoryJournal
from orchestrator.core import facts as f
from orchestrator.core.results import RunResult
from orchestrator.engine.handle import Run
from orchestrator.plan import limits
from tests.engine.conftest import OpenEngine
from tests.engine.helpers import facts_of, kinds_of, pool_of, records_of, virtual
from workers import Pool, RetryableError, WorkContext

pytestmark = [pytest.mark.anyio, virtual]
SEEN: list[str] = []


async def work(ctx: WorkContext, x: int, seconds: float) -> int:
    """Take a while."""
    SEEN.append(f"{ctx.step_id}#{ctx.attempt}")
    await anyio.sleep(seconds)
    return x + 1


async def careful(ctx: WorkContext, output: int) -> bool:
    """A check by call."""
    SEEN.append(f"check {ctx.step_id}#{ctx.attempt}")
    await anyio.sleep(1.0)
    return True


async def busy_once(ctx: WorkContext) -> int:
    """Busy at first, after a while."""
    SEEN.append(f"{ctx.step_id}#{ctx.attempt}")
    await anyio.sleep(5.0)
    if ctx.attempt == 1:
        raise RetryableError("busy")
    return 1


@pytest.fixture
def pool() -> Pool:
    """Built first: plans name its functions."""
    SEEN.clear()
    return pool_of(work, careful, busy_once)


def chain(seconds: float) -> FrozenPlan:
    """Two steps in a row."""
    with Plan("chain") as p:
        p.result(p.step(work, id="b", x=p.step(work, id="a", x=0, seconds=seconds), seconds=seconds))
    return p.freeze()


async def continued(open_engine: OpenEngine, pool: Pool, journal: MemoryJournal, run: Run) -> RunResult:
    """The result that the next engine comes to."""
    async with open_engine(pool, journal=journal) as engine:
        return await Run(engine.runs, run.id).result()


async def test_what_finishes_within_grace_is_journaled_and_what_follows_is_left_to_the_next_engine(
    open_engine: OpenEngine, pool: Pool
) -> None:
    journal = MemoryJournal()
    async with open_engine(pool, journal=journal, drain_s=60.0) as engine:
        run = await engine.submit(chain(10.0))
        await anyio.sleep(1.0)
        begun_s = anyio.current_time()
    assert anyio.current_time() - begun_s == pytest.approx(9.0)
    kinds = [r.fact.KIND for r in await records_of(journal, run.id)]
    assert kinds[-1] == "step.passed"
    assert kinds.count("step.dispatched") == 1
    result = await continued(open_engine, pool, journal, run)
    assert result == Succeeded(run_id=run.id, output=2, usage=result.usage)
    assert SEEN == ["a#1", "b#1"]


async def test_what_does_not_finish_is_given_up_and_no_restart_counts_as_a_loss(
    open_engine: OpenEngine, pool: Pool
) -> None:
    journal = MemoryJournal()
    restarts = limits.LEASE_LOSSES_MAX + 3
    async with open_engine(pool, journal=journal) as engine:
        run = await engine.submit(chain(100.0))
        await anyio.sleep(1.0)
    for _ in range(restarts):
        async with open_engine(pool, journal=journal, drain_s=5.0):
            await anyio.sleep(1.0)
    result = await continued(open_engine, pool, journal, run)
    assert result == Succeeded(run_id=run.id, output=2, usage=result.usage)
    async with open_engine(pool, journal=journal) as engine:
        lost = [
            (fact.step, fact.attempt, fact.reason) for fact in await facts_of(Run(engine.runs, run.id), f.LeaseLost)
        ]
    assert lost == [("a", attempt, "drained") for attempt in range(1, restarts + 2)]
    assert result.usage.steps == 2


async def test_tasks_that_wait_for_a_free_worker_are_handed_back(open_engine: OpenEngine) -> None:
    SEEN.clear()
    pool = pool_of(work, concurrency=2)
    with Plan("wide") as p:
        p.result(p.map(work, id="m", over=[1, 2, 3, 4, 5, 6], seconds=10.0))
    journal = MemoryJournal()
    async with open_engine(pool, journal=journal, drain_s=12.0) as engine:
        run = await engine.submit(p.freeze())
        await anyio.sleep(1.0)
    result = await continued(open_engine, pool_of(work, concurrency=2), journal, run)
    assert result == Succeeded(run_id=run.id, output=[2, 3, 4, 5, 6, 7], usage=result.usage)
    assert result.usage.steps == 6


async def test_a_run_that_needs_nothing_more_ends_while_draining(open_engine: OpenEngine, pool: Pool) -> None:
    with Plan("one") as p:
        p.result(p.step(work, id="a", x=1, seconds=10.0, checks=[checks.rule("output == 2")]))
    async with open_engine(pool, drain_s=60.0) as engine:
        run = await engine.submit(p.freeze())
        await anyio.sleep(1.0)
        await engine.runs.drain(60.0)
        result = await run.result()
    assert result == Succeeded(run_id=run.id, output=2, usage=result.usage)


@pytest.mark.parametrize("grace_s", [0.0, 3.0, 60.0])
async def test_nothing_is_sent_while_draining_whatever_the_ladder_wants(
    open_engine: OpenEngine, pool: Pool, grace_s: float
) -> None:
    with Plan("inner") as inner:
        inner.result(inner.step(work, id="low", x=1, seconds=5.0, checks=[checks.call(careful)]))
    with Plan("outer") as p:
        p.step(
            work,
            id="refused",
            x=1,
            seconds=5.0,
            checks=[checks.rule("output > 5")],
            on_fail=[ladder.retry(1), ladder.gap()],
        )
        retried = p.step(busy_once, id="retried")
        sub = p.plan(inner.freeze(), id="sub")
        mapped = p.map(work, id="mapped", over=[1, 2, 3, 4], seconds=5.0, max_parallel=2)
        after = p.plan(inner.freeze(), id="after", needs=[sub])
        p.step(work, id="tidy", x=1, seconds=5.0, finally_=True)
        p.result([retried, sub, mapped, after])
    journal = MemoryJournal()
    async with open_engine(pool, journal=journal) as engine:
        run = await engine.submit(p.freeze())
        await anyio.sleep(4.0)
        before = list(SEEN)
        await engine.runs.drain(grace_s)
        assert before == SEEN
        kinds = await kinds_of(run)
        assert kinds.count("step.dispatched") == 5  # refused, retried, sub, and two branches
    result = await continued(open_engine, pool, journal, run)
    assert result.output == [1, 2, [2, 3, 4, 5], 2]  # type: ignore[union-attr]  # Degraded
    assert SEEN[-1].startswith("tidy")
    assert {line.split("#")[0] for line in SEEN} >= {"check low", "tidy", "retried"}


async def test_draining_an_idle_engine_returns_at_once(open_engine: OpenEngine, pool: Pool) -> None:
    async with open_engine(pool) as engine:
        begun_s = anyio.current_time()
        assert await engine.runs.drain(3600.0)
        assert anyio.current_time() == begun_s


async def test_a_check_under_way_may_finish(open_engine: OpenEngine, pool: Pool) -> None:
    with Plan("checked") as p:
        p.result(p.step(work, id="a", x=1, seconds=1.0, checks=[checks.call(careful), checks.call(careful)]))
    journal = MemoryJournal()
    async with open_engine(pool, journal=journal, drain_s=60.0) as engine:
        run = await engine.submit(p.freeze())
        await anyio.sleep(1.5)
    assert SEEN == ["a#1", "check a#1"]
    result = await continued(open_engine, pool, journal, run)
    assert result == Succeeded(run_id=run.id, output=2, usage=result.usage)
    assert SEEN == ["a#1", "check a#1", "check a#1"]
