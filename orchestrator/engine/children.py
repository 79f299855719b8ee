"""Sub-plans: runs of their own, started for a step and told of to their parent when they end."""

from typing import TYPE_CHECKING

from orchestrator.core import commands as c
from orchestrator.core import facts as f
from orchestrator.engine.driver import RunDriver
from orchestrator.engine.recovery import recover
from orchestrator.engine.submission import child_attempt, child_ended, child_facts
from orchestrator.errors import InputError
from orchestrator.plan.compiled import compile_plan
from orchestrator.plan.inputs import validate_inputs
from orchestrator.ports.journal import RunQuery

if TYPE_CHECKING:
    from orchestrator.engine.engine import RunEngine


class SubPlans:
    """Starts, follows and cancels the sub-plans of an engine's runs."""

    def __init__(self, engine: "RunEngine") -> None:
        self._engine = engine

    def start_child(self, parent: RunDriver, command: c.StartChild) -> None:
        """Start a sub-plan, or follow the one that exists."""
        engine = self._engine
        if engine.driver(command.child) is not None:
            return
        if parent.recovered:
            engine.spawn(self._follow_child, parent, command)
        else:
            self._new_child(parent, command)

    async def _follow_child(self, parent: RunDriver, command: c.StartChild) -> None:
        engine = self._engine
        rows = await engine.journal.runs(RunQuery(run_id=command.child, limit=1))
        if not rows:
            self._new_child(parent, command)
        elif rows[0].status != "open":
            driver = await recover(engine.journal, command.child, engine.owner)
            assert driver.ended is not None, "its row says that it has ended"
            self._tell_parent(parent, driver, driver.ended)
        elif engine.driver(command.child) is None:
            await engine.recover(command.child)

    def _new_child(self, parent: RunDriver, command: c.StartChild) -> None:
        engine = self._engine
        now_s = engine.clock.now_s()
        try:
            inputs = validate_inputs(command.plan, command.inputs)
        except InputError as error:
            failed = f.ChildEnded(
                at_s=now_s,
                step=command.step,
                branch=command.branch,
                attempt=command.attempt,
                child=command.child,
                status="failed",
                usd=0.0,
                tokens=0,
                steps=0,
                reason=str(error),
            )
            engine.post(parent, failed)
            return
        engine.start(child_facts(parent, command, inputs, now_s), compile_plan(command.plan))

    def cancel_child(self, command: c.CancelChild) -> None:
        """Cancel a sub-plan, if it is open."""
        engine = self._engine
        driver = engine.driver(command.child)
        if driver is not None:
            engine.post(driver, f.CancelRequested(at_s=engine.clock.now_s(), reason=command.reason))

    def finished(self, driver: RunDriver) -> None:
        """A run has ended: let go of it, and tell its parent."""
        engine = self._engine
        engine.forget(driver)
        parent = engine.driver(driver.accepted.parent) if driver.accepted.parent is not None else None
        if parent is not None and driver.ended is not None:
            self._tell_parent(parent, driver, driver.ended)

    def _tell_parent(self, parent: RunDriver, driver: RunDriver, ended: f.RunEnded) -> None:
        engine = self._engine
        attempt = child_attempt(driver.run_id)
        engine.post(parent, child_ended(driver, ended, attempt, engine.clock.now_s()))
