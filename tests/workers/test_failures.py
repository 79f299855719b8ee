"""Each error of a worker has its word in the journal, and a message that can be stored."""

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager

import pytest

from orchestrator.errors import BudgetExceeded, RetryableError, TerminalError
from orchestrator.ports.tasks import TaskFailed
from tests.workers.conftest import NOW_S, Bench
from workers import Pool

pytestmark = pytest.mark.anyio
Start = Callable[[Pool], AbstractAsyncContextManager[Bench]]


@pytest.mark.parametrize(
    ("error", "word", "message", "after_s"),
    [
        (RetryableError("slow", "rate_limit", 3.0), "rate_limit", "slow", 3.0),
        (TerminalError("never"), "terminal", "never", None),
        (BudgetExceeded("usd", 2, 1), "budget", "budget usd: asked for 2, 1 left", None),
        (TimeoutError("late"), "timeout", "TimeoutError: late (at workers/test_failures.py:{line} in fail)", None),
        (MemoryError(), "resource", "MemoryError (at workers/test_failures.py:{line} in fail)", None),
        (ValueError("bad"), "worker", "ValueError: bad (at workers/test_failures.py:{line} in fail)", None),
        (
            ExceptionGroup("g", [RetryableError("x"), ExceptionGroup("h", [TerminalError("never")])]),
            "terminal",
            "never",
            None,
        ),
        (ExceptionGroup("g", [RetryableError("slow", "mine"), RetryableError("y")]), "mine", "slow", None),
        (ExceptionGroup("g", [RetryableError("slow"), KeyError("k")]), "worker", "KeyError: 'k'", None),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else None,
)
async def test_each_error_has_its_word(
    start: Start, error: Exception, word: str, message: str, after_s: float | None
) -> None:
    pool = Pool("p")

    @pool.worker
    async def fail() -> None:
        raise error

    async with start(pool) as bench:
        failure = await bench.failure("fail")

    line = fail.__code__.co_firstlineno + 2
    assert failure == TaskFailed(
        key=failure.key,
        worker="w",
        error=word,
        message=message.format(line=line),
        retry_after_s=after_s,
        started_at_s=NOW_S,
    )


async def test_a_failure_message_is_bounded_and_storable(start: Start) -> None:
    pool = Pool("p")

    class Odd(Exception):
        def __str__(self) -> str:
            raise RuntimeError("no")

    @pool.worker
    async def long() -> None:
        raise ValueError("x\ud800" * 100_000)

    @pool.worker
    async def odd() -> None:
        raise Odd

    async with start(pool) as bench:
        first, second = await bench.failure("long"), await bench.failure("odd")

    assert len(first.message.encode()) <= 2_000
    assert first.message.startswith("ValueError: x\\ud800x\\ud800")
    assert "its message cannot be read: RuntimeError" in second.message
