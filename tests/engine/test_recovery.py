"""A new engine on an old journal: what goes on, what is parked and why, and who may write."""

from collections.abc import Sequence
from contextlib import suppress

import anyio
import pytest
from structlog.testing import capture_logs

from orchestrator import Budget, FrozenPlan, Plan, Succeeded, checks
from orchestrator.adapters.memory.journal import MemoryJournal
from orchestrator.core import facts as f
from orchestrator.core.machine import RunMachine
from orchestrator.engine.handle import Run
from orchestrator.engine.operations import Operations
from orchestrator.errors import IllegalTransition, JournalConflict, JournalCorrupt, JournalError, WrongState
from orchestrator.ids import RunId
from orchestrator.plan.parts import Backoff
from orchestrator.ports.journal import Append, Recorded, RunQuery
from tests.engine.conftest import OpenEngine
from tests.engine.helpers import double, facts_of, kinds_of, pool_of, records_of, sleep_for, until, virtual
from workers import Pool, RetryableError, WorkContext

pytestmark = [pytest.mark.anyio, virtual]
SEEN: list[str] = []


class Crash(Exception):
    """The process dies here."""


async def slow(ctx: WorkContext, x: int) -> int:
    """Work that is seen."""
    SEEN.append(f"{ctx.step_id}#{ctx.attempt}")
    await anyio.sleep(10.0)
    return x + 1


async def careful(ctx: WorkContext, output: int) -> bool:
    """A check that takes a while."""
    SEEN.append(f"check {ctx.step_id}#{ctx.attempt}")
    await anyio.sleep(10.0)
    return True


async def busy_once(ctx: WorkContext) -> int:
    """Busy at first."""
    SEEN.append(f"{ctx.step_id}#{ctx.attempt}")
    if ctx.attempt == 1:
        raise RetryableError("busy", retry_after_s=900.0)
    return 1


@pytest.fixture
def pool() -> Pool:
    """Built first: plans name its functions."""
    SEEN.clear()
    return pool_of(double, slow, careful, busy_once, sleep_for)


async def die(open_engine: OpenEngine, pool: Pool, journal: MemoryJournal, plan: FrozenPlan, after_s: float) -> RunId:
    """Run a plan for some time, then let the process die."""
    found: list[RunId] = []
    with suppress(Crash):
        async with open_engine(pool, journal=journal) as engine:
            found.append((await engine.submit(plan)).id)
            await anyio.sleep(after_s)
            raise Crash
    return found[0]


async def test_a_running_attempt_is_lost_and_sent_again_with_the_next_number(
    open_engine: OpenEngine, pool: Pool
) -> None:
    with Plan("two") as p:
        p.result(p.step(slow, id="b", x=p.step(slow, id="a", x=0)))
    journal = MemoryJournal()
    run_id = await die(open_engine, pool, journal, p.freeze(), 15.0)
    async with open_engine(pool, journal=journal) as engine:
        run = Run(engine.runs, run_id)
        assert await run.result() == Succeeded(run_id=run_id, output=2, usage=(await run.result()).usage)
        lost = [(fact.step, fact.attempt, fact.reason) for fact in await facts_of(run, f.LeaseLost)]
        epochs = [fact.epoch for fact in await facts_of(run, f.RunAdopted)]
    assert SEEN == ["a#1", "b#1", "b#2"]
    assert lost == [("b", 1, "restart")]
    assert epochs == [2]


async def test_what_was_produced_and_not_checked_is_checked_and_not_run_again(
    open_engine: OpenEngine, pool: Pool
) -> None:
    with Plan("checked") as p:
        p.result(p.step(slow, id="a", x=0, checks=[checks.call(careful)]))
    journal = MemoryJournal()
    run_id = await die(open_engine, pool, journal, p.freeze(), 15.0)
    async with open_engine(pool, journal=journal) as engine:
        assert isinstance(await Run(engine.runs, run_id).result(), Succeeded)
    assert SEEN == ["a#1", "check a#1", "check a#1"]


async def test_a_question_survives_and_so_does_its_deadline(open_engine: OpenEngine, pool: Pool) -> None:
    with Plan("asked") as p:
        p.result(p.human("said", ask="Go on?", choices=["yes", "no"], expires="1h", then="no").output["choice"])
        p.human("more", ask="More?", choices=["yes"], expires="48h")
    journal = MemoryJournal()
    run_id = await die(open_engine, pool, journal, p.freeze(), 100.0)
    await anyio.sleep(1000.0)
    async with open_engine(pool, journal=journal) as engine:
        run, operations = Run(engine.runs, run_id), Operations(engine.runs)
        await anyio.sleep(1.0)
        assert [question.step for question in await operations.approvals()] == ["said", "more"]
        await operations.approve(run_id, "more", "yes", by="anna")
        result = await run.result()
        start_s = (await facts_of(run, f.RunAccepted))[0].at_s
        expired = [round(fact.at_s - start_s, 3) for fact in await facts_of(run, f.ApprovalExpired)]
    assert result == Succeeded(run_id=run_id, output="no", usage=result.usage)
    assert expired == [3600.0]


