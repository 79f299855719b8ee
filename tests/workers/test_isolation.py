"""Threads and child processes: errors, limits and cancellation cross them, and nothing is left behind."""

import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path

import anyio
import psutil
import pytest

from orchestrator.errors import BudgetExceeded
from orchestrator.ids import JsonValue
from orchestrator.ports.tasks import (
    TaskDone,
)
from tests.workers import sample_pool
from tests.workers.conftest import Bench
from workers import Pool, WorkContext, processes
from workers.failures import ChildDied

pytestmark = pytest.mark.anyio
Start = Callable[[Pool], AbstractAsyncContextManager[Bench]]


@pytest.fixture
def anyio_backend() -> str:
    """Threads and processes need the real clock."""
    return "asyncio"


# ---- threads


async def test_threads_run_side_by_side_up_to_the_limit(start: Start) -> None:
    pool = Pool("p", concurrency=3, isolation="thread")
    together = threading.Barrier(3, timeout=60)

    @pool.worker
    def meet(n: int) -> int:
        together.wait()
        return n

    async with start(pool) as bench:
        keys = [bench.send("meet", {"n": n}) for n in range(6)]
        await bench.until(lambda: all(bench.answer(key) for key in keys))

    assert sorted(m.output for m in bench.messages if isinstance(m, TaskDone)) == list(range(6))


async def test_a_cancelled_thread_is_left_alone_learns_of_it_and_is_not_heard(start: Start) -> None:
    pool = Pool("p", concurrency=1, isolation="thread")
    begun, ended = threading.Event(), threading.Event()

    @pool.worker
    def loop(ctx: WorkContext) -> str:
        begun.set()
        for _ in range(5_000):
            if ctx.cancelled:
                ctx.log("not heard")
                ctx.evidence("tool", "not heard")
                ctx.cost(usd=1.0, charge="heard")
                ended.set()
                return "late"
            time.sleep(0.001)
        raise AssertionError("never told")

    @pool.worker
    def quick() -> int:
        return 1

    async with start(pool) as bench:
        key = bench.send("loop")
        await bench.until(begun.is_set)
        bench.transport.revoke(key)
        assert await bench.output("quick") == 1
        await bench.until(ended.is_set)
        await bench.until(lambda: len(bench.messages) == 2)

    assert bench.answer(key) is None
    assert {type(m).__name__ for m in bench.messages} == {"TaskSpent", "TaskDone"}


@pytest.mark.parametrize(
    ("kind", "word"),
    [(StopIteration("x"), "worker"), (TimeoutError("x"), "timeout"), (BudgetExceeded("usd", 1, 0), "budget")],
)
async def test_errors_cross_the_thread(start: Start, kind: Exception, word: str) -> None:
    pool = Pool("p", isolation="thread")

    @pool.worker
    def fail() -> None:
        raise kind

    @pool.worker
    def bad() -> float:
        return float("nan")

    async with start(pool) as bench:
        assert (await bench.failure("fail")).error == word
        assert (await bench.failure("bad")).error == "output"


# ---- child processes


@pytest.mark.crash
async def test_children_are_reused_and_print_where_they_like(start: Start) -> None:
    async with start(sample_pool.children) as bench:
        output = await bench.output("double", {"size": {"name": "a", "bytes": 2}})
        first, second = await bench.output("process_number"), await bench.output("process_number")

    assert output == {"name": "aa", "bytes": 4}
    assert first == second
    await gone(first)


async def gone(number: JsonValue) -> None:
    """The process of this number has ended."""
    with anyio.fail_after(60):
        while is_running(int(str(number))):  # noqa: ASYNC110  # another process's end is no event of this one
            await anyio.sleep(0.005)


def is_running(number: int) -> bool:
    try:
        return psutil.Process(number).status() != psutil.STATUS_ZOMBIE  # dead, and its parent has not looked yet
    except psutil.NoSuchProcess:
        return False


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("retry", ("rate_limit", "slow down", 3.0)),
        ("terminal", ("terminal", "never", None)),
        ("memory", ("resource", "MemoryError: full (at workers/sample_pool.py:{line} in raise_it)", None)),
        ("timeout", ("timeout", "TimeoutError: late (at workers/sample_pool.py:{line} in raise_it)", None)),
        ("value", ("worker", "ValueError: bad (at workers/sample_pool.py:{line} in raise_it)", None)),
    ],
)
async def test_errors_cross_the_process(start: Start, kind: str, expected: tuple[str, str, float | None]) -> None:
    async with start(sample_pool.children) as bench:
        failure = await bench.failure("raise_it", {"kind": kind})

    line = sample_pool.raise_it.__code__.co_firstlineno + 9
    assert (failure.error, failure.message, failure.retry_after_s) == (
        expected[0],
        expected[1].format(line=line),
        expected[2],
    )


