"""What planners and judges stream passes the guards before anybody watches, as what agents stream does."""

from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any, Final, Generic, TypeVar

import anyio

from orchestrator.plan.patch import Patch
from orchestrator.ports.checker import Checker, Judgement, JudgeRequest
from orchestrator.ports.model import Meter, ModelCall
from orchestrator.ports.planner import GoalPlanner, Planned, Planner, ReplanRequest
from orchestrator.ports.planner import GoalRequest as Goal
from orchestrator.ports.redaction import RedactedStream

T = TypeVar("T")
Streams = Callable[[], RedactedStream]
STREAMS_MAX: Final = 64  #: answers of one question that may stream at the same time; more are not shown


class ShownDesk:
    """The account of one question whose words are looked at. Answers that stream at once are told apart by their task.

    Whatever else a desk does is done by the one behind it.
    """

    def __init__(self, desk: Meter, streams: Streams) -> None:
        self._desk, self._make = desk, streams
        self._open: dict[int, RedactedStream] = {}

    def __getattr__(self, name: str) -> Any:  # a desk of the engine can more than a meter, and so can a host's
        return getattr(self._desk, name)

    async def reserve(self, usd: float, tokens: int) -> str:
        """See `Meter`."""
        return await self._desk.reserve(usd, tokens)

    def delta(self, text: str) -> None:
        """Show what may be shown; the rest is held back until it can hold nothing, or the answer ends."""
        task = anyio.get_current_task().id
        stream = self._open.get(task)
        if stream is None:
            if len(self._open) >= STREAMS_MAX:
                return
            stream = self._open[task] = self._make()
        self._show(stream.feed(text))

    def called(self, call: ModelCall) -> None:
        """An answer has ended: its rest is shown, and the call recorded."""
        self._end(anyio.get_current_task().id)
        self._desk.called(call)

    def over(self) -> None:
        """The question has ended."""
        for task in [*self._open]:
            self._end(task)

    def _end(self, task: int) -> None:
        stream = self._open.pop(task, None)
        if stream is not None:
            self._show(stream.end())

    def _show(self, text: str) -> None:
        if text:
            self._desk.delta(text)


async def _held(desk: ShownDesk, answer: Awaitable[T]) -> T:
    try:
        return await answer
    finally:
        desk.over()


class _Shown(Generic[T]):
    def __init__(self, behind: T, streams: Streams) -> None:
        self._behind, self._streams = behind, streams

    def __getattr__(self, name: str) -> Any:  # whatever else one of a host's can
        return getattr(self._behind, name)


class ShownPlanner(_Shown[Planner]):
    """A planner whose words are looked at before they are shown."""

    async def replan(self, request: ReplanRequest) -> Patch | None:
        """See the port."""
        desk = ShownDesk(request.desk, self._streams)
        return await _held(desk, self._behind.replan(replace(request, desk=desk)))


class ShownGoals(_Shown[GoalPlanner]):
    """A planner of goals whose words are looked at before they are shown."""

    def refusal(self, step: Any) -> str:
        """See the port."""
        return self._behind.refusal(step)

    async def plan(self, request: Goal) -> Planned:
        """See the port."""
        desk = ShownDesk(request.desk, self._streams)
        return await _held(desk, self._behind.plan(replace(request, desk=desk)))


class ShownChecker(_Shown[Checker]):
    """A judge whose words are looked at before they are shown."""

    async def judge(self, request: JudgeRequest) -> Judgement:
        """See the port."""
        desk = ShownDesk(request.meter, self._streams)
        return await _held(desk, self._behind.judge(replace(request, meter=desk)))


__all__ = ["ShownChecker", "ShownDesk", "ShownGoals", "ShownPlanner"]
