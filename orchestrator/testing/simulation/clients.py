"""The people of a schedule: they submit, submit again, answer, cancel, take back, and note what they were told."""

import random
from collections.abc import Callable
from typing import Final

import anyio

from orchestrator.core.rebuild import built_on
from orchestrator.core.state import RunState, Status
from orchestrator.engine.approvals import OpenApproval
from orchestrator.engine.operations import Operations
from orchestrator.engine.recovery import machine_of, plan_of, read_all
from orchestrator.errors import IdempotencyConflict, OrchestratorError
from orchestrator.ids import JsonValue, RunId, StepId
from orchestrator.plan.patch import Patch
from orchestrator.testing.simulation.given import Given
from orchestrator.testing.simulation.plans import PLANS, plan_number
from orchestrator.testing.simulation.profile import Profile
from orchestrator.testing.simulation.supervisors import Supervisor
from orchestrator.testing.simulation.witness import Witness

PATIENCE_S: Final = 20.0  #: a client waits for an answer
LOOK_S: Final = 2.0  #: between two looks for questions
PERSON: Final = "ann"
LOOKS: Final = 20  #: for a moment that is rare
AGAIN_MAX: Final = 4  #: ended runs of a schedule that are tried again

_OVER: Final = frozenset({Status.GAP, Status.CANCELLED, Status.FAILED, Status.SKIPPED})
_ODD: Final = frozenset({*_OVER, Status.BACKOFF, Status.REJECTED})


def _tempting(run: RunState) -> list[StepId]:
    """Steps that passed, of which something, or of what was built on them, stands where few quarantines meet it."""
    return [
        state.spec.id
        for state in run.steps
        if state.status is Status.PASSED
        and any(
            unit.status in _ODD
            for name in (state.spec.id, *built_on(run, state))
            for unit in run.steps[run.plan.by_id[name]].all_units()
        )
    ]


