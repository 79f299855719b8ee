"""Steps start when their inputs exist; one branch failing leaves its siblings running; results are values."""

import anyio
import pytest

from orchestrator import Budget, Degraded, Failed, Gap, Plan, Succeeded, checks, ladder
from orchestrator.core import facts as f
from tests.engine.conftest import OpenEngine
from workers import Pool, WorkContext

pytestmark = pytest.mark.anyio


def pool_of(*functions: object, concurrency: int = 100) -> Pool:
    pool = Pool("p", concurrency=concurrency)
    for function in functions:
        pool.worker(function)  # type: ignore[call-overload]  # a decorator used as a call
    return pool


async def sleep_for(ctx: WorkContext, seconds: float) -> float:
    await anyio.sleep(seconds)
    return seconds


async def double(ctx: WorkContext, x: int) -> int:
    if x < 0:
        raise ValueError(f"no negative numbers: {x}")
    return 2 * x


async def total(ctx: WorkContext, xs: list[int]) -> int:
    return sum(xs)


@pytest.mark.parametrize("anyio_backend", ["trio"], indirect=True)
async def test_a_step_starts_the_moment_its_own_input_exists(open_engine: OpenEngine) -> None:
    pool = pool_of(sleep_for)
    with Plan("eager") as p:
        slow = p.step(sleep_for, id="slow", seconds=1.0)
        fast = p.step(sleep_for, id="fast", seconds=0.05)
        after = p.step(sleep_for, id="after", seconds=0.01, needs=[fast])
        p.result([slow, after])
    async with open_engine(pool) as engine:
        run = await engine.submit(p.freeze())
        assert isinstance(await run.result(), Succeeded)
        times = {
            (record.fact.step, record.fact.KIND): record.fact.at_s
            async for record in run.events()
            if isinstance(record.fact, f.StepDispatched | f.StepPassed)
        }
    assert times["after", "step.dispatched"] - times["fast", "step.passed"] < 0.01
    assert times["after", "step.passed"] < times["slow", "step.passed"]


async def test_one_branch_of_five_raises_and_four_results_and_one_gap_remain(open_engine: OpenEngine) -> None:
    pool = pool_of(double, total)
    with Plan("siblings") as p:
        doubled = p.map(double, id="doubled", over=[1, 2, -3, 4, 5], on_fail=[ladder.gap()])
        p.result(p.step(total, id="total", xs=doubled.passed))
    async with open_engine(pool) as engine:
        result = await (await engine.submit(p.freeze())).result()
    assert isinstance(result, Degraded)
    assert result.output == 24
    assert result.gaps == (Gap(step="doubled", branch=2, reason=result.gaps[0].reason),)
    assert result.gaps[0].reason.startswith("worker: ValueError: no negative numbers: -3")


async def test_a_sub_plan_with_a_gap_leaves_its_parent_degraded(open_engine: OpenEngine) -> None:
    pool = pool_of(double, total)
    with Plan("inner", inputs={"xs": {"type": "array"}}) as inner:
        doubled = inner.map(double, id="doubled", over=inner.inputs.xs, on_fail=[ladder.gap()])
        inner.result(inner.step(total, id="total", xs=doubled.passed))
    with Plan("outer") as outer:
        sub = outer.plan(inner.freeze(), id="sub", xs=[1, -2, 3, 4, 5])
        outer.result(outer.step(double, id="twice", x=sub))
    async with open_engine(pool) as engine:
        result = await (await engine.submit(outer.freeze())).result()
    assert isinstance(result, Degraded)
    assert result.output == 52
    assert [(gap.step, gap.branch) for gap in result.gaps] == [("sub", None)]


async def test_a_failed_ancestor_of_the_result_fails_the_run_and_names_the_root(open_engine: OpenEngine) -> None:
    pool = pool_of(double, total)
    with Plan("failing") as p:
        bad = p.step(double, id="bad", x=-1)
        p.result(p.step(double, id="below", x=bad))
    async with open_engine(pool) as engine:
        result = await (await engine.submit(p.freeze())).result()
    assert isinstance(result, Failed)
    assert result.cause.startswith("bad: worker: ValueError")


@pytest.mark.parametrize("limit", [3, 5, 9])
@pytest.mark.parametrize("parallel", [2, 4, 8])
async def test_a_limit_on_steps_is_met_exactly_under_parallel_branches(
    open_engine: OpenEngine, limit: int, parallel: int
) -> None:
    ran: list[int] = []

    async def count(ctx: WorkContext, x: int) -> int:
        ran.append(x)
        await anyio.sleep(0.001)
        return x

    pool = pool_of(count)
    with Plan("limited", budget=Budget(steps=limit)) as p:
        mapped = p.map(count, id="mapped", over=list(range(20)), max_parallel=parallel)
        p.result(mapped)
    async with open_engine(pool) as engine:
        result = await (await engine.submit(p.freeze())).result()
    assert isinstance(result, Degraded)
    assert len(ran) == limit == result.usage.steps
    assert len(result.gaps) == 20 - limit
    assert {gap.reason for gap in result.gaps} == {"budget.steps"}


async def test_an_output_that_fails_its_rule_is_never_read(open_engine: OpenEngine) -> None:
    pool = pool_of(double, total)
    with Plan("gated") as p:
        doubled = p.step(double, id="doubled", x=4, checks=[checks.rule("output > 100")], on_fail=[ladder.retry(2)])
        p.result(p.step(double, id="reader", x=doubled))
    async with open_engine(pool) as engine:
        run = await engine.submit(p.freeze())
        result = await run.result()
        kinds = [(r.fact.step, r.fact.KIND) async for r in run.events() if isinstance(r.fact, f.StepFact)]
    assert isinstance(result, Failed)
    assert ("reader", "step.dispatched") not in kinds
    assert kinds.count(("doubled", "step.dispatched")) == 2  # the repeat detector spares the second retry
