"""Plays the pools of a plan: stands between the transport and the workers, and answers calls from a script."""

import json
from collections.abc import Callable, Collection, Coroutine, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Final

import anyio
from anyio.abc import TaskGroup

from orchestrator.ids import JsonValue, PoolName
from orchestrator.plan.catalogue import FunctionContract, PoolCatalogue
from orchestrator.plan.models import Plan, digest_of
from orchestrator.ports.tasks import (
    OwnerReply,
    OwnerRequest,
    StartRequest,
    StepTask,
    TaskDone,
    TaskEvidence,
    TaskFailed,
    TaskKey,
    TaskMessage,
    TaskSpent,
    TaskStarted,
)
from orchestrator.ports.transport import WorkerPort
from orchestrator.testing.script import Account, Answer, Call, Line, Script, Trouble, call_of, places_of, troubled

WORKER: Final = "scenario"
SLOTS: Final = 1_000  #: calls of a played pool that are taken at a time
RESENT_S: Final = 3.0  #: until an owner has noticed that a task was lost, and sent it again
LEASE_S: Final = 10.0  #: until a task whose worker is silent is given to another
_FREE: Final[dict[str, JsonValue]] = {"type": "object"}  #: any arguments


def all_plans(plan: Plan) -> Iterator[Plan]:
    """A plan and every sub-plan in it."""
    yield plan
    for step in plan.steps.values():
        if step.plan is not None:
            yield from all_plans(step.plan)


class PlayedPools:
    """The catalogue of a scenario: pools that are real, and behind them whatever the plan names."""

    def __init__(self, plan: Plan, real: PoolCatalogue) -> None:
        self._real = real
        self._functions: dict[str, dict[str, FunctionContract]] = {}
        self._agents: set[str] = set()
        for each in all_plans(plan):
            self._read(each)

    @property
    def played(self) -> Collection[str]:
        """Pools that are not real."""
        return self._functions.keys() - set(self._real.pools())

    def pools(self) -> Collection[str]:
        """Names of all pools."""
        return {*self._real.pools(), *self._functions}

    def functions(self, pool: str) -> Mapping[str, FunctionContract]:
        """Contracts of a pool's functions; those of a played one take anything."""
        return self._real.functions(pool) if pool in self._real.pools() else self._functions.get(pool, {})

    def has_agent(self, pool: str) -> bool:
        """Whether `task` steps can run in the pool."""
        return self._real.has_agent(pool) if pool in self._real.pools() else pool in self._agents

    def _read(self, plan: Plan) -> None:
        for step in plan.steps.values():
            pools = [step.pool] if step.pool is not None else []
            pools += [rung.escalate.pool for rung in step.on_fail if rung.escalate is not None and rung.escalate.pool]
            for pool in pools:
                self._add(pool, step.call)
                if step.task is not None:
                    self._agents.add(pool)
            for check in step.checks:
                asked = check.pool or step.pool
                if check.call is not None and asked is not None:
                    self._add(asked, check.call)

    def _add(self, pool: str, function: str | None) -> None:
        known = self._functions.setdefault(pool, {})
        if function is not None:
            known[function] = FunctionContract(
                name=function, input_schema=_FREE, output_schema={}, digest=digest_of(function), effect_key=True
            )


