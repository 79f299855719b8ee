"""What workers say is storable, or is refused to their face: no word of theirs may stop a run."""

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager

import pytest

from orchestrator.errors import RetryableError
from orchestrator.ports.tasks import TaskEvidence, TaskProgress, TaskSpent
from tests.workers.conftest import Bench
from workers import Pool, WorkContext

pytestmark = pytest.mark.anyio
Start = Callable[[Pool], AbstractAsyncContextManager[Bench]]


@pytest.mark.parametrize("kind", ["refused", "lost", "budget", "extended", "terminal", "", "2 words", "a\0", "x" * 65])
def test_a_kind_of_error_is_a_name_and_no_word_of_the_engine(kind: str) -> None:
    with pytest.raises(ValueError, match=r"kind|word"):
        RetryableError("no", kind=kind)


@pytest.mark.parametrize("after_s", [-1.0, float("nan"), float("inf")])
def test_a_wait_is_a_number_of_seconds(after_s: float) -> None:
    with pytest.raises(ValueError, match="retry_after_s"):
        RetryableError("no", retry_after_s=after_s)


async def test_a_worker_that_exits_the_interpreter_only_fails_its_task(start: Start) -> None:
    pool = Pool("p")

    @pool.worker
    async def leave() -> None:
        raise SystemExit(3)

    @pool.worker(isolation="thread")
    def leave_a_thread() -> None:
        raise SystemExit(3)

    @pool.worker(isolation="thread")
    def interrupt() -> None:
        raise KeyboardInterrupt

    async with start(pool) as bench:
        for function, told in (
            ("leave", "SystemExit: 3"),
            ("leave_a_thread", "SystemExit: 3"),
            ("interrupt", "RuntimeError: the worker raised KeyboardInterrupt"),
        ):
            failure = await bench.failure(function)
            assert (failure.error, failure.message.partition(" (at")[0]) == ("worker", told)


async def test_nul_and_half_characters_are_escaped_in_messages_and_names(start: Start) -> None:
    pool = Pool("p")

    @pool.worker
    async def say(ctx: WorkContext) -> int:
        ctx.progress(0.5, "a\0\ud800")
        ctx.evidence("t\0\ud800", 1)
        return 1

    @pool.worker
    async def fail() -> None:
        raise ValueError("a\0\ud800")

    async with start(pool) as bench:
        assert await bench.output("say") == 1
        failure = await bench.failure("fail")
    assert failure.message.startswith("ValueError: a\\x00\\ud800 (at")
    assert [m.message for m in bench.messages if isinstance(m, TaskProgress)] == ["a\\x00\\ud800"]
    assert [m.tool for m in bench.messages if isinstance(m, TaskEvidence)] == ["t\\x00\\ud800"]


@pytest.mark.parametrize(
    "given",
    [{"tokens": 1.5}, {"tokens": True}, {"tokens": 10**13}, {"charge": "a\0"}, {"charge": "x" * 201}, {"charge": 7}],
    ids=range(6),
)
async def test_a_cost_that_cannot_be_booked_is_refused(start: Start, given: dict[str, object]) -> None:
    pool = Pool("p")

    @pool.worker
    async def pay(ctx: WorkContext) -> None:
        ctx.cost(**given)  # type: ignore[arg-type]  # on purpose

    async with start(pool) as bench:
        failure = await bench.failure("pay")
    assert failure.message.startswith("ValueError: ")
    assert not [m for m in bench.messages if isinstance(m, TaskSpent)]
