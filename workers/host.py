"""Runs one pool's tasks: fetches them, keeps the concurrency limit, cancels, drains.

The hop from a sent task to running user code is the product's hottest path, so a coroutine is not spent per task. One
server leads: it waits for work and runs what arrives. Only when a task really suspends does the next server take over
the lead. A thousand steps that never wait are thus run by one coroutine, ten thousand that sleep by as many as needed.
"""

import math
import secrets
import time
from collections import deque
from collections.abc import Callable, Coroutine, Sequence
from contextvars import Context, copy_context
from typing import cast

import anyio
import anyio.lowlevel
from anyio.abc import TaskGroup

from orchestrator.ids import JsonValue, PoolName
from orchestrator.ports.guard import Guard
from orchestrator.ports.model import Models
from orchestrator.ports.observer import WorkObserver
from orchestrator.ports.tasks import StartRequest, StepTask, TaskDone, TaskFailed, TaskKey, TaskStarted
from orchestrator.ports.transport import WorkerPort
from workers.asking import STREAMED
from workers.context import CURRENT, WorkContext
from workers.driving import drive
from workers.failures import MayNotBegin, ends_more_than_one_task, failed
from workers.guarding import GUARDING, Guarding, StruckPort, check_guards
from workers.isolation import Isolations
from workers.limits import (
    ALLOWED_ASKS_MAX,
    ALLOWED_S,
    BURST,
    CANCEL_S,
    FETCH_MAX,
    IDLE_SERVERS_MAX,
    PARKED_MAX,
    QUEUED_S,
)
from workers.lines import LoopLine
from workers.pool import Pool, WorkerSpec
from workers.timekeeper import Timekeeper


class _Server:
    """One serving coroutine and the task it is at."""

    __slots__ = ("context", "key", "on_suspend", "scope", "unsaid")

    def __init__(self, on_suspend: Callable[["_Server"], None]) -> None:
        self.scope = anyio.CancelScope()
        self.key: TaskKey | None = None
        self.context: WorkContext | None = None
        self.unsaid: TaskStarted | None = None  #: said once the task waits: of one that ends at once its answer tells
        self.on_suspend = on_suspend

    def suspended(self) -> None:
        """The task waits for something: others may run meanwhile."""
        self.on_suspend(self)


