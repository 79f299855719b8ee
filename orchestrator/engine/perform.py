"""One function per command: what the machine asked for, done in the world. Each ends in one input for the machine."""

from collections.abc import Callable
from typing import Final, Protocol, assert_never

import structlog

from orchestrator.core import commands as c
from orchestrator.core import facts as f
from orchestrator.core.inputs import TimerFired
from orchestrator.core.state import SETTLED, Status
from orchestrator.engine.driver import RunDriver
from orchestrator.engine.loop import Item
from orchestrator.engine.timers import Timers
from orchestrator.engine.translate import verdict_of
from orchestrator.errors import OrchestratorError
from orchestrator.ids import PoolName, StepId, TenantId
from orchestrator.plan.patch import apply_patch
from orchestrator.ports.checker import Checker, JudgeRequest
from orchestrator.ports.clock import Clock
from orchestrator.ports.planner import Planner, ReplanRequest
from orchestrator.ports.tasks import Lane, StepTask, TaskKey
from orchestrator.ports.transport import Transport

PURPOSES: Final = ("work", "check")
log = structlog.get_logger(__name__)


class Children(Protocol):
    """Who starts and cancels sub-plans."""

    def start_child(self, parent: RunDriver, command: c.StartChild) -> None:
        """Start a sub-plan, or follow the one that exists."""
        ...

    def cancel_child(self, command: c.CancelChild) -> None:
        """Cancel a sub-plan, if it is open."""
        ...

    def finished(self, driver: RunDriver) -> None:
        """A run has ended."""
        ...


class Performer:
    """Carries out commands. Never blocks: what takes time runs in the engine's task group."""

    def __init__(
        self,
        *,
        transport: Transport,
        timers: Timers,
        clock: Clock,
        post: Callable[[RunDriver, Item], None],
        spawn: Callable[..., None],
        children: Children,
        planner: Planner | None,
        checker: Checker | None,
    ) -> None:
        self._transport, self._timers, self._clock, self._post = transport, timers, clock, post
        self._children, self._planner, self._checker = children, planner, checker
        self._spawn = spawn
        self.draining = False  #: nothing new is sent to workers

    def perform(self, driver: RunDriver) -> None:
        """Carry out all commands of a run, in order."""
        commands, driver.commands = driver.commands, []
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
                    self._children.cancel_child(command)
                case c.AskReplan():
                    self._spawn(self._replan, driver, command)
                case c.AskJudge():
                    self._spawn(self._judge, driver, command)
                case c.Finish():
                    self._children.finished(driver)
                case _:
                    assert_never(command)

    def _dispatch(self, driver: RunDriver, command: c.Dispatch) -> None:
        if self.draining:
            return
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
        driver.inflight[key] = now_s
        self._timers.arm_attempt(driver, key, now_s, command.timeout_s)
        if command.idle_s is not None:
            self._timers.arm(driver, idle_timer(key, now_s + command.idle_s))
        plan = driver.machine.state.plan.plan
        self._transport.send(
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
                plan=plan.name,
                sent_at_s=now_s,
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
        self._transport.revoke(key)

    async def _judge(self, driver: RunDriver, command: c.AskJudge) -> None:
        assert self._checker is not None, "plans with judges are refused without one"
        key = TaskKey(driver.run_id, command.step, command.branch, command.attempt, 0, "check", command.check)
        request = JudgeRequest(
            run_id=driver.run_id,
            step=command.step,
            task=command.task,
            args=command.args,
            constraints=driver.machine.state.plan.plan.constraints,
            output=command.output,
            rubric=command.judge.rubric,
            tier=command.judge.tier,
            pass_at=command.judge.pass_at,
            votes=command.judge.votes,
        )
        run = driver.machine.state
        try:
            said = await self._checker.judge(request)
        except Exception as error:  # noqa: BLE001  # whatever a judge raises is a broken check, never a pass
            reasons = (f"the judge failed: {type(error).__name__}: {error}",)
            verdict = verdict_of(key, run, self._clock.now_s(), "check_broken", reasons, name="judge")
        else:
            verdict = verdict_of(
                key,
                run,
                self._clock.now_s(),
                said.verdict,
                said.reasons,
                said.score,
                name="judge",
                usd=said.usd,
                tokens=said.tokens,
            )
        self._post(driver, verdict)

    async def _replan(self, driver: RunDriver, command: c.AskReplan) -> None:
        assert self._planner is not None, "plans with a replan rung are refused without a planner"
        run = driver.machine.state
        plan = run.plan.plan
        statuses = {str(state.spec.id): state.status.value for state in run.steps}
        asking = command.step
        locked = locked_steps(driver) - {asking}
        request = ReplanRequest(
            run_id=driver.run_id,
            plan=plan,
            step=asking,
            branch=command.branch,
            scope=command.scope,
            reasons=command.reasons,
            statuses=statuses,
            locked=frozenset(locked),
        )
        where = {"step": asking, "branch": command.branch, "attempt": command.attempt}
        try:
            patch = await self._planner.replan(request)
            if patch is None:
                raise _NoPatch("the planner has none")
            changed = apply_patch(plan, patch, locked=locked_steps(driver) - {asking})
        except (_NoPatch, OrchestratorError) as error:
            self._refuse(driver, where, str(error))
        except Exception as error:  # noqa: BLE001  # whatever a planner raises is a refusal, journaled with its text
            self._refuse(driver, where, f"{type(error).__name__}: {error}")
        else:
            patched = f.PlanPatched(
                at_s=self._clock.now_s(),
                actor=patch.author,
                base=plan.digest,
                digest=changed.digest,
                author=patch.author,
                reason=patch.reason,
                asked_by=asking,
                patch=patch.canonical(),
            )
            self._post(driver, patched)

    def _refuse(self, driver: RunDriver, where: dict[str, object], reason: str) -> None:
        self._post(driver, f.ReplanRefused(at_s=self._clock.now_s(), reason=reason, **where))  # type: ignore[arg-type]  # step, branch, attempt


class _NoPatch(Exception):
    """The planner gave no patch."""


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


def locked_steps(driver: RunDriver) -> set[StepId]:
    """Steps that a patch may not touch: they have passed, or something of them runs or has passed."""
    locked: set[StepId] = set()
    for state in driver.machine.state.steps:
        under_way = any(
            unit.status is Status.PASSED or (unit.status not in SETTLED and unit.status is not Status.PENDING)
            for unit in state.all_units()
        )
        if state.status is Status.PASSED or under_way:
            locked.add(state.spec.id)
    return locked
