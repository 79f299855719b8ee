"""What a worker says through its context reaches the owner, in each isolation."""

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
    SpendReply,
    SpendRequest,
    TaskDone,
    TaskEvidence,
    TaskProgress,
    TaskSpent,
)
from tests.workers import sample_pool
from tests.workers.conftest import Bench
from workers import Pool, WorkContext, current_context, processes
from workers.failures import ChildDied

pytestmark = pytest.mark.anyio
Start = Callable[[Pool], AbstractAsyncContextManager[Bench]]
FIELDS = {
    "instruction": "do it",
    "constraints": ("one", "two"),
    "tier": "strong",
    "reasons": ("too short",),
    "idempotency_key": "key",
    "plan": "plan",
    "tenant": "tenant",
    "timeout_s": 60.0,
    "output_schema": {"type": "object"},
}


@pytest.fixture
def anyio_backend() -> str:
    """Threads and processes need the real clock."""
    return "asyncio"


async def speak_async(ctx: WorkContext) -> JsonValue:
    ctx.log("hello")
    ctx.progress(0.5, "half")
    ctx.heartbeat()
    ctx.evidence("search", {"found": [1, 2]})
    await ctx.cost(usd=0.5, tokens=10, charge="mine")
    async with ctx.reserve(usd=1.0) as held:
        held.settle(usd=0.25)
    return sample_pool.told(current_context())


def pool_of(isolation: str) -> Pool:
    if isolation == "process":
        return sample_pool.children
    pool = Pool("p", isolation=isolation)  # type: ignore[arg-type]  # the two others
    pool.worker(name="speak")(speak_async if isolation == "async" else sample_pool.speak)
    return pool


@pytest.mark.parametrize("isolation", ["async", "thread", "process"])
async def test_everything_said_arrives_in_order(start: Start, isolation: str) -> None:
    async with start(pool_of(isolation)) as bench:
        done = await bench.call("speak", **FIELDS)

    key = done.key
    (request,) = bench.asked
    assert request == SpendRequest(key=key, charge=request.charge, usd=1.0)
    assert bench.messages == [
        TaskProgress(key=key, worker="w", message="hello", journal=False),
        TaskProgress(key=key, worker="w", fraction=0.5, message="half"),
        TaskProgress(key=key, worker="w", journal=False),
        TaskEvidence(key=key, worker="w", tool="search", result={"found": [1, 2]}),
        TaskSpent(key=key, worker="w", charge="mine", usd=0.5, tokens=10),
        TaskSpent(key=key, worker="w", charge=request.charge, usd=0.25),
        done,
    ]
    assert isinstance(done, TaskDone)
    assert done.output == {
        "run": "run",
        "step": "step",
        "branch": None,
        "attempt": 1,
        "tenant": "tenant",
        "plan": "plan",
        "tier": "strong",
        "constraints": ["one", "two"],
        "instruction": "do it",
        "reasons": ["too short"],
        "key": "key",
        "timeout_s": 60.0,
        "output_schema": {"type": "object"},
        "cancelled": False,
    }


@pytest.mark.parametrize("isolation", ["async", "thread", "process"])
async def test_a_refused_reservation_ends_the_task_with_budget(start: Start, isolation: str) -> None:
    async with start(pool_of(isolation)) as bench:
        bench.reply = SpendReply(granted=False, limit="usd", left=0.5)
        failure = await bench.failure("speak")

    assert (failure.error, failure.message) == ("budget", "budget usd: asked for 1, 0.5 left")
    assert [m.charge for m in bench.messages if isinstance(m, TaskSpent)] == ["mine"]


async def test_an_unsettled_reservation_counts_in_full_and_a_settled_one_once(start: Start) -> None:
    pool = Pool("p")

    @pool.worker
    async def spend(ctx: WorkContext) -> None:
        async with ctx.reserve(usd=1.0, tokens=5):
            pass
        held = await ctx.reserve(tokens=7)
        held.settle(tokens=3)
        held.settle(tokens=9)
        async with await ctx.reserve(usd=2.0) as again:
            again.settle(usd=0.5)
        async with ctx.reserve(usd=4.0):
            raise TimeoutError

    async with start(pool) as bench:
        assert (await bench.failure("spend")).error == "timeout"

    spent = [m for m in bench.messages if isinstance(m, TaskSpent)]
    assert [(m.usd, m.tokens) for m in spent] == [(1.0, 5), (0.0, 3), (0.5, 0), (4.0, 0)]
    assert [m.charge for m in spent] == [request.charge for request in bench.asked]
    assert len({m.charge for m in spent}) == 4


