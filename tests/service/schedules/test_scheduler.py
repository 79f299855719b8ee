"""Each moment starts one run, whoever looks, whatever their clocks say, and wherever they die."""

import random
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import pytest

from orchestrator import Engine, Plan
from orchestrator.adapters.memory.journal import MemoryJournal
from orchestrator.adapters.memory.schedules import MemorySchedules
from orchestrator.core.facts import RunAccepted
from orchestrator.engine.engine import RunEngine
from orchestrator.errors import AdmissionRefused, InputError, JournalError, ScheduleRefused
from orchestrator.ids import RunId, TenantId
from orchestrator.plan.models import Plan as FrozenPlan
from orchestrator.ports.journal import Append, RunQuery
from orchestrator.ports.schedules import Schedule, Schedules
from orchestrator.service.schedules.scheduler import Scheduler
from orchestrator.service.schedules.timetable import SCHEDULES_MAX, Timetable, key_of
from orchestrator.testing.facts import accepted
from workers import Pool

pytestmark = pytest.mark.anyio
DEFAULT = TenantId("default")


class At:
    """A clock that a test moves."""

    def __init__(self, time_s: float = 0.0) -> None:
        self.time_s = time_s

    def now_s(self) -> float:
        return self.time_s


def desk() -> Pool:
    pool = Pool("tools")

    @pool.worker
    async def work(topic: str) -> str:
        return topic

    return pool


def plan(name: str = "brief", description: str = "") -> FrozenPlan:
    pool = Pool("tools")

    @pool.worker
    async def work(topic: str) -> str:
        return topic

    with Plan(name, description=description, inputs={"topic": {"type": "string"}}) as built:
        built.result(built.step(work, topic=built.inputs.topic))
    return built.freeze()


@dataclass
class Begun:
    id: str


@dataclass
class Starts:
    """Starts runs in a journal as an engine does: one for each tenant and idempotency key."""

    journal: MemoryJournal
    fails: list[Exception] = field(default_factory=list)
    asked: int = 0

    async def submit(
        self,
        plan: FrozenPlan,
        inputs: Mapping[str, object] | None = None,
        *,
        budget: object = None,
        lane: str = "normal",
        idempotency_key: str | None = None,
        tenant: str = "default",
    ) -> Begun:
        self.asked += 1
        if self.fails:
            raise self.fails.pop(0)
        run_id = RunId(f"run-{random.getrandbits(64):x}")
        fact = accepted(run_id, tenant=tenant, key=idempotency_key, plan=plan.name)
        if await self.journal.append([Append(run_id=run_id, first_seq=1, epoch=1, facts=(fact,))]):
            [row] = await self.journal.runs(RunQuery(tenant=TenantId(tenant), idempotency_key=idempotency_key, limit=1))
            return Begun(row.run_id)
        return Begun(run_id)


PLANS = {"brief": plan()}


async def keys(journal: MemoryJournal) -> list[str]:
    return sorted(str(row.idempotency_key) for row in await journal.runs(RunQuery(limit=1_000_000)))


async def test_three_supervisors_with_wrong_clocks_start_a_thousand_moments_once_each() -> None:
    journal, store, drawn = MemoryJournal(), MemorySchedules(), random.Random(7)
    made = await Timetable(store, At(0.0), PLANS).create("brief", {"topic": "x"}, cron="* * * * *", missed="all")
    clocks = [At(), At(), At()]
    skews_s = [0.0, 12.0, -95.0]
    engines = [Starts(journal) for _ in clocks]
    hands = [Scheduler(store, clock, engine, PLANS) for clock, engine in zip(clocks, engines, strict=True)]

    for true_s in range(0, 1_000 * 60 + 200, 20):
        for number in drawn.sample(range(3), 3):
            clocks[number].time_s = true_s + skews_s[number] + drawn.uniform(-40, 40)
            if drawn.random() < 0.7:
                await hands[number].look()

    expected = [key_of(made, 60.0 * minute) for minute in range(1, 1_001)]
    found = await keys(journal)
    assert [key for key in found if key <= expected[-1]] == expected
    assert Counter(found).most_common(1)[0][1] == 1
    assert min(engine.asked for engine in engines[:2]) > 100


