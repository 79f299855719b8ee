"""An owner and real worker processes for tests: sends jobs, collects answers, reads the witness."""

import subprocess
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import anyio

from orchestrator.adapters.redis.owner import RedisTransport
from orchestrator.errors import TransportError
from orchestrator.ids import PoolName, RunId, StepId, TenantId
from orchestrator.ports.tasks import OwnerReply, OwnerRequest, StepTask, TaskDone, TaskFailed, TaskKey, TaskMessage
from tests.conftest import ROOT
from tests.redis.worker_child import POOL

WAIT_S = 60.0  #: the longest any fleet here may take


def job(number: int, seconds: float, function: str = "nap", *, effect: bool = False) -> StepTask:
    """A job that takes so long and gives back its number."""
    return StepTask(
        key=TaskKey(RunId("run"), StepId("jobs"), number, 1),
        tenant=TenantId("default"),
        pool=PoolName(POOL),
        lane="normal",
        function=function,
        instruction=None,
        args={"number": number, "seconds": seconds},
        idempotency_key=f"run/{number}" if effect else None,
        sent_at_s=time.time(),
    )


@dataclass
class Fleet:
    """One owner and what it heard."""

    url: str
    namespace: str
    witness: Path
    owner: RedisTransport
    done: dict[int, list[TaskDone]] = field(default_factory=dict)
    failed: list[TaskFailed] = field(default_factory=list)
    children: list[subprocess.Popen[str]] = field(default_factory=list)

    def heard(self, message: TaskMessage) -> None:
        """What the engine would do with it."""
        if isinstance(message, TaskDone):
            self.done.setdefault(message.key.branch, []).append(message)
        elif isinstance(message, TaskFailed):
            self.failed.append(message)

    def spawn(self, *, slots: int = 10, lease_s: float = 2.0, url: str | None = None) -> subprocess.Popen[str]:
        """One more worker process, ready."""
        child = subprocess.Popen(
            [
                *(sys.executable, "-m", "tests.redis.worker_child"),
                *(url or self.url, self.namespace, str(lease_s), str(slots), str(self.witness)),
            ],
            stdout=subprocess.PIPE,
            text=True,
            cwd=ROOT,
        )
        self.children.append(child)
        assert child.stdout is not None
        while (line := child.stdout.readline()) not in ("ready\n", ""):
            pass
        assert line, "the worker process came up"
        return child

    def started(self) -> list[tuple[int, int, float]]:
        """All starts of jobs: number, process, when."""
        lines = self.witness.read_text().splitlines() if self.witness.exists() else []
        return [(int(n), int(pid), float(at)) for n, pid, at in (line.split() for line in lines)]

    def starts(self) -> Counter[int]:
        """How often each job was started."""
        return Counter(number for number, _pid, _at in self.started())

    async def until(self, condition: Callable[[], bool], wait_s: float = WAIT_S) -> None:
        """Wait for something in another process."""
        with anyio.fail_after(wait_s):
            while not condition():  # noqa: ASYNC110  # what is awaited is no event of this process
                await anyio.sleep(0.01)

    async def reconcile_always(self) -> None:
        """What an engine does beside its runs."""
        while True:
            with suppress(TransportError):
                await self.owner.reconcile()
            await anyio.sleep(0.3)


@asynccontextmanager
async def fleet_of(url: str, namespace: str, folder: Path) -> AsyncIterator[Fleet]:
    """A fleet without workers yet; everything it started ends with the block."""
    owner = await RedisTransport.open(url, owner="owner", namespace=namespace)
    fleet = Fleet(url, namespace, folder / "witness", owner)
    owner.bind(fleet.heard)

    async def granted(_request: OwnerRequest) -> OwnerReply:
        return OwnerReply(granted=True)

    owner.bind_answer(granted)  # an effect asks before it begins
    try:
        async with anyio.create_task_group() as group:
            group.start_soon(fleet.reconcile_always)
            yield fleet
            group.cancel_scope.cancel()
    finally:
        for child in fleet.children:
            child.kill()
            child.wait()
            if child.stdout is not None:
                child.stdout.close()
        await owner.close()
