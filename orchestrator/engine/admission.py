"""Letting runs in: one run for each idempotency key, driven here or left to others."""

from typing import TYPE_CHECKING, Final

import anyio

from orchestrator.core import facts as f
from orchestrator.engine.handle import Run
from orchestrator.engine.submission import Request, first_facts, request_digest
from orchestrator.errors import AdmissionRefused, IdempotencyConflict, JournalConflict
from orchestrator.ids import RunId, TenantId
from orchestrator.ports.journal import Append, RunQuery

if TYPE_CHECKING:
    from orchestrator.engine.engine import RunEngine

RETRY_AFTER_S: Final = 1.0  #: advice to a caller who was refused


class Admission:
    """Admits the requests of one engine."""

    def __init__(self, engine: "RunEngine") -> None:
        self._engine = engine
        self._keys: dict[tuple[str, str], anyio.Event] = {}  #: idempotency keys being submitted

    async def admit(self, request: Request) -> Run:
        """Journal a checked request and start it, or return the run that its key names.

        Raises:
            AdmissionRefused: too many runs are open.
            IdempotencyConflict: the key belongs to another request.
            JournalError: it could not be journaled; nothing was started.
        """
        key = request.idempotency_key
        if key is None:
            return await self._begin(request)
        mark = (request.tenant, key)
        while mark in self._keys:
            await self._keys[mark].wait()
        self._keys[mark] = anyio.Event()
        try:
            known = await self._known(request, key)
            if known is not None:
                return known
            try:
                return await self._begin(request)
            except JournalConflict:
                known = await self._known(request, key)  # another process was a moment faster
                if known is None:
                    raise
                return known
        finally:
            self._keys.pop(mark).set()

    async def _known(self, request: Request, key: str) -> Run | None:
        query = RunQuery(tenant=TenantId(request.tenant), idempotency_key=key, limit=1)
        for row in await self._engine.journal.runs(query):
            if row.request_digest != request_digest(request):
                raise IdempotencyConflict(key, row.run_id)
            return Run(self._engine, row.run_id)
        return None

    async def _begin(self, request: Request) -> Run:
        engine = self._engine
        facts = first_facts(request, engine.clock.now_s())
        if engine.owning is not None and engine.owning.owns == "nothing":
            return await self._hand_over(request.run_id, facts)
        if engine.room() == 0:
            raise AdmissionRefused(engine.open_runs_max, engine.open_runs_max, RETRY_AFTER_S)
        journaled = anyio.Event()
        driver = engine.start(facts, engine.plans.compiled(request.plan), lambda _well: journaled.set())
        await journaled.wait()
        if driver.next_seq == 1:
            raise engine.not_begun(driver)
        return Run(engine, driver.run_id)

    async def _hand_over(self, run_id: RunId, facts: tuple[f.Fact, ...]) -> Run:
        """Journal a new run, and leave it to whoever drives runs."""
        entry = Append(run_id=run_id, first_seq=1, epoch=1, facts=facts, sync=True)
        if await self._engine.journal.append([entry]):
            raise JournalConflict(run_id, "it could not be accepted: its idempotency key is taken")
        return Run(self._engine, run_id)
