"""The host runs tasks within its limits, keeps them apart, cancels and drains."""

import asyncio
import contextvars
import gc
import itertools
import sys
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager

import anyio
import anyio.lowlevel
import pytest

from orchestrator.ids import JsonValue
from orchestrator.ports.tasks import TaskDone, TaskStarted
from tests.workers.conftest import NOW_S, Bench, at_work, settle
from workers import Pool, WorkContext

pytestmark = pytest.mark.anyio
Start = Callable[[Pool], AbstractAsyncContextManager[Bench]]


async def test_a_call_gives_its_output_with_its_start(start: Start) -> None:
    pool = Pool("p")

    @pool.worker
    async def add(ctx: WorkContext, a: int, b: int = 2) -> int:
        return a + b

    async with start(pool) as bench:
        first, second = await bench.call("add", {"a": 1}), await bench.call("add", {"a": 1, "b": 5})

    assert first == TaskDone(key=first.key, worker="w", output=3, started_at_s=NOW_S)
    assert second == TaskDone(key=second.key, worker="w", output=6, started_at_s=NOW_S)


async def test_a_worker_may_do_without_the_context(start: Start) -> None:
    pool = Pool("p")

    @pool.worker
    async def shout(text: str) -> str:
        return text.upper()

    async with start(pool) as bench:
        assert await bench.output("shout", {"text": "a"}) == "A"


async def test_a_task_step_goes_to_the_handler_with_instruction_and_data(start: Start) -> None:
    pool = Pool("p")

    @pool.handler
    async def answer(ctx: WorkContext, instruction: str, args: dict[str, JsonValue]) -> JsonValue:
        return {"told": instruction, "with": args, "seen": ctx.instruction}

    async with start(pool) as bench:
        output = await bench.output(None, {"n": [1]}, instruction="do it")

    assert output == {"told": "do it", "with": {"n": [1]}, "seen": "do it"}


async def test_an_unknown_function_or_a_missing_handler_fails_for_good(start: Start) -> None:
    pool = Pool("p")

    @pool.worker
    async def known() -> None: ...

    async with start(pool) as bench:
        call, step = await bench.failure("unknown"), await bench.failure(None, instruction="do it")

    assert (call.error, call.message) == ("terminal", "pool p has no function 'unknown'; it has known")
    assert (step.error, step.message) == ("terminal", "pool p has no handler for `task` steps")


async def test_no_more_tasks_run_than_the_pool_allows_and_all_get_their_turn(start: Start) -> None:
    pool = Pool("p", concurrency=3)
    running: list[int] = []
    most = 0

    @pool.worker
    async def nap(n: int) -> int:
        nonlocal most
        running.append(n)
        most = max(most, len(running))
        await anyio.sleep(0.001)
        running.remove(n)
        return n

    async with start(pool) as bench:
        keys = [bench.send("nap", {"n": n}) for n in range(20)]
        await bench.until(lambda: all(bench.answer(key) for key in keys))

    assert most == 3
    assert sorted(m.output for m in bench.messages if isinstance(m, TaskDone)) == list(range(20))


async def test_a_thousand_tasks_that_never_wait_need_one_coroutine(start: Start) -> None:
    pool = Pool("p", concurrency=1_000)
    tasks: set[int] = set()

    @pool.worker
    async def note() -> None:
        tasks.add(anyio.get_current_task().id)

    async with start(pool) as bench:
        keys = [bench.send("note") for _ in range(1_000)]
        await bench.until(lambda: bench.answer(keys[-1]) is not None)

    assert len(tasks) == 1


async def test_ten_thousand_tasks_can_wait_at_the_same_time(start: Start) -> None:
    pool = Pool("p", concurrency=10_000)
    gate = anyio.Event()
    inside = 0

    @pool.worker
    async def wait() -> None:
        nonlocal inside
        inside += 1
        await gate.wait()

    async with start(pool) as bench:
        keys = [bench.send("wait") for _ in range(10_000)]
        await bench.until(lambda: inside == 10_000)
        assert bench.host.running == 10_000
        gate.set()
        await bench.until(lambda: bench.answer(keys[-1]) is not None)
        await settle()
        assert bench.host.running == 0


