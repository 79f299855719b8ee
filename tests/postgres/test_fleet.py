"""Several engines on one PostgreSQL store: runs move from owner to owner, and people reach them from anywhere."""

import json
import time
from collections.abc import AsyncIterator
from typing import Any

import anyio
import asyncpg
import pytest

from orchestrator import Plan
from orchestrator.adapters.postgres.journal import PostgresJournal
from orchestrator.app import Engine
from orchestrator.core import facts as f
from orchestrator.core.results import Cancelled, Failed, Succeeded
from orchestrator.engine import ownership
from orchestrator.engine.handle import Run
from orchestrator.engine.operations import Operations
from orchestrator.engine.petitioning import serve
from orchestrator.errors import IdempotencyConflict, JournalConflict, PromiseError, WrongState
from orchestrator.ids import RunId
from orchestrator.plan.models import Plan as FrozenPlan
from orchestrator.plan.patch import Patch
from orchestrator.ports.journal import RunQuery, RunRow
from orchestrator.ports.ownership import Petition
from orchestrator.service.control_args import CancelArgs
from orchestrator.service.control_desk import Desk
from orchestrator.settings import Settings
from tests.sizes import SIZES
from workers import Pool, WorkContext

pytestmark = pytest.mark.anyio
OPEN_RUNS = 300 if SIZES.name == "ci" else 5_000

pool = Pool("fleet", concurrency=50)
GATE: list[anyio.Event] = []
BEGUN: list[str] = []


@pool.worker
async def add(ctx: WorkContext, x: int) -> int:
    return x + 1


@pool.worker
async def wait(ctx: WorkContext, x: int) -> int:
    BEGUN.append(ctx.step_id)
    await GATE[0].wait()
    return x + 1


@pytest.fixture(autouse=True)
def _gate() -> None:
    GATE[:] = [anyio.Event()]
    BEGUN.clear()


def two_steps() -> FrozenPlan:
    with Plan("two-steps") as p:
        p.result(p.step(add, id="second", x=p.step(add, id="first", x=1)))
    return p.freeze()


def gated() -> FrozenPlan:
    with Plan("gated") as p:
        p.result(p.step(wait, id="after", x=p.step(add, id="before", x=1)))
    return p.freeze()


def asking() -> FrozenPlan:
    with Plan("asking") as p:
        said = p.human("approve", ask="Go on?", choices=["yes", "no"])
        p.result(p.step(add, id="after", x=1, when=said.output["choice"] == "yes"))
    return p.freeze()


def engine(url: str, owns: ownership.Owns = "mine", *, recover: bool = False, lease_s: float = 60.0) -> Engine:
    settings = Settings(store=url, lease_s=lease_s, open_runs_max=10_000)
    return Engine(settings, pools=[pool], owns=owns, recover=recover, drain_s=0.0)


@pytest.fixture
async def supervisor(postgres_url: str) -> AsyncIterator[Engine]:
    async with engine(postgres_url, "leased") as opened:
        yield opened


@pytest.fixture
async def front(postgres_url: str) -> AsyncIterator[Engine]:
    """Takes runs in, and drives none."""
    async with engine(postgres_url, "nothing") as opened:
        yield opened


async def sql(url: str, statement: str, *values: object) -> list[tuple[Any, ...]]:
    connection = await asyncpg.connect(url)
    try:
        return [tuple(row) for row in await connection.fetch(statement, *values)]
    finally:
        await connection.close()


async def begun(count: int = 1) -> None:
    with anyio.fail_after(30):
        while len(BEGUN) < count:  # noqa: ASYNC110 # what other engines do is seen, not told
            await anyio.sleep(0.005)


async def question(of: Engine, run_id: RunId) -> None:
    with anyio.fail_after(30):
        while not await Operations(of.runs).approvals(run_id):  # noqa: ASYNC110 # likewise
            await anyio.sleep(0.005)


async def kinds(of: Engine, run_id: RunId) -> list[str]:
    return [record.fact.KIND for record in await of.runs.journal.read(run_id)]


