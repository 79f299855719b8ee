"""The thread that owns a SQLite journal, and the short way past it.

Everything asked for goes through one queue to one thread, which commits all appends that piled up while it was busy in
one transaction and answers them together. Two commits are special:

- one that must reach the disk (`sync`) always happens in the thread, because it waits;
- a small one that need not, met while the thread has nothing to do, happens in the event loop itself: it writes to the
  operating system's memory in some 30 us, less than the two changes of thread it saves. The first append in a turn of
  the loop is committed at once, further ones of that turn together at its end. When such a commit once takes long, the
  loop keeps clear of the file for a while.
"""

import contextlib
import copy
import functools
import os
import queue
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final, Generic, TypeVar, cast

from orchestrator.adapters.records import encode_all
from orchestrator.adapters.sql.loops import Bell, Loop, current_loop
from orchestrator.adapters.sql.ownership import FileLock, refuse_network_file_system
from orchestrator.adapters.sql.store import Store
from orchestrator.errors import JournalError, OrchestratorError
from orchestrator.ids import RunId
from orchestrator.ports.journal import Append

GROUP_FACTS_MAX: Final = 4_096  #: facts committed in one transaction, unless a single call brings more
INLINE_FACTS_MAX: Final = 48  #: facts the event loop commits itself in one turn; about a millisecond
INLINE_SLOW_S: Final = 0.010  #: a commit in the loop that took longer than this (the disk is busy) …
INLINE_PAUSE_S: Final = 1.0  #: … sends all commits to the thread for this long
LOG_BYTES_MAX: Final = 64 * 1024 * 1024  #: the log is moved into the database at this size at the latest
LOG_BYTES_IDLE: Final = 1024 * 1024  #: … and at this size when nothing was asked for `IDLE_S`
IDLE_S: Final = 0.2
_LOG_LOOKED_AT_EVERY: Final = 64  #: transactions

T = TypeVar("T")


class Call(Generic[T]):
    """One request, and later its answer."""

    __slots__ = ("bell", "error", "result", "work")

    def __init__(self, bell: Bell | None, work: Callable[[Store], T] | None) -> None:
        self.bell = bell  #: None: answered before anybody could wait
        self.work = work
        self.result: T | None = None
        self.error: Exception | None = None

    def run(self, store: Store) -> None:
        """Do the work and keep what comes of it."""
        assert self.work is not None
        try:
            self.result = self.work(store)
        except Exception as error:  # noqa: BLE001 # handed to the caller, who is in another thread
            self.error = error

    async def answer(self) -> T:
        """Wait for the answer."""
        if self.bell is not None:
            await self.bell
        if self.error is not None:
            raise self.error
        return cast(T, self.result)


class AppendCall(Call[tuple[RunId, ...]]):
    """Entries to commit; the answer names the refused ones."""

    __slots__ = ("entries", "facts", "sync")

    def __init__(self, entries: Sequence[Append]) -> None:
        super().__init__(None, None)
        self.entries = entries
        self.facts = 0
        self.sync = False
        for entry in entries:
            self.facts += len(entry.facts)
            self.sync = self.sync or entry.sync


Job = Call[Any]  #: whatever it answers


def commit(store: Store, calls: Sequence[AppendCall], *, sync: bool) -> None:
    """Commit the calls together. One whose values are refused fails alone; a failing disk fails all."""
    sound = []
    for call in calls:
        try:
            sound.append((call, encode_all(call.entries)))
        except OrchestratorError as error:
            call.error = error
    try:
        answers = store.commit([(call.entries, encoded) for call, encoded in sound], sync=sync)
    except Exception as error:  # noqa: BLE001 # each caller gets its own copy, and the thread goes on
        for call, _ in sound:
            call.error = copy.copy(error)
            call.error.__cause__ = error.__cause__
        return
    for (call, _), answer in zip(sound, answers, strict=True):
        call.result = answer