class Stage:
    """Where a scenario is played, for the life of one engine. What is asked and answered goes into the account."""

    def __init__(self, plan: Plan, script: Script, account: Account, clock: Callable[[], float]) -> None:
        self._plan, self._script, self._account, self._clock = plan, script, account, clock
        self.over = anyio.Event()  #: something happened that ends this engine's life
        self.unexpected = ""  #: what no line answers
        self.broken: Exception | None = None  #: what a function of the scenario raised
        self.killed = False
        self._pools: PlayedPools | None = None
        self._port: WorkerPort | None = None
        self._group: TaskGroup | None = None
        self._early: list[Callable[[], Coroutine[object, object, None]]] = []  #: begun before the stage was open
        self._scopes: dict[TaskKey, anyio.CancelScope] = {}
        self._held: dict[TaskKey, list[Line]] = {}  #: of calls that have no answer yet
        self._beginnings = 0  #: of effects; each has a name of its own

    # ---- the stand-in port

    def catalogue(self, real: PoolCatalogue) -> PoolCatalogue:
        """See `StandIn`."""
        self._pools = PlayedPools(self._plan, real)
        return self._pools

    def port(self, real: WorkerPort) -> WorkerPort:
        """See `StandIn`."""
        self._port = real
        return _RealWorkers(real, self)

    async def serve(self) -> None:
        """See `StandIn`."""
        assert self._pools is not None, "an engine asks for the catalogue first"
        assert self._port is not None, "and for the port"
        async with anyio.create_task_group() as group:
            self._group = group
            for pool in self._pools.pools():
                self._port.on_revoke(PoolName(pool), self._revoked)
            for work in self._early:
                group.start_soon(work)
            for pool in sorted(self._pools.played):
                group.start_soon(self._fetch, PoolName(pool), self._port)

    def die(self) -> None:
        """The process dies now: what it held is asked for again, and answered by the lines that were taken for it."""
        for lines in self._held.values():
            for line in lines:
                line.give_back()
        self._held.clear()

    def surprised(self, what: str) -> None:
        """Something was asked that no line answers."""
        self.unexpected = self.unexpected or what
        self.over.set()

    # ---- inside

    def plays(self, task: StepTask) -> bool:
        """Whether a call is answered from the script: its pool is not real, or there are lines for it."""
        assert self._pools is not None
        return task.pool in self._pools.played or self._script.speaks_of(places_of(task))

    def take(self, task: StepTask) -> None:
        """Play a task that a real worker would have got. Its line is chosen now: calls come in order, tasks do not."""
        if self._trouble(task, "lose task") is not None:
            self._scopes[task.key] = anyio.CancelScope()
            self._begin(partial(self._resend, task))
            return
        call = self._called(task)
        line = self._script.next(places_of(task), call.branch)
        if line is None:
            self.surprised(f"{call}; a line for it is .on({call.step!r}, …)")
            return
        if line.answer.kill:
            self.killed = True
            self.over.set()
            return
        assert self._port is not None
        if task.idle_s is not None:
            self._port.post(TaskStarted(key=task.key, worker=WORKER, at_s=self._clock()))
        self._held[task.key] = [line]
        way = _Way(*(self._held_trouble(task, by) for by in ("slow", "lose answer", "twice")))
        self._scopes[task.key] = anyio.CancelScope()
        self._begin(partial(self._play, self._port, task, call, line.answer, way))

    def _called(self, task: StepTask) -> Call:
        """A worker gets the task now."""
        call = call_of(task, self._clock() - self._account.began_s)
        self._account.calls.append(call)
        return call

    def _trouble(self, task: StepTask, by: Trouble) -> Line | None:
        branch = task.key.branch if task.key.branch >= 0 else None
        return self._script.next((troubled(place, by) for place in places_of(task)), branch)

    def _held_trouble(self, task: StepTask, by: Trouble) -> Answer | None:
        """What happens to a call before it is answered; if the process dies first, it is still to happen."""
        line = self._trouble(task, by)
        if line is None:
            return None
        self._held[task.key].append(line)
        return line.answer

    def _begin(self, work: Callable[[], Coroutine[object, object, None]]) -> None:
        if self._group is None:
            self._early.append(work)
        else:
            self._group.start_soon(work)

    async def _resend(self, task: StepTask) -> None:
        """The task never arrived; its owner notices."""
        with self._scopes[task.key] as scope:
            await anyio.sleep(RESENT_S)
        del self._scopes[task.key]
        if not scope.cancel_called:
            self.take(task)

    async def _fetch(self, pool: PoolName, port: WorkerPort) -> None:
        while True:
            for task in await port.fetch(pool, SLOTS):
                self.take(task)

    def _revoked(self, key: TaskKey) -> None:
        scope = self._scopes.get(key)
        if scope is not None:
            scope.cancel()

    async def _play(self, port: WorkerPort, task: StepTask, call: Call, answer: Answer, way: "_Way") -> None:
        began_s = self._clock()
        with self._scopes[task.key]:
            wait_s = answer.after_s + (0.0 if way.slow is None else way.slow.after_s)
            wanted = not way.troubled or await self._may_begin(port, task)
            lost = way.lost
            while wanted and lost is not None:
                await anyio.sleep(wait_s + LEASE_S)
                if not await self._may_begin(port, task):
                    wanted = False
                    port.post(_begun_before(task, began_s))
                    break
                call, began_s, lost = self._called(task), self._clock(), self._held_trouble(task, "lose answer")
            if wanted:
                await anyio.sleep(wait_s)
                self._answer(port, task, call, answer, began_s)
            if wanted and way.twice is not None:
                await anyio.sleep(way.twice.after_s)
                if await self._may_begin(port, task):
                    self._answer(port, task, self._called(task), answer, began_s)
        del self._scopes[task.key]
        self._held.pop(task.key, None)

    async def _may_begin(self, port: WorkerPort, task: StepTask) -> bool:
        """Whether the function is called for a task that may have been delivered before: an effect begins once."""
        if task.idempotency_key is None or task.key.purpose == "check":
            return True
        self._beginnings += 1
        return (await port.ask(StartRequest(key=task.key, worker=f"{WORKER}/{self._beginnings}"))).granted

    def _answer(self, port: WorkerPort, task: StepTask, call: Call, answer: Answer, began_s: float) -> None:
        if answer.usd or answer.tokens:
            charge = f"{task.key}${len(self._account.given)}"
            port.post(TaskSpent(key=task.key, worker=WORKER, charge=charge, usd=answer.usd, tokens=answer.tokens))
        for tool, result in answer.tools.items():
            port.post(TaskEvidence(key=task.key, worker=WORKER, tool=tool, result=result))
        self._account.given.append((task.key, answer))
        port.post(self._message(task, call, answer, began_s))

    def _message(self, task: StepTask, call: Call, answer: Answer, started_at_s: float) -> TaskMessage:
        failure = answer.failure
        if failure is not None:
            return TaskFailed(
                key=task.key,
                worker=WORKER,
                error=failure.kind,
                message=failure.message,
                retry_after_s=failure.retry_after_s,
                started_at_s=started_at_s,
            )
        output = answer.returns
        if callable(output):
            try:
                output = json.loads(json.dumps(output(call), allow_nan=False))
            except Exception as error:  # noqa: BLE001  # the user's own code: it ends the scenario, as itself
                self.broken = error
                self.over.set()
                output = None
        return TaskDone(key=task.key, worker=WORKER, output=output, started_at_s=started_at_s)


