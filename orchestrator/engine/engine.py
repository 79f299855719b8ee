"""The engine: many runs in one process. Wires the loop, the timers and the performer; starts and recovers runs."""

from collections.abc import Callable, Coroutine, Mapping
from types import TracebackType
from typing import Final, Protocol, Self

import anyio
import structlog
from anyio.abc import TaskGroup

from orchestrator.core import facts as f
from orchestrator.core.inputs import Input, TimerFired
from orchestrator.core.machine import RunMachine
from orchestrator.engine.children import SubPlans
from orchestrator.engine.driver import RunDriver
from orchestrator.engine.handle import Run
from orchestrator.engine.loop import Begin, Item, Loop, Resume, Told
from orchestrator.engine.perform import Performer, idle_timer
from orchestrator.engine.promises import check_promises
from orchestrator.engine.recovery import read_all, recover
from orchestrator.engine.run_ids import new_run_id
from orchestrator.engine.submission import (
    Request,
    budget_over,
    first_facts,
    request_digest,
)
from orchestrator.engine.timers import Timers
from orchestrator.errors import (
    AdmissionRefused,
    EngineClosed,
    IdempotencyConflict,
    JournalConflict,
    OrchestratorError,
    RunNotFound,
)
from orchestrator.ids import JsonValue, RunId, StepId, TenantId
from orchestrator.plan.catalogue import PoolCatalogue
from orchestrator.plan.check import check_plan
from orchestrator.plan.collecting import undisturbed
from orchestrator.plan.compiled import CompiledPlan, compile_plan
from orchestrator.plan.inputs import validate_inputs
from orchestrator.plan.models import Plan
from orchestrator.plan.parts import Budget
from orchestrator.ports.checker import Checker
from orchestrator.ports.clock import Clock
from orchestrator.ports.journal import Journal, RunQuery
from orchestrator.ports.planner import Planner
from orchestrator.ports.tasks import SpendReply, SpendRequest, TaskKey, TaskMessage
from orchestrator.ports.transport import Transport

OPEN_RUNS_MAX: Final = 1_000  #: runs, without sub-plans, that may be open at once
RETRY_AFTER_S: Final = 1.0  #: advice to a caller who was refused
RECOVER_MAX: Final = 1_000_000  #: open runs read back at start
CHECKED_MAX: Final = 256  #: plans whose check is remembered
log = structlog.get_logger(__name__)


class Freezable(Protocol):
    """A plan builder."""

    def freeze(self) -> Plan:
        """The frozen plan."""
        ...


