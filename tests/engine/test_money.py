"""Money under parallel workers: reserved before it is spent, never beyond the limit, charged once, kept by a crash."""

from contextlib import suppress

import anyio
import pytest

from orchestrator import Budget, Degraded, Failed, Plan, Stopped, Succeeded, ladder
from orchestrator.adapters.memory.journal import MemoryJournal
from orchestrator.core import facts as f
from orchestrator.engine.handle import Run
from orchestrator.engine.operations import Operations
from orchestrator.ports.journal import Recorded
from orchestrator.ports.tasks import TaskKey, TaskSpent
from tests.engine.conftest import OpenEngine
from tests.engine.helpers import facts_of, pool_of, records_of, virtual
from workers import BudgetExceeded, Pool, WorkContext

pytestmark = [pytest.mark.anyio, virtual]


def most_held(records: list[Recorded], limit: float) -> tuple[float, float]:
    """The most that was ever spent and reserved together, and what was spent in the end. Reads the journal alone."""
    held: dict[str, float] = {}
    spent = most = 0.0
    for record in records:
        fact = record.fact
        if isinstance(fact, f.BudgetReserved):
            held[fact.charge] = fact.usd
        elif isinstance(fact, f.BudgetSettled):
            held.pop(fact.charge, None)
            spent += fact.usd
        most = max(most, spent + sum(held.values()))
    return most, spent


@pytest.mark.parametrize("parallel", [2, 4, 8, 100])
async def test_reservations_never_exceed_the_limit_however_many_race(open_engine: OpenEngine, parallel: int) -> None:
    granted: list[int] = []

    async def pay(ctx: WorkContext, x: int) -> int:
        async with ctx.reserve(usd=0.125) as held:
            granted.append(x)
            await anyio.sleep(1.0)
            held.settle(usd=0.125)
        return x

    pool = pool_of(pay)
    with Plan("pay", budget=Budget(usd=1.0)) as p:
        p.map(pay, id="pay", over=list(range(100)), max_parallel=parallel, on_fail=[ladder.gap()])
    async with open_engine(pool) as engine:
        run = await engine.submit(p.freeze())
        result = await run.result()
        most, spent = most_held(await records_of(engine.runs.journal, run.id), 1.0)
    assert isinstance(result, Degraded)
    assert (most, spent, result.usage.usd, len(granted)) == (1.0, 1.0, 1.0, 8)


@pytest.mark.parametrize("parallel", [2, 4, 8, 100])
async def test_spending_unasked_overshoots_by_no_more_than_what_was_in_flight(
    open_engine: OpenEngine, parallel: int
) -> None:
    async def pay(ctx: WorkContext, x: int) -> int:
        await anyio.sleep(1.0)
        await ctx.cost(usd=0.125)
        return x

    pool = pool_of(pay)
    with Plan("pay", budget=Budget(usd=1.0)) as p:
        p.map(pay, id="pay", over=list(range(200)), max_parallel=parallel, on_fail=[ladder.gap()])
    async with open_engine(pool) as engine:
        run = await engine.submit(p.freeze())
        result = await run.result()
    assert isinstance(result, Degraded)
    assert 1.0 <= result.usage.usd <= 1.0 + parallel * 0.125


async def test_tokens_are_a_budget_of_their_own_and_the_refusal_says_what_is_left(open_engine: OpenEngine) -> None:
    refusals: list[tuple[str, float, float]] = []

    async def greedy(ctx: WorkContext) -> int:
        try:
            async with ctx.reserve(tokens=600):
                pass
            async with ctx.reserve(tokens=600):
                pass
        except BudgetExceeded as error:
            refusals.append((error.limit, error.asked, error.left))
        return 1

    pool = pool_of(greedy)
    with Plan("tokens", budget=Budget(tokens=1000)) as p:
        p.result(p.step(greedy, id="g"))
    async with open_engine(pool) as engine:
        result = await (await engine.submit(p.freeze())).result()
    assert refusals == [("tokens", 600.0, 400.0)]
    assert (result.usage.tokens, type(result)) == (600, Succeeded)


async def test_the_same_charge_told_twice_or_late_counts_once(open_engine: OpenEngine) -> None:
    async def pay(ctx: WorkContext) -> int:
        for _ in range(3):
            await ctx.cost(usd=0.25, tokens=5, charge="request-7")
        await ctx.cost(usd=0.125, charge="request-8")
        return 1

    pool = pool_of(pay)
    with Plan("pay") as p:
        said = p.human("said", ask="Go on?", choices=["yes"])
        p.result(p.step(pay, id="pay"))
        p.step(pay, id="again", needs=[said])
    async with open_engine(pool) as engine:
        run = await engine.submit(p.freeze())
        assert await run.result_or_waiting() is None
        late = TaskSpent(key=TaskKey(run.id, "pay", -1, 1), worker="w", charge="request-9", usd=0.5)  # type: ignore[arg-type]  # ids
        for _ in range(2):
            engine.runs._deliver(late)
        await Operations(engine.runs).approve(run.id, "said", "yes")
        result = await run.result()
    assert (result.usage.usd, result.usage.tokens) == (0.875, 5)