async def test_charges_of_two_runs_of_one_task_are_different_charges(start: Start) -> None:
    pool = Pool("p")

    @pool.worker
    async def spend(ctx: WorkContext) -> None:
        await ctx.cost(usd=1.0)
        await ctx.cost(usd=1.0)

    async with start(pool) as bench:
        first = await bench.call("spend")
        await bench.until(lambda: len(bench.messages) == 3)
        bench.messages.clear()
        bench.sent = 0
        second = await bench.call("spend")
        charges = {m.charge for m in bench.messages if isinstance(m, TaskSpent)}

    assert first.key == second.key
    assert len(charges) == 2


@pytest.mark.parametrize("bad", [{"usd": -1.0}, {"usd": float("nan")}, {"tokens": -1}])
async def test_amounts_below_nothing_are_refused(start: Start, bad: dict[str, float]) -> None:
    pool = Pool("p")

    @pool.worker
    async def spend(ctx: WorkContext, way: str) -> None:
        if way == "cost":
            ctx.cost(**bad)  # type: ignore[arg-type]  # that is the point
        ctx.reserve(**bad)  # type: ignore[arg-type]  # same

    async with start(pool) as bench:
        for way in ("cost", "reserve"):
            failure = await bench.failure("spend", {"way": way})
            assert "amounts are 0 or more" in failure.message

    assert bench.asked == []


async def test_progress_evidence_and_log_have_limits(start: Start) -> None:
    pool = Pool("p")

    @pool.worker
    async def say(ctx: WorkContext, what: str) -> None:
        if what == "log":
            ctx.log("ä\ud800" * 10_000)
        elif what == "progress":
            ctx.progress(1.5)
        else:
            ctx.evidence("tool", {"x": float("nan")})

    async with start(pool) as bench:
        assert (await bench.call("say", {"what": "log"})).worker == "w"
        assert "progress is 1.5" in (await bench.failure("say", {"what": "progress"})).message
        assert "evidence of tool" in (await bench.failure("say", {"what": "evidence"})).message

    (log,) = [m for m in bench.messages if isinstance(m, TaskProgress)]
    assert log.message.startswith("ä\\ud800")
    assert len(log.message) == 2_000


async def test_evidence_is_a_copy(start: Start) -> None:
    pool = Pool("p")
    found = {"items": [1]}

    @pool.worker
    async def search(ctx: WorkContext) -> None:
        ctx.evidence("search", found)
        found["items"].append(2)

    async with start(pool) as bench:
        await bench.call("search")

    assert [m.result for m in bench.messages if isinstance(m, TaskEvidence)] == [{"items": [1]}]


async def test_a_worker_cannot_reach_into_the_owners_objects(start: Start) -> None:
    pool = Pool("p")
    args: dict[str, JsonValue] = {"value": {"list": [1]}}
    kept: list[dict[str, JsonValue]] = []

    @pool.worker
    async def vandal(value: dict[str, JsonValue]) -> dict[str, JsonValue]:
        value["list"] = "gone"
        kept.append(value)
        return value

    @pool.handler
    async def handle(ctx: WorkContext, instruction: str, args: dict[str, JsonValue]) -> JsonValue:
        args["value"] = None
        return None

    async with start(pool) as bench:
        output = await bench.output("vandal", args)
        kept[0]["list"] = "later"
        await bench.output(None, args, instruction="x")

    assert args == {"value": {"list": [1]}}
    assert output == {"list": "gone"}


async def test_outside_of_a_worker_there_is_no_context() -> None:
    with pytest.raises(LookupError):
        current_context()


async def test_the_wrong_form_of_reserve_says_the_right_one(start: Start) -> None:
    pool = Pool("p")

    @pool.worker
    async def blocking(ctx: WorkContext) -> None:
        with ctx.reserve(usd=1.0):
            pass

    @pool.worker(isolation="thread")
    def awaiting(ctx: WorkContext) -> None:
        ctx.reserve(usd=1.0).__await__().send(None)

    async with start(pool) as bench:
        assert "async with ctx.reserve" in (await bench.failure("blocking")).message
        assert "write `with ctx.reserve" in (await bench.failure("awaiting")).message


# ---- threads


async def test_threads_run_side_by_side_up_to_the_limit(start: Start) -> None:
    pool = Pool("p", concurrency=3, isolation="thread")
    together = threading.Barrier(3, timeout=5)

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
    with anyio.fail_after(5):
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
    import subprocess
    import sys

    ended = await anyio.run_process([sys.executable, "-c", program], check=False, stderr=subprocess.DEVNULL)

    assert ended.returncode == -9
    await gone(path.read_text())
