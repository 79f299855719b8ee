"""What a caller meets at the door: keys, admission, refusals, and a journal without room."""

from collections.abc import Sequence

import anyio
import pytest

from orchestrator import Budget, Degraded, FrozenPlan, Plan, Succeeded, checks, ladder
from orchestrator.adapters.memory.journal import MemoryJournal
from orchestrator.engine.handle import Run
from orchestrator.errors import (
    AdmissionRefused,
    EngineClosed,
    IdempotencyConflict,
    InputError,
    JournalConflict,
    JournalError,
    JournalFull,
    OrchestratorError,
    PlanError,
    PromiseError,
    RunNotFound,
)
from orchestrator.ids import RunId
from orchestrator.plan.models import Plan as PlanModel
from orchestrator.ports.journal import Append, RunQuery
from tests.engine.conftest import OpenEngine
from tests.engine.helpers import double, hang, pool_of, virtual
from workers import Pool

pytestmark = pytest.mark.anyio


@pytest.fixture
def pool() -> Pool:
    """Built first: plans name its functions."""
    return pool_of(double, hang)


def doubling() -> FrozenPlan:
    """Twice the input."""
    with Plan("doubling", inputs={"x": {"type": "integer"}}) as p:
        p.result(p.step(double, id="d", x=p.inputs.x))
    return p.freeze()


def hanging() -> FrozenPlan:
    """Never ends by itself."""
    with Plan("hanging") as p:
        p.step(hang, id="h", timeout={"attempt": 3600.0, "total": 7200.0})
    return p.freeze()


async def test_a_key_stands_for_one_request(open_engine: OpenEngine, pool: Pool) -> None:
    journal = MemoryJournal()
    async with open_engine(pool, journal=journal) as engine:
        run = await engine.submit(doubling(), {"x": 1}, idempotency_key="k")
        assert (await engine.submit(doubling(), {"x": 1}, idempotency_key="k")).id == run.id
        other_tenant = await engine.submit(doubling(), {"x": 2}, idempotency_key="k", tenant="b")
        for inputs, budget in (({"x": 2}, None), ({"x": 1}, Budget(usd=0.5))):
            with pytest.raises(IdempotencyConflict) as caught:
                await engine.submit(doubling(), inputs, budget=budget, idempotency_key="k")
            assert caught.value.run_id == run.id
        await run.result()
        await other_tenant.result()
    async with open_engine(pool, journal=journal) as engine:  # ended, and in another process
        again = await engine.submit(doubling(), {"x": 1}, idempotency_key="k")
        assert (again.id, (await again.result()).output) == (run.id, 2)  # type: ignore[union-attr]  # Succeeded
        assert len(await journal.runs(RunQuery())) == 2


async def test_fifty_submissions_at_once_with_one_key_are_one_run(open_engine: OpenEngine, pool: Pool) -> None:
    found: list[str] = []
    async with open_engine(pool) as engine:

        async def submit() -> None:
            found.append((await engine.submit(doubling(), {"x": 3}, idempotency_key="k")).id)

        async with anyio.create_task_group() as group:
            for _ in range(50):
                group.start_soon(submit)
        rows = await engine.runs.journal.runs(RunQuery())
    assert len(found) == 50
    assert set(found) == {row.run_id for row in rows}
    assert len(rows) == 1


async def test_above_the_limit_nothing_is_created_and_slots_come_back(open_engine: OpenEngine, pool: Pool) -> None:
    with Plan("outer") as p:
        p.plan(hanging(), id="sub")
    async with open_engine(pool, open_runs_max=2) as engine:
        runs = [await engine.submit(p.freeze()), await engine.submit(hanging())]
        for key in (None, "k"):
            with pytest.raises(AdmissionRefused) as caught:
                await engine.submit(doubling(), {"x": 1}, idempotency_key=key)
            assert (caught.value.open_runs, caught.value.limit, caught.value.retry_after_s) == (2, 2, 1.0)
        assert len(await engine.runs.journal.runs(RunQuery(top_level=True))) == 2
        await runs[0].cancel()
        await runs[0].result()
        run = await engine.submit(doubling(), {"x": 1}, idempotency_key="k")
        assert isinstance(await run.result(), Succeeded)


