"""Answers workers that ask before they act, for money or leave to change the world: journaled first, then granted."""

from collections.abc import Awaitable, Callable
from typing import Final, assert_never

import anyio

from orchestrator.core import facts as f
from orchestrator.core.closing import short_of
from orchestrator.core.inputs import Input
from orchestrator.core.state import Status
from orchestrator.core.turn import open_samples
from orchestrator.engine.driver import RunDriver
from orchestrator.errors import EngineClosed, JournalError, RunNotFound, ValueRefused
from orchestrator.ids import RunId
from orchestrator.ports.clock import Clock
from orchestrator.ports.tasks import IntentRequest, OwnerReply, OwnerRequest, SpendRequest, StartRequest, TaskKey

UNWANTED = OwnerReply(granted=False, limit="run", left=0.0)
LOOK_S: Final = 1.0  #: between two looks whether a run that is open, and not driven here, is over or driven here
LOOKS_MAX: Final = 120  #: whoever drives it answers the worker meanwhile, or takes the run over and begins anew
UNKEPT = OwnerReply(granted=False, limit="value", left=0.0)
BEGUN = OwnerReply(granted=False, limit="begun", left=0.0)


class Grants:
    """What the owner of runs says to workers that ask."""

    def __init__(
        self,
        clock: Clock,
        driver: Callable[[RunId], RunDriver | None],
        tell: Callable[[RunDriver, Input], Awaitable[None]],
        ended: Callable[[RunId], Awaitable[f.RunEnded | None]],
    ) -> None:
        self._clock, self._driver, self._tell, self._ended = clock, driver, tell, ended

    async def answer(self, request: OwnerRequest) -> OwnerReply:
        """Granted once it is journaled; `limit` and `left` say what stood against it.

        Only the owner of a run can say no to its worker: of a run that is open and not driven here, the question is
        left to whoever drives it, and the worker asks that one next.
        """
        if request.key.purpose == "check" and not isinstance(request, SpendRequest):
            return UNWANTED  # a check that changes the world is none
        looks = 0
        while looks < LOOKS_MAX:
            driver = self._driver(request.key.run_id)
            try:
                if driver is not None and not driver.over:
                    return await self._as_owner(driver, request)
                if await self._ended(request.key.run_id) is not None:
                    return UNWANTED
                looks += 1
            except RunNotFound:
                return UNWANTED
            except ValueRefused:
                return UNKEPT
            except (EngineClosed, JournalError):
                pass  # another has it now, or the store does not answer
            await anyio.sleep(LOOK_S)
        return UNWANTED

    async def _as_owner(self, driver: RunDriver, request: OwnerRequest) -> OwnerReply:
        match request:
            case SpendRequest():
                return await self._money(driver, request)
            case IntentRequest():
                return await self._intent(driver, request)
            case StartRequest():
                return await self._begin(driver, request)
            case _:
                assert_never(request)

    async def _money(self, driver: RunDriver, request: SpendRequest) -> OwnerReply:
        key = request.key
        asked = f.BudgetReserved(
            at_s=self._clock.now_s(),
            step=key.step_id,
            branch=key.branch,
            attempt=key.attempt,
            sample=key.sample,
            charge=request.charge,
            usd=request.usd,
            tokens=request.tokens,
        )
        await self._tell(driver, asked)
        run = driver.machine.state
        if request.charge in run.ledger.open or request.charge in run.ledger.charged:
            return OwnerReply(granted=True)
        state = run.step(key.step_id)
        short = short_of(run, state, request.usd, request.tokens) if state is not None else None
        return UNWANTED if short is None else OwnerReply(granted=False, limit=short.limit, left=short.left)

    async def _intent(self, driver: RunDriver, request: IntentRequest) -> OwnerReply:
        key = request.key
        intended = f.ToolIntended(
            at_s=self._clock.now_s(),
            step=key.step_id,
            branch=key.branch,
            attempt=key.attempt,
            sample=key.sample,
            key=request.effect,
            tool=request.tool,
        )
        await self._tell(driver, intended)
        return OwnerReply(granted=True) if _at_work(driver, key) else UNWANTED

    async def _begin(self, driver: RunDriver, request: StartRequest) -> OwnerReply:
        key, now_s = request.key, self._clock.now_s()
        started = f.StepStarted(
            at_s=now_s,
            actor=request.worker,
            step=key.step_id,
            branch=key.branch,
            attempt=key.attempt,
            sample=key.sample,
        )
        await self._tell(driver, started)
        if not _at_work(driver, key):
            return UNWANTED
        state = driver.machine.state.step(key.step_id)
        unit = state.find(key.branch) if state is not None else None
        if unit is None or unit.starter != request.worker:
            return BEGUN
        if key in driver.inflight:
            driver.inflight[key] = driver.started[key] = now_s  # a sign of life, and what its time counts from
        return OwnerReply(granted=True)


def _at_work(driver: RunDriver, key: TaskKey) -> bool:
    """Whether this sample of the attempt still runs. Where it does, it did before, and its intent is in the journal."""
    run = driver.machine.state
    state = run.step(key.step_id)
    unit = state.find(key.branch) if state is not None else None
    if unit is None or unit.status is not Status.RUNNING or unit.attempt != key.attempt or run.ended:
        return False
    return key.sample in open_samples(unit)
