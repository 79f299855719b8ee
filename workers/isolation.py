"""How a plain function is run beside the event loop: in a thread, or in a child process."""

from collections.abc import Callable

import anyio
import anyio.to_thread

from orchestrator.ids import JsonValue
from orchestrator.ports.tasks import StepTask
from workers.context import WorkContext
from workers.lines import LoopLine, ThreadLine
from workers.pool import Pool, WorkerSpec
from workers.processes import Children


class Isolations:
    """The threads and child processes of one pool."""

    def __init__(self, pool: Pool, line: LoopLine) -> None:
        self._pool, self._line = pool, line
        self.thread_line = ThreadLine(line)
        self._limiter: anyio.CapacityLimiter | None = None
        self._children: Children | None = None

    async def in_thread(self, spec: WorkerSpec, context: WorkContext, args: dict[str, object]) -> JsonValue:
        """Run a plain function in a thread; its output as plain JSON.

        A thread cannot be stopped from outside: when the task is cancelled the thread is left to itself, its result is
        dropped, and `ctx.cancelled` tells it so.
        """
        if self._limiter is None:
            self._limiter = anyio.CapacityLimiter(self._pool.concurrency)
        call = _call(spec, context, args)
        return await anyio.to_thread.run_sync(call, abandon_on_cancel=True, limiter=self._limiter)

    async def in_process(self, spec: WorkerSpec, task: StepTask, context: WorkContext) -> JsonValue:
        """Run a plain function in a child process of its own; its output as plain JSON."""
        if self._children is None:
            self._children = Children(self._pool, self._line)
        return await self._children.run(spec, task, context)

    async def close(self) -> None:
        """End idle child processes."""
        if self._children is not None:
            await self._children.close()


def _call(spec: WorkerSpec, context: WorkContext, args: dict[str, object]) -> Callable[[], JsonValue]:
    def call() -> JsonValue:
        try:
            given = spec.function(**args) if spec.context is None else spec.function(context, **args)
        except StopIteration as error:
            raise RuntimeError("the worker raised StopIteration") from error  # it cannot cross an await as it is
        except KeyboardInterrupt as error:
            raise RuntimeError("the worker raised KeyboardInterrupt") from error  # a real one goes to the main thread
        return spec.signature.output(given)

    return call