async def test_a_run_handed_in_at_one_process_is_driven_by_another_at_once(supervisor: Engine, front: Engine) -> None:
    run = await front.submit(two_steps(), idempotency_key="k")
    seen = [record.fact.KIND async for record in run.events()]
    result = await run.result()
    assert isinstance(result, Succeeded)
    assert result.output == 3
    assert seen == await kinds(front, run.id)
    assert (seen[0], seen[-1]) == ("run.accepted", "run.ended")
    again = await supervisor.submit(two_steps(), idempotency_key="k")
    assert again.id == run.id
    with pytest.raises(IdempotencyConflict):
        await front.submit(gated(), idempotency_key="k")


async def test_a_notice_starts_a_run_and_no_poll_is_waited_for(
    postgres_url: str, front: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ownership, "POLL_S", 3600.0)
    monkeypatch.setattr(ownership, "LOOK_S", 3600.0)
    async with engine(postgres_url, "leased"):
        for _ in range(3):
            with anyio.fail_after(60):
                assert isinstance(await (await front.submit(two_steps())).result(), Succeeded)


async def test_an_owner_that_was_silent_is_replaced_and_drops_its_runs_when_it_comes_back(postgres_url: str) -> None:
    async with engine(postgres_url, lease_s=60) as first:
        run = await first.submit(gated())
        await begun()
        await sql(postgres_url, "UPDATE owners SET lease_until = clock_timestamp() - interval '1 s'")
        async with engine(postgres_url, recover=True) as heir:
            assert heir.runs.driver(run.id) is not None
            await begun(2)
            driver = first.runs.driver(run.id)
            assert driver is not None
            assert driver.inflight
            assert first.runs.owning is not None
            await first.runs.owning.compare()
            assert (first.runs.driver(run.id), driver.inflight) == (None, {})  # its worker was told to stop
            GATE[0].set()
            result = await Run(heir.runs, run.id).result()
            assert await run.result() == result  # whoever waits at the first owner learns it all the same
    assert isinstance(result, Succeeded)
    assert result.output == 3


async def test_the_first_append_of_an_owner_that_was_replaced_is_its_last(postgres_url: str) -> None:
    async with engine(postgres_url) as first:
        run = await first.submit(gated())
        await begun()
        await sql(postgres_url, "UPDATE owners SET lease_until = clock_timestamp() - interval '1 s'")
        async with engine(postgres_url, recover=True) as heir:
            await begun(2)
            GATE[0].set()  # both workers answer
            assert isinstance(await Run(heir.runs, run.id).result(), Succeeded)
            with anyio.fail_after(30):
                while first.runs.driver(run.id) is not None:  # noqa: ASYNC110 # its answer was refused
                    await anyio.sleep(0.005)
            records = await heir.runs.journal.read(run.id)
            assert sum(isinstance(r.fact, f.StepProduced) for r in records) == 2
            epochs = [record.epoch for record in records]
            assert epochs == sorted(epochs)


async def test_closing_in_good_order_hands_runs_over_without_waiting_for_the_lease(postgres_url: str) -> None:
    async with engine(postgres_url, lease_s=600) as first:
        run = await first.submit(gated())
        await begun()
    async with engine(postgres_url, "leased", lease_s=600):
        await begun(2)
        GATE[0].set()
        async with engine(postgres_url, "nothing") as front:
            assert isinstance(await Run(front.runs, run.id).result(), Succeeded)


async def test_people_reach_the_owner_from_any_process(supervisor: Engine, front: Engine) -> None:
    people = Operations(front.runs)
    run = await front.submit(asking())
    await question(supervisor, run.id)
    with pytest.raises(WrongState, match="not offered; choose one of yes, no"):
        await people.approve(run.id, "approve", "perhaps", by="anna")
    await people.approve(run.id, "approve", "yes", reason="fine", by="anna")
    assert isinstance(await run.result(), Succeeded)
    answers = [r.fact for r in await front.runs.journal.read(run.id) if isinstance(r.fact, f.ApprovalAnswered)]
    assert [(a.choice, a.reason, a.actor) for a in answers] == [("yes", "fine", "anna")]
    assert await people.quarantine(run.id, "after", reason="wrong", by="ben") == ()

    stuck = await front.submit(gated())
    await begun()
    base = (await front.runs.journal.read(stuck.id))[1].fact
    assert isinstance(base, f.PlanFrozen)
    with pytest.raises(WrongState, match="only a passed result"):
        await people.quarantine(stuck.id, "after", reason="wrong", by="ben")
    await stuck.cancel("enough")
    result = await stuck.result()
    assert isinstance(result, Cancelled)
    assert result.reason == "enough"
    retried = await people.retry(stuck.id)
    await begun(2)
    GATE[0].set()
    assert isinstance(await retried.result(), Succeeded)
    with pytest.raises(WrongState, match="not open here"):
        await people.approve(stuck.id, "approve", "yes", by="anna")


