"""The transport port: carries tasks to pools and messages back. It may lose everything; the journal heals it."""

from collections.abc import Awaitable, Callable
from typing import Protocol, runtime_checkable

from orchestrator.ids import PoolName
from orchestrator.ports.tasks import Backlog, OwnerReply, OwnerRequest, StepTask, TaskKey, TaskMessage


class Transport(Protocol):
    """The owner's side. `send` and `revoke` never block: they queue, and the transport delivers."""

    def bind(self, deliver: Callable[[TaskMessage], None]) -> None:
        """Where messages of workers go. Called in the owner's event loop, never from a thread."""
        ...

    def bind_answer(self, answer: Callable[[OwnerRequest], Awaitable[OwnerReply]]) -> None:
        """Who answers a worker that asks; awaited until the answer is journaled."""
        ...

    def send(self, task: StepTask) -> None:
        """Queue a task for its pool and lane. Sending a task again that is not answered yet changes nothing."""
        ...

    def revoke(self, key: TaskKey) -> None:
        """Nobody wants this result any more: drop it if it waits, cancel it if it runs. Idempotent."""
        ...

    async def backlog(self) -> list[Backlog]:
        """Work per pool."""
        ...


@runtime_checkable
class Resuming(Protocol):
    """What a transport offers beside `send` when tasks outlive the process that sent them."""

    def resume(self, task: StepTask) -> None:
        """Go on with a task of a run that was taken over: take it over where it is, send it where it is nowhere."""
        ...

    def let_go(self, key: TaskKey) -> None:
        """Another owner drives the run, or will: leave the task where it is."""
        ...

    def leave(self, message: TaskMessage) -> None:
        """What came for a run that is not driven here: keep it for its next owner, if that needs it."""
        ...


class WorkerPort(Protocol):
    """The workers' side."""

    async def fetch(self, pool: PoolName, slots: int) -> list[StepTask]:
        """Wait until tasks of the pool are there; return at most `slots`, highest lane first, no lane starving."""
        ...

    def take(self, pool: PoolName) -> StepTask | None:
        """The next waiting task at once, or None. For a worker that has just become free."""
        ...

    def post(self, message: TaskMessage) -> None:
        """Send a message to the owner of the task's run. Never blocks."""
        ...

    async def ask(self, request: OwnerRequest) -> OwnerReply:
        """Ask the owner for money, or announce an effect; returns once the answer is journaled."""
        ...

    def on_revoke(self, pool: PoolName, cancel: Callable[[TaskKey], None]) -> None:
        """Who is told, in the workers' event loop, that a running task is not wanted any more."""
        ...
