"""A child process of a pool, from the inside: reads tasks, runs plain functions, writes what they say."""

import importlib
import os
import queue
import resource
import sys
import threading
from collections.abc import Awaitable
from contextvars import copy_context
from typing import BinaryIO

from orchestrator.errors import BudgetExceeded, RetryableError, TerminalError
from orchestrator.ids import JsonValue
from orchestrator.ports.model import Completion, Meter, Prompt
from orchestrator.ports.tasks import (
    OwnerReply,
    OwnerRequest,
    StepTask,
    TaskMessage,
)
from workers.asking import OnDelta, StepMeter
from workers.context import CURRENT, WorkContext
from workers.failures import failed
from workers.host import arguments_of
from workers.pool import WorkerSpec
from workers.wire import Frame, Job, ModelAnswered, ModelAsked, Raised, Returned, Said, frame_of, line_of


class _PipeLine:
    """From a child process to its parent."""

    worker = ""  # the parent knows who its child is

    def __init__(self, out: BinaryIO, frames: "queue.SimpleQueue[Frame]") -> None:
        self._out, self._frames = out, frames
        self._writing, self._asking = threading.Lock(), threading.Lock()

    def write(self, frame: Frame) -> None:
        """Write one line. Threads of the worker may call it too."""
        with self._writing:
            self._out.write(line_of(frame))
            self._out.flush()

    def post(self, message: TaskMessage) -> None:
        """Send what a worker says on its way."""
        assert isinstance(message, Said), "starts and ends are the parent's to tell"
        self.write(message)

    def ask(self, request: OwnerRequest) -> Awaitable[OwnerReply]:
        """Refused: a plain function has nothing to await with."""
        raise RuntimeError("in a child process write `with ctx.reserve(...)`")

    def ask_blocking(self, request: OwnerRequest) -> OwnerReply:
        """Reserve, or announce an effect; blocks until the answer is journaled."""
        reply = self._talk(request)
        assert isinstance(reply, OwnerReply), "the parent answers what it was asked"
        return reply

    def complete(self, prompt: Prompt, meter: Meter, on_delta: OnDelta | None) -> Awaitable[Completion]:
        """Refused: a plain function has nothing to await with."""
        raise RuntimeError("in a child process write `ctx.models.complete_blocking(...)`")

    def complete_blocking(self, prompt: Prompt, meter: StepMeter) -> Completion:
        """Have the parent ask a model; blocks until it has answered. The step pays, whatever `meter` says."""
        answer = self._talk(ModelAsked(prompt=prompt))
        assert isinstance(answer, ModelAnswered), "the parent answers what it was asked"
        if answer.completion is not None:
            return answer.completion
        if answer.error == "budget":
            raise BudgetExceeded(answer.message, answer.asked, answer.left)
        if answer.error == "terminal":
            raise TerminalError(answer.message)
        raise RetryableError(answer.message, answer.error, answer.retry_after_s)

    def _talk(self, question: OwnerRequest | ModelAsked) -> Frame:
        with self._asking:  # the parent sends one answer at a time
            self.write(question)
            return self._frames.get()


def main(bytes_max: int | None) -> None:
    """Serve tasks from standard input until it ends. `bytes_max` caps the address space of this process."""
    if bytes_max is not None:
        resource.setrlimit(resource.RLIMIT_AS, (bytes_max, bytes_max))
    # Whatever the worker prints must not get between the lines: only the copies made here reach the parent.
    lines, out = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    with open(os.devnull, "rb") as nothing:  # noqa: PTH123  # a file descriptor is wanted, not a path
        os.dup2(nothing.fileno(), 0)
    os.dup2(2, 1)
    frames: queue.SimpleQueue[Frame] = queue.SimpleQueue()
    threading.Thread(target=_read, args=(lines, frames), daemon=True).start()
    line = _PipeLine(out, frames)
    while True:
        job = frames.get()
        assert isinstance(job, Job), "replies are taken by whoever asked"
        line.write(_answer(job, line))


def _read(lines: BinaryIO, frames: "queue.SimpleQueue[Frame]") -> None:
    for text in lines:
        frames.put(frame_of(text))
    # The parent let go, or is dead: nobody wants what still runs here.
    sys.stderr.flush()
    os._exit(0)


def _answer(job: Job, line: _PipeLine) -> Returned | Raised:
    code = None
    try:
        spec = _find(job.function)
        code = spec.function.__code__
        return Returned(output=copy_context().run(_run, spec, job.task, line))
    except Exception as error:  # noqa: BLE001  # whatever user code raises becomes a value here, and nowhere else
        failure = failed(job.task.key, "", error, code=code)
        return Raised(error=failure.error, message=failure.message, retry_after_s=failure.retry_after_s)


def _run(spec: WorkerSpec, task: StepTask, line: _PipeLine) -> JsonValue:
    context = WorkContext(task, line)
    CURRENT.set(context)
    args = arguments_of(spec, task)
    given = spec.function(**args) if spec.context is None else spec.function(context, **args)
    return spec.signature.output(given)


def _find(importable: str) -> WorkerSpec:
    module, _, path = importable.partition(":")
    try:
        found: object = importlib.import_module(module)
        for name in path.split("."):
            found = getattr(found, name)
        spec: object = found.__worker__  # type: ignore[attr-defined]  # told apart below
    except (ImportError, AttributeError) as error:
        raise TerminalError(f"a child process cannot import {importable}: {error}") from error
    assert isinstance(spec, WorkerSpec)
    return spec
