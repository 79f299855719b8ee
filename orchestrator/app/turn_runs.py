"""The runs of a session's turns: started with what they see, followed, and read as answers."""

from typing import Final

import anyio

from orchestrator.app.turns import Asked, answer_of
from orchestrator.engine.engine import RunEngine
from orchestrator.engine.handle import Run, result_of
from orchestrator.engine.submission import SessionView
from orchestrator.errors import (
    AdmissionRefused,
    EngineClosed,
    IdempotencyConflict,
    InputError,
    JournalConflict,
    PlanError,
    PromiseError,
    RunNotFound,
    SessionBusy,
    ValueRefused,
    WrongState,
)
from orchestrator.ids import RunId
from orchestrator.ports.journal import RunQuery
from orchestrator.ports.sessions import SessionKey
from orchestrator.sessions.changes import Answer
from orchestrator.sessions.desk import Begun, SessionDesk

LOST_S: Final = 60.0  #: a turn whose run is nowhere so long after it was accepted is taken for lost
LOOK_S: Final = 0.05  #: between two looks for a run that is just being submitted
FORGET_MAX: Final = 100_000  #: runs whose contents one deletion takes along, sub-plans included
BELOW_MAX: Final = 10_000  #: sub-plans of one run
#: Refusals after which there surely is no run.
REFUSED: Final = (
    PlanError,
    PromiseError,
    InputError,
    AdmissionRefused,
    IdempotencyConflict,
    ValueRefused,
    EngineClosed,
)


class TurnRuns:
    """Runs of the turns of one session."""

    def __init__(self, runs: RunEngine, desk: SessionDesk, key: SessionKey) -> None:
        self._runs, self._desk, self._key = runs, desk, key

    async def exists(self, run_id: RunId) -> bool:
        """Whether a run is in the journal."""
        return bool(await self._runs.journal.runs(RunQuery(run_id=run_id, limit=1)))

    async def run(self, asked: Asked, begun: Begun, trace: str = "", by: str = "") -> Run:
        """The run of a turn that has its place: started, or found where the turn was asked before.

        Raises:
            Whatever `RunEngine.submit` does; what was refused for sure has its turn taken back.
            SessionBusy: it took so long that others have given the turn up.
        """
        run_id, clock = begun.run_id, self._runs.clock
        waits = begun.head.open is not None and begun.head.open.run_id == run_id
        if begun.again and (not waits or await self.exists(run_id)):
            return Run(self._runs, run_id)
        began_s = clock.now_s()
        seen = SessionView(
            session=self._key.id,
            version=begun.head.version,
            view=begun.view.document(self._key.id, asked.text),
        )
        try:
            run = await self._runs.submit(
                asked.plan,
                asked.inputs,
                budget=asked.budget,
                lane=asked.lane,
                idempotency_key=f"turn {run_id}",
                tenant=self._key.tenant,
                session=seen,
                by=by,
                run_id=run_id,
                trace=trace,
            )
        except REFUSED:
            with anyio.CancelScope(shield=True):
                await self._desk.withdraw(self._key, run_id)
            raise
        if clock.now_s() - began_s > LOST_S / 2:
            await self._must_be_open(run)
        return run

    async def ended(self, run_id: RunId, busy: SessionBusy) -> None:
        """Wait for the end of a run that may not be there yet. Raises SessionBusy: nobody drives it."""
        try:
            await Run(self._runs, run_id).result()
        except RunNotFound:
            await anyio.sleep(LOOK_S)
        except (WrongState, JournalConflict) as error:
            raise busy from error

    async def answer(self, run_id: RunId, accepted_at_s: float | None) -> Answer | None:
        """How a run has ended, as a turn tells it; None: it has not. Without a time it is never taken for lost."""
        try:
            ended = await self._runs.ended(run_id)
        except RunNotFound:
            now_s = self._runs.clock.now_s()
            if accepted_at_s is None or now_s - accepted_at_s < LOST_S:
                return None
            return Answer(run_id=run_id, content="", status="lost", at_s=now_s)
        return answer_of(result_of(run_id, ended), ended.at_s) if ended is not None else None

    async def forget(self, run_ids: list[RunId]) -> None:
        """Delete what ended runs and their sub-plans said, and what they saw; their audit trail stays whole."""
        journal, ended, todo = self._runs.journal, list[RunId](), run_ids
        while todo and len(ended) < FORGET_MAX:
            run_id = todo.pop()
            rows = await journal.runs(RunQuery(run_id=run_id, limit=1))
            ended += [row.run_id for row in rows if row.ended_at_s is not None]
            todo += [row.run_id for row in await journal.runs(RunQuery(parent=run_id, limit=BELOW_MAX))]
        await journal.forget(ended, payloads_only=True)

    async def _must_be_open(self, run: Run) -> None:
        head = await self._desk.sessions.read(self._key, self._runs.clock.now_s())
        if head is None or head.open is None or head.open.run_id != run.id:
            await run.cancel("its turn was given up, because it took too long to start")
            raise SessionBusy(self._key.id, run.id, LOOK_S)
