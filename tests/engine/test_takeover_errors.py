"""A run that cannot be read back because its store does not answer is given up for others, and not left alone."""

from collections.abc import Callable, Sequence
from dataclasses import replace

import anyio
import pytest

from orchestrator.adapters.clock import SystemClock
from orchestrator.adapters.memory.journal import MemoryJournal
from orchestrator.adapters.memory.transport import MemoryTransport
from orchestrator.core import facts as f
from orchestrator.core.codec import without_payload
from orchestrator.core.facts import RunEnded
from orchestrator.engine.engine import RunEngine
from orchestrator.engine.handle import Run
from orchestrator.engine.operations import Operations
from orchestrator.engine.ownership import Shared
from orchestrator.engine.submission import Request, first_facts
from orchestrator.errors import JournalUnreachable
from orchestrator.ids import RunId
from orchestrator.plan.models import Plan
from orchestrator.ports.journal import Append, Recorded, RunQuery, RunRow
from orchestrator.ports.ownership import Adopted
from tests.engine.helpers import real
from workers import Pool
from workers.registry import Registry

pytestmark = [pytest.mark.anyio, real]
ASK = {"human": {"ask": "?", "choices": ["y"], "expires": 1000.0, "then": "y"}}
INNER = {"name": "c", "steps": {"x": ASK}, "result": "${{ steps.x.output }}"}
Seen = list[tuple[Sequence[RunId] | None, str]]


class _Store(MemoryJournal):
    """Does not answer reads of some runs."""

    def __init__(self) -> None:
        super().__init__()
        self.silent: str = ""
        self.listing = True
        self.released: Seen = []

    async def read(self, run_id: RunId, after: int = 0, limit: int = 10_000) -> list[Recorded]:
        if run_id == self.silent:
            raise JournalUnreachable("the store", "no answer")
        return await super().read(run_id, after, limit)

    async def runs(self, query: RunQuery) -> list[RunRow]:
        if not self.listing:
            raise JournalUnreachable("the store", "no answer")
        return await super().runs(query)

    async def adopt(self, owner: str, limit: int, but_not: object = ()) -> list[Adopted]:
        (row,) = await super().runs(RunQuery(run_id=RunId("r")))
        epoch = await self.claim(row.run_id, owner)
        (row,) = await super().runs(RunQuery(run_id=RunId("r")))
        assert row.epoch == epoch
        return [Adopted(row=row, loads=1)]

    async def release(self, owner: str, run_ids: Sequence[RunId] | None, *, parked: str = "") -> None:
        self.released.append((run_ids, parked))

    def listen(self, heard: Callable[[str, str], None]) -> Callable[[], None]:
        return lambda: None

    async def renew(self, owner: str, lease_s: float) -> bool:
        return True

    async def steady(self, owner: str, run_ids: Sequence[RunId]) -> None: ...

    async def take(self, owner: str, limit: int) -> list[object]:
        return []


def engine_on(store: _Store) -> RunEngine:
    """An engine that finds everything in one store."""
    return RunEngine(
        journal=store,
        transport=MemoryTransport(),
        clock=SystemClock(),
        catalogue=Registry([Pool("p")]),
        owner="o",
        shared=Shared(ownership=store, petitions=store, notices=store),  # type: ignore[arg-type]  # what is asked here
    )


async def test_a_store_that_does_not_answer_parks_no_run() -> None:
    store = _Store()
    store.silent = "r"
    plan = Plan.model_validate({"name": "p", "steps": {"x": ASK}})
    facts = first_facts(Request(run_id=RunId("r"), plan=plan, inputs={}, budget=plan.budget), 0.0)
    assert not await store.append([Append(run_id=RunId("r"), first_seq=1, epoch=1, facts=facts)])

    async with engine_on(store) as engine:
        assert engine.owning is not None
        await engine.owning.adopt_some()

    assert store.released == [([RunId("r")], ""), (None, "")]


async def test_a_run_that_is_read_back_anew_is_not_given_up_for_why_it_was_left_alone_before() -> None:
    class Slow(_Store):
        """Answers a read when it is let."""

        def __init__(self) -> None:
            super().__init__()
            self.let = anyio.Event()

        async def read(self, run_id: RunId, after: int = 0, limit: int = 10_000) -> list[Recorded]:
            await self.let.wait()
            return await super().read(run_id, after, limit)

        async def held(self, owner: str) -> dict[RunId, int]:
            return {RunId("r"): 2}

    store = Slow()
    plan = Plan.model_validate({"name": "p", "steps": {"x": ASK}})
    facts = first_facts(Request(run_id=RunId("r"), plan=plan, inputs={}, budget=plan.budget), 0.0)
    assert not await store.append([Append(run_id=RunId("r"), first_seq=1, epoch=1, facts=facts)])

    async with engine_on(store) as engine:
        owning = engine.owning
        assert owning is not None
        engine.note_parked(RunId("r"), "run r: another drives it")
        async with anyio.create_task_group() as group:
            group.start_soon(owning.adopt_some)
            await anyio.wait_all_tasks_blocked()
            for _ in range(3):  # a beat each
                await owning.compare()
            assert store.released == []
            store.let.set()
        await owning.compare()
        assert (store.released, engine.parked(RunId("r"))) == ([], None)