async def test_a_burst_of_work_lets_others_have_their_turn(start: Start) -> None:
    pool = Pool("p")
    turns: list[int] = []

    @pool.worker
    async def work() -> None: ...

    async def other() -> None:
        while len(bench.messages) < 1_000:
            turns.append(len(bench.messages))
            await anyio.lowlevel.checkpoint()

    async with start(pool) as bench:
        keys = [bench.send("work") for _ in range(1_000)]
        bench.group.start_soon(other)
        await bench.until(lambda: bench.answer(keys[-1]) is not None)

    assert max(after - before for before, after in itertools.pairwise(turns)) <= 2 * 64


async def test_a_task_that_had_to_wait_says_when_it_began_unless_it_ends_at_once(start: Start) -> None:
    pool = Pool("p")

    @pool.worker
    async def work(waits: bool) -> None:
        if waits:
            await anyio.lowlevel.checkpoint()

    async with start(pool) as bench:
        at_once = await bench.call("work", {"waits": True}, sent_at_s=NOW_S - 0.009)
        queued = await bench.call("work", {"waits": True}, sent_at_s=NOW_S - 0.011)
        ended = await bench.call("work", {"waits": False}, sent_at_s=NOW_S - 0.011)

    assert isinstance(ended, TaskDone)
    assert ended.started_at_s == NOW_S, "its answer tells"
    started = [message for message in bench.messages if isinstance(message, TaskStarted)]
    assert started == [TaskStarted(key=queued.key, worker="w", at_s=NOW_S)]
    assert bench.messages.index(at_once) == 0


async def test_what_a_worker_sets_in_its_context_variables_stays_with_its_task(start: Start) -> None:
    pool = Pool("p", concurrency=1)
    user: contextvars.ContextVar[str] = contextvars.ContextVar("user", default="nobody")

    @pool.worker
    async def act(name: str, wait: bool) -> str:
        before = user.get()
        user.set(name)
        if wait:
            await anyio.sleep(0.001)
        return f"{before} {user.get()}"

    async with start(pool) as bench:
        outputs = [await bench.output("act", {"name": name, "wait": wait}) for name in "ab" for wait in (False, True)]

    assert outputs == ["nobody a", "nobody a", "nobody b", "nobody b"]


async def test_a_cancelled_task_ends_and_says_nothing_more(start: Start) -> None:
    pool = Pool("p", concurrency=2)
    seen: list[object] = []

    @pool.worker
    async def hang(ctx: WorkContext, stubborn: bool) -> int:
        try:
            await anyio.sleep_forever()
        except BaseException:
            seen.append(ctx.cancelled)
            ctx.log("nobody hears this")
            ctx.cost(usd=1.0, charge="spent")
            if stubborn:
                return 1
            raise
        return 2

    @pool.worker
    async def quick() -> int:
        return 3

    async with start(pool) as bench:
        for stubborn in (False, True):
            key = bench.send("hang", {"stubborn": stubborn})
            await settle()
            bench.transport.revoke(key)
            bench.transport.revoke(key)
            await settle()
            assert bench.answer(key) is None
        assert bench.host.running == 0
        assert [await bench.output("quick") for _ in range(3)] == [3, 3, 3]

    assert seen == [True, True]
    assert [type(m).__name__ for m in bench.messages] == ["TaskSpent"] * 2 + ["TaskDone"] * 3


async def test_cancelling_one_task_leaves_its_siblings_alone(start: Start) -> None:
    pool = Pool("p", concurrency=4)
    gate = anyio.Event()

    @pool.worker
    async def wait(n: int) -> int:
        await gate.wait()
        return n

    async with start(pool) as bench:
        keys = [bench.send("wait", {"n": n}) for n in range(6)]
        await settle()
        bench.transport.revoke(keys[1])
        bench.transport.revoke(keys[5])  # still waits
        await settle()
        gate.set()
        await bench.until(lambda: bench.answer(keys[4]) is not None)

    assert sorted(m.output for m in bench.messages if isinstance(m, TaskDone)) == [0, 2, 3, 4]


