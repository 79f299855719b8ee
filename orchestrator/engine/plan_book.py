"""The plans an engine knows: each is checked once and compiled once."""

from typing import Final, TypeVar

from orchestrator.engine.promises import Batching, Caching, Ready, Thinks, check_promises, speaks_of_session
from orchestrator.errors import PromiseError
from orchestrator.plan.catalogue import PoolCatalogue
from orchestrator.plan.check import refuse_errors
from orchestrator.plan.collecting import undisturbed
from orchestrator.plan.compiled import CompiledPlan, compile_plan
from orchestrator.plan.models import Plan
from orchestrator.plan.parts import Tier
from orchestrator.ports.planner import GoalPlanner

PLANS_MAX: Final = 256  #: plans whose check, or compiled form, is remembered
K = TypeVar("K")
V = TypeVar("V")


class PlanBook:
    """Checks plans against the pools and promises of one engine, and keeps the latest of them, by digest."""

    def __init__(
        self,
        catalogue: PoolCatalogue,
        *,
        judge: bool,
        planner: bool,
        supervisor: GoalPlanner | None = None,
        ready: Ready | None = None,
        thinks: Thinks | None = None,
        routes: tuple[Tier, ...] = (),
        caching: Caching | None = None,
        batching: Batching | None = None,
    ) -> None:
        self._caching, self._batching = caching, batching
        self._catalogue, self._judge, self._planner = catalogue, judge, planner
        self._supervisor, self._ready, self._thinks, self._routes = supervisor, ready, thinks, routes
        self._checked: dict[str, str] = {}  #: by digest: what in it refers to a session
        self._compiled: dict[str, CompiledPlan] = {}

    def prepare(self, plan: Plan, session: bool = False) -> CompiledPlan:
        """Check a plan and make it ready; `session`: its run belongs to a conversation.

        Raises:
            PlanError: the plan is not valid for these pools.
            PromiseError: it asks for what this engine does not have.
        """
        with undisturbed():
            if plan.digest not in self._checked:
                refuse_errors(plan, self._catalogue)
                check_promises(
                    plan,
                    judge=self._judge,
                    planner=self._planner,
                    supervisor=self._supervisor,
                    ready=self._ready,
                    thinks=self._thinks,
                    routes=self._routes,
                    caching=self._caching,
                    batching=self._batching,
                )
                remember(self._checked, plan.digest, speaks_of_session(plan), PLANS_MAX)
            if not session and self._checked[plan.digest]:
                raise PromiseError(
                    f"{self._checked[plan.digest]} refers to a session, and this run has none",
                    "name one (--session ID, or engine.session(id).ask), or take `session` out of the plan",
                )
            return self.compiled(plan)

    def compiled(self, plan: Plan) -> CompiledPlan:
        """A plan, ready to run. It is not checked here."""
        known = self._compiled.get(plan.digest)
        if known is None:
            known = compile_plan(plan)
            remember(self._compiled, plan.digest, known, PLANS_MAX)
        return known


def remember(known: dict[K, V], key: K, value: V, most: int) -> None:
    """Keep a value, and let go of the oldest above `most`."""
    if len(known) >= most:
        known.pop(next(iter(known)))
    known[key] = value