class Dying(MemorySchedules):
    """A store under which a process dies at a chosen write: before it, or after it was made."""

    def __init__(self, drawn: random.Random) -> None:
        super().__init__()
        self.drawn = drawn

    async def save(self, schedule: Schedule) -> bool:
        if schedule.version and self.drawn.random() < 0.3:
            if self.drawn.random() < 0.5:
                await super().save(schedule)
            raise JournalError("the process died here")
        return await super().save(schedule)


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("missed", ["skip", "last", "all"])
async def test_a_death_at_any_write_neither_loses_nor_doubles_a_moment(seed: int, missed: str) -> None:
    drawn = random.Random(seed)
    journal, store = MemoryJournal(), Dying(drawn)
    clock = At()
    made = await Timetable(store, clock, PLANS).create("brief", {"topic": "x"}, cron="* * * * *", missed=missed)
    for true_s in range(0, 100 * 60 + 60, 10):
        clock.time_s = float(true_s)
        try:
            await Scheduler(store, clock, Starts(journal), PLANS).look()
        except JournalError:
            continue

    assert await keys(journal) == [key_of(made, 60.0 * minute) for minute in range(1, 101)]


async def test_of_what_was_missed_one_decision_holds_for_all() -> None:
    """Two processes come back after a pause with clocks that differ: `last` is one moment, not one for each."""
    journal, store = MemoryJournal(), MemorySchedules()
    made = await Timetable(store, At(0.0), PLANS).create("brief", {"topic": "x"}, cron="* * * * *", missed="last")

    for now_s in (6_010.0, 5_890.0, 6_015.0):
        await Scheduler(store, At(now_s), Starts(journal), PLANS).look()

    assert await keys(journal) == [key_of(made, 6_000.0)]


async def test_a_start_that_has_to_wait_is_made_at_the_next_look() -> None:
    journal, store, clock = MemoryJournal(), MemorySchedules(), At()
    made = await Timetable(store, clock, PLANS).create("brief", {"topic": "x"}, at=50.0)
    engine = Starts(journal, fails=[AdmissionRefused(1, 1, 1.0), JournalError("away")])
    hand = Scheduler(store, clock, engine, PLANS)
    found = []
    for now_s in (49.0, 50.0, 51.0, 52.0, 53.0):
        clock.time_s = now_s
        await hand.look()
        found.append(len(await keys(journal)))

    assert found == [0, 0, 0, 1, 1]
    held = await store.get(DEFAULT, made.id)
    assert held is not None
    assert (held.state, held.owed, held.last_at_s, held.note) == ("done", (), 50.0, "")
    assert held.last_run.startswith("run-")


async def test_a_start_that_cannot_be_made_is_noted_and_the_next_one_is_tried() -> None:
    journal, store, clock = MemoryJournal(), MemorySchedules(), At()
    made = await Timetable(store, clock, PLANS).create("brief", {"topic": "x"}, cron="* * * * *")
    engine = Starts(journal, fails=[InputError("topic", "is missing")])
    hand = Scheduler(store, clock, engine, PLANS)

    clock.time_s = 60.0
    await hand.look()
    failed = await store.get(DEFAULT, made.id)
    clock.time_s = 120.0
    await hand.look()
    well = await store.get(DEFAULT, made.id)

    assert failed is not None
    assert well is not None
    assert (failed.owed, failed.last_run, failed.note) == ((), "", "InputError: input 'topic': is missing")
    assert (well.owed, well.last_at_s, well.note) == ((), 120.0, "")
    assert await keys(journal) == [key_of(made, 120.0)]


