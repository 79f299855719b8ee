"""Two desks over one store, in any order of calls, are one conversation: a list of what was said, and nothing else."""

from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.adapters.memory.sessions import MemorySessions
from orchestrator.errors import IdempotencyConflict, SessionBusy, SessionChanged, SessionFull, SessionNotFound
from orchestrator.ids import Digest, RunId
from orchestrator.plan.facts_kept import fact_of, lost_from
from orchestrator.sessions.changes import Answer, Ask
from orchestrator.sessions.desk import SessionDesk, session_key
from orchestrator.settings import SessionSettings

pytestmark = pytest.mark.anyio
KEY = session_key("s", "default")
SETTINGS = SessionSettings(turns_max=12, window_turns=5, ttl_s=100.0, facts_max=2)
MOVES = ("begin", "again", "answer", "answer_other", "withdraw", "pin", "unpin", "delete", "stale", "wait")


class HandClock:
    """Time that goes on by hand."""

    def __init__(self) -> None:
        self.now = 1_000.0

    def now_s(self) -> float:
        return self.now


@dataclass
class Told:
    """What a session must hold."""

    turns: list[tuple[str, str]] = field(default_factory=list)
    open: Ask | None = None
    facts: list[str] = field(default_factory=list)
    asked: dict[str, tuple[str, RunId]] = field(default_factory=dict)
    expires_s: float = 0.0


class Bench:
    """Two desks, and what they must agree on."""

    def __init__(self) -> None:
        self.clock, self.store = HandClock(), MemorySessions()
        self.desks = [SessionDesk(self.store, self.clock, SETTINGS) for _ in range(2)]
        self.told: Told | None = None  #: None: there is no session
        self.seen = ""  #: a version of some time ago

    async def begin(self, desk: SessionDesk, number: int, small: int, word: str = "begin") -> None:
        ask = Ask(
            content=f"c{number}",
            run_id=RunId(f"r{number}"),
            at_s=self.clock.now,
            key=f"k{small}",
            request=Digest(f"{word}{small}"),
        )
        told = self.told or Told()
        request, run_id = told.asked.get(ask.key, (ask.request, None))
        if request != ask.request:
            with pytest.raises(IdempotencyConflict):
                await desk.begin(KEY, ask)
        elif run_id is not None:
            begun = await desk.begin(KEY, ask)
            assert (begun.again, begun.run_id) == (True, run_id)
        elif told.open is not None:
            with pytest.raises(SessionBusy, match=told.open.run_id):
                await desk.begin(KEY, ask)
        elif len(told.turns) + 2 > SETTINGS.turns_max:
            with pytest.raises(SessionFull):
                await desk.begin(KEY, ask)
        else:
            begun = await desk.begin(KEY, ask)
            shown = [(turn.role, turn.content) for turn in begun.view.turns]
            assert shown == told.turns[len(told.turns) - len(shown) :]
            assert begun.view.dropped == len(told.turns) - len(shown)
            told.open, told.asked[ask.key] = ask, (str(ask.request), ask.run_id)
            self.wrote(told)

    async def again(self, desk: SessionDesk, number: int, small: int) -> None:
        await self.begin(desk, number, small, "again")

    async def answer(self, desk: SessionDesk, number: int, small: int) -> None:
        told = self.told
        if told is None or told.open is None:
            return
        done = Answer(run_id=told.open.run_id, content=f"a{number}", status="succeeded", at_s=self.clock.now)
        assert await desk.answer(KEY, done)
        assert not await self.desks[small % 2].answer(KEY, done), "an answer is written once"
        told.turns += [("user", told.open.content), ("assistant", done.content)]
        told.open = None
        self.wrote(told)

    async def answer_other(self, desk: SessionDesk, number: int, small: int) -> None:
        other = Answer(run_id=RunId("nobody"), content="", status="failed", at_s=self.clock.now)
        assert not await desk.answer(KEY, other)

    async def withdraw(self, desk: SessionDesk, number: int, small: int) -> None:
        told = self.told
        if told is not None and told.open is not None:
            await desk.withdraw(KEY, told.open.run_id)
            del told.asked[told.open.key]
            told.open = None
            self.wrote(told)

    async def pin(self, desk: SessionDesk, number: int, small: int) -> None:
        told, fact = self.told or Told(), f"fact {small}"
        if fact not in told.facts and len(told.facts) == SETTINGS.facts_max:
            with pytest.raises(SessionFull):
                await desk.pin(KEY, fact_of(fact))
            return
        await desk.pin(KEY, fact_of(fact))
        if fact not in told.facts:
            told.facts.append(fact)
            self.wrote(told)

    async def unpin(self, desk: SessionDesk, number: int, small: int) -> None:
        told, fact = self.told, f"fact {small}"
        if told is None:
            with pytest.raises(SessionNotFound):
                await desk.unpin(KEY, fact)
            return
        await desk.unpin(KEY, fact)
        if fact in told.facts:
            told.facts.remove(fact)
            self.wrote(told)

    async def delete(self, desk: SessionDesk, number: int, small: int) -> None:
        was_there = self.told is not None
        assert await desk.delete(KEY) or not was_there
        self.told = None

    async def stale(self, desk: SessionDesk, number: int, small: int) -> None:
        head = await self.store.read(KEY, self.clock.now)
        if self.seen and (head is None or head.etag != self.seen):
            with pytest.raises(SessionChanged):
                await desk.pin(KEY, fact_of("stale"), expected=self.seen)

    async def wait(self, desk: SessionDesk, number: int, small: int) -> None:
        self.clock.now += 10.0 * (small + 1)

    def wrote(self, told: Told) -> None:
        self.told, told.expires_s = told, self.clock.now + SETTINGS.ttl_s

    def expire(self) -> None:
        if self.told is not None and self.clock.now >= self.told.expires_s:
            self.told = None

    async def check(self, desk: SessionDesk, *, remember: bool) -> None:
        told = self.told
        if told is None:
            with pytest.raises(SessionNotFound):
                await desk.head(KEY)
            return
        head = await desk.head(KEY)
        turns = await desk.turns(head, 0)
        waiting = [("user", told.open.content)] if told.open is not None else []
        assert [(turn.role, turn.content) for turn in turns] == told.turns + waiting
        assert [turn.number for turn in turns] == list(range(1, len(turns) + 1))
        assert [fact.text for fact in head.facts] == told.facts
        assert lost_from((await desk.view(head)).summary, head.facts) == ()
        self.seen = head.etag if remember else self.seen


@given(moves=st.lists(st.tuples(st.sampled_from(MOVES), st.integers(0, 1), st.integers(0, 3)), max_size=40))
@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_any_order_of_calls_is_one_conversation(moves: list[tuple[str, int, int]]) -> None:
    bench = Bench()
    for number, (move, which, small) in enumerate(moves):
        bench.expire()
        await getattr(bench, move)(bench.desks[which], number, small)
        bench.expire()
        await bench.check(bench.desks[1 - which], remember=small == 0)