async def test_a_task_that_was_fetched_but_not_begun_can_be_revoked(start: Start) -> None:
    pool = Pool("p", concurrency=8)
    begun: list[int] = []

    @pool.worker
    async def first(n: int) -> int:
        begun.append(n)
        for key in keys[1:3]:
            bench.transport.revoke(key)
        return n

    async with start(pool) as bench:
        await settle()  # the leader waits: what comes now is fetched in one go
        keys = [bench.send("first", {"n": n}) for n in range(4)]
        await bench.until(lambda: bench.answer(keys[3]) is not None)

    assert begun == [0, 3]


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_a_worker_that_awaits_something_cancelled_by_itself_fails_and_the_pool_lives_on(start: Start) -> None:

    pool = Pool("p", concurrency=1)

    @pool.worker
    async def stray() -> None:
        task = asyncio.ensure_future(asyncio.sleep(10))
        await asyncio.sleep(0)
        task.cancel()
        await task

    @pool.worker
    async def quick() -> int:
        return 3

    async with start(pool) as bench:
        failure = await bench.failure("stray")
        assert await bench.output("quick") == 3

    assert (failure.error, failure.message) == ("worker", "the worker was cancelled by its own code, not by the run")


async def test_a_worker_may_open_scopes_and_task_groups(start: Start) -> None:
    pool = Pool("p")

    @pool.worker
    async def busy() -> list[int]:
        found: list[int] = []

        async def one(n: int) -> None:
            await anyio.sleep(n / 1_000)
            found.append(n)

        with anyio.move_on_after(0.001):
            await anyio.sleep_forever()
        async with anyio.create_task_group() as group:
            for n in (3, 1, 2):
                group.start_soon(one, n)
        return found

    @pool.worker
    async def late() -> None:
        with anyio.fail_after(0.001):
            await anyio.sleep_forever()

    async with start(pool) as bench:
        assert await bench.output("busy") == [1, 2, 3]
        assert (await bench.failure("late")).error == "timeout"


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_an_interrupt_is_not_a_failed_task(backend: str) -> None:
    pool = Pool("p")
    messages: list[object] = []

    @pool.worker
    async def interrupt() -> None:
        raise KeyboardInterrupt

    async def main() -> None:
        async with at_work(pool) as bench:
            bench.messages = messages  # type: ignore[assignment]  # what is delivered from here on
            bench.transport.bind(messages.append)
            bench.send("interrupt")
            await anyio.sleep(1)

    with pytest.raises(BaseException) as caught:  # noqa: PT011  # either loop has its own way out
        anyio.run(main, backend=backend)

    assert isinstance(caught.value, KeyboardInterrupt) or caught.group_contains(KeyboardInterrupt)
    assert messages == []


async def test_drain_takes_nothing_more_waits_and_hands_the_rest_back(start: Start) -> None:
    pool = Pool("p", concurrency=3)
    gate = anyio.Event()

    @pool.worker
    async def wait() -> None:
        await gate.wait()

    @pool.worker
    async def hang() -> None:
        await anyio.sleep_forever()

    async with start(pool) as bench:
        soon, never = bench.send("wait"), bench.send("hang")
        await settle()
        undone: list[object] = []

        async def drain() -> None:
            undone.extend(await bench.host.drain(0.1))

        async with anyio.create_task_group() as group:
            group.start_soon(drain)
            await settle()
            later = bench.send("wait")
            gate.set()

        assert undone == [never]
        assert bench.answer(soon) is not None
        assert bench.answer(later) is None
        assert bench.transport.take(bench.host._name) is not None
        assert bench.host.running == 0


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_serving_leaves_no_garbage_for_the_collector(start: Start) -> None:

    pool = Pool("p")

    @pool.worker
    async def work(ctx: WorkContext, x: int) -> int:
        return x

    async with start(pool) as bench:
        await bench.output("work", {"x": 0})
        gc.collect()
        gc.disable()
        try:
            for x in range(50):
                await bench.output("work", {"x": x})
            assert gc.collect() < 50, "a cycle per task would be at least one object each"
        finally:
            gc.enable()
    assert sys.getrefcount(work) < 20
