"""One function per command: what the machine asked for, done in the world. Each ends in one input for the machine."""

from collections.abc import Callable
from math import inf
from typing import Protocol, assert_never

from orchestrator.core import commands as c
from orchestrator.core.inputs import TimerFired
from orchestrator.engine.driver import RunDriver
from orchestrator.engine.observing import Guarded
from orchestrator.engine.timers import Timers
from orchestrator.ids import PoolName, TenantId
from orchestrator.plan.models import Step
from orchestrator.plan.parts import AUTO
from orchestrator.plan.provenance import provenance_of
from orchestrator.ports.cache import CacheMode
from orchestrator.ports.clock import Clock
from orchestrator.ports.tasks import Lane, StepTask, TaskKey
from orchestrator.ports.transport import Resuming, Transport


class Children(Protocol):
    """Who starts and cancels sub-plans."""

    def start_child(self, parent: RunDriver, command: c.StartChild) -> None:
        """Start a sub-plan, or follow the one that exists."""
        ...

    def cancel_child(self, parent: RunDriver, command: c.CancelChild) -> None:
        """Cancel a sub-plan, if it is open."""
        ...

    def finished(self, driver: RunDriver) -> None:
        """A run has ended."""
        ...


class Questions(Protocol):
    """Who asks judges and planners."""

    def judge(self, driver: RunDriver, command: c.AskJudge) -> None:
        """Ask a judge; the verdict is posted to the run."""
        ...

    def replan(self, driver: RunDriver, command: c.AskReplan) -> None:
        """Ask the planner; a patch or a refusal is posted to the run."""
        ...

    def plan(self, driver: RunDriver, command: c.AskPlan) -> None:
        """Have a goal planned; its plan or a failed attempt is posted to the run."""
        ...


class Performer:
    """Carries out commands. Never blocks: what takes time runs in the engine's task group."""

    def __init__(
        self,
        *,
        transport: Transport,
        timers: Timers,
        clock: Clock,
        children: Children,
        questions: Questions,
        observer: Guarded | None = None,
    ) -> None:
        self._observer = observer
        self._transport, self._timers, self._clock = transport, timers, clock
        self._children, self._questions = children, questions
        self._send: Callable[[StepTask], None] | None = None  #: while a run is resumed: how its tasks go on
        self._new: frozenset[TaskKey] = frozenset()  #: of these, those that nobody can have sent

    def perform(self, driver: RunDriver) -> None:
        """Carry out all commands of a run, in order."""
        commands, driver.commands = driver.commands, []
        self._send = resuming(self._transport) if driver.resuming else None
        driver.resuming = False
        self._new, driver.new_tasks = driver.new_tasks, frozenset()
        for command in commands:
            match command:
                case c.Dispatch():
                    self._dispatch(driver, command)
                case c.SetTimer():
                    event = TimerFired(
                        kind=command.kind,
                        at_s=command.at_s,
                        step=command.step,
                        branch=command.branch,
                        attempt=command.attempt,
                    )
                    self._timers.arm(driver, event)
                case c.Revoke():
                    self._revoke(driver, command)
                case c.StartChild():
                    self._children.start_child(driver, command)
                case c.CancelChild():
                    self._children.cancel_child(driver, command)
                case c.AskReplan():
                    self._questions.replan(driver, command)
                case c.AskPlan():
                    self._questions.plan(driver, command)
                case c.AskJudge():
                    self._questions.judge(driver, command)
                case c.Finish():
                    driver.drop_questions()
                    self._children.finished(driver)
                case _:
                    assert_never(command)

    def _dispatch(self, driver: RunDriver, command: c.Dispatch) -> None:
        key = TaskKey(
            driver.run_id,
            command.step,
            command.branch,
            command.attempt,
            command.sample,
            command.purpose,
            command.check,
        )
        now_s = self._clock.now_s()
        accepted = driver.accepted
        driver.inflight[key] = now_s if command.idle_s is None else inf
        self._timers.arm_attempt(driver, key, now_s, command.timeout_s)
        if command.idle_s is not None:
            self._timers.arm(driver, idle_timer(key, now_s + command.idle_s))
        plan = driver.machine.state.plan.plan
        send = self._transport.send if self._send is None or key in self._new else self._send
        send(
            StepTask(
                key=key,
                tenant=TenantId(accepted.tenant),
                pool=PoolName(command.pool),
                lane=_lane(accepted.lane),
                function=command.function,
                instruction=command.instruction,
                args=command.args,
                output_schema=command.output_schema,
                constraints=plan.constraints,
                tier=command.tier,
                reasons=command.reasons,
                idempotency_key=command.idempotency_key,
                timeout_s=command.timeout_s,
                idle_s=command.idle_s,
                plan=plan.name,
                sent_at_s=now_s,
                batch_s=_batch_of(plan.steps[command.step]),
                routed=_is_routed(plan.steps[command.step]),
                cache=_cache_of(plan.steps[command.step], command),
                trace=self._observer.trace_of(accepted, key) if self._observer is not None else "",
                labels=provenance_of(driver.machine.state.plan).told(command.step, parent=accepted.parent is not None),
            )
        )

    def _revoke(self, driver: RunDriver, command: c.Revoke) -> None:
        key = TaskKey(
            driver.run_id,
            command.step,
            command.branch,
            command.attempt,
            command.sample,
            command.purpose,
            command.check,
        )
        driver.inflight.pop(key, None)
        asked = driver.asking.pop(key, None)
        if asked is not None:
            asked.cancel()
        else:
            self._transport.revoke(key)


def _batch_of(step: Step) -> float | None:
    """How long prompts of a task may wait for the batch service."""
    return step.model.batch.deadline if step.model is not None and step.model.batch is not None else None


def _is_routed(step: Step) -> bool:
    """Whether the step leaves its tier to routing."""
    return step.model is not None and step.model.tier == AUTO


def _cache_of(step: Step, command: c.Dispatch) -> CacheMode | None:
    """How the models of a task may be answered: never from the cache where the step changes the world, where several
    samples are to agree, or where a check asks."""
    if command.purpose == "check" or step.effect is not None or any(check.agree is not None for check in step.checks):
        return "none"
    return step.model.cache if step.model is not None else None


def resuming(transport: Transport) -> Callable[[StepTask], None] | None:
    """How a task goes on that an owner before may have sent; None where all tasks ended with that owner."""
    return transport.resume if isinstance(transport, Resuming) else None


def _lane(lane: str) -> Lane:
    return lane if lane in ("high", "normal", "low", "batch") else "normal"  # type: ignore[return-value]  # just narrowed


def idle_timer(key: TaskKey, at_s: float) -> TimerFired:
    """The timer that asks whether a worker still shows signs of life."""
    return TimerFired(
        kind="attempt",
        at_s=at_s,
        step=key.step_id,
        branch=key.branch,
        attempt=key.attempt,
        sample=key.sample,
        check=key.check,
        idle=True,
    )
