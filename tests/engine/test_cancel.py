"""Cancelling in every phase: nothing is dispatched after it returned, late answers are fenced, `finally` steps run."""

import threading
from collections.abc import Callable

import anyio
import pytest

from orchestrator import Cancelled, Failed, FrozenPlan, Plan, Succeeded, checks, ladder
from orchestrator.core import facts as f
from orchestrator.engine.handle import Run
from orchestrator.errors import RunNotFound
from orchestrator.plan.parts import Backoff
from orchestrator.ports.tasks import TaskDone, TaskKey
from tests.engine import child_pool
from tests.engine.conftest import OpenEngine
from tests.engine.helpers import double, facts_of, hang, kinds_of, pool_of, real, records_of, sleep_for, until, virtual
from workers import Pool, RetryableError, WorkContext

pytestmark = pytest.mark.anyio


async def busy(ctx: WorkContext) -> int:
    """Fail in a way that is tried again."""
    raise RetryableError("busy")


async def mute(ctx: WorkContext, output: int) -> bool:
    """A check that never answers."""
    await anyio.sleep_forever()
    return True


def running() -> FrozenPlan:
    """A worker is at it."""
    with Plan("running") as p:
        p.step(hang, id="x")
        p.step(double, id="tidy", x=1, finally_=True)
    return p.freeze()


def pending() -> FrozenPlan:
    """Most steps have not begun."""
    with Plan("pending") as p:
        first = p.step(hang, id="x")
        p.map(double, id="many", over=[1, 2, 3], needs=[first])
        p.step(double, id="tidy", x=1, finally_=True)
    return p.freeze()


def checking() -> FrozenPlan:
    """A pool is asked about an output."""
    with Plan("checking") as p:
        p.step(double, id="x", x=1, checks=[checks.call(mute)])
        p.step(double, id="tidy", x=1, finally_=True)
    return p.freeze()


def backing_off() -> FrozenPlan:
    """Between two tries."""
    with Plan("backing-off") as p:
        p.step(busy, id="x", retry={"attempts": 3, "backoff": Backoff(first=900.0, most=900.0)})
        p.step(double, id="tidy", x=1, finally_=True)
    return p.freeze()


def waiting() -> FrozenPlan:
    """A person is asked."""
    with Plan("waiting") as p:
        said = p.human("x", ask="Go on?", choices=["yes"])
        p.step(double, id="after", x=1, needs=[said])
        p.step(double, id="tidy", x=1, finally_=True)
    return p.freeze()


def nested() -> FrozenPlan:
    """A plan in a plan in a plan, the lowest at work."""
    with Plan("low") as low:
        first = low.step(hang, id="x")
        low.step(double, id="later", x=1, needs=[first])
        low.step(double, id="low_tidy", x=1, finally_=True)
    with Plan("mid") as mid:
        mid.plan(low.freeze(), id="low")
    with Plan("top") as p:
        p.plan(mid.freeze(), id="mid")
        p.step(double, id="tidy", x=1, finally_=True)
    return p.freeze()


PHASES = [
    (running, f.StepDispatched),
    (pending, f.StepDispatched),
    (checking, f.StepProduced),
    (backing_off, f.StepBackoff),
    (waiting, f.ApprovalAsked),
    (nested, f.ChildStarted),
]


@pytest.fixture
def pool() -> Pool:
    """Built first: plans name its functions."""
    return pool_of(double, hang, busy, mute, sleep_for)


@virtual
@pytest.mark.parametrize(("plan", "phase"), PHASES, ids=[plan.__name__ for plan, _ in PHASES])
async def test_nothing_but_finally_steps_is_dispatched_after_cancel_has_returned(
    open_engine: OpenEngine, pool: Pool, plan: Callable[[], FrozenPlan], phase: type[f.Fact]
) -> None:
    async with open_engine(pool) as engine:
        run = await engine.submit(plan())
        await until(run, phase)
        await anyio.sleep(1.0)
        tree = [driver.run_id for driver in engine.runs.drivers()]
        await run.cancel("enough")
        length = {run_id: len(await records_of(engine.runs.journal, run_id)) for run_id in tree}
        await run.cancel("again")
        result = await run.result()
        await anyio.sleep(10_000.0)
        after = [
            record.fact
            for run_id in tree
            for record in (await records_of(engine.runs.journal, run_id))[length[run_id] :]
        ]
        steps = [fact.step for fact in await facts_of(run, f.StepPassed)]
        assert engine.runs.drivers() == []
    assert result == Cancelled(run_id=run.id, reason="enough", usage=result.usage)
    assert {fact.step for fact in after if isinstance(fact, f.StepDispatched)} <= {"tidy", "low_tidy"}
    assert steps[-1] == "tidy"
    assert len(tree) == (3 if plan is nested else 1)


