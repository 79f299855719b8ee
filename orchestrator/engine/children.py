"""Sub-plans: runs of their own, started for a step and told of to their parent when they end."""

from typing import TYPE_CHECKING

from orchestrator.core import commands as c
from orchestrator.core import facts as f
from orchestrator.engine.driver import RunDriver
from orchestrator.engine.loop import parking_reason
from orchestrator.engine.recovery import ended_fact
from orchestrator.engine.submission import child_attempt, child_ended, child_facts
from orchestrator.errors import InputError, OrchestratorError
from orchestrator.ids import RunId, StepId
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
        try:
            rows = await engine.journal.runs(RunQuery(run_id=command.child, limit=1))
            if not rows:
                if not parent.over:
                    self._new_child(parent, command)
            elif (ended := await ended_fact(engine.journal, rows[0])) is not None:
                engine.post(parent, _ended(command, ended, engine.clock.now_s()))
            else:
                await engine.takeover.take(rows[0])
        except OrchestratorError as error:
            engine.park(parent, f"its sub-plan {command.child} cannot be followed: {parking_reason(error)}")

    def _new_child(self, parent: RunDriver, command: c.StartChild) -> None:
        engine = self._engine
        now_s = engine.clock.now_s()
        try:
            inputs = validate_inputs(command.plan, command.inputs)
        except InputError as error:
            failed = f.RunEnded(at_s=now_s, status="failed", usd=0.0, tokens=0, steps=0, reason=str(error))
            engine.post(parent, _ended(command, failed, now_s))
            return
        engine.start(child_facts(parent, command, inputs, now_s), engine.plans.compiled(command.plan))

    def cancel_child(self, parent: RunDriver, command: c.CancelChild) -> None:
        """Cancel a sub-plan, if it is open."""
        engine = self._engine
        driver = engine.driver(command.child)
        if driver is not None:
            engine.post(driver, f.CancelRequested(at_s=engine.clock.now_s(), reason=command.reason))
        elif parent.recovered:  # it may never have begun, or ended while nobody was there to hear of it
            engine.spawn(self._end_child, parent, command)

    async def _end_child(self, parent: RunDriver, command: c.CancelChild) -> None:
        engine, child, now_s = self._engine, command.child, self._engine.clock.now_s()
        try:
            rows = await engine.journal.runs(RunQuery(run_id=child, limit=1))
            never = f.RunEnded(at_s=now_s, status="cancelled", usd=0.0, tokens=0, steps=0, reason=command.reason)
            ended = await ended_fact(engine.journal, rows[0]) if rows else never
            if ended is not None:
                engine.post(parent, child_ended(child, _where(parent.run_id, child), ended, now_s))
            elif (taken := await engine.takeover.take(rows[0])) is not None:
                engine.post(taken, f.CancelRequested(at_s=now_s, reason=command.reason))
        except OrchestratorError as error:
            engine.park(parent, f"its sub-plan {child} cannot be followed: {parking_reason(error)}")

    def finished(self, driver: RunDriver) -> None:
        """A run has ended: let go of it, and tell its parent."""
        engine = self._engine
        parent, accepted, ended = driver.above, driver.accepted, driver.ended
        engine.forget(driver)
        if parent is not None and ended is not None:
            assert accepted.parent_step is not None, "a sub-plan knows its step"
            attempt = child_attempt(driver.run_id)
            where = accepted.parent_step, accepted.parent_branch, attempt
            engine.post(parent, child_ended(driver.run_id, where, ended, engine.clock.now_s()))


def _where(parent: RunId, child: RunId) -> tuple[StepId, int, int]:
    """Step, branch and attempt that a sub-plan's id names; see `child_id`."""
    at = child.removeprefix(f"{parent}.").partition("#")[0]
    step, _, branch = at.rstrip("]").partition("[")
    return StepId(step), int(branch) if branch else f.WHOLE, child_attempt(child)


def _ended(command: c.StartChild, ended: f.RunEnded, now_s: float) -> f.ChildEnded:
    return child_ended(command.child, (command.step, command.branch, command.attempt), ended, now_s)
