"""Asking judges and planners: beside the loop, bounded in time, and dropped once nobody wants the answer."""

from collections.abc import Awaitable, Callable
from typing import TypeVar

import anyio

from orchestrator.core import commands as c
from orchestrator.core import facts as f
from orchestrator.core.inputs import Input
from orchestrator.core.rebuild import locked
from orchestrator.core.state import RunState
from orchestrator.engine.desk import RunDesk, drafts_of, kept
from orchestrator.engine.driver import RunDriver
from orchestrator.engine.loop import Item
from orchestrator.engine.translate import verdict_of
from orchestrator.errors import BudgetExceeded, EngineClosed, JournalConflict, OrchestratorError
from orchestrator.ids import Digest, StepId
from orchestrator.plan.models import Plan
from orchestrator.plan.parts import Supervision
from orchestrator.plan.patch import Patch, apply_patch
from orchestrator.ports.checker import Checker, Judgement, JudgeRequest, Vote
from orchestrator.ports.clock import Clock
from orchestrator.ports.model_errors import ModelError
from orchestrator.ports.planner import Choice, GoalPlanner, GoalRequest, Planned, Planner, ReplanRequest, Room
from orchestrator.ports.tasks import TaskKey

T = TypeVar("T")


class Asked:
    """Who is asked beside the loop. A question may take as long as an attempt of its step."""

    def __init__(
        self,
        *,
        clock: Clock,
        post: Callable[[RunDriver, Item], None],
        spawn: Callable[..., None],
        prepare: Callable[[Plan, bool], object],
        tell: Callable[[RunDriver, Input], Awaitable[None]],
        planner: Planner | None,
        checker: Checker | None,
        supervisor: GoalPlanner | None,
    ) -> None:
        self._clock, self._post, self._spawn, self._prepare = clock, post, spawn, prepare
        self._tell = tell
        self._planner, self._checker, self._supervisor = planner, checker, supervisor

    def judge(self, driver: RunDriver, command: c.AskJudge) -> None:
        """Ask a judge about an output; what it says is posted as a verdict."""
        key = TaskKey(driver.run_id, command.step, command.branch, command.attempt, 0, "check", command.check)
        self._ask(driver, key, self._judge, command)

    def replan(self, driver: RunDriver, command: c.AskReplan) -> None:
        """Ask the planner for a patch; a patch that is valid is posted, anything else as a refusal."""
        key = TaskKey(driver.run_id, command.step, command.branch, command.attempt)
        self._ask(driver, key, self._replan, command)

    def plan(self, driver: RunDriver, command: c.AskPlan) -> None:
        """Have a goal planned; its plan is posted, anything else as a failed attempt."""
        key = TaskKey(driver.run_id, command.step, command.branch, command.attempt)
        self._ask(driver, key, self._plan, command)

    def _desk(self, driver: RunDriver, key: TaskKey, who: str) -> RunDesk:
        return RunDesk(driver, key, who, clock=self._clock, tell=self._tell, post=self._post)

    def _ask(self, driver: RunDriver, key: TaskKey, work: Callable[..., Awaitable[None]], command: object) -> None:
        scope = driver.asking[key] = anyio.CancelScope()
        self._spawn(work, driver, key, scope, command)

    async def _answer(self, driver: RunDriver, key: TaskKey, scope: anyio.CancelScope, answer: Awaitable[T]) -> T:
        """The answer, unless nobody wants it any more.

        Raises:
            TimeoutError: there is none in the time of one attempt.
            _Unwanted: the run has moved on.
        """
        state = driver.machine.state.step(key.step_id)
        limit_s = state.spec.timeout.attempt if state is not None else 0.0
        with scope, anyio.fail_after(limit_s):
            return await answer
        raise _Unwanted

    async def _judge(self, driver: RunDriver, key: TaskKey, scope: anyio.CancelScope, command: c.AskJudge) -> None:
        assert self._checker is not None, "plans with judges are refused without one"
        desk = self._desk(driver, key, "judge")
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
            meter=desk,
            cast=tuple(Vote(number=one.number, score=one.score, reasons=one.reasons) for one in command.votes),
            voted=desk.voted_on(command.check),
        )
        try:
            said = await self._answer(driver, key, scope, self._checker.judge(request))
        except (_Unwanted, EngineClosed, JournalConflict):
            return
        except TimeoutError:
            said = Judgement(verdict="check_broken", reasons=("the judge did not answer in time",))
        except Exception as error:  # noqa: BLE001  # whatever a judge raises is a broken check, never a pass
            said = Judgement(verdict="check_broken", reasons=(f"the judge failed: {_said(error)}",))
        driver.asking.pop(key, None)
        verdict = verdict_of(
            key,
            driver.machine.state,
            self._clock.now_s(),
            said.verdict,
            tuple(map(kept, said.reasons)),
            said.score,
            name="judge",
            usd=said.usd,
            tokens=said.tokens,
        )
        self._post(driver, verdict)

    async def _replan(self, driver: RunDriver, key: TaskKey, scope: anyio.CancelScope, command: c.AskReplan) -> None:
        assert self._planner is not None, "plans with a replan rung are refused without a planner"
        run = driver.machine.state
        plan = run.plan.plan
        fixed = locked(run, command.step)
        request = ReplanRequest(
            run_id=driver.run_id,
            plan=plan,
            step=command.step,
            branch=command.branch,
            scope=command.scope,
            reasons=command.reasons,
            statuses={str(state.spec.id): state.status.value for state in run.steps},
            output=command.output,
            locked=frozenset(fixed),
            desk=self._desk(driver, key, "planner"),
            attempt=command.attempt,
            depth=depth_of(driver),
            room=room_of(run),
            supervision=supervision_of(driver),
            drafts=drafts_of(command.drafts),
        )
        refusal = "the planner has none"
        changed: tuple[Patch, Plan] | None = None
        try:
            patch = await self._answer(driver, key, scope, self._planner.replan(request))
            if patch is not None:
                changed = patch, apply_patch(plan, patch, locked=locked(run, command.step))
                self._prepare(changed[1], run.pinned is not None)
        except (_Unwanted, EngineClosed, JournalConflict):
            return
        except TimeoutError:
            refusal = "the planner did not answer in time"
        except OrchestratorError as error:
            changed, refusal = None, str(error)
        except Exception as error:  # noqa: BLE001  # whatever a planner raises is a refusal, journaled with its text
            changed, refusal = None, _said(error)
        driver.asking.pop(key, None)
        if changed is None:
            refused = f.ReplanRefused(
                at_s=self._clock.now_s(),
                step=command.step,
                branch=command.branch,
                attempt=command.attempt,
                reason=kept(refusal),
            )
            self._post(driver, refused)
        else:
            self._post(driver, patched(*changed, at_s=self._clock.now_s(), asked_by=command.step))

    async def _plan(self, driver: RunDriver, key: TaskKey, scope: anyio.CancelScope, command: c.AskPlan) -> None:
        assert self._supervisor is not None, "plans with goals are refused without a supervisor"
        run = driver.machine.state
        step = run.plan.plan.steps[command.step]
        request = GoalRequest(
            run_id=driver.run_id,
            step=command.step,
            branch=command.branch,
            attempt=command.attempt,
            goal=command.goal,
            args=command.args,
            output=step.output,
            constraints=run.plan.plan.constraints,
            reasons=command.reasons,
            supervision=step.supervisor or Supervision(),
            depth=depth_of(driver) + 1,
            room=room_of(run),
            desk=self._desk(driver, key, "planner"),
            drafts=drafts_of(command.drafts),
            choice=_choice(command.pattern),
        )
        failed: tuple[str, str, float | None]
        try:
            planned = await self._answer(driver, key, scope, self._supervisor.plan(request))
            self._prepare(planned.plan, run.pinned is not None)
        except (_Unwanted, EngineClosed, JournalConflict):
            return
        except TimeoutError:
            failed = "timeout", "the planner did not answer in time", None
        except BudgetExceeded as error:
            failed = "budget", str(error), None
        except ModelError as error:
            failed = error.step_kind, str(error), error.retry_after_s
        except OrchestratorError as error:
            failed = "planning", str(error), None
        except Exception as error:  # noqa: BLE001  # whatever a supervisor raises is a failed attempt
            failed = "planning", _said(error), None
        else:
            driver.asking.pop(key, None)
            self._post(driver, _planned(key, planned, self._clock.now_s()))
            return
        driver.asking.pop(key, None)
        error_kind, message, retry_after_s = failed
        self._post(
            driver,
            f.AttemptFailed(
                at_s=self._clock.now_s(),
                step=command.step,
                branch=command.branch,
                attempt=command.attempt,
                error=error_kind,
                retry_after_s=retry_after_s,
                message=kept(message),
            ),
        )