async def test_a_pause_starts_nothing_and_is_not_missed_afterwards() -> None:
    journal, store, clock = MemoryJournal(), MemorySchedules(), At()
    table = Timetable(store, clock, PLANS)
    made = await table.create("brief", {"topic": "x"}, cron="* * * * *", missed="all")
    hand = Scheduler(store, clock, Starts(journal), PLANS)

    paused = await table.pause(made.id)
    clock.time_s = 600.0
    await hand.look()
    resumed = await table.resume(made.id)
    clock.time_s = 660.0
    await hand.look()

    assert paused is not None
    assert resumed is not None
    assert (paused.state, paused.wake_s, resumed.state, resumed.wake_s) == ("paused", None, "active", 660.0)
    assert await keys(journal) == [key_of(made, 660.0)]
    assert await table.pause("sc_none") is None
    assert await table.remove(made.id) is True
    assert await table.remove(made.id) is False


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({}, "exactly one of cron and at"),
        ({"cron": "* * * * *", "at": 5.0}, "exactly one of cron and at"),
        ({"cron": "nonsense"}, "has not five fields"),
        ({"cron": "* * * * *", "zone": "Nowhere"}, "no time zone"),
        ({"at": 1e18}, "outside of every calendar"),
        ({"at": float("nan")}, "outside of every calendar"),
        ({"at": 5.0, "missed_max": 101}, "use 1 to 100"),
        ({"at": 5.0, "name": "x" * 201}, "at most 200"),
        ({"at": 5.0, "lane": "fast"}, "no lane"),
    ],
)
async def test_what_could_never_start_is_refused(changes: dict[str, object], says: str) -> None:
    from orchestrator.errors import PromiseError

    store = MemorySchedules()
    with pytest.raises(PromiseError, match=says):
        await Timetable(store, At(), PLANS).create("brief", {"topic": "x"}, **changes)  # type: ignore[arg-type]  # a test's own
    with pytest.raises(ScheduleRefused, match="no plan 'none'"):
        await Timetable(store, At(), PLANS).create("none", at=5.0)
    with pytest.raises(InputError):
        await Timetable(store, At(), PLANS).create("brief", {"topic": 5}, at=5.0)

    assert await store.of_tenant(DEFAULT) == []


async def test_a_tenant_has_so_many_schedules_and_those_that_are_done_make_room() -> None:
    store, clock = MemorySchedules(), At()
    table = Timetable(store, clock, PLANS)
    first = await table.create("brief", {"topic": "x"}, at=5.0)
    for _ in range(SCHEDULES_MAX - 1):
        await store.save(replace(first, id=f"sc_{random.getrandbits(64):x}", version=0, wake_s=None))
    with pytest.raises(ScheduleRefused, match="has 1000 schedules"):
        await table.create("brief", {"topic": "x"}, at=5.0)

    clock.time_s = 6.0
    await Scheduler(store, clock, Starts(MemoryJournal()), PLANS).look()
    await table.create("brief", {"topic": "x"}, at=50.0)

    assert await table.get(first.id) is None


async def test_a_plan_that_was_changed_after_its_start_was_journaled_is_not_started_twice() -> None:
    """A process dies between starting a moment and striking it off; the plan of that name is another one by then."""
    store, clock, journal = MemorySchedules(), At(1.0), MemoryJournal()
    async with Engine(pools=[desk()], journal=journal) as engine:
        made = await Timetable(store, clock, PLANS).create("brief", {"topic": "x"}, at=1.0)
        owed = replace(made, owed=(1.0,), state="done", seen_s=1.0, wake_s=1.0)
        assert await store.save(owed)
        first = await engine.submit(PLANS["brief"], {"topic": "x"}, idempotency_key=key_of(made, 1.0))

        await Scheduler(store, clock, engine, {"brief": plan(description="another")}).look()

        held = await store.get(DEFAULT, made.id)
        assert held is not None
        assert (held.owed, held.last_run) == ((), first.id)
        assert len(await journal.runs(RunQuery())) == 1
        await first.result()


async def test_a_plan_that_was_handed_over_whole_is_started_as_it_was() -> None:
    store, clock, journal = MemorySchedules(), At(1.0), MemoryJournal()
    await Timetable(store, clock, {}).create(PLANS["brief"], {"topic": "x"}, at=1.0, tenant=TenantId("t"))

    await Scheduler(store, clock, Starts(journal), {}).look()

    [row] = await journal.runs(RunQuery())
    assert (row.plan, row.tenant) == ("brief", "t")
    [record] = await journal.read(row.run_id)
    assert isinstance(record.fact, RunAccepted)


def test_engine_and_store_fit_what_a_scheduler_asks_for() -> None:
    def takes(engine: Engine | RunEngine, store: Schedules) -> Scheduler:
        return Scheduler(store, At(), engine, {})

    assert callable(takes)