BROKEN_INPUTS = [{}, {"x": "one"}, {"x": 1, "y": 2}]


@pytest.mark.parametrize("inputs", BROKEN_INPUTS)
async def test_inputs_that_do_not_fit_are_refused_at_once(
    open_engine: OpenEngine, pool: Pool, inputs: dict[str, object]
) -> None:
    async with open_engine(pool) as engine:
        with pytest.raises(InputError):
            await engine.submit(doubling(), inputs)  # type: ignore[arg-type]  # wrong on purpose
        assert await engine.runs.journal.runs(RunQuery()) == []


async def test_a_plan_for_other_pools_is_refused_with_its_place(open_engine: OpenEngine, pool: Pool) -> None:
    strangers = pool_of(name="strangers")

    @strangers.worker
    async def stranger() -> int:
        return 1

    with Plan("strange") as p:
        p.step(stranger, id="s")
    async with open_engine(pool) as engine:
        with pytest.raises(PlanError, match="strangers"):
            await engine.submit(p.freeze())
        assert await engine.runs.journal.runs(RunQuery()) == []


PROMISES = {
    "has a judge check": {"checks": [{"judge": {"rubric": "good"}}]},
    "has a replan rung": {"on_fail": [{"replan": "downstream"}]},
    "asks for the semantic cache, and no model tells": {"model": {"cache": "semantic"}},
    "asks for the batch service": {"model": {"batch": {"deadline": "6h"}}},
}


@pytest.mark.parametrize("depth", [0, 1])
@pytest.mark.parametrize("what", PROMISES)
async def test_a_promise_that_cannot_be_kept_is_refused_before_anything_starts(
    open_engine: OpenEngine, pool: Pool, what: str, depth: int
) -> None:
    step = {"pool": "p", "call": "double", "with": {"x": 1}, **PROMISES[what]}
    plan: dict[str, object] = {"version": 1, "name": "promising", "steps": {"s": step}}
    for _ in range(depth):
        plan = {"version": 1, "name": "outer", "steps": {"sub": {"plan": plan}}}
    async with open_engine(pool) as engine:
        with pytest.raises(PromiseError, match=what):
            await engine.submit(PlanModel.model_validate(plan))
        assert await engine.runs.journal.runs(RunQuery()) == []


async def test_a_goal_needs_a_supervisor(open_engine: OpenEngine, pool: Pool) -> None:
    plan = {"version": 1, "name": "goal", "steps": {"s": {"goal": "A brief on heat pumps"}}}
    async with open_engine(pool) as engine:
        with pytest.raises(PromiseError, match="step s is a goal"):
            await engine.submit(PlanModel.model_validate(plan))


async def test_a_closed_engine_takes_nothing_and_lets_nobody_wait_for_ever(open_engine: OpenEngine, pool: Pool) -> None:
    async with open_engine(pool) as engine:
        inner = engine.runs
        run = await engine.submit(hanging())
    with pytest.raises(EngineClosed):
        await engine.submit(doubling(), {"x": 1})
    with pytest.raises(EngineClosed):
        await inner.submit(doubling(), {"x": 1})
    with anyio.fail_after(60):
        with pytest.raises(EngineClosed):
            await run.cancel()
        with pytest.raises(JournalConflict, match="the engine was closed; the run is open in the journal"):
            await run.result()


async def test_a_draining_engine_takes_no_new_runs(open_engine: OpenEngine, pool: Pool) -> None:
    async with open_engine(pool) as engine:
        await engine.runs.drain(0.0)
        with pytest.raises(EngineClosed):
            await engine.submit(doubling(), {"x": 1})


