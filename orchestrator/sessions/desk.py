"""One place through which everything that happens to sessions goes: read, change, write over, or start again."""

import math
import random
import secrets
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Final

import anyio

from orchestrator.core.values import json_of
from orchestrator.errors import SessionChanged, SessionNotFound, ValueRefused
from orchestrator.ids import RunId, SessionId, TenantId
from orchestrator.plan.facts_kept import Fact
from orchestrator.ports.clock import Clock
from orchestrator.ports.sessions import PAGE_MAX, TURNS_READ_MAX, SessionHead, SessionKey, Sessions, Turn
from orchestrator.sessions import changes as c
from orchestrator.sessions.summary import Summariser, fold_of
from orchestrator.sessions.view import View, view_of
from orchestrator.settings import SessionSettings

NAME_CHARS_MAX: Final = 200  #: of a session's id
TRIES_MAX: Final = 1_000  #: of one change; each lost try means that another writer came through
PAUSE_S: Final = 0.02  #: longest wait between two tries, drawn
EXPECTED: Final = "x" * 300  #: stands for what will be said next: some sentences
SWEEP_EVERY_S: Final = 60.0  #: expired rows are taken away at most so often, by whoever writes then


@dataclass(frozen=True, slots=True, kw_only=True)
class Begun:
    """A turn that has its place in the conversation."""

    head: SessionHead  #: with the turn open; as it is now, where the turn was asked before
    view: View  #: of everything before the turn
    run_id: RunId
    again: bool  #: the same idempotency key as before: its run may exist


