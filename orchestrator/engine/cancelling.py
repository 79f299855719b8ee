"""Cancelling a run with its sub-plans, wherever it is driven."""

from typing import TYPE_CHECKING

from orchestrator.core import facts as f
from orchestrator.errors import WrongState
from orchestrator.ids import RunId

if TYPE_CHECKING:
    from orchestrator.engine.engine import RunEngine


async def cancel_run(engine: "RunEngine", run_id: RunId, reason: str, by: str) -> None:
    """See `RunEngine.cancel`."""
    driver = engine.driver(run_id)
    if driver is None:
        if engine.owning is not None and await engine.owning.elsewhere(run_id) is not None:
            await engine.owning.petitioner.ask(run_id, "cancel", {"reason": reason, "by": by})
        elif await engine.ended(run_id) is None:
            raise WrongState(f"run {run_id}", engine.parked(run_id) or "open, but not driven here", "resume it first")
        return
    told: set[RunId] = set()
    while driver is not None:
        told.add(driver.run_id)
        await engine.tell(driver, f.CancelRequested(at_s=engine.clock.now_s(), actor=by, reason=reason))
        below = (d for d in engine.drivers() if d.run_id.startswith(f"{run_id}."))
        driver = next((d for d in below if d.run_id not in told), None)