async def test_a_plan_is_patched_through_the_owner(supervisor: Engine, front: Engine) -> None:
    run = await front.submit(asking())
    await question(supervisor, run.id)
    step = {"pool": "fleet", "call": "add", "with": {"x": 40}}
    patch = Patch.model_validate(
        {
            "patch": 1,
            "base": asking().digest,
            "author": "anna",
            "reason": "one more",
            "ops": [{"add": {"id": "more", "step": step}}],
        }
    )
    digest = await Operations(front.runs).patch(run.id, patch, by="anna")
    driver = supervisor.runs.driver(run.id)
    assert driver is not None
    assert driver.machine.state.plan.plan.digest == digest
    await Operations(front.runs).approve(run.id, "approve", "yes", by="anna")
    assert isinstance(await run.result(), Succeeded)
    assert "more" in {getattr(r.fact, "step", "") for r in await front.runs.journal.read(run.id)}


async def test_what_an_owner_did_before_it_ended_is_not_done_again(postgres_url: str, front: Engine) -> None:
    async with engine(postgres_url) as first:
        run = await first.submit(asking())
        await question(first, run.id)
        args = {"step": "approve", "choice": "no", "reason": "", "by": "anna"}
        asked = Petition(id="p", run_id=run.id, verb="approve", args=json.dumps(args))
        await first.runs.journal.ownership.renew("someone", 60.0)  # type: ignore[attr-defined] # of this journal
        journal: PostgresJournal = front.runs.journal  # type: ignore[assignment] # likewise
        await sql(postgres_url, "UPDATE runs SET owner = 'busy'")  # nobody serves it for the moment
        await journal.petitions.ask(asked)
        (taken,) = await journal.petitions.take("busy", 10)  # an owner takes it, does it …
        await Operations(first.runs, forward=False).approve(run.id, "approve", "no", by="anna")
        await sql(postgres_url, "UPDATE runs SET owner = ''")  # … and ends before it says so
        assert taken.retaken is False
    (row,) = await front.runs.journal.runs(RunQuery(run_id=run.id))
    assert row.status != "open"  # the answer led to its end
    await sql(postgres_url, "UPDATE runs SET owner = 'heir'")
    (again,) = await journal.petitions.take("heir", 10)
    front.runs.owner = "heir"
    await serve(front.runs, journal.petitions, again)
    assert await journal.petitions.answered("p") == '{"value": {}}'
    answers = [r for r in await journal.read(run.id) if isinstance(r.fact, f.ApprovalAnswered)]
    assert len(answers) == 1


async def test_a_run_that_needs_another_pool_is_left_to_who_has_it(postgres_url: str, supervisor: Engine) -> None:
    other = Pool("elsewhere", concurrency=1)

    @other.worker
    async def far(ctx: WorkContext, x: int) -> int:
        return x * 10

    with Plan("far") as p:
        p.result(p.step(far, id="far", x=4))
    settings = Settings(store=postgres_url)
    async with Engine(settings, pools=[other], owns="nothing") as desk:
        run = await desk.submit(p.freeze())
    with anyio.fail_after(30):
        while run.id not in supervisor.runs.takeover.unfit:  # noqa: ASYNC110 # it looks, and leaves it
            await anyio.sleep(0.01)
    async with Engine(settings, pools=[other], owns="leased", drain_s=0.0) as fit:
        result = await Run(fit.runs, run.id).result()
    assert isinstance(result, Succeeded)
    assert result.output == 40