def depth_of(driver: RunDriver) -> int:
    """How many runs are above a run: every sub-plan's id is its parent's with a part more."""
    return driver.run_id.count(".")


def supervision_of(driver: RunDriver) -> Supervision | None:
    """By which rules a run's plan was made: those of the goal it stands for; None where no goal is above it."""
    above = driver.above
    if above is None or driver.accepted.parent_step is None:
        return None
    step = above.machine.state.plan.plan.steps.get(driver.accepted.parent_step)
    if step is not None and step.goal is not None:
        return step.supervisor or Supervision()
    return supervision_of(above)


def room_of(run: RunState) -> Room:
    """What is left of a run's budget."""
    ledger = run.ledger
    return Room(usd=ledger.usd_left, tokens=ledger.tokens_left, steps=ledger.steps_left, calls=ledger.calls_left)


def _choice(fact: f.PatternChosen | None) -> Choice | None:
    if fact is None:
        return None
    return Choice(pattern=fact.pattern, row=fact.row, reason=fact.reason, source=fact.source)


def _planned(key: TaskKey, planned: Planned, at_s: float) -> f.GoalPlanned:
    return f.GoalPlanned(
        at_s=at_s,
        actor="planner",
        step=key.step_id,
        branch=key.branch,
        attempt=key.attempt,
        digest=planned.plan.digest,
        steps=len(planned.plan.steps),
        tries=planned.tries,
        usd_estimate=planned.usd_estimate,
        plan=planned.plan.data,
    )


def patched(patch: Patch, changed: Plan, *, at_s: float, asked_by: StepId | None = None, by: str = "") -> f.PlanPatched:
    """The fact that a patch, which gives the plan `changed`, is applied."""
    return f.PlanPatched(
        at_s=at_s,
        actor=by or patch.author,
        base=Digest(patch.base),
        digest=changed.digest,
        author=patch.author,
        reason=patch.reason,
        asked_by=asked_by,
        patch=patch.canonical(),
    )


class _Unwanted(Exception):
    """Nobody waits for the answer any more."""


def _said(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"
