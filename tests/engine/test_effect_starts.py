"""A task of an effect that comes late, or comes twice, is not carried out again."""

import anyio
import pytest

from orchestrator.adapters.memory.transport import MemoryTransport
from orchestrator.core import facts as f
from orchestrator.plan.files import parse_plan
from orchestrator.plan.models import Plan
from orchestrator.ports.tasks import OwnerReply, StartRequest, StepTask
from tests.engine.conftest import OpenEngine
from tests.engine.helpers import facts_of, kinds_of, virtual
from workers import Pool, WorkContext

pytestmark = pytest.mark.anyio
PLAN = """
version: 1
name: publishing
steps:
  out: {{pool: p, call: publish, effect: {{key: "${{{{ run.id }}}}/out", on_unknown: {on_unknown}}}}}
result: ${{{{ steps.out.output }}}}
"""


def plan_of(on_unknown: str = "ask") -> Plan:
    return parse_plan(PLAN.format(on_unknown=on_unknown))


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> list[StepTask]:
    """All tasks that owners sent."""
    tasks: list[StepTask] = []
    send = MemoryTransport.send

    def noted(self: MemoryTransport, task: StepTask) -> None:
        tasks.append(task)
        send(self, task)

    monkeypatch.setattr(MemoryTransport, "send", noted)
    return tasks


def publishing(done: list[str | None], hold: anyio.Event | None = None) -> Pool:
    pool = Pool("p", concurrency=4)

    @pool.worker(honours_key=True)
    async def publish(ctx: WorkContext) -> int:
        done.append(ctx.idempotency_key)
        if hold is not None:
            await hold.wait()
        return len(done)

    return pool


async def test_an_effect_begins_once_that_is_journaled(open_engine: OpenEngine) -> None:
    done: list[str | None] = []

    async with open_engine(publishing(done)) as engine:
        run = await engine.submit(plan_of(), {})
        await run.result()
        kinds = await kinds_of(run)
        (started,) = await facts_of(run, f.StepStarted)

    assert done == [f"{run.id}/out"]
    assert kinds[kinds.index("step.dispatched") :][:3] == ["step.dispatched", "step.started", "step.produced"]
    assert started.actor.rpartition("/")[0], "a worker, and the name of this one beginning"


@virtual
async def test_a_task_that_comes_again_after_its_step_passed_is_not_carried_out(
    open_engine: OpenEngine, sent: list[StepTask]
) -> None:
    done: list[str | None] = []

    async with open_engine(publishing(done)) as engine:
        run = await engine.submit(plan_of(), {})
        await run.result()
        before = await kinds_of(run)
        (task,) = sent
        engine.runs.transport.send(task)  # as a server does that forgot it had been answered
        await anyio.sleep(5.0)
        backlog = await engine.runs.transport.backlog()
        after = await kinds_of(run)

    assert done == [f"{run.id}/out"]
    assert [(row.waiting, row.running) for row in backlog] == [(0, 0)], "and it is not given out for ever"
    assert after == before


@virtual
async def test_of_two_beginnings_of_an_attempt_one_is_allowed(open_engine: OpenEngine, sent: list[StepTask]) -> None:
    done: list[str | None] = []
    hold = anyio.Event()

    async with open_engine(publishing(done, hold)) as engine:
        run = await engine.submit(plan_of(), {})
        while not done:  # noqa: ASYNC110  # what a worker does is no event
            await anyio.sleep(0.1)
        (task,) = sent
        ask = engine.runs.transport.ask  # type: ignore[attr-defined]  # the memory transport is both sides
        (first,) = await facts_of(run, f.StepStarted)
        replies = [
            await ask(StartRequest(key=task.key, worker=who)) for who in ("other/1", first.actor, "other/1", "other/2")
        ]
        hold.set()
        await run.result()
        replies.append(await ask(StartRequest(key=task.key, worker=first.actor)))

    begun = OwnerReply(granted=False, limit="begun")
    assert replies == [begun, OwnerReply(granted=True), begun, begun, OwnerReply(granted=False, limit="run")]
    assert done == [f"{run.id}/out"]


@virtual
async def test_a_question_about_a_run_that_nobody_has_is_refused(open_engine: OpenEngine, sent: list[StepTask]) -> None:
    async with open_engine(publishing([])) as engine:
        run = await engine.submit(plan_of(), {})
        await run.result()
        key = sent[0].key
    async with open_engine(publishing([])) as engine:  # another journal, which has never heard of the run
        ask = engine.runs.transport.ask  # type: ignore[attr-defined]  # the memory transport is both sides
        assert await ask(StartRequest(key=key, worker="w/1")) == OwnerReply(granted=False, limit="run")