class PoolHost:
    """One pool at work in this process."""

    def __init__(
        self,
        pool: Pool,
        port: WorkerPort,
        *,
        worker: str,
        models: Models | None = None,
        clock: Callable[[], float] = time.time,
        observer: WorkObserver | None = None,
        guards: Sequence[Guard] = (),
    ) -> None:
        self.pool, self.worker, self._observer = pool, worker, observer
        self._guards = check_guards(pool.name, (*guards, *pool.guards))
        port = cast(WorkerPort, StruckPort(port, self._guards)) if self._guards else port
        self._keeper = Timekeeper()
        self._name = PoolName(pool.name)
        self._port, self._clock = port, clock
        self._line = LoopLine(port, worker, models)
        self._isolations = Isolations(pool, self._line)
        self._functions, self._handler = pool.functions, pool.agent_handler
        self._group: TaskGroup | None = None
        self._ready: deque[StepTask] = deque()  #: fetched, not begun
        self._suspended: dict[TaskKey, _Server] = {}
        self._idle: list[anyio.Event] = []
        self._busy = 0  #: servers that are at a task
        self._places = pool.concurrency  #: and how many may be; a task that only waits for others takes none
        self._led = False  #: a server waits for work, or is about to
        self._leader: _Server | None = None  #: the one inside `fetch`
        self._keeping: anyio.Event | None = None  #: set when the child processes may go; None while there are none
        self._draining = False
        self._quiet: anyio.Event | None = None  #: set when nothing runs any more, while draining

    def open(self, group: TaskGroup) -> None:
        """Begin to serve inside `group`, which must outlive the host."""
        self._group = group
        self._port.on_revoke(self._name, self.cancel)
        if self._guards:
            group.start_soon(self._keeper.run, name=f"time of pool {self.pool.name}")
        self._rouse()

    @property
    def running(self) -> int:
        """Tasks fetched and not answered."""
        return self._busy + len(self._ready)

    def cancel(self, key: TaskKey) -> None:
        """Stop a task and forget it: whatever it still returns is not posted. Unknown keys are ignored."""
        server = self._suspended.get(key)
        if server is not None:
            if server.context is not None:
                server.context._fence()  # the host is the context's other half
            server.scope.cancel()
            return
        for task in self._ready:
            if task.key == key:
                self._ready.remove(task)
                return

    async def drain(self, grace_s: float) -> list[TaskKey]:
        """Take nothing more, wait up to `grace_s` seconds for what runs, cancel the rest and return its keys."""
        try:
            return await self._drained(grace_s)
        finally:
            self._keeper.close()

    async def _drained(self, grace_s: float) -> list[TaskKey]:
        self._draining = True
        while self._idle:
            self._idle.pop().set()
        if self._leader is not None:
            self._leader.scope.cancel()
        if self._busy:
            self._quiet = anyio.Event()
            with anyio.move_on_after(grace_s):
                await self._quiet.wait()
        undone = [*self._suspended, *(task.key for task in self._ready)]
        self._ready.clear()
        for key in undone:
            self.cancel(key)
        if self._busy:
            self._quiet = anyio.Event()
            with anyio.move_on_after(CANCEL_S, shield=True):
                await self._quiet.wait()
        if self._keeping is not None:
            self._keeping.set()
        await self._isolations.close()
        return undone

    async def _keep(self, drained: anyio.Event) -> None:
        """End the child processes when the task group is cancelled and nobody drains."""
        try:
            await drained.wait()
        finally:
            with anyio.CancelScope(shield=True):
                await self._isolations.close()

    # ---- servers

    def _rouse(self) -> None:
        """See to it that a server takes the lead."""
        self._led = True
        if self._idle:
            self._idle.pop().set()
        elif self._group is not None:
            self._group.start_soon(self._serve, name=f"pool {self.pool.name}")

    def _on_suspend(self, server: _Server) -> None:
        assert server.key is not None
        self._suspended[server.key] = server
        if server.unsaid is not None:
            self._port.post(server.unsaid)
            server.unsaid = None
        if not self._led and self._busy < self._places and not self._draining:
            self._rouse()

    async def _serve(self) -> None:
        server = _Server(self._on_suspend)
        leading = True  # whoever is roused takes over the lead
        with server.scope:
            while not self._draining:
                if leading:
                    self._led = leading = False
                if await self._work(server):
                    # In a chain the next task follows from this answer: it is there one turn later, and to look again
                    # is cheaper than to go to sleep and be woken.
                    await anyio.lowlevel.checkpoint()
                    continue
                if server.scope.cancel_called or self._draining:
                    break
                if not self._led and self._busy < self._places:
                    await self._lead(server)
                elif len(self._idle) < IDLE_SERVERS_MAX:
                    wake = anyio.Event()
                    self._idle.append(wake)
                    await wake.wait()
                    leading = True
                else:
                    break
        if not self._led and not self._draining and self._busy < self._places:
            self._rouse()

    async def _lead(self, server: _Server) -> None:
        self._led, self._leader = True, server
        try:
            free = min(self._places - self._busy - len(self._ready), FETCH_MAX)
            self._ready.extend(await self._port.fetch(self._name, free))
        finally:
            self._led, self._leader = False, None

    async def _work(self, server: _Server) -> bool:
        """Run tasks until none waits. True when there was one and the server may look for more."""
        ready, take, name = self._ready, self._port.take, self._name
        burst, worked = 0, False
        while not self._draining:
            if ready:
                task = ready.popleft()
            elif self._busy >= self._places:
                return False
            elif (found := take(name)) is None:
                return worked
            else:
                task = found
            self._busy += 1
            try:
                await self._run(server, task)
            finally:
                self._busy -= 1
                server.key = server.context = server.unsaid = None
                if self._quiet is not None and not self._busy:
                    self._quiet.set()
            if server.scope.cancel_called:
                return False
            worked = True
            burst += 1
            if burst >= BURST:
                burst = 0
                await anyio.lowlevel.checkpoint()
        return False

    def _park(self, places: int) -> None:
        """A task waits for others alone, or goes on. While many go on at once there are more than the pool's limit."""
        self._places = min(self._places + places, self.pool.concurrency + PARKED_MAX)
        if places > 0 and not self._led and self._busy < self._places and not self._draining:
            self._rouse()

    # ---- one task

    async def _run(self, server: _Server, task: StepTask) -> None:
        key, port = task.key, self._port
        spec = self._handler if task.function is None else self._functions.get(task.function)
        if spec is None:
            port.post(self._unknown(task))
            return
        started_at_s = self._clock()
        server.unsaid = self._start_of(task, started_at_s)
        server.key = key
        surroundings = self._surroundings(task)
        said: TaskDone | TaskFailed | None = None
        try:
            work = self._guarded(server, spec, task) if self._guards else self._work_of(server, spec, task)
            surroundings.run(CURRENT.set, server.context)  # type: ignore[arg-type]  # set by _begin
            output = await drive(work, surroundings, server.suspended)
            if spec.isolation == "async" and not self._guards:
                output = spec.signature.output(output)
        except Exception as error:  # noqa: BLE001  # whatever user code raises becomes a value here, and nowhere else
            if not server.scope.cancel_called:
                said = failed(key, self.worker, error, started_at_s, spec.function.__code__)
        except anyio.get_cancelled_exc_class():
            if anyio.current_effective_deadline() == -math.inf:
                raise  # this task, or everything around it, is being cancelled
            message = "the worker was cancelled by its own code, not by the run"
            said = TaskFailed(key=key, worker=self.worker, error="worker", message=message, started_at_s=started_at_s)
        except BaseException as error:
            if ends_more_than_one_task(error):
                raise
            if not server.scope.cancel_called:
                said = failed(key, self.worker, error, started_at_s, spec.function.__code__)
        else:
            if not server.scope.cancel_called:
                said = TaskDone(key=key, worker=self.worker, output=output, started_at_s=started_at_s)  # type: ignore[arg-type]  # JSON since `output`
        finally:
            self._suspended.pop(key, None)
            self._answer(task, said, started_at_s)

    def _work_of(self, server: _Server, spec: WorkerSpec, task: StepTask) -> Coroutine[object, object, object]:
        work = self._begin(server, spec, task)
        return self._once_allowed(task, work) if _is_effect(task) else work

    async def _guarded(self, server: _Server, spec: WorkerSpec, task: StepTask) -> object:
        """The work between its guards: it begins once they let the task pass, and its output leaves once they agree."""
        guarding = Guarding(self._guards, self.pool.name, task, self.worker, self._port.post, self._keeper)
        GUARDING.set(guarding)
        STREAMED.set(guarding)
        work = self._work_of(server, spec, await guarding.input())
        assert server.context is not None, "made with the work"
        CURRENT.set(server.context)
        output = await work
        if spec.isolation == "async":
            output = spec.signature.output(output)
        return await guarding.output(cast(JsonValue, output))

    def _surroundings(self, task: StepTask) -> Context:
        """The context variables of one task: what user code sets must not leak into the next."""
        found = copy_context()
        if self._observer is not None:
            found.run(self._observer.begin, task, self.worker)
        return found

    def _answer(self, task: StepTask, said: TaskDone | TaskFailed | None, began_s: float) -> None:
        """Tell the owner what came of a task, if anybody still wants to know."""
        if said is not None:
            self._port.post(said)
        if self._observer is not None:
            failure = said.error if isinstance(said, TaskFailed) else ""
            self._observer.end(task, self.worker, began_s, self._clock(), None if said is None else failure)

    def _start_of(self, task: StepTask, started_at_s: float) -> TaskStarted | None:
        """What says that a task has begun, where its dispatch does not tell; of an effect its owner is asked."""
        waited = started_at_s - task.sent_at_s > QUEUED_S and bool(task.sent_at_s)
        if (waited or task.idle_s is not None) and not _is_effect(task):
            return TaskStarted(key=task.key, worker=self.worker, at_s=started_at_s)
        return None

    async def _once_allowed(self, task: StepTask, work: Coroutine[object, object, object]) -> object:
        """Do the work of an effect once its owner has said that this very beginning is wanted.

        What carries tasks may give one again whose step has passed, or that somebody else has begun.
        """
        begun = False
        try:
            # As a name of this beginning the worker's own would not do: it may get the same task once more.
            request = StartRequest(key=task.key, worker=f"{self.worker}/{secrets.token_hex(4)}")
            for _ in range(ALLOWED_ASKS_MAX):
                asked_s = anyio.current_time()
                reply = await self._port.ask(request)
                if not reply.granted:
                    raise MayNotBegin(reply.limit)
                if anyio.current_time() - asked_s <= ALLOWED_S:
                    break  # else this process may have been frozen, and the word is one from before
            begun = True
            return await work
        finally:
            if not begun:
                work.close()

    def _begin(self, server: _Server, spec: WorkerSpec, task: StepTask) -> Coroutine[object, object, object]:
        """The coroutine that does the work, not begun."""
        if spec.isolation == "async":
            args = arguments_of(spec, task)
            server.context = context = WorkContext(task, self._line, self._park)
            if spec.signature.context is None:
                return spec.function(**args)  # type: ignore[return-value]  # registered as async def
            return spec.function(context, **args)  # type: ignore[return-value]  # registered as async def
        if spec.isolation == "thread":
            args = arguments_of(spec, task)
            server.context = context = WorkContext(task, self._isolations.thread_line)
            return self._isolations.in_thread(spec, context, args)
        if self._keeping is None and self._group is not None:
            self._keeping = anyio.Event()
            self._group.start_soon(self._keep, self._keeping, name=f"children of pool {self.pool.name}")
        server.context = context = WorkContext(task, self._line)
        return self._isolations.in_process(spec, task, context)

    def _unknown(self, task: StepTask) -> TaskFailed:
        pool = self.pool
        have = ", ".join(sorted(pool.functions)) or "none"
        what = f"function {task.function!r}; it has {have}" if task.function else "handler for `task` steps"
        return TaskFailed(key=task.key, worker=self.worker, error="terminal", message=f"pool {pool.name} has no {what}")


def _is_effect(task: StepTask) -> bool:
    return task.idempotency_key is not None and task.key.purpose == "work"


def arguments_of(spec: WorkerSpec, task: StepTask) -> dict[str, object]:
    """The checked arguments of a call, or of a handler.

    Raises:
        BadArguments: they do not fit the signature.
    """
    if task.function is None:
        return spec.signature.arguments({"instruction": task.instruction or "", "args": task.args})
    return spec.signature.arguments(task.args)
