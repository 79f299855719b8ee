"""The engine that users open: journal, transport, pools, models and supervisor put together."""

from collections.abc import Iterable, Mapping
from contextlib import AsyncExitStack
from types import TracebackType
from typing import TYPE_CHECKING, Self

import anyio
import structlog

from orchestrator.adapters.clock import SystemClock
from orchestrator.adapters.memory.transport import MemoryTransport
from orchestrator.app.batch import Batches
from orchestrator.app.cache import Caches
from orchestrator.app.models import local_models, open_models
from orchestrator.app.safety import guards_of, passed_inputs, redactor_of, shown_to_watchers
from orchestrator.app.stores import open_journal
from orchestrator.app.telemetry import open_telemetry
from orchestrator.engine.collector import patient_collector
from orchestrator.engine.consent import Consenting
from orchestrator.engine.engine import RunEngine
from orchestrator.engine.fleet import announce, keep_reconciled
from orchestrator.engine.handle import Run
from orchestrator.engine.offered import check_offers
from orchestrator.engine.ownership import Owns, Shared
from orchestrator.engine.promises import Part
from orchestrator.engine.submission import Freezable
from orchestrator.errors import EngineClosed, OrchestratorError, PromiseError
from orchestrator.ids import JsonValue
from orchestrator.models.lazy import LazyModels
from orchestrator.models.routing.history import learn_from
from orchestrator.models.routing.router import Router
from orchestrator.plan.catalogue import PoolCatalogue
from orchestrator.plan.models import Plan
from orchestrator.plan.parts import Budget, Tier
from orchestrator.plan.tiers import leaves_tiers
from orchestrator.ports.cache import Cache
from orchestrator.ports.checker import Checker
from orchestrator.ports.clock import Clock
from orchestrator.ports.fleet import Fleet
from orchestrator.ports.guard import Guard
from orchestrator.ports.journal import Journal
from orchestrator.ports.model import Models
from orchestrator.ports.observer import Tracing
from orchestrator.ports.planner import Planner
from orchestrator.ports.sessions import Sessions
from orchestrator.ports.stand_in import StandIn
from orchestrator.settings import Settings, on_redis, on_server, shown_url
from workers import Pool, Registry, Workers, worker_id
from workers.gate import needs_of

if TYPE_CHECKING:
    from orchestrator.adapters.redis.owner import RedisTransport
    from orchestrator.app.sessions import Conversations, Session
    from orchestrator.supervisor.agent import SupervisorAgent
    from orchestrator.supervisor.rules import Supervisor


log = structlog.get_logger(__name__)


