"""The jumping clock of asyncio: waits cost nothing, order is kept, and threads at work are waited for."""

import threading
import time

import anyio
import anyio.to_thread
import pytest

from orchestrator.testing.jumping import BEGAN_S, JumpingLoop

pytestmark = [pytest.mark.anyio, pytest.mark.parametrize("anyio_backend", [("asyncio", {"loop_factory": JumpingLoop})])]
DAY_S = 86_400.0


async def test_a_day_passes_at_once() -> None:
    began, here = time.monotonic(), anyio.current_time()
    assert here >= BEGAN_S
    await anyio.sleep(DAY_S)
    assert anyio.current_time() - here == pytest.approx(DAY_S)
    assert time.monotonic() - began < 60


async def test_deadlines_come_in_their_order() -> None:
    seen: list[str] = []

    async def note(name: str, after_s: float) -> None:
        await anyio.sleep(after_s)
        seen.append(name)

    async with anyio.create_task_group() as group:
        for name, after_s in (("c", 0.3), ("a", 0.1), ("d", DAY_S), ("b", 0.2)):
            group.start_soon(note, name, after_s)
    assert seen == ["a", "b", "c", "d"]


async def test_a_thread_at_work_is_waited_for_however_near_a_deadline_is() -> None:
    release = threading.Event()

    def work() -> str:
        release.wait(0.3)  # real time, in which a clock that jumps would pass every deadline
        return "done"

    with anyio.fail_after(0.001):
        assert await anyio.to_thread.run_sync(work) == "done"


async def test_idle_threads_hold_nothing_up() -> None:
    assert await anyio.to_thread.run_sync(lambda: 1) == 1
    await anyio.sleep(DAY_S)


async def test_a_deadline_that_passes_is_a_timeout() -> None:
    with pytest.raises(TimeoutError):
        with anyio.fail_after(DAY_S):
            await anyio.sleep(2 * DAY_S)
