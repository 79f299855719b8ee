"""What a timer means by the time it fires: a worker that spoke meanwhile, a wall clock that stood still."""

from collections.abc import Callable
from dataclasses import replace
from math import inf
from typing import Final, Literal

from orchestrator.core import facts as f
from orchestrator.core.inputs import TimerFired
from orchestrator.engine.driver import RunDriver
from orchestrator.engine.loop import Item
from orchestrator.engine.perform import idle_timer
from orchestrator.engine.timers import Timers
from orchestrator.ids import StepId
from orchestrator.ports.clock import Clock
from orchestrator.ports.tasks import TaskKey

FIND_S: Final = 1.0  #: between two looks whether a recovered run has found its sub-plans


def _allowed_s(driver: RunDriver, event: TimerFired, now_s: float) -> float:
    """Seconds that an attempt may run from its start: its own timeout, within what is left of the step's total."""
    state = driver.machine.state.step(StepId(event.step))
    unit = state.find(event.branch) if state is not None else None
    if state is None or unit is None:
        return 0.0
    total_left_s = state.spec.timeout.total - (now_s - unit.first_at_s - unit.paused_s)
    return min(state.spec.timeout.attempt, max(total_left_s, 0.0))


class Alarms:
    """Stands between the timers and the runs."""

    def __init__(self, clock: Clock, post: Callable[[RunDriver, Item], None]) -> None:
        self._clock, self._post = clock, post
        self.timers = Timers(clock, self._fire)

    def _fire(self, driver: RunDriver, event: TimerFired) -> None:
        if driver.over:
            return
        if event.kind == "wall":
            self._wall(driver, event)
        elif event.idle:
            self._idle(driver, event)
        elif event.kind == "attempt":
            self._attempt(driver, event)
        else:
            self._post(driver, event)

    def _attempt(self, driver: RunDriver, event: TimerFired) -> None:
        """An attempt may wait for a worker as long as it may run: time in the queue is not time at work."""
        purpose: Literal["work", "check"] = "check" if event.check else "work"
        key = TaskKey(
            driver.run_id, StepId(event.step), event.branch, event.attempt, event.sample, purpose, event.check
        )
        begun_s = driver.started.pop(key, None)
        now_s = self._clock.now_s()
        left_s = 0.0 if begun_s is None else begun_s + _allowed_s(driver, event, now_s) - now_s
        if left_s > 0:
            self.timers.arm(driver, replace(event, at_s=now_s + left_s))
        else:
            self._post(driver, event)

    def _wall(self, driver: RunDriver, event: TimerFired) -> None:
        if driver.waiting:
            driver.wall_held = True  # `resumed` brings it back
        elif driver.recovered and driver.finding_children:
            self.timers.arm(driver, replace(event, at_s=self._clock.now_s() + FIND_S))
        else:
            self._post(driver, event)

    def _idle(self, driver: RunDriver, event: TimerFired) -> None:
        key = TaskKey(driver.run_id, StepId(event.step), event.branch, event.attempt, event.sample)
        last_s = driver.inflight.get(key)
        step = driver.machine.state.step(StepId(event.step))
        idle_s = step.spec.timeout.idle if step is not None else None
        if last_s is None or idle_s is None:
            return
        begun_s = self._clock.now_s() if last_s == inf else last_s
        if begun_s + idle_s > self._clock.now_s():
            self.timers.arm(driver, idle_timer(key, begun_s + idle_s))
        else:
            self._post(driver, event)

    def resumed(self, driver: RunDriver, since_s: float) -> None:
        """All sub-plans of a run waited for people, and one does so no more: that time does not count as wall time."""
        if driver.over or driver.machine.state.ended:
            return
        now_s = self._clock.now_s()
        if now_s > since_s:
            self._post(driver, f.LimitExtended(at_s=now_s, limit="wall", by=now_s - since_s))
        if driver.wall_held:
            driver.wall_held = False
            self._post(driver, TimerFired(kind="wall", at_s=now_s))
