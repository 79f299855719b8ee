"""Answers that workers offer for the cache: kept once their step has passed, dropped when one that was served did not.

Nothing of this is journaled and no rule depends on it: a crash loses offers, and with them nothing but money.
"""

from collections import OrderedDict
from collections.abc import Awaitable, Callable, Coroutine
from typing import Final

import anyio
import structlog

from orchestrator.core import facts as f
from orchestrator.core.facts import Fact, RunAccepted
from orchestrator.errors import OrchestratorError
from orchestrator.ids import RunId, StepId
from orchestrator.ports.cache import Cache, Offer
from orchestrator.ports.tasks import TaskOffered

OFFERS_MAX: Final = 64  #: of one attempt: an agent's answers, turn by turn
SERVED_MAX: Final = 4_096  #: kept answers that one step used, over its branches and attempts
ATTEMPTS_MAX: Final = 20_000  #: attempts whose offers and servings are remembered; the oldest are forgotten first
WRITES_MAX: Final = 1_000  #: answers on their way into the cache; what comes beyond is not kept
SETTLE_S: Final = 1.0  #: that an engine which closes waits for them
_TOLD: Final = (
    f.ModelCalled,
    f.StepPassed,
    f.StepRejected,
    f.StepQuarantined,
    f.AttemptFailed,
    f.LeaseLost,
    f.StepFailed,
    f.StepCancelled,
    f.StepGap,
)
_Attempt = tuple[RunId, StepId, int, int]  #: run, step, branch, attempt
log = structlog.get_logger(__name__)


class Offers:
    """What may be kept, by attempt. `begin` starts a task of the engine."""

    def __init__(self, cache: Cache, begin: Callable[[Callable[[], Coroutine[object, object, None]]], None]) -> None:
        self._cache, self._begin = cache, begin
        self._offered: OrderedDict[_Attempt, list[Offer]] = OrderedDict()
        #: keys that were served, with branch and attempt
        self._served: OrderedDict[tuple[RunId, StepId], list[tuple[tuple[int, int], str]]] = OrderedDict()
        self._writing = 0
        self._idle: anyio.Event | None = None
        self._warned = False

    def offered(self, message: TaskOffered) -> None:
        """A worker offers an answer."""
        key = message.key
        if key.purpose == "check":
            return
        held = self._offered.setdefault((key.run_id, key.step_id, key.branch, key.attempt), [])
        if len(held) < OFFERS_MAX:
            held.append(message.offer)
        if len(self._offered) > ATTEMPTS_MAX:
            self._offered.popitem(last=False)

    def journaled(self, accepted: RunAccepted, facts: tuple[Fact, ...]) -> None:
        """Facts of a run are in the journal."""
        for fact in facts:
            if isinstance(fact, _TOLD):
                self._take(accepted, fact)

    def _take(self, accepted: RunAccepted, fact: Fact) -> None:
        assert isinstance(fact, f.StepFact), "all of them are"
        if isinstance(fact, f.ModelCalled):
            self._note(accepted.run, fact)
            return
        if isinstance(fact, f.StepQuarantined):
            self._withdraw(accepted, (fact.step, *fact.affected))
            return
        offers = self._offered.pop((accepted.run, fact.step, fact.branch, fact.attempt), [])
        if isinstance(fact, f.StepPassed):
            for offer in offers:
                if offer.entry.tenant != accepted.tenant:
                    continue  # a worker speaks for the tenant of its task alone
                self._write(lambda offer=offer: self._keep(offer))  # type: ignore[misc]  # a default binds it
        elif isinstance(fact, f.StepRejected):
            at = (fact.branch, fact.attempt)
            for where, key in self._served.get((accepted.run, fact.step), ()):
                if where == at:
                    self._drop(accepted.tenant, key=key)

    def _note(self, run: RunId, fact: f.ModelCalled) -> None:
        """A kept answer was served."""
        if fact.served in {"exact", "semantic"}:
            held = self._served.setdefault((run, fact.step), [])
            if len(held) < SERVED_MAX:
                held.append(((fact.branch, fact.attempt), fact.entry))
            if len(self._served) > ATTEMPTS_MAX:
                self._served.popitem(last=False)

    def withdraw(self, accepted: RunAccepted, steps: tuple[StepId, ...], called: tuple[f.ModelCalled, ...]) -> None:
        """As a quarantine does, for steps whose calls are known from the journal."""
        for fact in called:
            self._note(accepted.run, fact)
        self._withdraw(accepted, steps)

    def _withdraw(self, accepted: RunAccepted, steps: tuple[StepId, ...]) -> None:
        """What these steps brought into the cache, and what they had from it, is served no more."""
        for step in steps:
            self._drop(accepted.tenant, tag=run_tag(accepted.run, step))
            for _, key in self._served.get((accepted.run, step), ()):
                self._drop(accepted.tenant, key=key)

    def _drop(self, tenant: str, *, key: str | None = None, tag: str | None = None) -> None:
        self._write(lambda: self._cache.drop(tenant, key=key, tag=tag))

    async def _keep(self, offer: Offer) -> None:
        await self._cache.put(offer.entry)
        if offer.observed is not None:
            await self._cache.observe(offer.entry.tenant, offer.neighbour, offer.observed)

    def _write(self, work: Callable[[], Awaitable[object]]) -> None:
        if self._writing >= WRITES_MAX:
            return
        self._writing += 1

        async def written() -> None:
            try:
                await work()
            except OrchestratorError as error:
                if not self._warned:
                    log.warning("answers cannot be kept in the cache", error=str(error))
                self._warned = True
            finally:
                self._writing -= 1
                if not self._writing and self._idle is not None:
                    self._idle.set()

        self._begin(written)

    async def settle(self) -> None:
        """Wait a moment for what is being written."""
        if self._writing:
            self._idle = anyio.Event()
            with anyio.move_on_after(SETTLE_S):
                await self._idle.wait()


def run_tag(run_id: str, step: str) -> str:
    """The tag of all answers that a step of a run brought."""
    return f"run:{run_id}/{step}"