async def test_what_a_lost_attempt_had_reserved_stays_charged_until_it_is_settled(open_engine: OpenEngine) -> None:
    async def pay(ctx: WorkContext) -> str:
        try:
            async with ctx.reserve(usd=0.75) as held:
                if ctx.attempt == 1:
                    await anyio.sleep(3600.0)
                held.settle(usd=0.5)
        except BudgetExceeded as error:
            return f"refused with {error.left:g} left"
        return "paid"

    pool = pool_of(pay)
    with Plan("pay", budget=Budget(usd=1.0)) as p:
        p.result(p.step(pay, id="pay"))
    journal = MemoryJournal()
    found: list[Run] = []
    with suppress(KeyError):
        async with open_engine(pool, journal=journal) as engine:
            found.append(await engine.submit(p.freeze()))
            await anyio.sleep(10.0)
            raise KeyError
    async with open_engine(pool_of(pay), journal=journal) as engine:
        result = await Run(engine.runs, found[0].id).result()
    assert isinstance(result, Succeeded)
    assert result.output == "refused with 0.25 left"


async def test_a_worker_of_an_ended_run_is_refused(open_engine: OpenEngine) -> None:
    asked = anyio.Event()
    answers: list[str] = []

    async def late(ctx: WorkContext) -> int:
        with anyio.CancelScope(shield=True):
            await asked.wait()
            try:
                await ctx.reserve(usd=0.1)
            except BudgetExceeded as error:
                answers.append(error.limit)
        return 1

    pool = pool_of(late)
    with Plan("late") as p:
        p.step(late, id="late")
    async with open_engine(pool) as engine:
        run = await engine.submit(p.freeze())
        await anyio.sleep(1.0)
        await run.cancel()
        await run.result()
        asked.set()
        await anyio.sleep(1.0)
    assert answers == ["run"]


async def chargeable(ctx: WorkContext, x: int) -> int:
    """Half a dollar each."""
    await ctx.cost(usd=0.5)
    return x


@pytest.fixture
def paid_chain() -> tuple[Pool, Plan]:
    """Six steps of half a dollar, one after the other, with a dollar to spend."""
    pool = pool_of(chargeable)
    with Plan("chain", budget=Budget(usd=1.0, on_limit="ask")) as p:
        x = p.step(chargeable, id="s0", x=7)
        for index in range(1, 6):
            x = p.step(chargeable, id=f"s{index}", x=x)
        p.result(x)
    return pool, p


@pytest.mark.parametrize(("policy", "passed"), [("degrade", {"s0": 7, "s1": 7}), ("stop", {"s0": 7})])
async def test_a_spent_budget_ends_the_run_with_what_passed(
    open_engine: OpenEngine, paid_chain: tuple[Pool, Plan], policy: str, passed: dict[str, int]
) -> None:
    pool, p = paid_chain
    async with open_engine(pool) as engine:
        run = await engine.submit(p.freeze(), budget=Budget(on_limit=policy))  # type: ignore[arg-type]  # a policy
        result = await run.result()
    assert isinstance(result, Stopped)
    assert (result.reason, result.partial, result.usage.usd) == ("budget.usd", passed, 1.0)


async def test_an_extended_budget_goes_on_as_often_as_it_is_extended(
    open_engine: OpenEngine, paid_chain: tuple[Pool, Plan]
) -> None:
    pool, p = paid_chain
    async with open_engine(pool) as engine:
        run, operations = await engine.submit(p.freeze()), Operations(engine.runs)
        asked: list[float] = []
        while await run.result_or_waiting() is None:
            (question,) = await operations.approvals(run.id)
            assert (question.step, question.subject, question.choices) == ("budget", "budget", ("extend", "stop"))
            asked.append(question.usd)
            await anyio.sleep(60.0)  # two answers in the very same moment would be one told twice
            await operations.approve(run.id, "budget", "extend", by="anna")
        result = await run.result()
        extended = [(fact.limit, fact.by) for fact in await facts_of(run, f.LimitExtended)]
    assert result == Succeeded(run_id=run.id, output=7, usage=result.usage)
    assert asked == [1.0, 2.0]  # the third time nothing is left that a grant could start
    assert extended == [("usd", 1.0)] * 2
    assert result.usage.usd == 3.0


@pytest.mark.parametrize("how", ["stop", "nobody"])
async def test_a_budget_that_is_not_extended_stops_the_run(
    open_engine: OpenEngine, paid_chain: tuple[Pool, Plan], how: str
) -> None:
    pool, p = paid_chain
    async with open_engine(pool) as engine:
        run = await engine.submit(p.freeze())
        assert await run.result_or_waiting() is None
        if how == "stop":
            await Operations(engine.runs).approve(run.id, "budget", "stop")
        result = await run.result()
    assert isinstance(result, Stopped)
    assert (result.reason, result.partial) == ("budget.usd", {"s0": 7, "s1": 7})


async def test_a_refused_reservation_that_is_not_caught_degrades_or_fails_by_policy(open_engine: OpenEngine) -> None:
    async def greedy(ctx: WorkContext) -> int:
        async with ctx.reserve(usd=5.0):
            return 1

    pool = pool_of(greedy)
    with Plan("greedy", budget=Budget(usd=1.0)) as p:
        p.result(p.step(greedy, id="g"))
    async with open_engine(pool) as engine:
        result = await (await engine.submit(p.freeze())).result()
    assert isinstance(result, Stopped | Failed)
    assert result.usage.usd == 0.0
