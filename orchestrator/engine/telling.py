"""Handing something to a run and waiting until it is in the journal."""

from collections.abc import Callable

import anyio

from orchestrator.core import facts as f
from orchestrator.core.codec import check_fact
from orchestrator.core.inputs import Input
from orchestrator.engine.driver import RunDriver
from orchestrator.engine.loop import Told


async def told(post: Callable[[RunDriver, Told], None], driver: RunDriver, item: Input) -> bool:
    """Whether all that followed from an item was journaled; False where the run was parked, or the engine closed.

    Raises:
        ValueRefused: a text in it cannot be kept, such as a reason with NUL; the run goes on unchanged.
    """
    if isinstance(item, f.Fact):
        check_fact(item)  # what a person says is no reason to park a run
    heard, journaled = anyio.Event(), False

    def done(well: bool) -> None:
        nonlocal journaled
        journaled = well
        heard.set()

    post(driver, Told(item, done))
    await heard.wait()
    return journaled
