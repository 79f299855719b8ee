"""Sub-plans: results, failures, retries as new children, budgets over the tree, and what a restart finds of them."""

from contextlib import suppress

import anyio
import pytest

from orchestrator import Budget, Degraded, Failed, FrozenPlan, Gap, Plan, Stopped, Succeeded, ladder
from orchestrator.adapters.memory.journal import MemoryJournal
from orchestrator.core import facts as f
from orchestrator.engine.handle import Run
from orchestrator.engine.operations import Operations
from orchestrator.ids import RunId
from orchestrator.ports.journal import Append, RunQuery
from tests.engine.conftest import OpenEngine
from tests.engine.helpers import double, facts_of, pool_of, records_of, sleep_for, total, until, virtual
from workers import Pool, WorkContext

pytestmark = pytest.mark.anyio
FAIL_UNTIL: list[int] = []


async def moody(ctx: WorkContext, x: int) -> int:
    """Fail as often as the test says."""
    if FAIL_UNTIL and FAIL_UNTIL[0] > 0:
        FAIL_UNTIL[0] -= 1
        raise ValueError("not today")
    return x + 1


async def spend(ctx: WorkContext, usd: float) -> float:
    """Book money."""
    await ctx.cost(usd=usd, tokens=10)
    return usd


@pytest.fixture(autouse=True)
def pool() -> Pool:
    """Built first: plans name its functions."""
    FAIL_UNTIL.clear()
    return pool_of(double, total, moody, spend, sleep_for)


def around(inner: FrozenPlan, **options: object) -> FrozenPlan:
    """A plan whose one step is `inner`."""
    with Plan("outer") as p:
        p.result(p.plan(inner, id="sub", **options))  # type: ignore[arg-type]  # options of a step
    return p.freeze()


def inner_of(fn: object, **arguments: object) -> FrozenPlan:
    """A plan of one step."""
    with Plan("inner") as p:
        p.result(p.step(fn, id="only", **arguments))  # type: ignore[arg-type]  # arguments of a step
    return p.freeze()


async def test_three_levels_hand_their_results_up(open_engine: OpenEngine, pool: Pool) -> None:
    with Plan("low", inputs={"x": {"type": "integer"}}) as low:
        low.result(low.step(double, id="d", x=low.inputs.x))
    with Plan("mid", inputs={"x": {"type": "integer"}}) as mid:
        mid.result(mid.step(double, id="d", x=mid.plan(low.freeze(), id="low", x=mid.inputs.x)))
    with Plan("top") as top:
        top.result(top.step(double, id="d", x=top.plan(mid.freeze(), id="mid", x=3)))
    async with open_engine(pool) as engine:
        run = await engine.submit(top.freeze())
        result = await run.result()
        rows = await engine.runs.journal.runs(RunQuery())
    assert result == Succeeded(run_id=run.id, output=24, usage=result.usage)
    assert result.usage.steps == 5
    assert sorted(row.run_id[len(run.id) :] for row in rows) == ["", ".mid", ".mid.low"]
    assert {row.status for row in rows} == {"succeeded"}


async def test_a_failed_sub_plan_is_tried_again_as_a_new_run(open_engine: OpenEngine, pool: Pool) -> None:
    FAIL_UNTIL[:] = [2]
    async with open_engine(pool) as engine:
        run = await engine.submit(around(inner_of(moody, x=1), on_fail=[ladder.retry(2)]))
        assert await run.result() == Succeeded(run_id=run.id, output=2, usage=(await run.result()).usage)
        children = [(c.child[len(run.id) :], c.attempt) for c in await facts_of(run, f.ChildStarted)]
        ended = [(c.child[len(run.id) :], c.status) for c in await facts_of(run, f.ChildEnded)]
    assert children == [(".sub", 1), (".sub#2", 2), (".sub#3", 3)]
    assert ended == [(".sub", "failed"), (".sub#2", "failed"), (".sub#3", "succeeded")]


async def test_a_sub_plan_that_stays_failed_becomes_what_the_ladder_says(open_engine: OpenEngine, pool: Pool) -> None:
    FAIL_UNTIL[:] = [100]
    with Plan("outer") as p:
        p.plan(inner_of(moody, x=1), id="sub", on_fail=[ladder.retry(1), ladder.gap()])
        p.result(p.step(double, id="d", x=1))
    async with open_engine(pool) as engine:
        run = await engine.submit(p.freeze())
        result = await run.result()
    why = f"child: sub-plan {run.id}.sub#2 failed: only: worker: ValueError: not today"
    assert isinstance(result, Degraded)
    assert (result.output, result.gaps[0].step) == (2, "sub")
    assert result.gaps[0].reason.startswith(why)


