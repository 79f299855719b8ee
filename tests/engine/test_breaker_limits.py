"""What a hostile plan would slip through: wall times no float holds, sub-plans after everything else, sessions."""

import pytest

from orchestrator import Budget, Degraded, Plan, Stopped, Succeeded, checks
from orchestrator.core import facts as f
from orchestrator.engine.operations import Operations
from orchestrator.errors import PromiseError, ValueRefused
from orchestrator.ids import JsonValue
from orchestrator.plan.files import parse_plan
from tests.engine.conftest import OpenEngine
from tests.engine.test_scheduling import pool_of, sleep_for
from workers import WorkContext

pytestmark = pytest.mark.anyio


async def echo(ctx: WorkContext, x: JsonValue) -> JsonValue:
    return x


@pytest.mark.parametrize("anyio_backend", ["trio"], indirect=True)
@pytest.mark.parametrize("wall_s", [0.06, 0.1, 1 / 3, 12.345678, 0.7, 1.1])
async def test_a_wall_time_that_no_sum_of_floats_meets_still_ends_the_run(
    open_engine: OpenEngine, wall_s: float
) -> None:
    pool = pool_of(sleep_for)
    with Plan("walled", budget=Budget(wall=wall_s)) as p:
        slow = p.step(sleep_for, id="slow", seconds=10_000.0, timeout={"attempt": 20_000.0, "total": 20_000.0})
        p.step(sleep_for, id="after", seconds=0.0, needs=[slow])
        p.step(sleep_for, id="last", seconds=0.0, finally_=True)
    async with open_engine(pool) as engine:
        run = await engine.submit(p.freeze())
        result = await run.result()
        hits = [record.fact async for record in run.events() if isinstance(record.fact, f.LimitHit)]
    assert isinstance(result, Stopped)
    assert [(gap.step, gap.reason) for gap in result.gaps] == [("slow", "budget.wall"), ("after", "budget.wall")]
    assert result.partial == {"last": 0.0}
    assert [hit.limit for hit in hits] == ["wall"]


async def test_the_steps_of_a_sub_plan_after_everything_else_are_held_back(open_engine: OpenEngine) -> None:
    plan = parse_plan("""
name: t
budget: {steps: 4}
steps:
  first: {pool: p, call: echo, foreach: {over: [1, 2, 3]}, with: {x: "${{ item }}"}}
  last:
    finally: true
    plan:
      name: inner
      steps:
        a: {pool: p, call: echo, with: {x: 1}}
        b: {pool: p, call: echo, with: {x: 2}}
""")
    async with open_engine(pool_of(echo)) as engine:
        result = await (await engine.submit(plan)).result()
    assert isinstance(result, Degraded)
    assert result.output == {"first": [1, None, None], "last": {"a": 1, "b": 2}}
    assert result.usage.steps == 4


@pytest.mark.parametrize(
    "text",
    [
        'name: t\nsteps:\n  a: {pool: p, call: echo, with: {x: "${{ session.summary }}"}}',
        "name: t\nsteps:\n  a: {pool: p, call: echo, with: {x: 1}}\nresult: ${{ session.turns }}",
        "name: t\nsteps:\n  a: {plan: {name: i, steps: {b: {pool: p, call: echo, with: {x: '${{ session.turns }}'}}}}}",
    ],
    ids=["step", "result", "sub-plan"],
)
async def test_a_plan_that_speaks_of_a_session_is_refused_where_there_is_none(
    open_engine: OpenEngine, text: str
) -> None:
    async with open_engine(pool_of(echo)) as engine:
        with pytest.raises(PromiseError, match="refers to a session"):
            await engine.submit(parse_plan(text))


async def test_samples_agree_within_the_tolerance_wherever_their_numbers_stand(open_engine: OpenEngine) -> None:
    said = iter([{"v": [{"n": 100}]}, {"v": [{"n": True}]}, {"v": [{"n": 104.0}]}])

    async def differ(ctx: WorkContext) -> JsonValue:
        return next(said)  # type: ignore[return-value]  # JSON

    pool = pool_of(differ)
    with Plan("t") as p:
        p.result(p.step(differ, id="a", checks=[checks.agree(3, 2, tolerance=0.05)]))
    async with open_engine(pool) as engine:
        result = await (await engine.submit(p.freeze())).result()
    assert isinstance(result, Succeeded)
    assert result.output == {"v": [{"n": 100}]}


@pytest.mark.parametrize("said", ["a\0", "\ud800"], ids=["nul", "surrogate"])
async def test_words_of_a_person_that_cannot_be_kept_are_refused_and_the_run_goes_on(
    open_engine: OpenEngine, said: str
) -> None:
    pool = pool_of(echo)
    with Plan("t") as p:
        p.step(echo, id="first", x=1)
        p.result(p.human("ask", ask="?", choices=["yes", "no"]))
    async with open_engine(pool) as engine:
        run = await engine.submit(p.freeze())
        assert await run.result_or_waiting() is None
        people = Operations(engine.runs)
        with pytest.raises(ValueRefused):
            await people.approve(run.id, "ask", "yes", reason=said)
        with pytest.raises(ValueRefused):
            await people.approve(run.id, "ask", "yes", by=said)
        with pytest.raises(ValueRefused):
            await people.cancel(run.id, reason=said)
        with pytest.raises(ValueRefused):
            await people.quarantine(run.id, "first", reason=said)
        await people.approve(run.id, "ask", "yes", reason="well")
        result = await run.result()
    assert isinstance(result, Succeeded)
    assert isinstance(result.output, dict)
    assert (result.output["choice"], result.output["reason"]) == ("yes", "well")
