"""An effect begins upon a word of its owner that is fresh; a process that was frozen meanwhile asks once more."""

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager

import anyio
import pytest

from orchestrator.ports.tasks import OwnerReply, OwnerRequest, StartRequest, TaskDone, TaskFailed
from tests.workers.conftest import Bench
from workers import Pool
from workers.limits import ALLOWED_ASKS_MAX, ALLOWED_S

pytestmark = [pytest.mark.anyio, pytest.mark.parametrize("anyio_backend", ["trio"], indirect=True)]
Start = Callable[[Pool], AbstractAsyncContextManager[Bench]]
EFFECT = {"idempotency_key": "run/out"}


def publishing(made: list[str]) -> Pool:
    pool = Pool("p")

    @pool.worker(honours_key=True)
    async def publish() -> str:
        made.append("made")
        return "out"

    return pool


async def answers(start: Start, made: list[str], replies: list[tuple[float, bool]]) -> tuple[Bench, object]:
    """What came of an effect whose owner answers after so many seconds, one after the other."""
    left = iter(replies)
    async with start(publishing(made)) as bench:

        async def slowly(request: OwnerRequest) -> OwnerReply:
            bench.asked.append(request)
            after_s, granted = next(left)
            await anyio.sleep(after_s)
            return OwnerReply(granted=granted, limit="" if granted else "run")

        bench.transport.bind_answer(slowly)
        key = bench.send("publish", **EFFECT)
        with anyio.move_on_after(60.0):
            await bench.until(lambda: bench.answer(key) is not None)
        return bench, bench.answer(key)


async def test_a_word_that_came_late_is_asked_for_once_more_under_the_same_name(start: Start) -> None:
    made: list[str] = []
    bench, answer = await answers(start, made, [(ALLOWED_S * 2, True), (0.0, True)])
    assert isinstance(answer, TaskDone)
    assert made == ["made"]
    first, second = bench.asked
    assert isinstance(first, StartRequest)
    assert first == second


async def test_and_nothing_is_begun_where_somebody_else_has_made_it_meanwhile(start: Start) -> None:
    made: list[str] = []
    bench, answer = await answers(start, made, [(ALLOWED_S * 2, True), (0.0, False)])
    assert not isinstance(answer, TaskDone)
    assert (made, len(bench.asked)) == ([], 2)


async def test_a_fresh_word_is_enough_and_a_slow_owner_does_not_hold_an_effect_up_for_ever(start: Start) -> None:
    made: list[str] = []
    bench, answer = await answers(start, made, [(ALLOWED_S / 2, True)])
    assert (isinstance(answer, TaskDone), len(bench.asked)) == (True, 1)
    bench, answer = await answers(start, made, [(ALLOWED_S * 2, True)] * ALLOWED_ASKS_MAX)
    assert (isinstance(answer, TaskDone | TaskFailed), len(bench.asked)) == (True, ALLOWED_ASKS_MAX)
    assert made == ["made", "made"]