async def test_inputs_that_do_not_fit_fail_the_step_without_a_run(open_engine: OpenEngine, pool: Pool) -> None:
    with Plan("inner", inputs={"x": {"type": "integer", "minimum": 10}}) as inner:
        inner.result(inner.step(double, id="d", x=inner.inputs.x))
    with Plan("outer") as p:
        one = p.step(double, id="one", x=1)
        p.result(p.plan(inner.freeze(), id="sub", x=one))
    async with open_engine(pool) as engine:
        run = await engine.submit(p.freeze())
        result = await run.result()
        rows = await engine.runs.journal.runs(RunQuery())
    assert isinstance(result, Failed)
    assert result.cause.startswith(f"sub: child: sub-plan {run.id}.sub failed: input 'x'")
    assert [row.run_id for row in rows] == [run.id]


@pytest.mark.parametrize("limit", [3, 5, 9])
@pytest.mark.parametrize("parallel", [2, 4, 8])
async def test_a_limit_on_steps_holds_exactly_over_the_tree(open_engine: OpenEngine, limit: int, parallel: int) -> None:
    ran: list[int] = []

    async def count(ctx: WorkContext, x: int) -> int:
        ran.append(x)
        await anyio.sleep(0.001)
        return x

    pool = pool_of(count)
    with Plan("inner", inputs={"x": {"type": "integer"}}) as inner:
        inner.result(inner.step(count, id="only", x=inner.inputs.x))
    with Plan("outer", budget=Budget(steps=limit)) as p:
        one = p.step(count, id="one", x=-1)
        p.plan(
            inner.freeze(),
            id="sub",
            over=list(range(8)),
            max_parallel=parallel,
            on_fail=[ladder.gap()],
            x=p.item,
            needs=[one],
        )
    async with open_engine(pool) as engine:
        run = await engine.submit(p.freeze())
        result = await run.result()
        children = len(await facts_of(run, f.ChildStarted))
    assert isinstance(result, Degraded | Stopped)
    assert children == (limit - 1) // 2  # each takes a step of its own and one inside
    assert len(ran) + children == limit == result.usage.steps


async def test_money_comes_back_to_the_parent_to_the_cent(open_engine: OpenEngine, pool: Pool) -> None:
    with Plan("outer", budget=Budget(usd=1.0, tokens=1000)) as p:
        first = p.plan(inner_of(spend, usd=0.25), id="first")
        p.result(p.plan(inner_of(spend, usd=0.5), id="second", needs=[first]))
    async with open_engine(pool) as engine:
        run = await engine.submit(p.freeze())
        result = await run.result()
        shares = [(c.usd, c.tokens) for c in await facts_of(run, f.ChildStarted)]
    assert isinstance(result, Succeeded)
    assert (result.usage.usd, result.usage.tokens) == (0.75, 20)
    assert shares[1] == (0.75, 990)


@virtual
async def test_steps_beside_a_sub_plan_start_and_pay_without_waiting_for_its_end(open_engine: OpenEngine) -> None:
    async def pay(ctx: WorkContext, x: int) -> int:
        async with ctx.reserve(usd=0.125) as held:
            held.settle(usd=0.125)
        return x

    pool = pool_of(double, sleep_for, pay)
    with Plan("outer") as p:
        first = p.step(sleep_for, id="first", seconds=1.0)
        paid = p.step(pay, id="paid", x=1, needs=[first])
        mapped = p.map(double, id="mapped", over=[1, 2, 3], needs=[paid])
        sub = p.plan(inner_of(sleep_for, seconds=500.0), id="sub")
        p.result([paid, mapped, sub])
    async with open_engine(pool) as engine:
        run = await engine.submit(p.freeze())
        result = await run.result()
        start_s = (await facts_of(run, f.RunAccepted))[0].at_s
        passed = {fact.step: round(fact.at_s - start_s, 3) for fact in await facts_of(run, f.StepPassed)}
    assert result == Succeeded(run_id=run.id, output=[1, [2, 4, 6], 500.0], usage=result.usage)
    assert passed == {"first": 1.0, "paid": 1.0, "mapped": 1.0, "sub": passed["sub"]}


# ---- restarts


class Crash(Exception):
    """The process dies here."""