async def test_a_back_off_goes_on_where_it_was(open_engine: OpenEngine, pool: Pool) -> None:
    with Plan("backing-off") as p:
        p.result(p.step(busy_once, id="a", retry={"attempts": 2, "backoff": Backoff(first=1.0, most=1.0)}))
    journal = MemoryJournal()
    run_id = await die(open_engine, pool, journal, p.freeze(), 400.0)
    async with open_engine(pool, journal=journal) as engine:
        run = Run(engine.runs, run_id)
        assert isinstance(await run.result(), Succeeded)
        start_s = (await facts_of(run, f.RunAccepted))[0].at_s
        sent = [round(fact.at_s - start_s, 3) for fact in await facts_of(run, f.StepDispatched)]
    assert sent == [0.0, 900.0]


async def test_the_wall_time_that_passed_while_nobody_drove_counts(open_engine: OpenEngine, pool: Pool) -> None:
    with Plan("walled", budget=Budget(wall=60.0)) as p:
        p.step(sleep_for, id="long", seconds=50.0)
    journal = MemoryJournal()
    run_id = await die(open_engine, pool, journal, p.freeze(), 30.0)
    async with open_engine(pool, journal=journal) as engine:
        run = Run(engine.runs, run_id)
        await run.result()
        start_s = (await facts_of(run, f.RunAccepted))[0].at_s
        assert [round(fact.at_s - start_s, 3) for fact in await facts_of(run, f.LimitHit)] == [60.0]


# ---- parked runs


def plain() -> FrozenPlan:
    """One slow step."""
    with Plan("plain") as p:
        p.result(p.step(slow, id="a", x=0))
    return p.freeze()


class Damaged(MemoryJournal):
    """A memory journal in which some runs cannot be read."""

    bad: frozenset[str] = frozenset()

    async def read(self, run_id: RunId, after: int = 0, limit: int = 10_000) -> list[Recorded]:
        if run_id in self.bad:
            raise JournalCorrupt(run_id, 3, "its hash is wrong")
        return await super().read(run_id, after, limit)


async def test_a_run_that_cannot_be_read_is_parked_and_the_others_go_on(open_engine: OpenEngine, pool: Pool) -> None:
    journal = Damaged()
    with suppress(Crash):
        async with open_engine(pool, journal=journal) as engine:
            good, bad = await engine.submit(plain()), await engine.submit(plain())
            await anyio.sleep(1.0)
            raise Crash
    journal.bad = frozenset([bad.id])
    async with open_engine(pool, journal=journal) as engine:
        assert isinstance(await Run(engine.runs, good.id).result(), Succeeded)
        with pytest.raises(JournalConflict, match="record 3: its hash is wrong"):
            await Run(engine.runs, bad.id).result()
        with pytest.raises(WrongState, match="its hash is wrong"):
            await engine.runs.cancel(bad.id)
        journal.bad = frozenset()
        assert [run.id for run in await engine.runs.recover(bad.id)] == [bad.id]
        assert isinstance(await Run(engine.runs, bad.id).result(), Succeeded)


async def test_a_run_whose_pool_is_missing_names_it_and_waits_for_an_engine_that_has_it(
    open_engine: OpenEngine, pool: Pool
) -> None:
    other = pool_of(name="other")

    @other.worker
    async def elsewhere(ctx: WorkContext, x: int) -> int:
        return x

    with Plan("inner", inputs={"x": {"type": "integer"}}) as inner:
        inner.result(inner.step(elsewhere, id="low", x=inner.inputs.x))
    with Plan("outer") as p:
        p.result(p.plan(inner.freeze(), id="sub", x=p.step(slow, id="a", x=0)))
    journal = MemoryJournal()
    found: list[RunId] = []
    with suppress(Crash):
        async with open_engine(pool, other, journal=journal) as engine:
            found.append((await engine.submit(p.freeze())).id)
            await anyio.sleep(1.0)
            raise Crash
    async with open_engine(pool, journal=journal) as engine:
        with pytest.raises(JournalConflict) as caught:
            await Run(engine.runs, found[0]).result()
    assert caught.value.reason == "step sub needs pool 'other', which is not here: open the engine with it"
    (row,) = await journal.runs(RunQuery())
    assert (row.status, row.epoch) == ("open", 1)  # its owner was not fenced
    async with open_engine(pool, other, journal=journal) as engine:
        assert isinstance(await Run(engine.runs, found[0]).result(), Succeeded)


