"""The child processes of a pool, from the parent's side: started when needed, reused, killed on cancellation."""

import json
import os
import signal
import sys
from contextlib import suppress
from dataclasses import replace
from typing import Final

import anyio
from anyio.abc import Process

from orchestrator.errors import BudgetExceeded, OrchestratorError
from orchestrator.ids import JsonValue
from orchestrator.ports.tasks import (
    IntentRequest,
    SpendRequest,
    StepTask,
    TaskCalled,
    TaskDelta,
    TaskEvidence,
    TaskOffered,
    TaskProgress,
    TaskSpent,
    TaskToolFailed,
)
from workers.context import WorkContext
from workers.failures import ChildDied, ChildFailed, failed
from workers.limits import CHILD_END_S, CHILD_IDLE_MAX
from workers.lines import LoopLine
from workers.pool import Pool, WorkerSpec
from workers.wire import LINE_BYTES_MAX, Frame, Job, ModelAnswered, ModelAsked, Raised, Returned, frame_of, line_of

_BOOT: Final = (
    "import json, sys; sys.path[:] = json.loads(sys.argv[1]); "
    "from workers.child import main; main(json.loads(sys.argv[2]))"
)
_CHUNK: Final = 64 * 1024


class Children:
    """The child processes of one pool, at most one per running task."""

    def __init__(self, pool: Pool, line: LoopLine) -> None:
        self._bytes_max, self._line = pool.child_bytes_max, line
        self._idle: list[_Child] = []
        self._closed = False

    async def run(self, spec: WorkerSpec, task: StepTask, context: WorkContext) -> JsonValue:
        """Run a function in a child process; its output, checked there.

        Raises:
            ChildFailed: the function raised.
            ChildDied: the process ended.
            TimeoutError: `task.timeout_s` passed; the process was killed.
        """
        child = self._reusable() or await _Child.start(self._bytes_max)
        kept = False
        try:
            with anyio.fail_after(task.timeout_s):
                answer = await child.converse(spec, task, context, self._line)
            kept = not self._closed and len(self._idle) < CHILD_IDLE_MAX
        finally:
            if kept:
                self._idle.append(child)
            else:
                with anyio.CancelScope(shield=True):
                    await child.kill()
        if isinstance(answer, Raised):
            raise ChildFailed(answer.error, answer.message, answer.retry_after_s)
        return answer.output

    def _reusable(self) -> "_Child | None":
        while self._idle:
            child = self._idle.pop()
            if child.alive:
                return child
        return None

    async def close(self) -> None:
        """End idle children; those at work end with their task."""
        self._closed = True
        while self._idle:
            await self._idle.pop().end()


class _Child:
    """One child process."""

    def __init__(self, process: Process) -> None:
        self._process = process
        self._buffer = bytearray()

    @classmethod
    async def start(cls, bytes_max: int | None) -> "_Child":
        command = [sys.executable, "-c", _BOOT, json.dumps(sys.path), json.dumps(bytes_max)]
        # A session of its own: an interrupt at the terminal is the parent's to handle, and a kill reaches what the
        # worker itself started.
        # Cancelled half-way, the new process would be nobody's.
        with anyio.CancelScope(shield=True):
            process = await anyio.open_process(command, stderr=None, start_new_session=True)
        return cls(process)

    @property
    def alive(self) -> bool:
        """Whether the process has not ended, as far as is known."""
        return self._process.returncode is None

    async def converse(
        self, spec: WorkerSpec, task: StepTask, context: WorkContext, line: LoopLine
    ) -> Returned | Raised:
        """Hand over a task and pass on what is said and asked, until its answer."""
        await self._send(Job(function=spec.importable, task=task))
        while True:
            match await self._receive():
                case (
                    TaskProgress()
                    | TaskEvidence()
                    | TaskToolFailed()
                    | TaskSpent()
                    | TaskCalled()
                    | TaskDelta()
                    | TaskOffered()
                ) as said:
                    line.post(replace(said, key=task.key, worker=line.worker))
                case SpendRequest() | IntentRequest() as request:
                    await self._send(await line.ask(replace(request, key=task.key)))
                case ModelAsked() as asked:
                    await self._send(await _answer(asked, task, context))
                case Returned() | Raised() as answer:
                    return answer
                case other:
                    raise ChildFailed("worker", f"the child process sent a {type(other).__name__}, which it never does")

    async def kill(self) -> None:
        """End the process and whatever it started, now."""
        if self.alive:  # a number of a process that is gone may be another's by now
            with suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
        await self._process.wait()
        await self._process.aclose()

    async def end(self) -> None:
        """Let an idle process end by itself, for a moment; then kill it."""
        assert self._process.stdin is not None
        with anyio.CancelScope(shield=True):
            await self._process.stdin.aclose()
            with anyio.move_on_after(CHILD_END_S):
                await self._process.wait()
            await self.kill()

    async def _send(self, frame: Frame) -> None:
        assert self._process.stdin is not None
        try:
            await self._process.stdin.send(line_of(frame))
        except (anyio.BrokenResourceError, anyio.ClosedResourceError):
            raise await self._death() from None

    async def _receive(self) -> Frame:
        assert self._process.stdout is not None
        looked = 0
        while (end := self._buffer.find(b"\n", looked)) < 0:
            looked = len(self._buffer)
            if looked > LINE_BYTES_MAX:
                raise ChildFailed("output", f"the child process wrote a line of more than {LINE_BYTES_MAX} bytes")
            try:
                self._buffer += await self._process.stdout.receive(_CHUNK)
            except (anyio.EndOfStream, anyio.BrokenResourceError, anyio.ClosedResourceError):
                raise await self._death() from None
        frame = frame_of(bytes(self._buffer[:end]))
        del self._buffer[: end + 1]
        return frame

    async def _death(self) -> ChildDied:
        return ChildDied(await self._process.wait())


async def _answer(asked: ModelAsked, task: StepTask, context: WorkContext) -> ModelAnswered:
    try:
        return ModelAnswered(completion=await context.models.complete(asked.prompt))
    except BudgetExceeded as error:
        return ModelAnswered(error="budget", message=error.limit, asked=error.asked, left=error.left)
    except OrchestratorError as error:
        told = failed(task.key, "", error)
        return ModelAnswered(error=told.error, message=told.message, retry_after_s=told.retry_after_s)