async def interrupted(open_engine: OpenEngine, pool: Pool, journal: MemoryJournal, plan: FrozenPlan, kind: str) -> str:
    """Run a plan until a fact of some kind is in any journal, then die."""
    run_id = ""
    with suppress(Crash):
        async with open_engine(pool, journal=journal) as engine:
            run = await engine.submit(plan)
            run_id = run.id
            seen: set[str] = set()
            while kind not in seen:
                await anyio.sleep(0.001)
                for row in await journal.runs(RunQuery()):
                    seen |= {record.fact.KIND for record in await records_of(journal, row.run_id)}
            raise Crash
    return run_id


@virtual
@pytest.mark.parametrize("kind", ["run.accepted", "child.started", "step.dispatched"])
async def test_a_sub_plan_goes_on_under_the_next_engine(open_engine: OpenEngine, pool: Pool, kind: str) -> None:
    journal = MemoryJournal()
    plan = around(inner_of(sleep_for, seconds=5.0))
    run_id = await interrupted(open_engine, pool, journal, plan, kind)
    async with open_engine(pool, journal=journal) as engine:
        run = Run(engine.runs, run_id)  # type: ignore[arg-type]  # an id
        result = await run.result()
        rows = await journal.runs(RunQuery())
        children = [child.child for child in await facts_of(run, f.ChildStarted)]
    assert result == Succeeded(run_id=run_id, output=5.0, usage=result.usage)  # type: ignore[arg-type]  # an id
    assert children == [f"{run_id}.sub"]
    assert {row.status for row in rows} == {"succeeded"}


class Cut(MemoryJournal):
    """A journal whose process dies when a fact of some kind is to be written; `wrote` counts what came before."""

    def __init__(self, kind: str) -> None:
        super().__init__()
        self.kind = kind

    async def append(self, entries: list[Append]) -> tuple[str, ...]:  # type: ignore[override]  # narrower on purpose
        if self.kind and any(self.kind == fact.KIND for entry in entries for fact in entry.facts):
            self.kind = ""
            raise Crash
        return await super().append(entries)


@virtual
async def test_a_sub_plan_that_ended_untold_is_told_of_and_not_run_again(open_engine: OpenEngine) -> None:
    ran: list[int] = []

    async def count(ctx: WorkContext, x: int) -> int:
        ran.append(x)
        return x

    pool = pool_of(count)
    journal = Cut("child.ended")
    with pytest.raises(ExceptionGroup):  # the whole life of an engine
        async with open_engine(pool, journal=journal) as engine:
            await (await engine.submit(around(inner_of(count, x=4)))).result()
    (parent,) = await journal.runs(RunQuery(top_level=True))
    (child,) = await journal.runs(RunQuery(parent=parent.run_id))
    assert (parent.status, child.status) == ("open", "succeeded")
    async with open_engine(pool, journal=journal) as engine:
        result = await Run(engine.runs, parent.run_id).result()
    assert result == Succeeded(run_id=parent.run_id, output=4, usage=result.usage)
    assert ran == [4]


@virtual
async def test_a_sub_plan_that_never_came_to_be_is_started_by_the_next_engine(
    open_engine: OpenEngine, pool: Pool
) -> None:
    class CutChild(MemoryJournal):
        cut = True

        async def append(self, entries: list[Append]) -> tuple[str, ...]:  # type: ignore[override]  # narrower
            if self.cut and any(entry.run_id.endswith(".sub") for entry in entries):
                self.cut = False
                raise Crash
            return await super().append(entries)

    journal = CutChild()
    with pytest.raises(ExceptionGroup):  # the whole life of an engine
        async with open_engine(pool, journal=journal) as engine:
            await (await engine.submit(around(inner_of(double, x=4)))).result()
    (parent,) = await journal.runs(RunQuery())
    async with open_engine(pool, journal=journal) as engine:
        result = await Run(engine.runs, parent.run_id).result()
    assert result == Succeeded(run_id=parent.run_id, output=8, usage=result.usage)


