"""`Run`: what a caller holds of a run."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING

from orchestrator.core import facts as f
from orchestrator.core.results import Cancelled, Degraded, Failed, Gap, RunResult, Stopped, Succeeded, Usage
from orchestrator.engine.driver import Heard
from orchestrator.engine.loop import TAKEN
from orchestrator.errors import JournalConflict, WrongState
from orchestrator.ids import JsonValue, RunId, StepId
from orchestrator.ports.journal import Recorded

if TYPE_CHECKING:
    from orchestrator.engine.driver import RunDriver
    from orchestrator.engine.engine import RunEngine

EVENTS_PAGE = 500  #: records handed on at a time; a slow reader holds no more than this


def result_of(run_id: RunId, ended: f.RunEnded) -> RunResult:
    """The value a run's last fact stands for."""
    gaps = tuple(_gap(gap) for gap in ended.gaps)
    usage = Usage(usd=ended.usd, tokens=ended.tokens, steps=ended.steps)
    match ended.status:
        case "succeeded":
            return Succeeded(run_id=run_id, output=ended.output, usage=usage)
        case "degraded":
            return Degraded(run_id=run_id, output=ended.output, gaps=gaps, usage=usage)
        case "stopped":
            return Stopped(run_id=run_id, reason=ended.reason, partial=ended.output, gaps=gaps, usage=usage)
        case "failed":
            return Failed(run_id=run_id, cause=ended.reason, gaps=gaps, usage=usage)
        case "cancelled":
            return Cancelled(run_id=run_id, reason=ended.reason, usage=usage)


def _gap(gap: dict[str, JsonValue]) -> Gap:
    branch = gap["branch"]
    return Gap(
        step=StepId(str(gap["step"])), branch=branch if isinstance(branch, int) else None, reason=str(gap["reason"])
    )


class Run:
    """A run in this engine: follow it, wait for it, cancel it."""

    def __init__(self, engine: RunEngine, run_id: RunId) -> None:
        self._engine = engine
        self.id = run_id  #: names the run in every command and in the journal

    def __repr__(self) -> str:
        return f"Run({self.id!r})"

    async def result(self) -> RunResult:
        """Wait for the end; return it as a value. A run that waits for a person is waited for.

        Raises:
            JournalConflict: another owner has taken the run over, or it was parked; the reason is in the error.
        """
        driver = self._engine.driver(self.id)
        if driver is not None:
            await driver.finished()
            if driver.ended is not None:
                return result_of(self.id, driver.ended)
            if not self._elsewhere(driver):
                raise JournalConflict(self.id, driver.parked)
        ended = await self._engine.ended(self.id)
        if ended is None and self._engine.owning is not None and not self._engine.parked_here(self.id):
            ended = await self._engine.owning.until_ended(self.id)
        if ended is None:
            parked = self._engine.parked(self.id)
            if parked is not None:
                raise JournalConflict(self.id, parked)
            raise WrongState(f"run {self.id}", "open, but not driven here", "resume it first")
        return result_of(self.id, ended)

    def _elsewhere(self, driver: RunDriver) -> bool:
        """Whether a run that is not driven here any more is driven by others."""
        return self._engine.owning is not None and driver.parked == TAKEN

    async def result_or_waiting(self) -> RunResult | None:
        """As `result`, but None as soon as everything open waits for a person."""
        driver = self._engine.driver(self.id)
        while driver is not None and not driver.over:
            if driver.waiting and driver.quiet:
                return None
            await driver.change()
        return await self.result()

    def events(self, after: int = 0) -> Events:
        """Every record with a sequence number above `after`, as it is journaled, until the run is over.

        Leaving the loop early needs no clean-up. A reader that comes back goes on with `after=` its last `seq`.
        """
        return Events(self._engine, self.id, after)

    def watch(self, heard: Callable[[Heard], None]) -> Callable[[], None]:
        """Have `heard` called with what workers of this run and its sub-plans say on their way: progress, log lines,
        and the pieces of models' answers as they stream. Call what is returned to stop.

        `heard` is called in the event loop and must be quick. What is said is not kept for whoever comes later.

        Raises:
            WrongState: the run is not driven here.
        """
        driver = self._engine.driver(self.id)
        if driver is None:
            raise WrongState(f"run {self.id}", "over, or not driven here", "read its events instead")
        watchers = driver.watchers
        watchers.append(heard)

        def stop() -> None:
            if heard in watchers:
                watchers.remove(heard)

        return stop

    async def cancel(self, reason: str = "") -> None:
        """Cancel the run and wait until that is journaled. Nothing is dispatched after this returns; safe to repeat."""
        await self._engine.cancel(self.id, reason=reason)


class Events:
    """An asynchronous iterator over the records of a run. It holds one page, however slow its reader is."""

    def __init__(self, engine: RunEngine, run_id: RunId, after: int) -> None:
        self._engine, self._run_id, self._after = engine, run_id, after
        self._page: deque[Recorded] = deque()
        self._last = False  #: the run has ended elsewhere: what is read now is all

    def __aiter__(self) -> Events:
        return self

    async def __anext__(self) -> Recorded:
        while not self._page:
            driver = self._engine.driver(self._run_id)
            over = driver is None or driver.over
            records = await self._engine.journal.read(self._run_id, after=self._after, limit=EVENTS_PAGE)
            if records:
                self._page.extend(records)
                self._after = records[-1].seq
            elif driver is None or over:
                if not await self._goes_on():
                    raise StopAsyncIteration
            elif driver.next_seq <= self._after + 1:
                await driver.change()
        return self._page.popleft()

    async def _goes_on(self) -> bool:
        """Whether somebody else drives the run, or may; then wait a moment."""
        owning = self._engine.owning
        if owning is None or self._engine.parked_here(self._run_id) or self._last:
            return False
        self._last = await self._engine.ended(self._run_id) is not None
        if not self._last:
            await owning.change()
        return True

    async def aclose(self) -> None:
        """Let go of what was read ahead; for readers that close whatever they iterate over."""
        self._page.clear()
