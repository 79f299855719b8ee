"""Conversations over an engine: `engine.session(id).ask(...)`. Puts stores of sessions and the engine together."""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Final, Self, cast

import anyio
import structlog

from orchestrator.app.safety import passed_text
from orchestrator.app.session_stores import open_sessions
from orchestrator.app.turn_runs import TurnRuns
from orchestrator.app.turns import Asked, asked_for, text_of
from orchestrator.core.results import RunResult
from orchestrator.engine.engine import RunEngine
from orchestrator.engine.handle import Run
from orchestrator.engine.run_ids import new_run_id
from orchestrator.errors import (
    OrchestratorError,
    SessionBusy,
    ValueRefused,
)
from orchestrator.ids import JsonValue, RunId, TenantId
from orchestrator.plan.facts_kept import fact_of
from orchestrator.plan.parts import Budget
from orchestrator.ports.sessions import PAGE_MAX, TURNS_READ_MAX, SessionHead, Sessions, Turn
from orchestrator.sessions.changes import Ask, asked_before
from orchestrator.sessions.desk import Begun, SessionDesk, session_key
from orchestrator.sessions.summary import ModelSummariser
from orchestrator.sessions.view import View

if TYPE_CHECKING:
    from orchestrator.app.engine import Engine
    from orchestrator.app.turns import Askable

WAIT_S: Final = 300.0  #: how long `ask` waits for the turns before its own
log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """A turn that has ended."""

    run: Run
    result: RunResult

    @property
    def text(self) -> str:
        """What was answered: the output, as JSON where it is no text; empty where there is none."""
        return text_of(self.result)


@dataclass(frozen=True, slots=True, kw_only=True)
class Started:
    """A turn that was accepted: it survives the death of this process, and its answer will stand behind it."""

    run: Run
    number: int  #: of the turn
    again: bool  #: the idempotency key was known: this is the turn of then
    etag: str  #: of the session as it is now


class Conversations:
    """The sessions of one engine."""

    def __init__(self, engine: "Engine", runs: RunEngine, sessions: Sessions) -> None:
        self.engine, self.runs = engine, runs
        self.desk = SessionDesk(sessions, runs.clock, engine.settings.sessions, self._summariser)

    def session(self, session: str, tenant: str = "default") -> "Session":
        """A handle; nothing is read or written yet. Raises ValueRefused: the id is none."""
        return Session(self, session, tenant)

    async def page(self, tenant: str = "default", after: str = "", limit: int = PAGE_MAX) -> list[SessionHead]:
        """Sessions of a tenant whose id comes after `after`, by id."""
        return await self.desk.page(TenantId(tenant), after, limit)

    def _summariser(self) -> ModelSummariser | None:
        return ModelSummariser(self.engine.models) if self.engine.can_ask("cheap") else None