async def test_nor_does_it_where_a_sub_plan_cannot_be_followed() -> None:
    store = _Store()
    plan = Plan.model_validate({"name": "p", "steps": {"s": {"plan": INNER}}})
    request = Request(run_id=RunId("r"), plan=plan, inputs={}, budget=plan.budget)
    async with engine_on(store) as engine:
        engine.start(first_facts(request, engine.clock.now_s()), engine.prepare(plan))
        await anyio.wait_all_tasks_blocked()
    store.released.clear()
    store.listing = False

    async with engine_on(store) as engine:
        assert engine.owning is not None
        await engine.owning.adopt_some()
        await anyio.wait_all_tasks_blocked()
        reason = engine.parked(RunId("r"))

    assert reason is not None
    assert reason.startswith("its sub-plan r.s cannot be followed: the journal failed: ")


async def test_a_parent_hears_of_a_sub_plan_that_seems_older_than_itself() -> None:
    store = _Store()
    plan = Plan.model_validate({"name": "p", "steps": {"s": {"plan": INNER}}})
    request = Request(run_id=RunId("r"), plan=plan, inputs={}, budget=plan.budget)
    async with engine_on(store) as engine:
        engine.start(first_facts(request, engine.clock.now_s()), engine.prepare(plan))
        await anyio.wait_all_tasks_blocked()
    store._runs[RunId("r.s")].row = replace(store._runs[RunId("r.s")].row, accepted_at_s=0.0)  # a late clock

    async with engine_on(store) as engine:
        await engine.takeover.recover(None)
        parent, child = engine.driver(RunId("r")), engine.driver(RunId("r.s"))

    assert parent is not None
    assert child is not None
    assert child.above is parent


class _Forgetful(_Store):
    """Lost what one kind of record said, behind everybody's back: no journal deletes that of an open run."""

    lost: type[f.Fact] = f.RunEnded

    async def read(self, run_id: RunId, after: int = 0, limit: int = 10_000) -> list[Recorded]:
        records = await super().read(run_id, after, limit)
        return [
            replace(record, fact=without_payload(record.fact), forgotten=True)
            if isinstance(record.fact, self.lost)
            else record
            for record in records
        ]


@pytest.mark.parametrize("kind", [f.PlanFrozen, f.StepProduced, f.ApprovalAsked])
async def test_a_run_whose_contents_are_gone_is_left_alone_and_nothing_is_made_up(kind: type[f.Fact]) -> None:
    store = _Forgetful()
    steps = {"s": {"plan": INNER}, "t": {**ASK, "needs": ["s"]}}
    plan = Plan.model_validate({"name": "p", "steps": {"x": ASK, **steps}})
    request = Request(run_id=RunId("r"), plan=plan, inputs={}, budget=plan.budget)
    async with engine_on(store) as engine:
        engine.start(first_facts(request, engine.clock.now_s()), engine.prepare(plan))
        await anyio.wait_all_tasks_blocked()
        await Operations(engine).approve(RunId("r.s"), "x", "y")
        await anyio.wait_all_tasks_blocked()
    before = len(await store.read(RunId("r")))
    store.lost = kind

    async with engine_on(store) as engine:
        await engine.takeover.recover(RunId("r"))
        await anyio.wait_all_tasks_blocked()
        reason = engine.parked(RunId("r"))

    assert reason is not None
    assert "deleted" in reason
    assert len(await store.read(RunId("r"))) == before


class _SlowEnd(_Store):
    """Has written the end of a run long before it says so."""

    def __init__(self) -> None:
        super().__init__()
        self.written, self.say = anyio.Event(), anyio.Event()

    async def append(self, entries: Sequence[Append]) -> tuple[RunId, ...]:
        refused = self.append_now(entries)
        if any(isinstance(fact, RunEnded) for entry in entries for fact in entry.facts):
            self.written.set()
            await self.say.wait()
        return refused

    async def held(self, owner: str) -> dict[RunId, int]:
        rows = await self.runs(RunQuery(status=("open",)))
        return {row.run_id: row.epoch for row in rows}


async def test_a_run_whose_end_is_being_written_was_not_taken_by_others() -> None:
    store = _SlowEnd()
    plan = Plan.model_validate({"name": "p", "steps": {"x": {**ASK, "if": "run.steps > 5"}}})

    async with engine_on(store) as engine, anyio.create_task_group() as group:
        runs: list[Run] = []

        async def submit() -> None:
            runs.append(await engine.submit(plan))

        group.start_soon(submit)
        await store.written.wait()
        assert engine.owning is not None
        await engine.owning.compare()
        store.say.set()

    (run,) = runs
    assert engine.parked(run.id) is None


async def test_a_sub_plan_whose_parent_has_ended_is_cancelled_whatever_parked_that_parent_here_before() -> None:
    store = _Store()
    plan = Plan.model_validate({"name": "p", "steps": {"s": {"plan": INNER}}})
    request = Request(run_id=RunId("r"), plan=plan, inputs={}, budget=plan.budget)
    async with engine_on(store) as engine:
        engine.start(first_facts(request, engine.clock.now_s()), engine.prepare(plan))
        await anyio.wait_all_tasks_blocked()
    store._runs[RunId("r")].row = replace(store._runs[RunId("r")].row, status="cancelled")  # by another, who died then

    async with engine_on(store) as engine:
        engine.note_parked(RunId("r"), "the journal failed: once")
        await engine.takeover.recover(None)
        await anyio.wait_all_tasks_blocked()
        told = [record.fact for record in await store.read(RunId("r.s"))]

    assert isinstance(told[-1], f.RunEnded)
    assert told[-1].status == "cancelled"
    assert [fact.reason for fact in told if isinstance(fact, f.CancelRequested)] == ["r has ended"]
