"""A pool at work on the memory transport, for tests of workers."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import anyio
import anyio.lowlevel
import pytest
from anyio.abc import TaskGroup

from orchestrator.adapters.memory.transport import MemoryTransport
from orchestrator.ids import JsonValue, PoolName, RunId, StepId, TenantId
from orchestrator.ports.model import Models
from orchestrator.ports.tasks import (
    OwnerReply,
    OwnerRequest,
    StepTask,
    TaskDone,
    TaskFailed,
    TaskKey,
    TaskMessage,
)
from workers import Pool, PoolHost

NOW_S = 1_000.0


@dataclass
class Bench:
    """One pool, its host, and an owner that only notes what it is told."""

    pool: Pool
    group: TaskGroup
    transport: MemoryTransport
    host: PoolHost
    messages: list[TaskMessage] = field(default_factory=list)
    asked: list[OwnerRequest] = field(default_factory=list)
    reply: OwnerReply = field(default_factory=lambda: OwnerReply(granted=True))
    sent: int = 0

    async def reply_to(self, request: OwnerRequest) -> OwnerReply:
        self.asked.append(request)
        return self.reply

    def send(self, function: str | None, args: dict[str, JsonValue] | None = None, **fields: object) -> TaskKey:
        """Queue a task; any field can be given."""
        self.sent += 1
        key = TaskKey(RunId("run"), StepId("step"), -1, self.sent)
        values: dict[str, object] = {
            "key": key,
            "tenant": TenantId("default"),
            "pool": PoolName(self.pool.name),
            "lane": "normal",
            "function": function,
            "instruction": None,
            "args": args or {},
            "sent_at_s": NOW_S,
            **fields,
        }
        self.transport.send(StepTask(**values))  # type: ignore[arg-type]  # fields by name
        return key

    def answer(self, key: TaskKey) -> TaskDone | TaskFailed | None:
        for message in self.messages:
            if message.key == key and isinstance(message, TaskDone | TaskFailed):
                return message
        return None

    async def call(
        self, function: str | None, args: dict[str, JsonValue] | None = None, **fields: object
    ) -> TaskDone | TaskFailed:
        """Send a task and wait for its answer."""
        key = self.send(function, args, **fields)
        await self.until(lambda: self.answer(key) is not None)
        answer = self.answer(key)
        assert answer is not None
        return answer

    async def output(
        self, function: str | None, args: dict[str, JsonValue] | None = None, **fields: object
    ) -> JsonValue:
        """The output of a task that must not fail."""
        answer = await self.call(function, args, **fields)
        assert isinstance(answer, TaskDone), answer
        return answer.output

    async def failure(
        self, function: str | None, args: dict[str, JsonValue] | None = None, **fields: object
    ) -> TaskFailed:
        """The failure of a task that must fail."""
        answer = await self.call(function, args, **fields)
        assert isinstance(answer, TaskFailed), answer
        return answer

    async def until(self, condition: Callable[[], bool]) -> None:
        for _ in range(20_000):
            if condition():
                return
            await anyio.sleep(0.001)
        raise AssertionError("nothing came")


async def settle() -> None:
    """Let everything that can run do so."""
    for _ in range(20):
        await anyio.lowlevel.checkpoint()


def opened(pool: Pool, group: TaskGroup, models: Models | None = None) -> Bench:
    """A host for `pool` at work in `group`."""
    transport = MemoryTransport(clock=lambda: NOW_S)
    host = PoolHost(pool, transport, worker="w", models=models, clock=lambda: NOW_S)
    bench = Bench(pool, group, transport, host)
    transport.bind(bench.messages.append)
    transport.bind_answer(bench.reply_to)
    host.open(group)
    return bench


@asynccontextmanager
async def at_work(pool: Pool, models: Models | None = None) -> AsyncIterator[Bench]:
    """A host for `pool`, drained at the end."""
    async with anyio.create_task_group() as group:
        bench = opened(pool, group, models)
        yield bench
        await bench.host.drain(0.0)


@pytest.fixture
def start() -> Callable[[Pool], object]:
    """`async with start(pool) as bench:`"""
    return at_work


class Stood:
    """What a process is told that stood still for a minute between any two questions."""

    def __init__(self) -> None:
        self._asked = 0

    def seconds(self) -> float:
        self._asked += 1
        return 60.0 * self._asked
