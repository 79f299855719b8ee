"""The ways from a worker to the owner of its run: inside the event loop, and from a thread."""

from collections.abc import Awaitable

import anyio.from_thread

from orchestrator.errors import PromiseError
from orchestrator.ports.model import Completion, Meter, Models, Prompt
from orchestrator.ports.tasks import OwnerReply, OwnerRequest, TaskMessage
from orchestrator.ports.transport import WorkerPort
from workers.asking import Line, OnDelta, StepMeter


class LoopLine:
    """Straight to the port: for code in the event loop."""

    __slots__ = ("_models", "_port", "post", "worker")

    def __init__(self, port: WorkerPort, worker: str, models: Models | None = None) -> None:
        self._port, self.worker, self._models = port, worker, models
        self.post = port.post

    def ask(self, request: OwnerRequest) -> Awaitable[OwnerReply]:
        """Reserve, or announce an effect."""
        return self._port.ask(request)

    def ask_blocking(self, request: OwnerRequest) -> OwnerReply:
        """Refused: blocking here would stop the event loop that has to answer."""
        raise RuntimeError("in asynchronous code write `async with ctx.reserve(...)`, `await ctx.intend(...)`")

    async def complete(self, prompt: Prompt, meter: Meter, on_delta: OnDelta | None) -> Completion:
        """Ask a model.

        Raises:
            PromiseError: this process has no models.
        """
        if self._models is None:
            raise PromiseError("these workers have no models", "name an endpoint in the settings, or Engine(models=…)")
        return await self._models.complete(prompt, meter, on_delta)

    def complete_blocking(self, prompt: Prompt, meter: StepMeter) -> Completion:
        """Refused: blocking here would stop the event loop that has to answer."""
        raise RuntimeError("in asynchronous code write `await ctx.models.complete(...)`")


class ThreadLine:
    """Through the event loop, from a thread that it started."""

    __slots__ = ("_line", "worker")

    def __init__(self, line: LoopLine) -> None:
        self._line, self.worker = line, line.worker

    @staticmethod
    def beside(line: Line) -> Line:
        """The way for a thread that code with `line` starts; any other line serves threads as it is."""
        return ThreadLine(line) if isinstance(line, LoopLine) else line

    def post(self, message: TaskMessage) -> None:
        """Hand the message to the event loop and wait until it was queued, so that order is kept."""
        anyio.from_thread.run_sync(self._line.post, message)

    def ask(self, request: OwnerRequest) -> Awaitable[OwnerReply]:
        """Refused: a plain function has nothing to await with."""
        raise RuntimeError("in a thread write `with ctx.reserve(...)`")

    def ask_blocking(self, request: OwnerRequest) -> OwnerReply:
        """Reserve, or announce an effect; blocks this thread until the answer is journaled."""
        return anyio.from_thread.run(self._ask, request)

    def complete(self, prompt: Prompt, meter: Meter, on_delta: OnDelta | None) -> Awaitable[Completion]:
        """Refused: a plain function has nothing to await with."""
        raise RuntimeError("in a thread write `ctx.models.complete_blocking(...)`")

    def complete_blocking(self, prompt: Prompt, meter: StepMeter) -> Completion:
        """Ask a model; blocks this thread until it has answered."""
        return anyio.from_thread.run(self._complete, prompt, meter.on(self._line))

    async def _complete(self, prompt: Prompt, meter: StepMeter) -> Completion:
        with meter.answer():
            return await self._line.complete(prompt, meter, None)

    async def _ask(self, request: OwnerRequest) -> OwnerReply:
        return await self._line.ask(request)