async def test_a_run_that_cannot_be_read_is_parked_for_all_and_the_rest_go_on(postgres_url: str, front: Engine) -> None:
    bad = await front.submit(two_steps())
    good = [await front.submit(two_steps()) for _ in range(5)]
    await sql(
        postgres_url, "UPDATE events SET hash = decode('00', 'hex') WHERE seq = 2 AND run = "
        "(SELECT id FROM runs WHERE run_id = $1)", bad.id,
    )  # fmt: skip
    async with engine(postgres_url, "leased"):
        assert {type(await run.result()) for run in good} == {Succeeded}
        with anyio.fail_after(30):
            found: list[tuple[Any, ...]] = []
            while not found:
                await anyio.sleep(0.01)
                found = await sql(postgres_url, "SELECT run_id, parked FROM runs WHERE parked IS NOT NULL")
    ((run_id, reason),) = found
    assert run_id == bad.id
    assert "record 2" in reason


async def test_a_fleet_that_restarts_with_many_open_runs_takes_them_over_in_order_and_at_a_pace(
    postgres_url: str, front: Engine
) -> None:
    plan = two_steps()
    runs = [await front.submit(plan) for _ in range(OPEN_RUNS)]
    async with engine(postgres_url, "leased") as one, engine(postgres_url, "leased") as two:
        began_s = time.monotonic()
        for run in runs:
            assert isinstance(await run.result(), Succeeded)
        lasted_s = time.monotonic() - began_s
        assert one.runs.parked(runs[0].id) is two.runs.parked(runs[0].id) is None
    rows = await sql(postgres_url, "SELECT r.run_id, r.epoch FROM runs r ORDER BY r.accepted_at_s, r.id")
    epochs = [epoch for _, epoch in rows]
    lots = len(set(epochs))
    assert lots >= OPEN_RUNS / ownership.ADOPT_MAX
    # Two owners take turns, so that lots overlap by one at most: nobody waits while younger runs are taken.
    assert max(sorted(epochs).index(epoch) - place for place, epoch in enumerate(epochs)) <= 2 * ownership.ADOPT_MAX
    assert lasted_s > (OPEN_RUNS / 2 - ownership.ADOPT_MAX) / ownership.ADOPT_MAX * ownership.PACE_S


async def test_what_is_asked_between_two_owners_waits_for_the_next(postgres_url: str, front: Engine) -> None:
    async with engine(postgres_url, "leased"):
        run = await front.submit(gated())
        await begun()
    desk, told = Desk(front.runs.journal, front.registry, front.runs), list[object]()

    async def cancel() -> None:
        told.append(await desk.cancel(CancelArgs(run=run.id, reason="enough", by="anna")))

    async with anyio.create_task_group() as group:
        group.start_soon(cancel)
        await anyio.sleep(0.2)
        assert told == []
        async with engine(postgres_url, "leased"):
            assert isinstance(await run.result(), Cancelled)
    assert told == [{"run": run.id, "status": "cancelling", "over": False}]


async def test_a_cancel_that_the_end_was_faster_than_says_so(postgres_url: str, front: Engine) -> None:
    desk = Desk(front.runs.journal, front.registry, front.runs)
    async with engine(postgres_url, "leased"):
        run = await front.submit(two_steps())
        seen = await desk.row(run.id)
        assert not isinstance(await run.result(), Failed)
        rows = iter([seen])
        found = desk.row

        async def as_it_was(name: str) -> RunRow:
            return next(rows, None) or await found(name)

        desk.row = as_it_was  # type: ignore[method-assign]  # what another process has done since is not known here
        assert await desk.cancel(CancelArgs(run=run.id)) == {"run": run.id, "status": "succeeded", "over": True}


async def test_a_run_owned_elsewhere_is_not_resumed_by_name(postgres_url: str) -> None:
    async with engine(postgres_url) as first, engine(postgres_url) as second:
        run = await first.submit(gated())
        await begun()
        assert await second.runs.recover(run.id) == []
        assert "its lease has not ended" in (second.runs.parked(run.id) or "")
        with pytest.raises(JournalConflict, match="has not ended"):
            await Run(second.runs, run.id).result()
        GATE[0].set()
        assert isinstance(await run.result(), Succeeded)


async def test_a_store_of_one_process_cannot_be_driven_by_nobody(tmp_path: object) -> None:
    with pytest.raises(PromiseError, match='say owns="mine"'):
        async with Engine(store="memory:", pools=[pool], owns="nothing"):
            pass
    async with Engine(store="memory:", pools=[pool], owns="leased") as alone:
        assert not isinstance(await (await alone.submit(two_steps())).result(), Failed)