class Writer:
    """Owns the file, the thread and the queue between them. Everything but `_serve` runs in the event loop."""

    def __init__(self, path: Path, loop: Loop) -> None:
        self.path = path.absolute()
        self._loop = loop
        self._pid = os.getpid()
        self._store: Store | None = None
        self._thread: threading.Thread | None = None
        self._turn = threading.Lock()  #: who holds it may use the store
        self._queue: queue.SimpleQueue[Sequence[Job] | None] = queue.SimpleQueue()
        self._in_thread = 0  #: calls handed over and not yet answered
        self._pending: list[AppendCall] = []  #: of this turn of the loop
        self._turn_used = False  #: whether this turn of the loop has had its commit already
        self._closing: Call[None] | None = None
        self._inline_commits = 0
        self._clear_until_s = 0.0  #: the loop keeps clear of the file until then; monotonic
        self._watched = False  #: whether the thread looks after the log

    @classmethod
    async def open(cls, path: Path, max_bytes: int | None) -> "Writer":
        """Take the file and start the thread; errors as of `SqliteJournal.open`."""
        writer = cls(path, current_loop())
        opened: Call[None] = Call(writer._loop.bell(), None)
        writer._thread = threading.Thread(
            target=writer._serve, args=(opened, max_bytes), name=f"journal {path.name}", daemon=True
        )
        writer._thread.start()
        try:
            await opened.answer()
        except BaseException:
            writer._queue.put(None)
            raise
        return writer

    def submit(self, work: Callable[[Store], T]) -> Call[T]:
        """Do `work` in the thread, after everything asked for before."""
        self._must_be_usable()
        call = Call(self._loop.bell(), work)
        self._hand_over([*self._take_pending(), call])
        return call

    def append(self, entries: Sequence[Append]) -> AppendCall:
        """Commit `entries`: at once, with whatever else this turn of the loop brings, or in the thread."""
        self._must_be_usable()
        call = AppendCall(entries)
        if not self._turn_used and not self._pending:
            self._turn_used = True
            self._loop.soon(self._end_turn)
            if self._commit_here([call]):
                return call
        call.bell = self._loop.bell()
        self._pending.append(call)
        return call

    async def close(self) -> None:
        """Answer what was asked for, then let go of the file. Safe to call twice."""
        if self._closing is None:
            self._must_be_usable()
            if pending := self._take_pending():
                self._hand_over(pending)
            self._closing = Call(self._loop.bell(), None)
            self._queue.put(None)
        await self._closing.answer()

    def _must_be_usable(self) -> None:
        if self._closing is not None:
            raise JournalError(f"the journal {self.path} is closed")
        if os.getpid() != self._pid:
            raise JournalError(f"{self.path} was opened before this process was forked; open it in one process only")
        if not self._loop.is_current():
            raise JournalError(f"{self.path} was opened in another event loop; use it there, or open it here alone")

    def _take_pending(self) -> list[AppendCall]:
        taken, self._pending = self._pending, []
        return taken

    def _hand_over(self, calls: Sequence[Job]) -> None:
        self._in_thread += len(calls)
        self._queue.put(calls)

    def _end_turn(self) -> None:
        """Commit what this turn of the loop has gathered, here or in the thread."""
        self._turn_used = False
        calls = self._take_pending()
        if not calls:
            return
        if self._commit_here(calls):
            _ring(calls)
        else:
            self._hand_over(calls)

    def _commit_here(self, calls: Sequence[AppendCall]) -> bool:
        """Commit in the event loop, if that is the better place; False: it is not, and nothing was done."""
        # Nothing may overtake what the thread still has to do, hence the count.
        if self._in_thread:
            return False
        facts = 0
        for call in calls:
            if call.sync:
                return False
            facts += call.facts
        if facts > INLINE_FACTS_MAX:
            return False
        began_s = time.monotonic()
        if began_s < self._clear_until_s or not self._turn.acquire(blocking=False):
            return False
        try:
            assert self._store is not None
            commit(self._store, calls, sync=False)
        finally:
            self._turn.release()
        ended_s = time.monotonic()
        if ended_s - began_s > INLINE_SLOW_S:
            self._clear_until_s = ended_s + INLINE_PAUSE_S
        self._inline_commits += 1
        if not self._watched or self._inline_commits % _LOG_LOOKED_AT_EVERY == 0:
            self._look_after_log()
        return True

    def _look_after_log(self) -> None:
        assert self._store is not None
        if not self._watched:
            self._watched = True
            self._queue.put([])  # wakes the thread, which looks again until nothing happens any more
        elif self._store.log_bytes() > LOG_BYTES_MAX:
            self._hand_over([Call(None, _checkpoint)])

    def _deliver(self, calls: Sequence[Job]) -> None:
        self._in_thread -= len(calls)
        _ring(calls)

    # ---- from here on: the thread

    def _serve(self, opened: Call[None], max_bytes: int | None) -> None:
        lock = None
        try:
            lock = _take(self.path)
            store = Store(self.path, max_bytes)
        except Exception as error:  # noqa: BLE001 # the opener gets it
            if lock is not None:
                lock.release()
            opened.error = error
            self._loop.from_thread(functools.partial(_ring, [opened]))
            return
        self._store = store
        self._loop.from_thread(functools.partial(_ring, [opened]))
        try:
            self._work(store)
        finally:
            store.close()
            lock.release()
            if self._closing is not None:  # only now may the next owner come
                self._loop.from_thread(functools.partial(_ring, [self._closing]))

    def _work(self, store: Store) -> None:
        seen = 0
        while True:
            try:
                batch = self._queue.get(timeout=IDLE_S if self._watched else None)
            except queue.Empty:
                seen = self._rest(store, seen)
                continue
            if batch is None:
                return
            with self._turn:
                calls = self._gather(batch)
                _run(store, calls)
                if store.log_bytes() > LOG_BYTES_MAX:
                    _checkpoint(store)
            self._watched = True
            if calls:
                self._loop.from_thread(functools.partial(self._deliver, calls))

    def _gather(self, batch: Sequence[Job]) -> list[Job]:
        """`batch` and what has piled up behind it."""
        calls = list(batch)
        facts = sum(call.facts for call in calls if isinstance(call, AppendCall))
        while facts < GROUP_FACTS_MAX and not self._queue.empty():
            more = self._queue.get()
            if more is None:
                self._queue.put(None)  # the last there will be
                break
            calls += more
            facts += sum(call.facts for call in more if isinstance(call, AppendCall))
        return calls

    def _rest(self, store: Store, seen: int) -> int:
        """Nothing was asked for during `IDLE_S`: empty the log, unless the loop has been committing."""
        with self._turn:
            if self._inline_commits == seen:
                if store.log_bytes() > LOG_BYTES_IDLE:
                    _checkpoint(store)
                self._watched = False
        return self._inline_commits


def _ring(calls: Sequence[Job]) -> None:
    for call in calls:
        if call.bell is not None:
            call.bell.ring()


def _take(path: Path) -> FileLock:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise JournalError(f"{path.parent} cannot be created: {error.strerror}") from error
    refuse_network_file_system(path.parent)
    return FileLock.acquire(path)


def _run(store: Store, calls: Sequence[Job]) -> None:
    """Do all calls in order, neighbouring appends in one transaction."""
    appends: list[AppendCall] = []
    for call in calls:
        if isinstance(call, AppendCall):
            appends.append(call)
            continue
        if appends:
            commit(store, appends, sync=any(append.sync for append in appends))
            appends = []
        call.run(store)
    if appends:
        commit(store, appends, sync=any(append.sync for append in appends))


def _checkpoint(store: Store) -> None:
    with contextlib.suppress(JournalError):  # the store remembers what is fatal, and the next call says it
        store.checkpoint()
