"""The end of an engine in good order: what runs may finish, what does not is handed back."""

from collections.abc import Callable
from typing import Final

import anyio

from orchestrator.core import facts as f
from orchestrator.core.step_facts import DRAINED
from orchestrator.engine.driver import RunDriver
from orchestrator.engine.loop import Loop
from orchestrator.ports.clock import Clock
from orchestrator.ports.transport import Transport

GIVE_UP_S: Final = 5.0  #: at most, for journaling what is given up


async def drain(
    drivers: Callable[[], list[RunDriver]], loop: Loop, transport: Transport, clock: Clock, grace_s: float
) -> bool:
    """Let tasks that were sent come home for `grace_s` seconds; give up the rest. True when all came home."""
    for driver in drivers():
        driver.hold()
    with anyio.move_on_after(grace_s):
        while True:
            await loop.settle()
            busy = next((d for d in drivers() if d.inflight or d.asking), None)
            if busy is None:
                return True
            await busy.change()
    for driver in drivers():
        _give_up(driver, loop, transport, clock.now_s())
    with anyio.move_on_after(GIVE_UP_S):
        await loop.settle()
    return False


def _give_up(driver: RunDriver, loop: Loop, transport: Transport, now_s: float) -> None:
    """Take a run's tasks back from their workers first, so that no answer of theirs is in the way."""
    driver.drop_questions()
    inflight, driver.inflight = driver.inflight, {}
    for key in inflight:
        transport.revoke(key)
    for key in inflight:
        if key.purpose == "work":
            given_up = f.LeaseLost(
                at_s=now_s,
                step=key.step_id,
                branch=key.branch,
                attempt=key.attempt,
                sample=key.sample,
                reason=DRAINED,
            )
            loop.post(driver, given_up)