async def test_bad_arguments_and_outputs_are_found_in_the_child(start: Start) -> None:
    async with start(sample_pool.children) as bench:
        bad_input = await bench.failure("double", {"size": {"name": 1}})
        bad_output = await bench.failure("not_a_number")

    assert (bad_input.error, bad_input.message) == (
        "input",
        "argument size.name: Input should be a valid string, got 1",
    )
    assert (bad_output.error, bad_output.message) == ("output", "output: nan is not a number JSON can hold")


@pytest.mark.crash
async def test_a_child_that_dies_fails_its_task_and_is_replaced(start: Start) -> None:
    async with start(sample_pool.children) as bench:
        left = await bench.failure("leave", {"code": 3})
        killed = await bench.failure("killed")
        assert await bench.output("double", {"size": {"name": "a"}}) == {"name": "aa", "bytes": 0}

    assert (left.error, left.message) == ("worker", "the child process ended with exit code 3")
    assert killed.error == "resource"
    assert killed.message.startswith("the child process was ended by SIGKILL")


@pytest.mark.crash
async def test_a_child_that_died_while_idle_is_replaced(start: Start) -> None:
    async with start(sample_pool.children) as bench:
        first = int(str(await bench.output("process_number")))
        psutil.Process(first).kill()
        await gone(first)
        await bench.until(lambda: not bench.host._isolations._children._idle[0].alive)  # type: ignore[union-attr]  # it has run
        second = int(str(await bench.output("process_number")))

    assert first != second


@pytest.mark.crash
@pytest.mark.parametrize("code", [15, 63])
def test_a_signal_is_named_where_it_has_a_name(code: int) -> None:
    assert str(ChildDied(-code)) == f"the child process was ended by {'SIGTERM' if code == 15 else 'signal 63'}"


@pytest.mark.crash
async def test_a_child_that_does_not_end_by_itself_is_killed(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processes, "CHILD_END_S", 0.05)
    async with start(sample_pool.children) as bench:
        number = await bench.output("process_number")
        psutil.Process(int(str(number))).suspend()

    await gone(number)


@pytest.mark.crash
async def test_a_child_over_its_memory_limit_fails_with_resource_and_lives_on(start: Start) -> None:
    async with start(sample_pool.small_children) as bench:
        failure = await bench.failure("hoard", {"count": 2**34})
        assert await bench.output("hoard", {"count": 1_000}) == 1_000

    assert failure.error == "resource"
    assert failure.message.startswith("MemoryError")


@pytest.mark.crash
@pytest.mark.parametrize("way", ["revoke", "timeout", "drain", "cancel"])
async def test_a_child_is_killed_in_the_middle_of_its_task(start: Start, way: str, tmp_path: Path) -> None:
    path = tmp_path / "number"

    def written() -> bool:
        return path.exists() and path.read_text() != ""

    async with start(sample_pool.children) as bench:
        await bench.output("process_number")  # the child is up: only the task itself is timed
        timeout_s = 0.05 if way == "timeout" else None
        key = bench.send("linger", {"path": str(path)}, timeout_s=timeout_s)
        await bench.until(written)
        if way == "revoke":
            bench.transport.revoke(key)
            await bench.until(lambda: bench.host.running == 0)
        elif way == "timeout":
            await bench.until(lambda: bench.answer(key) is not None)
            assert bench.answer(key).error == "timeout"  # type: ignore[union-attr]  # it failed
        elif way == "drain":
            assert await bench.host.drain(0.0) == [key]
        else:
            bench.group.cancel_scope.cancel()

    await gone(path.read_text())


@pytest.mark.crash
async def test_a_child_ends_when_its_parent_lets_go_even_while_it_works(tmp_path: Path) -> None:
    path = tmp_path / "number"
    program = f"""
import anyio, os, sys
from tests.workers.conftest import at_work
from tests.workers import sample_pool

async def main():
    async with at_work(sample_pool.children) as bench:
        bench.send("linger", {{"path": {str(path)!r}}})
        await bench.until(lambda: os.path.exists({str(path)!r}) and os.path.getsize({str(path)!r}))
        os.kill(os.getpid(), 9)

anyio.run(main)
"""
    ended = await anyio.run_process([sys.executable, "-c", program], check=False, stderr=subprocess.DEVNULL)

    assert ended.returncode == -9
    await gone(path.read_text())
