"""The engine: many runs in one process. Wires the loop, the timers and the performer; starts and recovers runs."""

from collections.abc import Callable, Coroutine, Mapping
from types import TracebackType
from typing import Final, Self

import anyio
import structlog
from anyio.abc import TaskGroup

from orchestrator.core import facts as f
from orchestrator.core.inputs import Input
from orchestrator.core.machine import RunMachine
from orchestrator.engine.admission import Admission
from orchestrator.engine.alarms import Alarms
from orchestrator.engine.cancelling import cancel_run
from orchestrator.engine.children import SubPlans
from orchestrator.engine.draining import drain
from orchestrator.engine.driver import RunDriver
from orchestrator.engine.drivers import Drivers
from orchestrator.engine.grants import Grants
from orchestrator.engine.handle import Run
from orchestrator.engine.loop import TAKEN, Begin, Item, Loop, Told, Unwanted, goes_on
from orchestrator.engine.observing import guarded
from orchestrator.engine.offers import Offers
from orchestrator.engine.ownership import Owning, Shared
from orchestrator.engine.perform import Performer
from orchestrator.engine.plan_book import PlanBook, remember
from orchestrator.engine.promises import Batching, Caching, Ready, Thinks
from orchestrator.engine.questions import Asked
from orchestrator.engine.recovery import ended_of
from orchestrator.engine.run_ids import new_run_id
from orchestrator.engine.submission import Freezable, Request, SessionView, budget_over, check_words, plain_inputs
from orchestrator.engine.takeover import TakeOver
from orchestrator.engine.telling import told
from orchestrator.errors import EngineClosed, JournalConflict
from orchestrator.ids import JsonValue, RunId
from orchestrator.plan.catalogue import PoolCatalogue
from orchestrator.plan.compiled import CompiledPlan
from orchestrator.plan.inputs import validate_inputs
from orchestrator.plan.models import Plan
from orchestrator.plan.parts import Budget
from orchestrator.ports.cache import Cache
from orchestrator.ports.checker import Checker
from orchestrator.ports.clock import Clock
from orchestrator.ports.journal import Journal
from orchestrator.ports.observer import Observer
from orchestrator.ports.planner import GoalPlanner, Planner
from orchestrator.ports.routing import Routing
from orchestrator.ports.tasks import TaskMessage
from orchestrator.ports.transport import Resuming, Transport