@virtual
async def test_a_result_that_comes_after_the_cancellation_changes_nothing(open_engine: OpenEngine, pool: Pool) -> None:
    async with open_engine(pool) as engine:
        run = await engine.submit(running())
        await until(run, f.StepDispatched)
        await run.cancel()
        result = await run.result()
        before = await kinds_of(run)
        key = TaskKey(run.id, "x", -1, 1)  # type: ignore[arg-type]  # ids
        engine.runs._deliver(TaskDone(key=key, worker="late", output=1))
        await anyio.sleep(1.0)
        assert await kinds_of(run) == before
        assert await run.result() == result


@pytest.mark.parametrize("isolation", ["async", "thread", "process"])
@real
async def test_running_work_is_fenced_whatever_isolates_it(open_engine: OpenEngine, isolation: str) -> None:
    pool = Pool("p", concurrency=4)
    if isolation == "async":
        fn = pool.worker(sleep_for)
        release = None
    elif isolation == "thread":
        release = threading.Event()

        @pool.worker(isolation="thread")
        def block(ctx: WorkContext, seconds: float) -> float:
            release.wait(20)
            return seconds

        fn = block
    else:
        release = None
        pool, fn = child_pool.pool, child_pool.doze
    with Plan("isolated") as p:
        p.step(fn, id="x", seconds=20.0)
    async with open_engine(pool) as engine:
        run = await engine.submit(p.freeze())
        await until(run, f.StepDispatched)
        await anyio.sleep(0.05)
        with anyio.fail_after(60):
            await run.cancel("stop")
            result = await run.result()
        if release is not None:
            release.set()
            await anyio.sleep(0.05)
        kinds = await kinds_of(run)
    assert isinstance(result, Cancelled)
    assert "step.produced" not in kinds
    assert kinds[-1] == "run.ended"


async def test_cancelling_an_ended_run_leaves_it_as_it_is(open_engine: OpenEngine, pool: Pool) -> None:
    with Plan("short") as p:
        p.result(p.step(double, id="d", x=1))
    async with open_engine(pool) as engine:
        run = await engine.submit(p.freeze())
        result = await run.result()
        kinds = await kinds_of(run)
        await run.cancel()
        await run.cancel()
        assert await run.result() == result == Succeeded(run_id=run.id, output=2, usage=result.usage)
        assert await kinds_of(run) == kinds
        with pytest.raises(RunNotFound):
            await engine.runs.cancel("nobody")  # type: ignore[arg-type]  # an id


@virtual
async def test_a_cancelled_sub_plan_alone_is_a_failure_that_climbs_the_ladder_of_its_parent(
    open_engine: OpenEngine, pool: Pool
) -> None:
    with Plan("inner") as inner:
        inner.step(hang, id="x")
    with Plan("outer") as outer:
        sub = outer.plan(inner.freeze(), id="sub", on_fail=[ladder.retry(1)])
        outer.result(outer.step(double, id="d", x=1, needs=[sub]))
    async with open_engine(pool) as engine:
        run = await engine.submit(outer.freeze())
        for child in (f"{run.id}.sub", f"{run.id}.sub#2"):
            while engine.runs.driver(child) is None:  # type: ignore[arg-type]  # noqa: ASYNC110  # an id; virtual time
                await anyio.sleep(0.1)
            await anyio.sleep(0.1)
            await engine.runs.cancel(child, reason="no")  # type: ignore[arg-type]  # an id
        result = await run.result()
    assert isinstance(result, Failed)
    assert result.cause == f"sub: child: sub-plan {run.id}.sub#2 cancelled: no"


@virtual
@pytest.mark.parametrize("wait", [0.0, 1.0])
async def test_cancelling_from_many_sides_at_once_ends_the_run_once(
    open_engine: OpenEngine, pool: Pool, wait: float
) -> None:
    async def again(run: Run) -> None:
        await run.cancel("many")

    async with open_engine(pool) as engine:
        run = await engine.submit(nested())
        await anyio.sleep(wait)
        async with anyio.create_task_group() as group:
            for _ in range(20):
                group.start_soon(again, run)
        assert isinstance(await run.result(), Cancelled)
        kinds = await kinds_of(run)
    assert kinds.count("cancel.requested") == kinds.count("run.ended") == 1