class SessionDesk:
    """The sessions of one store, for any number of tasks of one process and any number of processes."""

    def __init__(
        self,
        sessions: Sessions,
        clock: Clock,
        settings: SessionSettings,
        summariser: Callable[[], Summariser | None] = lambda: None,
    ) -> None:
        self.sessions, self.settings = sessions, settings
        self._clock, self._summariser = clock, summariser
        self._locks: dict[SessionKey, tuple[anyio.Lock, int]] = {}
        self._sweep_at_s = -math.inf

    async def head(self, key: SessionKey) -> SessionHead:
        """The newest version. Raises SessionNotFound."""
        return c.must_be(key, await self.sessions.read(key, self._clock.now_s()))

    async def view(self, head: SessionHead, asked: str = "") -> View:
        """What a run would see of a session now."""
        return view_of(head, await self._newest(head), asked, self.settings)

    async def turns(self, head: SessionHead, after: int, limit: int = TURNS_READ_MAX) -> list[Turn]:
        """Turns above `after`, oldest first, the open one last."""
        limit = min(limit, TURNS_READ_MAX)
        left = min(limit, max(head.turns - after, 0))  # what was answered since `head` was read is not shown half
        found = await self.sessions.turns(head.key, after, left)
        return c.with_open(head, found, after) if len(found) < limit else found

    async def page(self, tenant: TenantId, after: str, limit: int) -> list[SessionHead]:
        """Sessions of a tenant by id."""
        return await self.sessions.page(tenant, after, min(limit, PAGE_MAX), self._clock.now_s())

    async def begin(self, key: SessionKey, ask: c.Ask, expected: str | None = None) -> Begun:
        """Give a turn its place behind all others; summarise first what leaves the window.

        Raises:
            SessionBusy: the turn before has no answer yet.
            SessionFull: the turn or the session is too long.
            SessionChanged: the session is not in the version `expected`.
            IdempotencyConflict: the key stands for another request.
            ValueRefused: the text holds what no store can keep.
        """
        json_of(f"session {key.id}", (ask.content, ask.key))
        async with self._alone(key):
            for _ in range(TRIES_MAX):
                now_s = self._clock.now_s()
                head = await self.sessions.read(key, now_s)
                known = c.asked_before(head, ask)
                if known is not None and head is not None:
                    return Begun(head=head, view=await self.view(head, ask.content), run_id=known, again=True)
                c.check_version(key, head, expected)
                base = head or c.new_session(key, now_s)
                changed = c.opened(base, ask, self.settings)
                turns = await self._newest(base)
                folded = await self._fold(head, turns, ask.content) if head is not None else None
                if folded is not None:
                    # What the caller has seen is now the version with the summary, unless somebody else came between.
                    expected = folded if folded and expected is not None else expected
                    continue
                changed = self._next(changed)
                if await self.sessions.write(changed, (), head):
                    await self._sweep(now_s)
                    view = view_of(base, turns, ask.content, self.settings)
                    return Begun(head=changed, view=view, run_id=ask.run_id, again=False)
                await _pause()
        raise SessionChanged(key.id, "the one that was read", "another one each time")

    async def withdraw(self, key: SessionKey, run_id: RunId) -> None:
        """Take an open turn back, whose run was refused."""
        await self._change(key, lambda head: c.withdrawn(head, run_id))

    async def answer(self, key: SessionKey, answer: c.Answer) -> bool:
        """Write the answer of a turn; False: it is not open, because somebody else has, or there is no session."""
        for _ in range(TRIES_MAX):
            head = await self.sessions.read(key, self._clock.now_s())
            changed = c.answered(head, answer, self.settings) if head is not None else None
            if changed is None:
                return False
            if await self.sessions.write(self._next(changed[0]), changed[1], head):
                return True
            await _pause()
        raise SessionChanged(key.id, "the one that was read", "another one each time")

    async def tidy(self, key: SessionKey) -> None:
        """Condense what would leave the window with the next turn, so that turn need not wait for it."""
        async with self._alone(key):
            head = await self.sessions.read(key, self._clock.now_s())
            if head is not None:
                await self._fold(head, await self._newest(head), EXPECTED)

    async def pin(self, key: SessionKey, fact: Fact, expected: str | None = None) -> SessionHead:
        """Pin a fact; the session begins with it where there is none. See `begin` for errors."""
        json_of(f"session {key.id}", (fact.text, fact.literals))
        return await self._change(key, lambda head: c.pinned(head, fact, self.settings), expected, create=True)

    async def unpin(self, key: SessionKey, text: str, expected: str | None = None) -> SessionHead:
        """Let go of a fact. Raises SessionNotFound, SessionChanged."""
        return await self._change(key, lambda head: c.unpinned(head, text), expected)

    async def delete(self, key: SessionKey, expected: str | None = None) -> bool:
        """Delete a session with all its turns; False: there was none. Raises SessionChanged."""
        if expected is not None:
            c.check_version(key, await self.sessions.read(key, self._clock.now_s()), expected)
        return await self.sessions.delete(key)

    # ---- how

    async def _change(
        self,
        key: SessionKey,
        change: Callable[[SessionHead], SessionHead | None],
        expected: str | None = None,
        *,
        create: bool = False,
    ) -> SessionHead:
        """Write what `change` makes of the newest version, as often as another writer is faster; the new version."""
        for _ in range(TRIES_MAX):
            now_s = self._clock.now_s()
            head = await self.sessions.read(key, now_s)
            c.check_version(key, head, expected)
            if head is None and not create:
                raise SessionNotFound(key.id)
            base = head or c.new_session(key, now_s)
            changed = change(base)
            if changed is None:
                return base
            changed = self._next(changed)
            if await self.sessions.write(changed, (), head):
                return changed
            await _pause()
        raise SessionChanged(key.id, "the one that was read", "another one each time")

    async def _fold(self, head: SessionHead, turns: list[Turn], asked: str) -> str | None:
        """Condense what leaves the window; the version written, or empty where another writer was faster.

        None: there is nothing to condense, or nobody to do it.
        """
        if not self.settings.summarise or fold_of(head, turns, asked, self.settings) is None:
            return None
        summariser = self._summariser()
        if summariser is None:
            return None
        fold = fold_of(head, await self._unsummarised(head), asked, self.settings)
        assert fold is not None, "more turns leave no less to condense"
        summary = await summariser.summarise(head, fold, self.settings, self._clock.now_s())
        changed = self._next(c.summarised(head, summary))
        return changed.etag if await self.sessions.write(changed, (), head) else ""

    async def _newest(self, head: SessionHead) -> list[Turn]:
        """The turns that a window may hold."""
        after = max(head.turns - self.settings.window_turns, head.summary.upto)
        return await self.sessions.turns(head.key, after, head.turns - after) if head.turns > after else []

    async def _unsummarised(self, head: SessionHead) -> list[Turn]:
        after = max(head.turns - TURNS_READ_MAX, head.summary.upto)
        return await self.sessions.turns(head.key, after, head.turns - after)

    def _next(self, head: SessionHead) -> SessionHead:
        return c.stamped(head, stamp=secrets.token_hex(8), now_s=self._clock.now_s(), ttl_s=self.settings.ttl_s)

    async def _sweep(self, now_s: float) -> None:
        if now_s >= self._sweep_at_s:
            self._sweep_at_s = now_s + SWEEP_EVERY_S
            await self.sessions.sweep(now_s)

    @asynccontextmanager
    async def _alone(self, key: SessionKey) -> AsyncIterator[None]:
        """One beginner of this process at a time: others would only pay for the same summary."""
        lock, users = self._locks.get(key, (anyio.Lock(), 0))
        self._locks[key] = lock, users + 1
        try:
            async with lock:
                yield
        finally:
            lock, users = self._locks.pop(key)
            if users > 1:
                self._locks[key] = lock, users - 1


def session_key(session: str, tenant: str) -> SessionKey:
    """The key of a session. Raises ValueRefused: the id is empty, too long, or holds what cannot be shown."""
    if not 0 < len(session) <= NAME_CHARS_MAX or not session.isprintable():
        raise ValueRefused("session id", f"it is {session!r:.80}: use 1 to {NAME_CHARS_MAX} printable characters")
    return SessionKey(tenant=TenantId(tenant), id=SessionId(session))


async def _pause() -> None:
    await anyio.sleep(random.uniform(0, PAUSE_S))  # no secret hangs on it
