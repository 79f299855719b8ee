"""An effect begins only where its owner says that this very beginning is wanted; other work asks nobody."""

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager

import anyio
import pytest

from orchestrator.ports.tasks import OwnerReply, StartRequest, TaskDone, TaskStarted
from tests.workers.conftest import Bench
from workers import Pool, WorkContext

pytestmark = pytest.mark.anyio
Start = Callable[[Pool], AbstractAsyncContextManager[Bench]]


def pool_of(done: list[str | None]) -> Pool:
    pool = Pool("p", concurrency=2)

    @pool.worker(honours_key=True)
    async def publish(ctx: WorkContext) -> int:
        done.append(ctx.idempotency_key)
        return len(done)

    @pool.worker(name="in_thread", isolation="thread", honours_key=True)
    def in_thread(ctx: WorkContext) -> int:
        done.append(ctx.idempotency_key)
        return len(done)

    return pool


@pytest.mark.parametrize("function", ["publish", "in_thread"])
@pytest.mark.parametrize("anyio_backend", ["asyncio"], indirect=True)  # threads take true time
async def test_an_effect_is_asked_about_before_its_function_is_called(start: Start, function: str) -> None:
    done: list[str | None] = []

    async with start(pool_of(done)) as bench:
        first = await bench.call(function, idempotency_key="k", idle_s=9.0)
        second = await bench.call(function, idempotency_key="k")

    assert isinstance(first, TaskDone)
    assert isinstance(second, TaskDone)
    assert done == ["k", "k"]
    asked = [request for request in bench.asked if isinstance(request, StartRequest)]
    assert [request.key for request in asked] == [first.key, second.key]
    assert all(request.worker.startswith("w/") for request in asked)
    assert asked[0].worker != asked[1].worker, "each beginning has a name of its own"
    assert not [message for message in bench.messages if isinstance(message, TaskStarted)], "its owner knows already"


async def test_work_without_an_effect_asks_nobody(start: Start) -> None:
    done: list[str | None] = []

    async with start(pool_of(done)) as bench:
        await bench.call("publish")

    assert (done, bench.asked) == ([None], [])


@pytest.mark.parametrize(
    ("limit", "why"), [("run", "nobody wanted it any more"), ("begun", "another worker had begun it")]
)
async def test_what_may_not_begin_is_not_called_and_answered(start: Start, limit: str, why: str) -> None:
    done: list[str | None] = []

    async with start(pool_of(done)) as bench:
        bench.reply = OwnerReply(granted=False, limit=limit)
        answer = await bench.failure("publish", idempotency_key="k")

    assert (answer.error, answer.message, done) == ("lost", why, [])


async def test_who_waits_for_leave_keeps_nobody_from_working(start: Start) -> None:
    done: list[str | None] = []
    leave = anyio.Event()

    async with start(pool_of(done)) as bench:

        async def slow(request: object) -> OwnerReply:
            await leave.wait()
            return OwnerReply(granted=True)

        bench.transport.bind_answer(slow)
        effect = bench.send("publish", idempotency_key="k")
        await bench.output("publish")
        assert bench.answer(effect) is None
        leave.set()
        await bench.until(lambda: bench.answer(effect) is not None)

    assert done == [None, "k"]


async def test_a_task_that_is_cancelled_while_it_waits_for_leave_never_begins(start: Start) -> None:
    done: list[str | None] = []

    async with start(pool_of(done)) as bench:

        async def never(request: object) -> OwnerReply:
            await anyio.sleep_forever()
            raise AssertionError

        bench.transport.bind_answer(never)
        effect = bench.send("publish", idempotency_key="k")
        await bench.until(lambda: bench.host.running == 1)
        bench.transport.revoke(effect)
        await bench.until(lambda: bench.host.running == 0)

    assert (done, bench.messages) == ([], [])