OPEN_RUNS_MAX: Final = 1_000  #: runs, without sub-plans, that may be open at once
CLOSED: Final = "the engine was closed; the run is open in the journal"
SUBMITTING_MAX: Final = 64  #: submissions in preparation at once: thousands would hold the event loop for seconds
PARKED_MAX: Final = 10_000  #: parked runs whose reason is remembered
log = structlog.get_logger(__name__)


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
        supervisor: GoalPlanner | None = None,
        ready: Ready | None = None,
        thinks: Thinks | None = None,
        routing: Routing | None = None,
        open_runs_max: int = OPEN_RUNS_MAX,
        shared: Shared | None = None,
        observer: Observer | None = None,
        door: Callable[[dict[str, JsonValue]], dict[str, JsonValue]] | None = None,
        cache: Cache | None = None,
        caching: Caching | None = None,
        batching: Batching | None = None,
        unwanted: Unwanted | None = None,
    ) -> None:
        self.observer = guarded(observer)
        self._door = door or (lambda inputs: inputs)  #: inputs as they may be journaled
        self.offers = Offers(cache, self.spawn) if cache is not None else None  #: of answers to the cache
        self.journal, self.clock, self.catalogue, self.owner = journal, clock, catalogue, owner
        self.open_runs_max, self.transport, self._routing = open_runs_max, transport, routing
        self.plans = PlanBook(
            catalogue,
            judge=checker is not None,
            planner=planner is not None,
            supervisor=supervisor,
            ready=ready,
            thinks=thinks,
            routes=routing.tiers if routing is not None else (),
            caching=caching,
            batching=batching,
        )
        self._drivers = Drivers()
        self._parked: dict[RunId, str] = {}  #: runs that are open in the journal and not driven, and why
        self._admission = Admission(self)
        self._alarms = Alarms(clock, self.post)
        questions = Asked(
            clock=clock,
            post=self.post,
            spawn=self.spawn,
            prepare=self.prepare,
            tell=self.tell,
            planner=planner,
            checker=checker,
            supervisor=supervisor,
        )
        performer = Performer(
            transport=transport,
            timers=self._alarms.timers,
            clock=clock,
            children=SubPlans(self),
            questions=questions,
            observer=self.observer,
        )
        self._keeper = keeper = transport if isinstance(transport, Resuming) else None  #: of tasks that outlive us
        shared_by = owner if shared is not None else ""
        self._loop = Loop(
            journal,
            clock,
            performer.perform,
            self.park,
            shared_by,
            keeper.leave if keeper else None,
            self.observer,
            self.offers,
            unwanted,
        )
        self.refusals = self._loop.refusals  #: of words of workers
        self.turn = self._loop.turn  #: handle what is queued at once, if the journal need not be waited for
        self.owning = Owning(self, shared) if shared is not None else None
        self.takeover = TakeOver(self)
        self._group: TaskGroup | None = None
        self._gate = anyio.Semaphore(SUBMITTING_MAX, fast_acquire=True)
        self._draining = False

    # ---- life

    async def __aenter__(self) -> Self:
        self.transport.bind(self._deliver)
        self.transport.bind_answer(Grants(self.clock, self.driver, self.tell, self.ended).answer)
        self._group = anyio.create_task_group()
        await self._group.__aenter__()
        self._group.start_soon(self._loop.run, name="engine loop")
        self._group.start_soon(self._alarms.timers.run, name="engine timers")
        if self.owning is not None:
            try:
                await self.owning.begin()
            except BaseException as error:  # the store does not answer: nothing that was begun may stay behind
                await self.__aexit__(type(error), error, error.__traceback__)
                raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._group is not None
        if self.offers is not None and error is None:
            with anyio.CancelScope(shield=True):
                await self.offers.settle()
        group, self._group = self._group, None
        group.cancel_scope.cancel()
        try:
            await group.__aexit__(None, None, None)
        finally:
            for driver in self._drivers.all():
                if not driver.over:
                    driver.park(CLOSED)
            self._loop.close()
            if self.owning is not None:
                await self.owning.end()

    async def drain(self, grace_s: float) -> bool:
        """Send nothing new to workers and wait up to `grace_s` seconds for what runs. True when all came home.

        What comes home is journaled. What does not is taken back from its worker and journaled as given up, which
        counts against no limit: the next engine sends it again.
        """
        self._draining = True
        return await drain(self.drivers, self._loop, self.transport, self.clock, grace_s)

    # ---- starting runs

    def prepare(self, plan: Plan, session: bool = False) -> CompiledPlan:
        """Check a plan against this engine and make it ready; remembered by digest.

        `session`: its run belongs to a conversation, so the plan may refer to it.

        Raises:
            PlanError: the plan is not valid for these pools.
            PromiseError: it asks for what this engine does not have.
        """
        return self.plans.prepare(plan, session)

    async def submit(
        self,
        plan: Plan | Freezable,
        inputs: Mapping[str, JsonValue] | None = None,
        *,
        budget: Budget | None = None,
        lane: str = "normal",
        idempotency_key: str | None = None,
        tenant: str = "default",
        session: SessionView | None = None,
        run_id: RunId | None = None,
        trace: str = "",
        by: str = "",
    ) -> Run:
        """Accept a run: once this returns, it survives the death of this process.

        `budget` exchanges those limits of the plan's that it names. The same `idempotency_key` with the same plan,
        inputs and budget gives the run that exists. `session` is what the run sees of its conversation, `run_id` an id
        of `new_run_id` that the caller has written down before, `trace` a W3C `traceparent` to go on with, `by` who
        starts it, for the audit trail.

        Raises:
            PlanError, PromiseError, InputError: nothing was started; the error names place and remedy.
            AdmissionRefused: too many runs are open.
            IdempotencyConflict: the key belongs to another request.
            JournalError: it could not be journaled; nothing was started.
            EngineClosed: the engine is not open, or drains.
        """
        frozen = plan if isinstance(plan, Plan) else plan.freeze()
        check_words(lane, tenant, idempotency_key)
        async with self._gate:
            self.prepare(frozen, session is not None)
            request = Request(
                run_id=run_id or new_run_id(self.clock.now_s()),
                plan=frozen,
                inputs=validate_inputs(frozen, self._door(plain_inputs(inputs or {}))),
                budget=budget_over(frozen, budget),
                lane=lane,
                tenant=tenant,
                idempotency_key=idempotency_key,
                session=session,
                by=by,
                trace=trace or (self.observer.here() if self.observer is not None else ""),
            )
            return await self.accept(request)

    async def accept(self, request: Request) -> Run:
        """Journal a checked request and start it; see `submit`."""
        if self._group is None or self._draining:
            raise EngineClosed("the engine is not open: use `async with`, and submit before it drains")
        if self._loop.full is not None:
            raise self._loop.full
        return await self._admission.admit(request)

    def start(
        self, facts: tuple[f.Fact, ...], compiled: CompiledPlan, done: Callable[[bool], None] | None = None
    ) -> RunDriver:
        """Drive a new run from its first facts; `done` is told when they are journaled, or never will be."""
        accepted = facts[0]
        assert isinstance(accepted, f.RunAccepted), "a run begins with run.accepted"
        driver = RunDriver(RunMachine(compiled), accepted, epoch=1, next_seq=1)
        self.keep(driver)
        self.post(driver, Begin(facts) if done is None else Told(Begin(facts), done))
        return driver

    def keep(self, driver: RunDriver) -> None:
        """Drive a run from here on."""
        self._parked.pop(driver.run_id, None)
        self._drivers.add(driver)
        if self._routing is not None:
            driver.machine.route_by(self._routing.choose)
            driver.saw = self._routing.saw
        if driver.above is not None:
            driver.above.on_resume = self._alarms.resumed
        if self._draining:
            driver.hold()

    def forget(self, driver: RunDriver) -> None:
        """Let go of a run that is over."""
        self._drivers.drop(driver)

    def park(self, driver: RunDriver, reason: str) -> None:
        """Stop driving a run that cannot go on here, and whatever waits for it as a sub-plan."""
        if driver.over:
            return
        driver.park(reason)
        drop = self._keeper.let_go if self._keeper and goes_on(reason) else self.transport.revoke
        for key in driver.inflight:
            drop(key)
        driver.inflight.clear()
        above = driver.above
        self.forget(driver)
        self.note_parked(driver.run_id, reason)
        if above is not None:
            self.park(above, f"its sub-plan {driver.run_id} is parked: {reason}")

    def note_parked(self, run_id: RunId, reason: str) -> None:
        """Remember why a run is open and not driven."""
        (log.info if TAKEN in reason else log.error)("run parked", run=run_id, reason=reason)
        if self.observer is not None:
            self.observer.let_go(run_id)
        remember(self._parked, run_id, reason, PARKED_MAX)

    def parked(self, run_id: RunId) -> str | None:
        """Why a run is open in the journal and not driven here; None when nothing is known to be wrong with it."""
        return self._parked.get(run_id)

    def parked_here(self, run_id: RunId) -> bool:
        """Whether a run is parked for a reason that is not that others drive it."""
        return self._parked.get(run_id, TAKEN) != TAKEN

    def room(self) -> int:
        """How many more runs may be open here."""
        return max(self.open_runs_max - self._drivers.top, 0) if not self._draining else 0

    async def recover(self, run_id: RunId | None = None) -> list[Run]:
        """Take over open runs of the journal, oldest first, or just one with its sub-plans.

        A run that cannot go on here is parked: left as it is, logged with the reason; the others go on.
        """
        if self.owning is not None and run_id is None:  # what others drive stays with them
            found: list[RunId] = []
            while (lot := await self.owning.adopt_some())[0]:
                found += lot[1]
            return [Run(self, name) for name in found]
        return [Run(self, driver.run_id) for driver in await self.takeover.recover(run_id)]

    # ---- what others ask of it

    def spawn(self, work: Callable[..., Coroutine[object, object, None]], *args: object) -> None:
        """Run something beside the loop, until it ends or the engine closes."""
        assert self._group is not None, "the engine is open"
        self._group.start_soon(work, *args)

    @property
    def counts(self) -> tuple[int, int]:
        """Items posted so far, and how many of these are handled with all that followed in the journal."""
        return self._loop.posted, self._loop.journaled

    def post(self, driver: RunDriver, item: Item) -> None:
        """Queue something for a run."""
        self._loop.post(driver, item)

    def driver(self, run_id: RunId) -> RunDriver | None:
        """The driver of a run that is open here."""
        return self._drivers.get(run_id)

    def drivers(self) -> list[RunDriver]:
        """All runs that are open here, oldest first."""
        return self._drivers.all()

    async def ended(self, run_id: RunId) -> f.RunEnded | None:
        """How a run ended; None while it is open.

        Raises:
            RunNotFound: no such run.
        """
        return await ended_of(self.journal, run_id)

    async def cancel(self, run_id: RunId, *, reason: str = "", by: str = "") -> None:
        """Cancel an open run with its sub-plans and wait until that is journaled; an ended one stays as it is.

        Raises:
            RunNotFound: no such run.
            WrongState: it is open, but not driven here.
            JournalConflict: it was parked meanwhile.
        """
        await cancel_run(self, run_id, reason, by)

    async def tell(self, driver: RunDriver, item: Input) -> None:
        """Hand something to an open run and wait until whatever follows from it is journaled.

        Raises:
            ValueRefused: a text in it cannot be kept, such as a reason with NUL; the run goes on unchanged.
            JournalConflict: the run was parked; the reason is in the error.
            EngineClosed: the engine was closed before.
        """
        if self._group is None:
            raise EngineClosed(CLOSED)
        if not await told(self.post, driver, item):
            raise self._not_done(driver)

    def not_begun(self, driver: RunDriver) -> EngineClosed | JournalConflict:
        """Why the first facts of a run were not journaled; nothing is remembered of it."""
        self._parked.pop(driver.run_id, None)
        return self._not_done(driver)

    def _not_done(self, driver: RunDriver) -> EngineClosed | JournalConflict:
        return EngineClosed(CLOSED) if self._group is None else JournalConflict(driver.run_id, driver.parked)

    # ---- the transport's messages, and timers

    def _deliver(self, message: TaskMessage) -> None:
        driver = self._drivers.get(message.key.run_id)
        if driver is not None:
            self._loop.post(driver, message)
        elif self._keeper is not None:
            self._keeper.leave(message)