class RunEngine:
    """Runs plans on ports. `orchestrator.Engine` gives it its adapters."""

    def __init__(
        self,
        *,
        journal: Journal,
        transport: Transport,
        clock: Clock,
        catalogue: PoolCatalogue,
        owner: str,
        planner: Planner | None = None,
        checker: Checker | None = None,
        open_runs_max: int = OPEN_RUNS_MAX,
    ) -> None:
        self.journal, self.clock, self.catalogue, self.owner = journal, clock, catalogue, owner
        self.open_runs_max = open_runs_max
        self.transport = transport
        self._planner, self._checker = planner, checker
        self._drivers: dict[RunId, RunDriver] = {}
        self._top = 0  #: open runs without a parent
        self._checked: dict[str, CompiledPlan] = {}
        self._keys: dict[tuple[str, str], anyio.Event] = {}  #: idempotency keys being submitted
        self._timers = Timers(clock, self._fire)
        self._performer = Performer(
            transport=transport,
            timers=self._timers,
            clock=clock,
            post=self.post,
            spawn=self.spawn,
            children=SubPlans(self),
            planner=planner,
            checker=checker,
        )
        self._loop = Loop(journal, clock, self._performer.perform)
        self._group: TaskGroup | None = None

    # ---- life

    async def __aenter__(self) -> Self:
        self.transport.bind(self._deliver)
        self.transport.bind_reserve(self._reserve)
        self._group = anyio.create_task_group()
        await self._group.__aenter__()
        self._group.start_soon(self._loop.run, name="engine loop")
        self._group.start_soon(self._timers.run, name="engine timers")
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._group is not None
        group, self._group = self._group, None
        group.cancel_scope.cancel()
        await group.__aexit__(None, None, None)
        for driver in self._drivers.values():
            if not driver.over:
                driver.park("the engine was closed; the run is open in the journal")

    async def drain(self, grace_s: float) -> bool:
        """Send nothing new to workers and wait up to `grace_s` seconds for what runs. True when all came home."""
        self._performer.draining = True
        with anyio.move_on_after(grace_s):
            while any(driver.inflight for driver in self._drivers.values()) or not self._loop.idle:
                busy = next((d for d in self._drivers.values() if d.inflight and not d.over), None)
                if busy is None:
                    await anyio.lowlevel.checkpoint()
                    if all(d.over or not d.inflight for d in self._drivers.values()) and self._loop.idle:
                        break
                else:
                    await busy.change()
            return True
        return False

    # ---- starting runs

    def prepare(self, plan: Plan) -> CompiledPlan:
        """Check a plan against this engine and make it ready; remembered by digest.

        Raises:
            PlanError: the plan is not valid for these pools.
            PromiseError: it asks for what this engine does not have.
        """
        with undisturbed():
            known = self._checked.get(plan.digest)
            if known is None:
                check_plan(plan, self.catalogue).raise_if_errors()
                check_promises(plan, judge=self._checker is not None, planner=self._planner is not None)
                known = compile_plan(plan)
                if len(self._checked) >= CHECKED_MAX:
                    self._checked.pop(next(iter(self._checked)))
                self._checked[plan.digest] = known
        return known

    async def submit(
        self,
        plan: Plan | Freezable,
        inputs: Mapping[str, JsonValue] | None = None,
        *,
        budget: Budget | None = None,
        lane: str = "normal",
        idempotency_key: str | None = None,
        tenant: str = "default",
    ) -> Run:
        """Accept a run: once this returns, it survives the death of this process.

        `budget` exchanges those limits of the plan's that it names. The same `idempotency_key` with the same plan,
        inputs and budget gives the run that exists.

        Raises:
            PlanError, PromiseError, InputError: nothing was started; the error names place and remedy.
            AdmissionRefused: too many runs are open.
            IdempotencyConflict: the key belongs to another request.
            JournalError: it could not be journaled; nothing was started.
            EngineClosed: the engine is not open, or drains.
        """
        frozen = plan if isinstance(plan, Plan) else plan.freeze()
        self.prepare(frozen)
        request = Request(
            run_id=new_run_id(self.clock.now_s()),
            plan=frozen,
            inputs=validate_inputs(frozen, inputs or {}),
            budget=budget_over(frozen, budget),
            lane=lane,
            tenant=tenant,
            idempotency_key=idempotency_key,
        )
        return await self.accept(request)

    async def accept(self, request: Request) -> Run:
        """Journal a checked request and start it; see `submit`."""
        if self._group is None or self._performer.draining:
            raise EngineClosed("the engine is not open: use `async with`, and submit before it drains")
        if self._loop.full is not None:
            raise self._loop.full
        key = request.idempotency_key
        if key is None:
            return await self._begin(request)
        mark = (request.tenant, key)
        while mark in self._keys:
            await self._keys[mark].wait()
        self._keys[mark] = anyio.Event()
        try:
            query = RunQuery(tenant=TenantId(request.tenant), idempotency_key=key, limit=1)
            for row in await self.journal.runs(query):
                if row.request_digest != request_digest(request.plan, request.inputs, request.budget):
                    raise IdempotencyConflict(key, row.run_id)
                return Run(self, row.run_id)
            return await self._begin(request)
        finally:
            self._keys.pop(mark).set()

    async def _begin(self, request: Request) -> Run:
        if self._top >= self.open_runs_max:
            raise AdmissionRefused(self._top, self.open_runs_max, RETRY_AFTER_S)
        facts = first_facts(request, self.clock.now_s())
        journaled = anyio.Event()
        driver = self.start(facts, compile_plan(request.plan), lambda _well: journaled.set())
        await journaled.wait()
        if driver.parked:
            self.forget(driver)
            raise JournalConflict(driver.run_id, driver.parked)
        return Run(self, driver.run_id)

    def start(
        self, facts: tuple[f.Fact, ...], compiled: CompiledPlan, done: Callable[[bool], None] | None = None
    ) -> RunDriver:
        """Drive a new run from its first facts; `done` is told when they are journaled, or never will be."""
        accepted = facts[0]
        assert isinstance(accepted, f.RunAccepted), "a run begins with run.accepted"
        driver = RunDriver(RunMachine(compiled), accepted, epoch=1, next_seq=1)
        self._keep(driver)
        self.post(driver, Begin(facts) if done is None else Told(Begin(facts), done))
        return driver

    def _keep(self, driver: RunDriver) -> None:
        self._drivers[driver.run_id] = driver
        self._top += driver.accepted.parent is None

    def forget(self, driver: RunDriver) -> None:
        """Let go of a run that is over."""
        if self._drivers.pop(driver.run_id, None) is not None:
            self._top -= driver.accepted.parent is None

    async def recover(self, run_id: RunId | None = None) -> list[Run]:
        """Take over open runs of the journal, oldest first, or just one with its sub-plans.

        A run that cannot be read back is left as it is and logged; the others go on.
        """
        rows = await self.journal.runs(RunQuery(status=("open",), limit=RECOVER_MAX))
        runs: list[Run] = []
        for row in reversed(rows):
            if row.run_id in self._drivers:
                continue
            if run_id is not None and row.run_id != run_id and not row.run_id.startswith(f"{run_id}."):
                continue
            try:
                driver = await recover(self.journal, row.run_id, self.owner)
            except OrchestratorError as error:
                log.error("run not recovered", run=row.run_id, error=str(error))
                continue
            self._keep(driver)
            self.post(driver, Resume(driver.epoch))
            runs.append(Run(self, row.run_id))
        return runs

    # ---- what others ask of it

    def spawn(self, work: Callable[..., Coroutine[object, object, None]], *args: object) -> None:
        """Run something beside the loop, until it ends or the engine closes."""
        assert self._group is not None, "the engine is open"
        self._group.start_soon(work, *args)

    def post(self, driver: RunDriver, item: Item) -> None:
        """Queue something for a run."""
        self._loop.post(driver, item)

    def driver(self, run_id: RunId) -> RunDriver | None:
        """The driver of a run that is open here."""
        return self._drivers.get(run_id)

    def drivers(self) -> list[RunDriver]:
        """All runs that are open here, oldest first."""
        return list(self._drivers.values())

    def quiet(self, driver: RunDriver) -> bool:
        """Nothing is queued that could move this run, and none of its sub-plans moves either."""
        prefix = f"{driver.run_id}."
        below = [d for d in self._drivers.values() if d.run_id.startswith(prefix)]
        return self._loop.idle and all(d.waiting or d.over for d in below)

    async def ended(self, run_id: RunId) -> f.RunEnded | None:
        """How a run ended; None while it is open.

        Raises:
            RunNotFound: no such run.
        """
        records = await read_all(self.journal, run_id)
        if not records:
            raise RunNotFound(run_id)
        return next((record.fact for record in reversed(records) if isinstance(record.fact, f.RunEnded)), None)

    async def cancel(self, run_id: RunId, *, reason: str = "", by: str = "") -> None:
        """Cancel an open run and wait until that is journaled; an ended one stays as it is.

        Raises:
            RunNotFound: no such run.
        """
        driver = self._drivers.get(run_id)
        if driver is None:
            await self.ended(run_id)
            return
        await self.tell(driver, f.CancelRequested(at_s=self.clock.now_s(), actor=by, reason=reason))

    async def tell(self, driver: RunDriver, item: Input) -> None:
        """Hand something to an open run and wait until whatever follows from it is journaled."""
        told = anyio.Event()
        self.post(driver, Told(item, lambda _well: told.set()))
        await told.wait()

    # ---- the transport's messages, and timers

    def _deliver(self, message: TaskMessage) -> None:
        driver = self._drivers.get(message.key.run_id)
        if driver is not None:
            self._loop.post(driver, message)

    async def _reserve(self, request: SpendRequest) -> SpendReply:
        """Grant money before it is spent: answered once the reservation is journaled."""
        key = request.key
        driver = self._drivers.get(key.run_id)
        if driver is None or driver.over:
            return SpendReply(granted=False, limit="run", left=0.0)
        asked = f.BudgetReserved(
            at_s=self.clock.now_s(),
            step=key.step_id,
            branch=key.branch,
            attempt=key.attempt,
            sample=key.sample,
            charge=request.charge,
            usd=request.usd,
            tokens=request.tokens,
        )
        await self.tell(driver, asked)
        ledger = driver.machine.state.ledger
        if request.charge in ledger.open:
            return SpendReply(granted=True)
        if request.usd > ledger.usd_left:
            return SpendReply(granted=False, limit="usd", left=ledger.usd_left)
        return SpendReply(granted=False, limit="tokens", left=float(ledger.tokens_left))

    def _fire(self, driver: RunDriver, event: TimerFired) -> None:
        if driver.over:
            return
        if event.idle:
            key = TaskKey(driver.run_id, StepId(event.step), event.branch, event.attempt, event.sample)
            last_s = driver.inflight.get(key)
            step = driver.machine.state.step(StepId(event.step))
            idle_s = step.spec.timeout.idle if step is not None else None
            if last_s is None or idle_s is None:
                return
            if last_s + idle_s > self.clock.now_s():
                self._timers.arm(driver, idle_timer(key, last_s + idle_s))
                return
        self._loop.post(driver, event)