class Engine:
    """Runs plans in this process: `async with Engine(pools=[…]) as engine: run = await engine.submit(plan, inputs)`.

    Without `store` the settings decide, whose default is `.orchestrator/journal.db`; open runs of the store go on
    unless `recover` is False. `open_runs_max` runs may be open at once; work in flight gets `drain_s` seconds when the
    engine closes. In a store that several processes share (`postgresql://…`), `owns` says what this one drives: `mine`,
    what is submitted here and, with `recover`, what nobody drives when it opens; `leased`, orphans too, all the time;
    `nothing`, so that whatever is submitted here is left to others. `planner` answers `replan` rungs, `checker` answers
    `judge` checks; without them a supervisor does both with the engine's models, and plans goals by the rules of
    `supervisor`. `models` are what agents ask; without them those of the settings, opened by the first plan that
    needs one. `guards` stand before those of every pool. `telemetry` is told what happens, or else whatever OTEL_*
    asks for. `cache` keeps answers of models for steps that ask for it, `sessions` conversations, else what the
    settings say. `journal`, `clock` and `stand_in` are for tests of your own plans, which
    `orchestrator.testing.Scenario` writes in a few lines.

    Raises:
        PromiseError: the settings ask for what there is not, or two pools share a name.
        JournalOwned: on entering, when another process has the store; the error names its pid.
    """

    def __init__(
        self,
        settings: Settings | None = None,
        *,
        pools: Iterable[Pool] | None = None,
        store: str | None = None,
        recover: bool = True,
        planner: Planner | None = None,
        checker: Checker | None = None,
        supervisor: "Supervisor | None" = None,
        models: Models | None = None,
        journal: Journal | None = None,
        clock: Clock | None = None,
        stand_in: StandIn | None = None,
        owns: Owns = "mine",
        open_runs_max: int | None = None,
        drain_s: float | None = None,
        telemetry: Tracing | None = None,
        sessions: Sessions | None = None,
        cache: Cache | None = None,
        guards: Iterable[Guard] = (),
    ) -> None:
        self._cache = cache
        self._guards = tuple(guards)
        self.telemetry = telemetry  #: who is told what happens; None once open: nobody
        given = settings or Settings()
        changes = {"store": store, "open_runs_max": open_runs_max, "drain_s": drain_s}
        self.settings = given.model_copy(update={k: v for k, v in changes.items() if v is not None})
        self._fleeting = on_redis(self.settings.transport)  # workers are other processes
        self._remote = self._fleeting and owns != "nothing"  # who drives nothing sends nothing
        self.registry = Registry(pools) if pools is not None else Registry.from_modules(self.settings.pools)
        self._recover = recover and owns == "mine"
        self._owns: Owns = owns
        self._planner, self._checker, self.supervisor = planner, checker, supervisor
        self._sessions = sessions
        self._conversations: Conversations | None = None
        self._journal, self._clock, self._stand_in = journal, clock, stand_in
        self._router = Router(self.settings.models.routing)
        self._learnt = False  #: what the runs of the journal taught
        self._lazy = LazyModels(lambda: open_models(self.settings))
        self.models: Models = models or self._lazy  #: what agents ask
        self._stack = AsyncExitStack()
        self._engine: RunEngine | None = None
        self._workers: Workers | None = None
        self.batches: Batches | None = None  #: of this process; None while it is closed. Hand webhooks to `heard`
        self.fleet: Fleet | None = None  #: what the processes of a fleet tell each other; None in one process

    async def __aenter__(self) -> Self:
        async with AsyncExitStack() as stack:
            stack.enter_context(patient_collector())
            if self.settings.local and self.models is self._lazy:
                self.settings = await stack.enter_async_context(local_models(self.settings))
            if self.telemetry is None:
                redactor, branches_max = redactor_of(self.settings.safety), self.settings.traced_branches
                self.telemetry = open_telemetry(redactor, branches_max=branches_max)
                if self.telemetry is not None:
                    stack.callback(self.telemetry.close)
            clock = self._clock or SystemClock()
            journal = self._journal
            if journal is None:
                journal = await open_journal(self.settings)
                stack.push_async_callback(_close, journal)
            shared = self._shared(journal)
            played = self._stand_in
            owner = worker_id()
            transport = MemoryTransport(clock.now_s) if not self._remote else await self._connected(stack, owner)
            group = await stack.enter_async_context(anyio.create_task_group())
            stack.callback(group.cancel_scope.cancel)
            stack.push_async_callback(self._lazy.aclose)
            catalogue = self.registry if played is None else played.catalogue(self.registry)
            agent = self._agent(catalogue)
            minds = self._planner or agent.patches, self._checker or agent.judge, Consenting(agent.goals)
            planner, checker, goals = shown_to_watchers(self.settings.safety, self._guards, minds)
            caches = Caches(self.settings, clock.now_s, self._cache, elsewhere=self._fleeting)
            stack.push_async_callback(caches.aclose)
            self.batches = batches = Batches(self.settings, self.models, owner, clock.now_s, elsewhere=self._fleeting)
            stack.push_async_callback(batches.aclose)
            engine = RunEngine(
                journal=journal,
                transport=transport,
                clock=clock,
                catalogue=catalogue,
                owner=owner,
                planner=planner,
                checker=checker,
                supervisor=goals,
                thinks=self._thinks,
                routing=self._router,
                ready=self._ready if played is None and not self._fleeting and self._owns != "nothing" else None,
                open_runs_max=self.settings.open_runs_max,
                shared=shared,
                observer=self.telemetry,
                door=lambda inputs: passed_inputs(self.settings.safety, inputs),
                cache=caches.cache,
                caching=caches.check,
                batching=batches.check,
                unwanted=batches.unwanted,
            )
            await stack.enter_async_context(engine)
            if isinstance(transport, MemoryTransport):
                port = transport if played is None else played.port(transport)
                self._workers = Workers(
                    self.registry,
                    port,
                    worker=owner,
                    models=caches.models(batches.models()),
                    clock=clock.now_s,
                    observer=self.telemetry.inside() if self.telemetry is not None else None,
                    guards=guards_of(self.settings.safety, self._guards),
                )
                transport.bind_turn(engine.turn)
                self._workers.open(group)
            else:
                assert self.fleet is not None, "it was made with the transport"
                transport.bind_journaled(lambda: engine.counts[0], lambda: engine.counts[1])
                needs = needs_of(self.registry)
                compare = engine.owning.compare if engine.owning is not None else None
                group.start_soon(keep_reconciled, transport, self.fleet, owner, needs, compare, name="reconciler")
            if played is not None:
                group.start_soon(played.serve, name="stand-in")
            self._engine = engine
            if self._owns == "leased":
                group.start_soon(self._learn_beside, journal, name="routing learns")
            if self._recover:
                await engine.recover()
            self._stack = stack.pop_all()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        engine, workers = self._engine, self._workers
        if engine is not None:
            with anyio.CancelScope(shield=True):
                if error is None and not self._remote:  # tasks of a fleet go on, and so do its runs, with another owner
                    await engine.drain(self.settings.drain_s)
                if workers is not None:
                    await workers.drain(0.0)
        self._engine = self._workers = self._conversations = None
        await self._stack.aclose()

    async def _connected(self, stack: AsyncExitStack, owner: str) -> "RedisTransport":
        """The owner's side of a fleet: tasks go to worker processes, which learn what they are written against."""
        if self._stand_in is not None or (self._journal is None and not on_server(self.settings.store)):
            raise PromiseError(
                f"the transport {shown_url(self.settings.transport)} needs a journal that survives this process",
                "name a server: --store postgresql://user@host/database",
            )
        from orchestrator.adapters.redis.board import RedisFleet
        from orchestrator.adapters.redis.owner import RedisTransport  # one process needs no client for a server

        transport = await RedisTransport.open(self.settings.transport, owner=owner, lease_s=self.settings.lease_s)
        stack.push_async_callback(transport.close)
        self.fleet = RedisFleet(self.settings.transport)
        stack.push_async_callback(self.fleet.close)
        await announce(self.fleet, owner, needs_of(self.registry))
        return transport

    def _agent(self, catalogue: PoolCatalogue) -> "SupervisorAgent":
        """What judges, plans and replans with this engine's models, unless the host has given something else."""
        from orchestrator.supervisor.agent import SupervisorAgent  # its models of drafts are made when it is loaded
        from orchestrator.supervisor.rules import Supervisor

        return SupervisorAgent.of(self.supervisor or Supervisor(), self.models, catalogue)

    def _thinks(self, part: Part, tier: Tier | None) -> None:
        """Refuse what has to ask a model where none can be had; who drives nothing asks none."""
        given = {"judge": self._checker, "planner": self._planner}.get(part)
        if given is None and self._owns != "nothing":
            self._need(tier)
            if part == "supervisor" and self.supervisor is not None and self.supervisor.judge is not None:
                self._need(self.supervisor.judge.tier)

    def _ready(self, pool: str, function: str | None, tier: Tier | None) -> None:
        """Refuse what cannot work here, and what asks a model where none can be had."""
        if self.registry.check_ready(pool, function):
            self._need(tier)

    def _need(self, tier: Tier | None) -> None:
        if self.models is self._lazy:
            self._lazy.need(tier)

    def can_ask(self, tier: Tier) -> bool:
        """Whether this engine has a model of a tier."""
        try:
            self._need(tier)
        except PromiseError:
            return False
        return True

    def _shared(self, journal: Journal) -> Shared | None:
        """What the journal offers where several processes share it."""
        ownership = getattr(journal, "ownership", None)
        if ownership is None:
            if self._owns == "nothing":
                raise PromiseError("this store has one process, and it would drive nothing", 'say owns="mine"')
            self._recover = self._recover or self._owns == "leased"  # all that is open in a store of one process
            return None
        return Shared(
            ownership=ownership,
            petitions=journal.petitions,  # type: ignore[attr-defined]  # the three come together
            notices=journal.notices,  # type: ignore[attr-defined]  # likewise
            owns=self._owns,
            lease_s=self.settings.lease_s,
        )

    async def submit(
        self,
        plan: Plan | Freezable,
        inputs: Mapping[str, JsonValue] | None = None,
        *,
        budget: Budget | None = None,
        lane: str = "normal",
        idempotency_key: str | None = None,
        tenant: str = "default",
        by: str = "",
    ) -> Run:
        """Accept a run; see `RunEngine.submit`. On a fleet, workers that are here and cannot do it refuse it too."""
        frozen = plan if isinstance(plan, Plan) else plan.freeze()
        await self.vet(frozen)
        return await self.runs.submit(
            frozen, inputs, budget=budget, lane=lane, idempotency_key=idempotency_key, tenant=tenant, by=by
        )

    def session(self, session: str, *, tenant: str = "default") -> "Session":
        """A conversation by its id: `await engine.session("anna").ask(plan, "And next year?")`.

        Raises:
            EngineClosed: outside of `async with`.
            ValueRefused: the id is empty, too long, or cannot be shown.
        """
        return self.conversations.session(session, tenant)

    @property
    def conversations(self) -> "Conversations":
        """The sessions of this engine's store, or of the server that the settings name.

        Raises:
            EngineClosed: outside of `async with`.
        """
        if self._conversations is None:
            from orchestrator.app.sessions import open_conversations  # most engines have no conversations

            self._conversations, closers = open_conversations(self, self.runs, self._sessions)
            for close in closers:
                self._stack.push_async_callback(close)
        return self._conversations

    async def vet(self, plan: Plan) -> None:
        """What `submit` asks of a plan before it hands it to the engine inside, for those who do that themselves.

        Raises:
            PromiseError: workers of the fleet are here, and none of them can do a step of the plan.
        """
        if self._fleeting and self._engine is not None:
            from orchestrator.adapters.redis.board import RedisFleet  # one process needs no client for a server

            board = self.fleet or RedisFleet(self.settings.transport)
            try:
                await check_offers(plan, board)
            finally:
                if board is not self.fleet and isinstance(board, RedisFleet):
                    await board.close()
        await self._learn(plan)

    async def _learn(self, plan: Plan) -> None:
        """Before the first choice of a tier: what became of earlier ones, as the journal tells it."""
        routing = self.settings.models.routing
        if not self._learnt and (routing.mode == "shadow" or leaves_tiers(plan)):
            self._learnt = True
            await learn_from(self.runs.journal, self._router, routing.history_runs)

    async def _learn_beside(self, journal: Journal) -> None:
        """For runs that were submitted elsewhere: what they begin with until this is read is a cascade."""
        self._learnt = True
        try:
            await learn_from(journal, self._router, self.settings.models.routing.history_runs)
        except OrchestratorError as error:
            log.warning("routing learns nothing from earlier runs", error=str(error))

    @property
    def runs(self) -> RunEngine:
        """The engine inside, for everything beyond `submit`.

        Raises:
            EngineClosed: outside of `async with`.
        """
        if self._engine is None:
            raise EngineClosed("the engine is not open: use `async with Engine(...) as engine`")
        return self._engine


async def _close(journal: Journal) -> None:
    with anyio.CancelScope(shield=True):
        await journal.close()


__all__ = ["Engine"]