class Session:
    """One conversation: `await engine.session("anna").ask(plan, "And next year?")`. Any process serves any turn.

    A turn that is accepted stands in the session before its run starts, and its answer right behind it. Turns have one
    order: a second one waits until the first is answered. Every method raises `SessionError` where the store cannot
    be used; all but `ask`, `begin` and `pin` raise `SessionNotFound` where there is no such session.
    """

    def __init__(self, conversations: Conversations, session: str, tenant: str) -> None:
        self.key = session_key(session, tenant)
        self._home, self._desk = conversations, conversations.desk
        self._runs = conversations.runs
        self._turns = TurnRuns(conversations.runs, conversations.desk, self.key)

    def __repr__(self) -> str:
        return f"Session({self.key.id!r})"

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        """Nothing is held."""

    # ---- turns

    async def ask(
        self,
        what: "Askable",
        text: str | None = None,
        *,
        inputs: Mapping[str, JsonValue] | None = None,
        budget: Budget | None = None,
        lane: str = "normal",
        idempotency_key: str | None = None,
        wait_s: float = WAIT_S,
    ) -> Answer:
        """Say `text` and wait for the answer of the run of `what`: a plan, a builder, or a goal in words.

        The text is the plan's input `text` where it has one, and the last of `session.turns`. A goal alone is its own
        text. Turns before it are waited for, `wait_s` seconds at most.

        Raises:
            SessionBusy: the turn before was not answered in time; nothing was changed.
            PlanError, PromiseError, InputError, AdmissionRefused, IdempotencyConflict: as of `Engine.submit`.
            SessionFull: the text or the session is too long.
        """
        asked = asked_for(self._home.engine, what, text, inputs, budget, lane)
        begun = await self._in_turn(asked, idempotency_key, None, wait_s, None)
        run = await self._turns.run(asked, begun)
        result = await run.result()
        await self.settle(run.id)
        return Answer(run=run, result=result)

    async def begin(
        self,
        what: "Askable",
        text: str | None = None,
        *,
        inputs: Mapping[str, JsonValue] | None = None,
        budget: Budget | None = None,
        lane: str = "normal",
        idempotency_key: str | None = None,
        if_match: str | None = None,
        wait_s: float = 0.0,
    ) -> Started:
        """As `ask`, but return as soon as the turn is accepted and its run is journaled. The answer comes by itself.

        `if_match` is the `etag` of the session as the caller has seen it.

        Raises:
            SessionBusy: another turn is not answered; after `wait_s` seconds, and nothing was changed.
            SessionChanged: the session is in another version.
            And as `ask`.
        """
        asked = asked_for(self._home.engine, what, text, inputs, budget, lane)
        return await self.begin_asked(asked, idempotency_key=idempotency_key, if_match=if_match, wait_s=wait_s)

    async def begin_asked(
        self,
        asked: Asked,
        *,
        idempotency_key: str | None = None,
        if_match: str | None = None,
        wait_s: float = 0.0,
        run_id: RunId | None = None,
        trace: str = "",
        by: str = "",
    ) -> Started:
        """As `begin`, of a turn that is in order; its run gets the id `run_id`, unless the turn was asked before."""
        begun = await self._in_turn(asked, idempotency_key, if_match, wait_s, run_id)
        run = await self._turns.run(asked, begun, trace, by)
        self._runs.spawn(self._answer_later, run)
        return _started(begun.head, run, again=begun.again)

    async def asked_before(self, asked: Asked, idempotency_key: str | None) -> Started | None:
        """The turn that a key stands for, where its run is in the journal; None: it is new, or has to begin again.

        Raises:
            IdempotencyConflict: the key stands for another request.
        """
        head = await self._desk.sessions.read(self.key, self._runs.clock.now_s())
        ask = Ask(content=asked.text, run_id=RunId(""), at_s=0.0, key=idempotency_key or "", request=asked.request)
        run_id = asked_before(head, ask)
        if head is None or run_id is None or not await self._turns.exists(run_id):
            return None
        return _started(head, Run(self._runs, run_id), again=True)

    async def settle(self, run_id: RunId) -> bool:
        """Write the answer of an open turn whose run has ended; False: it was written before, or is not there yet.

        Whoever reads a session does that first, so a turn whose process died is answered by the next one that looks.
        """
        answer = await self._turns.answer(run_id, None)
        if answer is None or not await self._desk.answer(self.key, answer):
            return False
        self._runs.spawn(self._tidy_later)
        return True

    async def tidy(self) -> None:
        """Condense now what would leave the window with the next turn; that happens by itself behind every answer."""
        await self._desk.tidy(self.key)

    async def turns(self, after: int = 0, limit: int = TURNS_READ_MAX) -> list[Turn]:
        """Turns with a number above `after`, oldest first, `TURNS_READ_MAX` at most; one without an answer is last."""
        return await self._desk.turns(await self.head(), after, limit)

    # ---- what is known of it

    async def head(self) -> SessionHead:
        """Everything but the turns, in the newest version."""
        head = await self._desk.head(self.key)
        if head.open is not None and await self._settle_open(head):
            head = await self._desk.head(self.key)
        return head

    async def view(self) -> View:
        """What a run would see now: the window, the summary, the facts, and how much is missing."""
        return await self._desk.view(await self.head())

    async def pin(self, text: str, *literals: str, if_match: str | None = None) -> SessionHead:
        """Pin a fact: it stays in what runs see, whatever happens to the turns it was said in.

        `literals` are the numbers, names and dates without which it is not said; None: those found in it.

        Raises:
            ValueRefused: the text is no fact, or a literal does not occur in it.
            InputError: it holds people's data, and the settings refuse that.
            SessionFull: there are too many.
        """
        said, *named = (passed_text(self._home.engine.settings.safety, "fact", one) for one in (text, *literals))
        try:
            fact = fact_of(said, *named)
        except ValueError as error:
            raise ValueRefused("fact", str(error)) from None
        return await self._desk.pin(self.key, fact, if_match)

    async def unpin(self, text: str, *, if_match: str | None = None) -> SessionHead:
        """Let go of a fact."""
        return await self._desk.unpin(self.key, text, if_match)

    async def export(self) -> dict[str, JsonValue]:
        """All that is kept of the session, as JSON."""
        head = await self.head()
        turns = [cast(JsonValue, asdict(turn)) async for turn in self.all_turns(head)]
        return {**head_document(head), "turns": turns}

    async def all_turns(self, head: SessionHead) -> AsyncIterator[Turn]:
        """Every turn of a session that was read before, page by page."""
        after = 0
        while page := await self._desk.turns(head, after):
            for turn in page:
                yield turn
            after = page[-1].number

    async def delete(self, *, forget_runs: bool = False, if_match: str | None = None) -> bool:
        """Delete the session with all its turns; False: there was none. A run that is under way goes on, unheard.

        The journal keeps what each run saw of the conversation; `forget_runs` deletes that too, where runs have ended.
        Their audit trail stays whole.
        """
        head = await self._desk.sessions.read(self.key, self._runs.clock.now_s())
        told = [turn.run_id async for turn in self.all_turns(head)] if head is not None and forget_runs else []
        deleted = await self._desk.delete(self.key, if_match)
        if deleted and told:
            await self._turns.forget(list(dict.fromkeys(told)))
        return deleted

    # ---- how

    async def _in_turn(
        self, asked: Asked, key: str | None, if_match: str | None, wait_s: float, run_id: RunId | None
    ) -> Begun:
        """Give the turn its place, once the one before is answered."""
        await self._home.engine.vet(asked.plan)
        now_s = self._runs.clock.now_s()
        ask = Ask(
            content=asked.text,
            run_id=run_id or new_run_id(now_s),
            at_s=now_s,
            key=key or "",
            request=asked.request,
        )
        until_s = anyio.current_time() + wait_s
        while True:
            try:
                return await self._desk.begin(self.key, ask, if_match)
            except SessionBusy as busy:
                head = await self._desk.sessions.read(self.key, self._runs.clock.now_s())
                if head is None or head.open is None or await self._settle_open(head):
                    continue
                left_s = until_s - anyio.current_time()
                if left_s <= 0:
                    raise
                with anyio.move_on_after(left_s):
                    await self._turns.ended(head.open.run_id, busy)

    async def _settle_open(self, head: SessionHead) -> bool:
        """Write the answer of the open turn, if its run has ended; True: it is written, by this or by another task."""
        assert head.open is not None, "the caller has looked"
        answer = await self._turns.answer(head.open.run_id, head.open.at_s)
        if answer is None:
            return False
        await self._desk.answer(self.key, answer)
        return True

    async def _tidy_later(self) -> None:
        """Condense behind an answer. What fails here is done before the next turn."""
        try:
            await self.tidy()
        except OrchestratorError as error:
            log.warning("a session is not summarised yet", session=self.key.id, error=str(error))

    async def _answer_later(self, run: Run) -> None:
        """Wait for the end of a run and write its answer. What fails here is done by the next one that looks."""
        try:
            await run.result()
            await self.settle(run.id)
        except OrchestratorError as error:
            log.warning("an answer is not written yet", session=self.key.id, run=run.id, error=str(error))


