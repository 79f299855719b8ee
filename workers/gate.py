"""Keeps tasks from pools that do not fit what owners need, and from functions that cannot work in this process."""

from collections.abc import Callable, Iterable, Mapping

import anyio

from orchestrator.errors import PromiseError
from orchestrator.ids import Digest, JsonValue, PoolName
from orchestrator.plan.catalogue import FunctionContract
from orchestrator.ports.fleet import Contracts
from orchestrator.ports.tasks import OwnerReply, OwnerRequest, StepTask, TaskKey, TaskMessage
from orchestrator.ports.transport import WorkerPort
from workers.contracts import compatible
from workers.pool import Pool

GIVE_BACK_S = 1.0  #: tasks that came while a gate was being shut are offered to others after so long
UNREADY_S = 2.0  #: tasks of a function that cannot work here are offered to others after so long
REASONS_MAX = 20  #: named per pool
AGENT = ""  #: stands for what does the `task` steps of a pool, among the names of its functions


def needs_of(pools: Iterable[Pool]) -> Contracts:
    """What an owner writes on the board: the contracts its tasks are written against, by pool and function."""
    return {
        pool.name: {
            name: {
                "digest": spec.contract.digest,
                "input": spec.contract.input_schema,
                "output": spec.contract.output_schema,
            }
            for name, spec in pool.functions.items()
        }
        for pool in pools
    }


def misfits(pool: Pool, needed: Mapping[str, Contracts]) -> list[str]:
    """Why functions of a pool cannot serve the owners, whose needs are given by name; empty when they can.

    A function that the pool does not have here is a misfit too: its worker would take the task and could only fail it.
    """
    found: set[str] = set()
    for contracts in needed.values():
        for name, wanted in contracts.get(pool.name, {}).items():
            spec = pool.functions.get(name)
            old = _contract(name, wanted)
            if spec is None:
                found.add(f"it has no function {name}, which steps may call")
            elif not compatible(old, spec.contract):
                found.add(f"its {name} has contract {spec.contract.digest[-12:]}, steps need {old.digest[-12:]}")
    return sorted(found)[:REASONS_MAX]


def unready_of(pool: Pool, models: Callable[[], object]) -> dict[str, str]:
    """Functions of a pool, and its agent, that cannot work in this process: name and reason.

    `models` raises PromiseError where there is no model to ask.
    """
    specs = dict(pool.functions)
    if pool.agent_handler is not None:
        specs[AGENT] = pool.agent_handler
    found: dict[str, str] = {}
    for name, spec in specs.items():
        try:
            if spec.ready is not None:
                spec.ready()
            if spec.needs_model:
                models()
        except PromiseError as error:
            found[name] = str(error)
    return found


def shut_by(pool: Pool, unready: Mapping[str, str]) -> list[str]:
    """Reasons to take nothing of a pool: none of what it has can work here. Empty where something can."""
    known = len(pool.functions) + (pool.agent_handler is not None)
    return sorted(set(unready.values()))[:REASONS_MAX] if known and len(unready) == known else []


def _contract(name: str, wanted: Mapping[str, JsonValue]) -> FunctionContract:
    into, out = wanted["input"], wanted["output"]
    return FunctionContract(
        name=name,
        input_schema=into if isinstance(into, dict) else {},
        output_schema=out if isinstance(out, dict) else {},
        digest=Digest(str(wanted["digest"])),
    )


class Gate:
    """A worker port whose pools can be shut and opened again. What runs goes on; nothing new is fetched.

    Tasks of functions that `unready` names, by pool, are handed back: another process may be able to do them.
    """

    def __init__(
        self,
        port: WorkerPort,
        give_back: Callable[[TaskKey, float], None],
        unready: Mapping[str, Mapping[str, str]] | None = None,
    ) -> None:
        self._port, self._give_back = port, give_back
        self._unready = dict(unready or {})
        self._shut: dict[PoolName, anyio.Event] = {}
        self.post: Callable[[TaskMessage], None] = port.post
        self.on_revoke: Callable[[PoolName, Callable[[TaskKey], None]], None] = port.on_revoke

    def set(self, pool: PoolName, *, is_open: bool) -> None:
        """Open or shut a pool."""
        if not is_open:
            self._shut.setdefault(pool, anyio.Event())
        elif (waiting := self._shut.pop(pool, None)) is not None:
            waiting.set()

    async def fetch(self, pool: PoolName, slots: int) -> list[StepTask]:
        """As the port's; waits while the pool is shut."""
        while True:
            while (shut := self._shut.get(pool)) is not None:
                await shut.wait()
            tasks = await self._port.fetch(pool, slots)
            if pool in self._shut:
                for task in tasks:
                    self._give_back(task.key, GIVE_BACK_S)
            elif able := [task for task in tasks if self._able(pool, task)]:
                return able

    def take(self, pool: PoolName) -> StepTask | None:
        """As the port's; nothing while the pool is shut."""
        if pool in self._shut:
            return None
        while (task := self._port.take(pool)) is not None:
            if self._able(pool, task):
                return task
        return None

    def _able(self, pool: PoolName, task: StepTask) -> bool:
        """Whether a task can be done here; one that cannot is handed back."""
        if (task.function or AGENT) not in self._unready.get(pool, {}):
            return True
        self._give_back(task.key, UNREADY_S)
        return False

    async def ask(self, request: OwnerRequest) -> OwnerReply:
        """As the port's."""
        return await self._port.ask(request)


__all__ = ["AGENT", "Gate", "misfits", "needs_of", "shut_by", "unready_of"]