class Clients:
    """All clients of one schedule."""

    def __init__(
        self,
        supervisors: list[Supervisor],
        profile: Profile,
        dice: random.Random,
        witness: Witness,
        calm: Callable[[], bool],
        given: Given | None = None,
        *,
        more: random.Random,
    ) -> None:
        self._more = more  #: chance for what was added later, so that the other dice fall as they did
        self._given = given
        self._supervisors, self._profile, self._dice, self._witness, self._calm = (
            supervisors,
            profile,
            dice,
            witness,
            calm,
        )
        self.acts = {
            "client.cancels": self.cancel,
            "client.takes_back": self.take_back,
            "client.patches": self.patch,
            "client.asks_again": self.ask_again,
        }
        self._doubted: list[RunId] = []  #: ended runs of which something was taken back
        self._again = 0  #: runs that were asked for again
        self._silent: dict[tuple[str, str, float], bool] = {}
        self.waiting = 0  #: requests that have no answer yet

    async def _somebody(self) -> Supervisor:
        """A supervisor that can be asked."""
        while True:
            up = [one for one in self._supervisors if one.up]
            if up:
                return self._dice.choice(up)
            await anyio.sleep(0.5)

    async def submit(self, number: int) -> None:
        """Hand a run in under one key until somebody takes it, perhaps at two doors at once."""
        self.waiting += 1
        plan = plan_number(self._dice.randrange(PLANS))
        inputs: dict[str, JsonValue] = {
            "items": list(range(self._dice.choice((0, 1, 2, 3, 4)))),
            "flag": self._dice.random() < 0.7,
        }
        if self._given is not None:
            plan, inputs = self._given.plan, self._given.inputs
        key, doors = f"k{number}", self._dice.choice((1, 1, 1, 2))
        await anyio.sleep(self._dice.random() * self._profile.faults_s / 2)

        async def door() -> None:
            while True:
                supervisor = await self._somebody()
                engine = supervisor.engine
                with anyio.move_on_after(PATIENCE_S):
                    try:
                        assert engine is not None, "it is up"
                        run = await engine.submit(plan, inputs, idempotency_key=key)
                    except OrchestratorError:
                        await anyio.sleep(1.0)
                        continue
                    self._witness.told(key, run.id)
                    return

        async with anyio.create_task_group() as group:
            for _ in range(doors):
                group.start_soon(door)
        if self._dice.random() < 0.2 and self._given is None:
            await self._other_body(key, number)
        self.waiting -= 1

    async def _other_body(self, key: str, number: int) -> None:
        """The same key with another request never makes a run."""
        supervisor = await self._somebody()
        assert supervisor.engine is not None, "it is up"
        with anyio.move_on_after(PATIENCE_S):
            try:
                await supervisor.engine.submit(
                    plan_number(0), {"items": [number, "x"], "flag": False}, idempotency_key=key
                )
            except IdempotencyConflict:
                return
            except OrchestratorError:
                return
            self._witness.note("I20", f"key {key} was taken for two requests")

    async def people(self) -> None:
        """Answer questions, or leave them to expire."""
        while True:
            await anyio.sleep(LOOK_S * self._dice.random())
            for supervisor in self._supervisors:
                engine = supervisor.engine
                if engine is None or not supervisor.up:
                    continue
                for asked in await Operations(engine).approvals():
                    mark = (str(asked.run_id), asked.step, asked.expires_at_s)
                    if mark not in self._silent:
                        self._silent[mark] = self._dice.random() < self._profile.silent
                    must = self._calm() and asked.subject in ("budget", "effect")  # they would wait for a day
                    if not must and (self._silent[mark] or self._dice.random() > LOOK_S / self._profile.people_s):
                        continue
                    self._silent[mark] = True
                    await self._answer(asked)

    async def _answer(self, asked: OpenApproval) -> None:
        """At any door: the owner is found."""
        supervisor = await self._somebody()
        engine = supervisor.engine
        choice = self._dice.choice(asked.choices)
        with anyio.move_on_after(PATIENCE_S):
            try:
                assert engine is not None, "it is up"
                await Operations(engine).approve(asked.run_id, asked.step, choice, by=PERSON)
            except OrchestratorError:
                return
            if asked.subject != "budget":
                name, _, branch = asked.step.rstrip("]").partition("[")
                self._witness.answers.append((asked.run_id, name, int(branch) if branch else -1, choice))

    async def cancel(self) -> None:
        """Cancel some run."""
        runs = sorted(self._witness.acked.values())
        if not runs:
            return
        run_id = self._dice.choice(runs)
        supervisor = await self._somebody()
        with anyio.move_on_after(PATIENCE_S):
            try:
                assert supervisor.engine is not None, "it is up"
                await Operations(supervisor.engine).cancel(run_id, reason="enough", by=PERSON)
            except OrchestratorError:
                return
            self._witness.cancelled.add(run_id)

    async def take_back(self) -> None:
        """Find some result wrong, of a run that is open or of one that has ended."""
        ended = self._ended()
        if ended and self._dice.random() < 0.4:
            await self._take_back_late(self._dice.choice(ended))
            return
        if self._more.random() < 0.5:
            await self._lie_in_wait()
            return
        drivers = [d for one in self._supervisors if one.up and one.engine for d in one.engine.drivers()]
        if not drivers:
            return
        driver = self._dice.choice(drivers)
        steps = driver.machine.state.steps
        passed = [state for state in steps if state.status is Status.PASSED]
        if not passed:
            return
        step = self._dice.choice(passed).spec.id
        await self._quarantine(driver.run_id, step)
        if self._more.random() < 0.6:  # and then one of those before it, or beside it
            await anyio.sleep(self._more.random() * 3.0)
            await self._quarantine(driver.run_id, self._more.choice(passed).spec.id)

    async def _lie_in_wait(self) -> None:
        """Take a result back at a moment that is rare: when something of it, or built on it, stands oddly."""
        for _ in range(LOOKS):
            if self._calm():
                return
            for one in self._supervisors:
                for driver in one.engine.drivers() if one.up and one.engine is not None else ():
                    tempting = _tempting(driver.machine.state)
                    if tempting:
                        await self._quarantine(driver.run_id, self._more.choice(tempting))
                        return
            await anyio.sleep(LOOK_S / 4)

    async def _quarantine(self, run_id: RunId, step: StepId) -> None:
        supervisor = await self._somebody()
        with anyio.move_on_after(PATIENCE_S):
            try:
                assert supervisor.engine is not None, "it is up"
                await Operations(supervisor.engine).quarantine(run_id, step, reason="wrong", by=PERSON)
            except OrchestratorError:
                return

    def _ended(self) -> list[RunId]:
        return sorted(run_id for run_id in set(self._witness.acked.values()) if self._witness.has_ended(run_id))

    async def _take_back_late(self, run_id: RunId) -> None:
        supervisor = await self._somebody()
        with anyio.move_on_after(PATIENCE_S):
            try:
                engine = supervisor.engine  # it may die meanwhile
                assert engine is not None, "it is up"
                state = machine_of(await read_all(engine.journal, run_id)).state
                passed = [str(one.spec.id) for one in state.steps if one.status is Status.PASSED]
                if not passed:
                    return
                step = self._dice.choice(passed)
                await Operations(engine).quarantine(run_id, StepId(step), reason="wrong", by=PERSON)
            except OrchestratorError:
                return
            self._doubted.append(run_id)

    async def patch(self) -> None:
        """Change what has not begun of some run."""
        drivers = [d for one in self._supervisors if one.up and one.engine for d in one.engine.drivers() if not d.over]
        if not drivers:
            return
        driver = self._dice.choice(drivers)
        plan = driver.machine.state.plan.plan
        step = self._dice.choice(list(plan.steps))
        over = [state.spec.id for state in driver.machine.state.steps if state.status in _OVER]
        if over and self._more.random() < 0.5:
            step = self._more.choice(over)
        changes: tuple[list[object], ...] = (
            [{"retry": {"step": step}}],
            [{"replace": {"id": step, "step": {"pool": "w", "call": "f", "with": {"x": step}}}}],
            [{"add": {"id": f"p{self._dice.randint(0, 999)}", "step": {"pool": "w", "call": "f"}}}],
        )
        body = {"patch": 1, "base": plan.digest, "author": PERSON, "reason": "?", "ops": self._dice.choice(changes)}
        supervisor = await self._somebody()
        with anyio.move_on_after(PATIENCE_S):
            try:
                assert supervisor.engine is not None, "it is up"
                await Operations(supervisor.engine).patch(driver.run_id, Patch.model_validate(body), by=PERSON)
            except OrchestratorError:
                return

    async def ask_again(self) -> None:
        """Have an ended run tried again, or forked with other inputs: a new run that takes over what passed."""
        ended = self._ended()
        if not ended or self._again >= AGAIN_MAX:
            return
        self._again += 1
        self.waiting += 1  # the schedule is not over while a run may begin
        try:
            await self._ask_again(ended)
        finally:
            self.waiting -= 1

    async def _ask_again(self, ended: list[RunId]) -> None:
        doubted = self._doubted if self._doubted and self._dice.random() < 0.7 else ended
        run_id, key = self._dice.choice(doubted), f"again{self._again}"
        fork, flag = self._dice.random() < 0.4, self._dice.random() < 0.5
        supervisor = await self._somebody()
        with anyio.move_on_after(PATIENCE_S):
            try:
                assert supervisor.engine is not None, "it is up"
                doing = Operations(supervisor.engine)
                steps = await self._steps_of(supervisor, run_id)
                step = self._dice.choice(steps)
                if fork:
                    run = await doing.fork(run_id, step=step, inputs={"flag": flag}, idempotency_key=key)
                else:
                    whence = None if self._dice.random() < 0.6 else step
                    run = await doing.retry(run_id, step=whence, idempotency_key=key)
            except OrchestratorError:
                return
            self._witness.told(key, run.id)

    async def _steps_of(self, supervisor: Supervisor, run_id: RunId) -> list[str]:
        assert supervisor.engine is not None, "it is up"
        return [*plan_of(await read_all(supervisor.engine.journal, run_id)).steps]

    async def resume(self, run_id: RunId) -> None:
        """Have a run that was left alone driven again, by name."""
        supervisor = await self._somebody()
        with anyio.move_on_after(PATIENCE_S):
            try:
                assert supervisor.engine is not None, "it is up"
                await supervisor.engine.recover(run_id)
            except OrchestratorError:
                return
