"""On a real server: an effect whose task is remembered again, or given out twice, is not carried out again."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import anyio
import pytest
import redis

from orchestrator.adapters.memory.journal import MemoryJournal
from orchestrator.adapters.redis.owner import RedisTransport
from orchestrator.adapters.redis.worker import RedisWorkers
from orchestrator.app import Engine
from orchestrator.core import facts as f
from orchestrator.engine.handle import Run
from orchestrator.plan.files import parse_plan
from orchestrator.ports.tasks import StepTask
from orchestrator.settings import Settings
from tests.servers.redis import redis_server
from workers import Pool, PoolHost, WorkContext

pytestmark = [pytest.mark.anyio, pytest.mark.slow]
PLAN = parse_plan("""
version: 1
name: publishing
steps:
  out: {pool: p, call: publish, effect: {key: "${{ run.id }}/out", on_unknown: fail}}
result: ${{ steps.out.output }}
""")
STREAM = "{orchestrator}:q:p:2"  #: the pool's normal lane


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> list[StepTask]:
    """All tasks that owners sent."""
    tasks: list[StepTask] = []
    send = RedisTransport.send

    def noted(self: RedisTransport, task: StepTask) -> None:
        tasks.append(task)
        send(self, task)

    monkeypatch.setattr(RedisTransport, "send", noted)
    return tasks


class Publishing:
    """A pool whose function notes that it was called, and waits while it is told to."""

    def __init__(self) -> None:
        self.pool, self.called, self.hold = Pool("p", concurrency=2), list[int](), anyio.Event()

        @self.pool.worker(name="publish", honours_key=True)
        async def publish(ctx: WorkContext) -> int:
            self.called.append(ctx.attempt)
            await self.hold.wait()
            return len(self.called)


@asynccontextmanager
async def worker_of(url: str, pool: Pool, name: str) -> AsyncIterator[RedisWorkers]:
    """One worker process' part, in this process."""
    port = await RedisWorkers.open(url, worker=name)
    try:
        async with anyio.create_task_group() as group:
            host = PoolHost(pool, port, worker=port.name)
            host.open(group)
            yield port
            await host.drain(0.0)
            group.cancel_scope.cancel()
    finally:
        await port.close()


def engine_on(url: str, pool: Pool) -> Engine:
    """An owner of runs; its journal is one that others could read."""
    return Engine(Settings(transport=url), pools=[pool], journal=MemoryJournal())


async def until(condition: object) -> None:
    with anyio.fail_after(60):
        while not condition():  # type: ignore[operator]  # noqa: ASYNC110  # a condition; what a server does is no event
            await anyio.sleep(0.01)


async def facts_of(run: Run) -> list[f.Fact]:
    return [record.fact async for record in run.events(after=0)]


async def test_an_effect_that_the_server_remembers_again_after_its_step_passed(
    sent: list[StepTask],
) -> None:
    publishing = Publishing()
    publishing.hold.set()
    with redis_server() as server:
        async with engine_on(server.url, publishing.pool) as engine, worker_of(server.url, publishing.pool, "w"):
            run = await engine.submit(PLAN, {})
            assert (await run.result()).output == 1  # type: ignore[union-attr]  # it succeeds
            engine.runs.transport.send(sent[0])
            await until(lambda: len(sent) == 2)
            with redis.Redis.from_url(server.url) as client:
                await until(lambda: client.xlen(STREAM) == 0 and client.xinfo_stream(STREAM)["entries-added"] == 2)
            facts = await facts_of(run)

    assert publishing.called == [1]
    assert [type(fact) for fact in facts[-2:]] == [f.StepPassed, f.RunEnded]


async def test_an_effect_that_the_server_gives_out_twice_while_it_is_at_work(
    sent: list[StepTask],
) -> None:
    first, second = Publishing(), Publishing()
    with redis_server() as server:
        async with engine_on(server.url, first.pool) as engine, worker_of(server.url, first.pool, "first"):
            run = await engine.submit(PLAN, {})
            await until(lambda: first.called)
            async with worker_of(server.url, second.pool, "second"):
                with redis.Redis.from_url(server.url) as client:  # what losing the tail of its file amounts to
                    (entry,) = client.xpending_range(STREAM, "workers", "-", "+", 1)
                    client.xack(STREAM, "workers", entry["message_id"])
                    client.xgroup_setid(STREAM, "workers", "0")
                    client.delete("{orchestrator}:era")
                result = await run.result()
            facts = await facts_of(run)

    assert (first.called, second.called) == ([1], [])
    (started,) = (fact for fact in facts if isinstance(fact, f.StepStarted))
    assert started.actor.startswith("first-")
    assert getattr(result, "cause", "") == (
        "out: the worker was lost after it had announced its effect; the outcome is unknown"
    )
