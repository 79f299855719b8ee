"""The workers of a schedule: honest ones and liars, slow ones and dead ones, who pay and act in the world outside."""

import random
from collections.abc import Callable
from typing import Final, Protocol

import anyio

from orchestrator.ids import JsonValue
from orchestrator.ports import tasks as t
from orchestrator.ports.model import ModelCall
from orchestrator.testing.simulation.node import Node
from orchestrator.testing.simulation.profile import Profile
from orchestrator.testing.simulation.transport import LEASE_S, SimPort

HANG_S: Final = 400.0
ERRORS: Final = ("provider", "provider", "timeout", "boom", "terminal")
PRICES_USD: Final = (0.01, 0.05, 0.2)


class Outside(Protocol):
    """What a worker touches that the system does not own: it keeps its own books."""

    def output(self, task: t.StepTask, *, ok: bool) -> JsonValue:
        """An output that nobody else ever gives."""
        ...

    def began(self, task: t.StepTask) -> None:
        """A worker reads what it was given."""
        ...

    def called(self, key: t.TaskKey, charge: str, usd: float, tokens: int) -> None:
        """A model was called, and will bill."""
        ...

    def checked(self, key: t.TaskKey, worker: str) -> None:
        """A check passed what it was asked about."""
        ...

    def effect(self, key: t.TaskKey, effect: str, *, tool: bool) -> None:
        """The world outside was changed."""
        ...


class SimWorker:
    """One worker process, for one life."""

    def __init__(
        self,
        node: Node,
        port: SimPort,
        profile: Profile,
        dice: random.Random,
        asides: random.Random,
        outside: Outside,
    ) -> None:
        self.node, self._port, self._profile, self._dice, self._outside = node, port, profile, dice, outside
        self._asides = asides  #: chance for what a worker only mentions
        self._charges = 0

    async def run(self) -> None:
        """Do tasks until cancelled."""
        async with anyio.create_task_group() as group:
            for _ in range(self._profile.slots):
                group.start_soon(self._slot)

    async def _slot(self) -> None:
        while True:
            task = await self._port.take()
            async with anyio.create_task_group() as group:
                group.start_soon(self._beat, task.key, group.cancel_scope.cancel)
                message = await (self._check(task) if task.key.purpose == "check" else self._work(task))
                if message is not None:
                    await self._port.post(message)
                group.cancel_scope.cancel()

    async def _beat(self, key: t.TaskKey, stop: Callable[[], None]) -> None:
        while True:
            await self.node.sleep(LEASE_S / 3)
            if not self._port.renew(key) and self._dice.random() < 0.5:
                stop()  # as most do; the others finish and answer too late

    async def _busy(self) -> None:
        seconds = HANG_S if self.node.strikes("worker.hangs") else self._dice.expovariate(1 / self._profile.busy_s)
        await self.node.sleep(seconds)

    # ---- work

    async def _work(self, task: t.StepTask) -> t.TaskMessage | None:
        key, name = task.key, self.node.name
        if task.idempotency_key is not None and not await self._may_begin(key):
            return None  # another has it, or nobody wants it any more
        self._outside.began(task)
        began_s = self.node.now_s()
        if task.idle_s is not None and task.idempotency_key is None:
            await self._port.post(t.TaskStarted(key=key, worker=name, at_s=began_s))
        await self._talk(key)
        if self._dice.random() < self._profile.pays:
            refused = await self._pay(key)
            if refused is not None:
                return refused
        if self._dice.random() < self._profile.pays * 0.375:
            effect = f"{key.run_id}/{key.step_id}/{key.branch}/tool"
            granted = await self._port.ask(t.IntentRequest(key=key, effect=effect, tool="tool"))
            if granted.granted:
                self._outside.effect(key, effect, tool=True)
        await self._busy()
        if task.idempotency_key is not None:
            self._outside.effect(key, task.idempotency_key, tool=False)
        if self.node.strikes("worker.fails"):
            error = self._dice.choice(ERRORS)
            return t.TaskFailed(
                key=key, worker=name, error=error, message="the simulator says so", started_at_s=began_s
            )
        output = self._outside.output(task, ok=not self.node.strikes("worker.wrong"))
        return t.TaskDone(key=key, worker=name, output=output, started_at_s=began_s)

    async def _may_begin(self, key: t.TaskKey) -> bool:
        """An effect begins only where the owner says so, to one beginning of an attempt."""
        self._charges += 1
        reply = await self._port.ask(t.StartRequest(key=key, worker=f"{self.node.name}+{self._charges}"))
        return reply.granted

    async def _talk(self, key: t.TaskKey) -> None:
        if self._dice.random() < 0.2:
            await self._port.post(t.TaskProgress(key=key, worker=self.node.name, fraction=0.5, message="half"))
        if self._dice.random() < 0.1:
            await self._port.post(t.TaskEvidence(key=key, worker=self.node.name, tool="t", result=True))
        if self._asides.random() < 0.05:
            tripped = t.TaskTripped(
                key=key, worker=self.node.name, guard="g", stage="tool_result", verdict="signal", reasons=("odd",)
            )
            await self._port.post(tripped)
        if self._asides.random() < 0.05:
            await self._port.post(t.TaskToolFailed(key=key, worker=self.node.name, tool="t", error="timeout"))
        if self._dice.random() < self._profile.pays / 4:
            charge = self._charge(key)
            self._outside.called(key, charge, 0.01, 1)
            await self._port.post(t.TaskSpent(key=key, worker=self.node.name, charge=charge, usd=0.01, tokens=1))

    def _charge(self, key: t.TaskKey) -> str:
        self._charges += 1
        return f"{key}@{self.node.name}.{self._charges}"

    async def _pay(self, key: t.TaskKey) -> t.TaskMessage | None:
        """Call a model: ask for the money first. None: paid; else what the worker says of the refusal."""
        usd = self._dice.choice(PRICES_USD)
        charge = self._charge(key)
        reply = await self._port.ask(t.SpendRequest(key=key, charge=charge, usd=usd, tokens=100))
        if not reply.granted:
            error = "provider" if reply.limit == "run" else "budget"
            return t.TaskFailed(key=key, worker=self.node.name, error=error, message=f"refused: {reply.limit}")
        spent = usd * self._dice.random()
        self._outside.called(key, charge, spent, 60)
        await self.node.sleep(self._dice.random())
        call = ModelCall(charge=charge, model="m", endpoint="e", outcome="ok", usd=spent, tokens_in=50, tokens_out=10)
        await self._port.post(t.TaskCalled(key=key, worker=self.node.name, call=call))
        return None

    # ---- checks

    async def _check(self, task: t.StepTask) -> t.TaskMessage:
        key, name = task.key, self.node.name
        await self._busy()
        if self.node.strikes("worker.fails"):
            return t.TaskFailed(key=key, worker=name, error="boom", message="the simulator says so")
        said: JsonValue = True
        if self.node.strikes("worker.wrong"):
            refusals: list[JsonValue] = [False, "?", {"verdict": "reject", "reasons": ["no"]}]
            said = self._dice.choice(refusals)
        else:
            self._outside.checked(key, name)
        return t.TaskDone(key=key, worker=name, output=said)