async def test_unknown_runs_are_named(open_engine: OpenEngine, pool: Pool) -> None:
    async with open_engine(pool) as engine:
        with pytest.raises(RunNotFound, match="no run 'nobody'"):
            await Run(engine.runs, RunId("nobody")).result()


# ---- a journal in trouble


class Tight(MemoryJournal):
    """A journal without room while `full`, and broken while `broken`."""

    full = broken = False

    async def append(self, entries: Sequence[Append]) -> tuple[RunId, ...]:
        if self.full:
            raise JournalFull("disk")
        if self.broken:
            raise JournalError("the disk is gone")
        return await super().append(entries)


@virtual
async def test_without_room_everything_pauses_and_then_goes_on(open_engine: OpenEngine, pool: Pool) -> None:
    started: list[float] = []

    journal = Tight()
    with Plan("chain") as p:
        x = p.step(double, id="s0", x=1)
        for index in range(1, 5):
            x = p.step(double, id=f"s{index}", x=x, checks=[checks.rule("output > 0")], on_fail=[ladder.fail()])
        p.result(x)
    async with open_engine(pool, journal=journal) as engine:
        journal.full = True
        async with anyio.create_task_group() as group:

            async def submit() -> None:
                run = await engine.submit(p.freeze())
                started.append(engine.runs.clock.now_s())
                assert isinstance(await run.result(), Succeeded)

            begun_s = engine.runs.clock.now_s()
            group.start_soon(submit)
            await anyio.sleep(10.0)
            with pytest.raises(JournalFull):
                await engine.submit(p.freeze())
            assert started == []
            await anyio.sleep(20.0)
            journal.full = False
        assert 30.0 <= started[0] - begun_s <= 31.0
        assert isinstance(await (await engine.submit(p.freeze())).result(), Succeeded)


@virtual
async def test_after_a_full_disk_that_broke_the_door_opens_again(open_engine: OpenEngine, pool: Pool) -> None:
    journal = Tight()
    async with open_engine(pool, journal=journal) as engine:
        journal.full = True

        async def lost() -> None:
            with pytest.raises(OrchestratorError, match="the disk is gone"):
                await engine.submit(doubling(), {"x": 1}, idempotency_key="first")

        async with anyio.create_task_group() as group:
            group.start_soon(lost)
            await anyio.sleep(2.5)
            journal.full, journal.broken = False, True
        journal.broken = False
        assert isinstance(await (await engine.submit(doubling(), {"x": 1})).result(), Succeeded)


async def test_a_submission_that_cannot_be_journaled_says_so_and_leaves_nothing(
    open_engine: OpenEngine, pool: Pool
) -> None:
    journal = Tight()
    async with open_engine(pool, journal=journal, open_runs_max=1) as engine:
        journal.broken = True
        with pytest.raises(OrchestratorError, match="the disk is gone"):
            await engine.submit(doubling(), {"x": 1}, idempotency_key="k")
        journal.broken = False
        run = await engine.submit(doubling(), {"x": 1}, idempotency_key="k")
        assert isinstance(await run.result(), Succeeded)
        assert len(await journal.runs(RunQuery())) == 1


@virtual
async def test_a_run_is_parked_when_its_journal_breaks_and_its_slot_comes_back(
    open_engine: OpenEngine, pool: Pool
) -> None:
    journal = Tight()
    with Plan("gap") as p:
        p.step(hang, id="h", timeout={"attempt": 5.0, "total": 5.0}, on_fail=[ladder.gap()])
    async with open_engine(pool, journal=journal, open_runs_max=1) as engine:
        run = await engine.submit(p.freeze())
        journal.broken = True
        with pytest.raises(JournalConflict, match="the journal failed: the disk is gone"):
            await run.result()
        journal.broken = False
        assert isinstance(await (await engine.submit(doubling(), {"x": 1})).result(), Succeeded)
        await engine.runs.recover()
        assert isinstance(await run.result(), Degraded)