@dataclass(frozen=True, slots=True)
class _Way:
    """What happens to a call on its way."""

    slow: Answer | None
    lost: Answer | None
    twice: Answer | None

    @property
    def troubled(self) -> bool:
        """Whether it is delivered more than once."""
        return self.lost is not None or self.twice is not None


def _begun_before(task: StepTask, began_s: float) -> TaskFailed:
    """What a worker says that was given an effect which another one has begun."""
    told = "another worker had begun it"
    return TaskFailed(key=task.key, worker=WORKER, error="lost", message=told, started_at_s=began_s)


class _RealWorkers:
    """The workers' side of the transport without what is played."""

    def __init__(self, real: WorkerPort, stage: Stage) -> None:
        self._real, self._stage = real, stage

    def post(self, message: TaskMessage) -> None:
        """A real worker's message."""
        self._real.post(message)

    async def ask(self, request: OwnerRequest) -> OwnerReply:
        """A real worker's question."""
        return await self._real.ask(request)

    async def fetch(self, pool: PoolName, slots: int) -> list[StepTask]:
        """Tasks for real workers; the others are played."""
        while True:
            kept = [task for task in await self._real.fetch(pool, slots) if not self._played(task)]
            if kept:
                return kept

    def take(self, pool: PoolName) -> StepTask | None:
        """The next task for a real worker."""
        while (task := self._real.take(pool)) is not None:
            if not self._played(task):
                return task
        return None

    def on_revoke(self, pool: PoolName, cancel: Callable[[TaskKey], None]) -> None:
        """Who is told of a real worker's task."""
        self._real.on_revoke(pool, cancel)

    def _played(self, task: StepTask) -> bool:
        if not self._stage.plays(task):
            return False
        self._stage.take(task)
        return True