@virtual
@pytest.mark.parametrize("child", ["ended", "never", "open"])
async def test_a_sub_plan_that_nobody_waits_for_any_more_does_not_keep_its_parent_open(
    open_engine: OpenEngine, child: str
) -> None:
    pool, journal = pool_of(double, sleep_for), Cut("child.ended")
    inner = inner_of(sleep_for, seconds=60.0)
    with Plan("racing") as p:
        beaten = p.plan(inner, id="sub")
        p.result(p.step(double, id="after", x=2, needs=[p.step(double, id="fast", x=1), beaten], join="any"))
    with pytest.raises(ExceptionGroup):  # the whole life of an engine
        async with open_engine(pool, journal=journal) as engine:
            await (await engine.submit(p.freeze())).result()
    (parent,) = await journal.runs(RunQuery(top_level=True))
    child_id = RunId(f"{parent.run_id}.sub")
    records = {run: await records_of(journal, run) for run in (parent.run_id, child_id)}
    assert isinstance(records[child_id][-1].fact, f.RunEnded)
    facts = {run: tuple(record.fact for record in found) for run, found in records.items()}
    settled = next(at for at, fact in enumerate(facts[parent.run_id]) if isinstance(fact, f.StepCancelled))
    told = next(at for at, fact in enumerate(facts[child_id]) if isinstance(fact, f.CancelRequested))
    left = MemoryJournal()  # what there would be, had the process died a little earlier
    await left.append([Append(run_id=parent.run_id, first_seq=1, epoch=1, facts=facts[parent.run_id][: settled + 1])])
    if child != "never":
        kept = facts[child_id] if child == "ended" else facts[child_id][:told]
        await left.append([Append(run_id=child_id, first_seq=1, epoch=1, facts=kept)])
    async with open_engine(pool, journal=left) as engine:
        run = Run(engine.runs, parent.run_id)
        result = await run.result()
        with anyio.fail_after(600.0):  # the account is settled, however late
            while not (settlings := await facts_of(run, f.ChildEnded)):  # noqa: ASYNC110  # no stream goes beyond an end
                await anyio.sleep(0.01)
        assert await left.runs(RunQuery(status=("open",))) == []
    assert result == Succeeded(run_id=parent.run_id, output=4, usage=result.usage)
    assert [(fact.child, fact.status) for fact in settlings] == [(child_id, "cancelled")]


@virtual
async def test_a_parent_waits_when_all_that_is_open_below_waits_for_people(open_engine: OpenEngine, pool: Pool) -> None:
    with Plan("low") as low:
        low.result(low.human("ask", ask="Go on?", choices=["yes"], expires="48h").output["choice"])
    with Plan("mid") as mid:
        mid.result(mid.plan(low.freeze(), id="low"))
    with Plan("top", budget=Budget(wall=60.0)) as top:
        first = top.step(sleep_for, id="first", seconds=10.0)
        top.result([top.plan(mid.freeze(), id="mid"), first])
    async with open_engine(pool) as engine:
        run = await engine.submit(top.freeze())
        assert await run.result_or_waiting() is None
        assert len(await facts_of(run, f.StepPassed)) == 1  # while `first` worked, the run did not wait
        await anyio.sleep(20 * 3600.0)  # far beyond the wall limit of all three
        (question,) = await Operations(engine.runs).approvals(run.id)
        await Operations(engine.runs).approve(question.run_id, "ask", "yes")
        result = await run.result_or_waiting()
    assert result == Succeeded(run_id=run.id, output=["yes", 10.0], usage=result.usage if result else None)  # type: ignore[arg-type]  # compared above


@virtual
async def test_a_waiting_sub_plan_still_counts_as_waiting_after_a_restart(open_engine: OpenEngine, pool: Pool) -> None:
    with Plan("low") as low:
        low.result(low.human("ask", ask="Go on?", choices=["yes"], expires="48h").output["choice"])
    journal = MemoryJournal()
    async with open_engine(pool, journal=journal) as engine:
        run = await engine.submit(around(low.freeze()))
        assert await run.result_or_waiting() is None
    await anyio.sleep(7200.0)
    async with open_engine(pool, journal=journal) as engine:
        run = Run(engine.runs, run.id)
        assert await run.result_or_waiting() is None
        await Operations(engine.runs).approve(f"{run.id}.sub", "ask", "yes")  # type: ignore[arg-type]  # an id
        result = await run.result_or_waiting()
    assert isinstance(result, Succeeded)


async def test_a_gap_below_degrades_every_level_above(open_engine: OpenEngine, pool: Pool) -> None:
    with Plan("low") as low:
        low.step(double, id="bad", x=-1, on_fail=[ladder.gap()])
        low.result(low.step(double, id="good", x=1))
    with Plan("mid") as mid:
        mid.result(mid.plan(low.freeze(), id="low"))
    async with open_engine(pool) as engine:
        run = await engine.submit(around(mid.freeze()))
        await until(run, f.RunEnded)
        result = await run.result()
    assert result == Degraded(
        run_id=run.id, output=2, gaps=(Gap(step="sub", branch=None, reason=result.gaps[0].reason),), usage=result.usage
    )