@pytest.mark.parametrize("error", [IllegalTransition("a", "running", "StepPassed"), KeyError("x"), AssertionError()])
async def test_a_broken_rule_parks_one_run_and_its_parents(
    open_engine: OpenEngine, pool: Pool, error: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Plan("outer") as p:
        p.result(p.plan(plain(), id="sub"))
    handle = RunMachine.handle

    def broken(machine: RunMachine, event: object) -> object:
        if isinstance(event, f.StepProduced) and machine.state.run_id.endswith(".sub"):
            raise error
        return handle(machine, event)  # type: ignore[arg-type]  # whatever came

    monkeypatch.setattr(RunMachine, "handle", broken)
    async with open_engine(pool, open_runs_max=2) as engine:
        run, other = await engine.submit(p.freeze()), await engine.submit(plain())
        with pytest.raises(JournalConflict, match=rf"its sub-plan .* is parked: our bug: {type(error).__name__}"):
            await run.result()
        assert isinstance(await other.result(), Succeeded)
        assert isinstance(await (await engine.submit(plain())).result(), Succeeded)
        monkeypatch.undo()
        await engine.runs.recover()
        assert await run.result() == Succeeded(run_id=run.id, output=1, usage=(await run.result()).usage)


async def test_a_value_that_the_journal_refuses_parks_only_its_own_run(open_engine: OpenEngine, pool: Pool) -> None:
    class Picky(MemoryJournal):
        async def append(self, entries: Sequence[Append]) -> tuple[RunId, ...]:
            if any(isinstance(fact, f.StepProduced) and fact.output == 13 for e in entries for fact in e.facts):
                raise JournalError("no thirteen here")
            return await super().append(entries)

    with Plan("any", inputs={"x": {"type": "integer"}}) as p:
        p.result(p.step(slow, id="a", x=p.inputs.x))
    async with open_engine(pool, journal=Picky()) as engine:
        runs = [await engine.submit(p.freeze(), {"x": x}) for x in (11, 12, 13)]
        assert [type(await runs[i].result()) for i in (0, 2)] == [Succeeded, Succeeded]
        with pytest.raises(JournalConflict, match="the journal failed: no thirteen here"):
            await runs[1].result()


# ---- two engines


async def test_whoever_claims_last_is_the_only_one_that_writes_and_sends(open_engine: OpenEngine, pool: Pool) -> None:
    with Plan("three") as p:
        p.result(p.step(slow, id="c", x=p.step(slow, id="b", x=p.step(slow, id="a", x=0))))
    journal = MemoryJournal()
    async with open_engine(pool, journal=journal) as first:
        run = await first.submit(p.freeze())
        await anyio.sleep(15.0)
        second_pool = pool_of(double, slow, careful, busy_once, sleep_for)
        async with open_engine(second_pool, journal=journal) as second:
            with capture_logs() as told, pytest.raises(JournalConflict, match="another owner has taken this run over"):
                await run.result()
            # Nobody need get up at night for that.
            assert [one["log_level"] for one in told if one["event"] == "run parked"] == ["info"]
            assert first.runs.drivers() == []
            assert isinstance(await Run(second.runs, run.id).result(), Succeeded)
            records = await records_of(journal, run.id)
    adopted = next(r.seq for r in records if isinstance(r.fact, f.RunAdopted))
    assert {r.epoch for r in records if r.seq < adopted} == {1}
    assert {r.epoch for r in records if r.seq >= adopted} == {2}
    assert SEEN == ["a#1", "b#1", "b#2", "c#1"]


async def test_hundreds_of_open_runs_are_all_taken_over(open_engine: OpenEngine, pool: Pool) -> None:
    journal = MemoryJournal()
    with suppress(Crash):
        async with open_engine(pool, journal=journal) as engine:
            for _ in range(300):
                await engine.submit(plain())
            raise Crash
    async with open_engine(pool, journal=journal) as engine:
        runs = [Run(engine.runs, row.run_id) for row in await journal.runs(RunQuery(limit=1000))]
        results = [await run.result() for run in runs]
        again = await engine.runs.recover()
    assert [type(result) for result in results] == [Succeeded] * 300
    assert again == []


async def test_a_result_is_read_by_a_fresh_engine_even_with_audit_records_behind_it(
    open_engine: OpenEngine, pool: Pool
) -> None:
    journal = MemoryJournal()
    async with open_engine(pool, journal=journal) as engine:
        run = await engine.submit(plain())
        result = await run.result()
        await until(run, f.RunEnded)
        await Operations(engine.runs).quarantine(run.id, "a", reason="wrong after all")
        kinds = await kinds_of(run)
    async with open_engine(pool, journal=journal) as engine:
        assert await Run(engine.runs, run.id).result() == result
    assert kinds[-1] == "step.quarantined"