def _started(head: SessionHead, run: Run, *, again: bool) -> Started:
    """A turn of a session as it is now."""
    known = {one.run_id: one.number for one in head.asked}
    return Started(run=run, number=known.get(run.id, head.turns + 1), again=again, etag=head.etag)


def head_document(head: SessionHead) -> dict[str, JsonValue]:
    """A session without its turns, as users read it."""
    waiting = head.open
    return {
        "id": head.key.id,
        "version": head.version,
        "etag": head.etag,
        "created_at_s": head.created_at_s,
        "updated_at_s": head.updated_at_s,
        "expires_at_s": head.expires_at_s,
        "turns_answered": head.turns,
        "usd": head.usd,
        "tokens": head.tokens,
        "facts": [{"text": fact.text, "literals": list(fact.literals)} for fact in head.facts],
        "summary": cast(JsonValue, asdict(head.summary)),
        "waits_for": {"run_id": waiting.run_id, "content": waiting.content} if waiting is not None else None,
    }


def open_conversations(
    engine: "Engine", runs: RunEngine, given: Sessions | None
) -> tuple[Conversations, tuple[Callable[[], Awaitable[None]], ...]]:
    """The sessions of an open engine; and what closes their store, where it is its own. See `open_sessions`."""
    sessions, closers = (given, ()) if given is not None else open_sessions(engine.settings.sessions, runs.journal)
    return Conversations(engine, runs, sessions), closers


__all__ = ["Answer", "Conversations", "Session", "Started", "head_document", "open_conversations"]
