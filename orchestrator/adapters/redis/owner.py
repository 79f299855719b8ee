"""The owner's side over Redis: tasks go out in batches, messages come back on one stream of this process."""

import asyncio
import time
from collections import deque
from collections.abc import Awaitable, Callable
from math import inf
from typing import Self, cast

import structlog

from orchestrator.adapters.redis import codec, scripts
from orchestrator.adapters.redis.answers import Answers
from orchestrator.adapters.redis.backlog import backlog_of
from orchestrator.adapters.redis.heritage import Early, inherited, leave_words
from orchestrator.adapters.redis.inbox import Inbox
from orchestrator.adapters.redis.limits import (
    BATCH_BYTES_MAX,
    BATCH_MAX,
    BODY_BYTES_MAX,
    GROUP,
    INLINE_BYTES_MAX,
    LEASE_S,
    LEFT_WAIT_S,
    NAMESPACE,
    OWNER_DEAD_S,
    RECONCILE_MAX,
    STREAM_KEEP_S,
)
from orchestrator.adapters.redis.pace import Pace, watched
from orchestrator.adapters.redis.sent import Left, Revoked, Sent
from orchestrator.adapters.redis.server import check_server
from orchestrator.adapters.redis.wire import SERVER, Argument, Wire
from orchestrator.errors import PromiseError, TransportError, TransportRefused, TransportUnreachable
from orchestrator.ports import tasks as t

log = structlog.get_logger(__name__)


class RedisTransport:
    """The transport of one process that owns runs. Open it with `open`, close it with `close`.

    What it has sent it remembers until the answer, so that nothing is sent twice and everything can be sent again.
    """

    def __init__(
        self,
        url: str,
        *,
        owner: str,
        namespace: str = NAMESPACE,
        clock: Callable[[], float] = time.time,
        lease_s: float = LEASE_S,
    ) -> None:
        self.owner, self._ns, self._clock, self._lease_s = owner, namespace, clock, lease_s
        self._out = Wire(url, name=f"orchestrator-owner-{owner}")
        self._aside = Wire(url, name=f"orchestrator-aside-{owner}")
        self._inbox = Inbox(url, namespace, owner, self._deliver_one)
        self._deliver: Callable[[t.TaskMessage], None] | None = None
        self._sent: dict[t.TaskKey, Sent] = {}
        self._outbox: deque[Sent | Revoked] = deque()
        self._left: deque[Left] = deque()  #: words on their way to whoever drives their runs next
        self._inheriting = False
        self._early = Early()
        self._wake = asyncio.Event()
        self._answers = Answers(self._wake.set)
        self._tasks: list[asyncio.Task[None]] = []
        self._resumed: set[t.TaskKey] = set()  #: taken over, and not asked about yet
        self._unwanted: set[t.TaskKey] = set()  #: revoked before they were ours: until then, the server does not listen
        self._resuming: asyncio.Task[None] | None = None

    @classmethod
    async def open(
        cls,
        url: str,
        *,
        owner: str,
        namespace: str = NAMESPACE,
        clock: Callable[[], float] = time.time,
        lease_s: float = LEASE_S,
    ) -> Self:
        """Connect, check the server, begin to listen. `lease_s` is that of the workers.

        Raises:
            TransportUnreachable: there is no server at `url`.
            PromiseError: it cannot keep what a transport promises; the error names the remedy.
        """
        transport = cls(url, owner=owner, namespace=namespace, clock=clock, lease_s=lease_s)
        try:
            await check_server(transport._aside)
            await transport._beat()
        except BaseException:
            await transport._aside.close()
            raise
        transport._tasks = [
            watched(transport._flush_always(), "transport outbox"),
            watched(transport._inbox.run(), "transport inbox"),
        ]
        return transport

    async def close(self) -> None:
        """Send what is queued, if the server can be reached, and let go of the connections."""
        till_s = time.monotonic() + 2.0
        while (  # noqa: ASYNC110  # the end
            any((self._outbox, self._answers, self._left, self._unwanted)) and self._tasks and time.monotonic() < till_s
        ):
            await asyncio.sleep(0.005)
        tasks, self._tasks = [*self._tasks, *self._answers.tasks], []
        tasks += [self._resuming] if self._resuming is not None else []
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        try:
            await self._inbox.leave(self._aside)
            await self._beat(-OWNER_DEAD_S)  # what it needs counts no more
        except TransportError as error:
            log.warning("the transport was not told that this owner leaves", error=str(error))
        for wire in (self._out, self._aside):
            await wire.close()
        await self._inbox.close()

    # ---- the port

    def bind(self, deliver: Callable[[t.TaskMessage], None]) -> None:
        self._deliver = deliver

    def bind_answer(self, answer: Callable[[t.OwnerRequest], Awaitable[t.OwnerReply]]) -> None:
        self._answers.answer = answer

    def bind_journaled(self, posted: Callable[[], int], journaled: Callable[[], int]) -> None:
        """How many messages were taken over so far, and how many of these are in the journal.

        With it, a message stays in the server until it is journaled, and the next owner finds it after a crash.
        """
        self._inbox.posted = posted
        # What is left behind goes first, and what waits has not been posted.
        self._inbox.journaled = lambda: -1 if self._left or self._early else journaled()

    def send(self, task: t.StepTask) -> None:
        if task.key in self._sent:
            self._unwanted.discard(task.key)
            return
        body = codec.task_bytes(task)
        if len(body) > BODY_BYTES_MAX:
            self._refuse(task.key, f"the task has {len(body)} bytes; {BODY_BYTES_MAX} is the most a transport carries")
            return
        sent = self._sent[task.key] = Sent(task, body)
        self._outbox.append(sent)
        self._wake.set()

    def resume(self, task: t.StepTask) -> None:
        """Go on with a task of a run that was taken over: its owner before may have sent it, or not.

        Where a worker holds it, or could fetch it, it becomes this owner's; an answer that the dead owner has not read
        is taken over too. What is nowhere is sent again, or reported as lost where it may have changed the world.
        """
        if task.key in self._sent:
            self._unwanted.discard(task.key)
            return
        body = codec.task_bytes(task)
        if len(body) > BODY_BYTES_MAX:
            self.send(task)  # which refuses it
            return
        resumed = self._sent[task.key] = Sent(task, body)
        resumed.queued = False
        self._resumed.add(task.key)
        if self._resuming is None or self._resuming.done():
            self._resuming = watched(self._resume_all(), "transport resuming")

    def revoke(self, key: t.TaskKey) -> None:
        if key in self._sent and self._taking_over(key):
            self._unwanted.add(key)
            return
        sent = self._sent.pop(key, None)
        if sent is None:
            return
        if sent.queued and not sent.tried:
            sent.unwanted = True
            return
        self._outbox.append(Revoked(sent.pool, sent.key))
        self._wake.set()

    def let_go(self, key: t.TaskKey) -> None:
        """Another owner drives the run from now on, or will: its task goes on, and its answer is the other's."""
        self._sent.pop(key, None)
        self._resumed.discard(key)
        self._unwanted.discard(key)

    def leave(self, message: t.TaskMessage) -> None:
        """This came for a run that is not driven here: keep it where the next owner of the run looks for it."""
        if self._inheriting and message.key not in self._early:
            return  # it is where it was; only what waits for it would come before it otherwise
        if isinstance(message, t.TaskDone | t.TaskFailed | t.TaskSpent | t.TaskCalled):
            self._left.append(Left(message))
            self._wake.set()

    async def backlog(self) -> list[t.Backlog]:
        await self._flushed()
        rows = cast(list[list[object]], await self._aside.run(scripts.BACKLOG, self._ns, GROUP))
        return [backlog_of(row, self._clock()) for row in rows]

    async def reconcile(self) -> int:
        """Send again what the server has lost; return how much that was. Also says that this owner lives.

        A task that may have changed the world is not sent again but reported as lost: its plan says what follows.

        Raises:
            TransportError: the server cannot be asked now.
        """
        await self._beat()
        return await self._send_missing(
            [key for key, sent in self._sent.items() if not sent.queued and not self._taking_over(key)]
        )

    def _taking_over(self, key: t.TaskKey) -> bool:
        return key in self._resumed or key in self._early

    async def _send_missing(self, open_keys: list[t.TaskKey], *, resumed: bool = False) -> int:
        again = 0
        missing: list[t.TaskKey] = []
        forgot_s = inf
        for start in range(0, len(open_keys), RECONCILE_MAX):
            part, since_s = await self._missing(open_keys[start : start + RECONCILE_MAX])
            missing += part
            forgot_s = min(forgot_s, since_s)
        # What was answered to an owner before is missing too. From the question on, answers come here.
        if missing or resumed:
            await self._inherit()
        if resumed:
            self._release()
        if forgot_s > self._lease_s:  # before, a worker may be about to say that it has a task that the server forgot
            for key in missing:
                sent = self._sent.get(key)
                if sent is None or sent.queued:
                    continue
                again += 1
                if sent.effect:
                    del self._sent[key]
                    self._lost(key, "", "the server lost it")
                else:
                    sent.queued = True
                    self._outbox.append(sent)
                    self._wake.set()
        if again:
            log.warning("the server had lost tasks; they were sent again", tasks=again)
        return again

    async def _resume_all(self) -> None:
        """Find out about every task that was taken over. Nothing is sent before that is known."""
        pace = Pace("tasks that were taken over")
        while self._resumed or self._early.expecting:
            keys, self._resumed = self._resumed, set()
            self._early.expect(keys)
            try:
                await self._send_missing([key for key in keys if key in self._sent], resumed=True)
                pace.well()
            except TransportError as error:
                self._resumed |= keys
                await pace.wait(error)

    def _release(self) -> None:
        """All that came before is heard: now comes what waited, and what nobody wants is revoked, as it is ours."""
        self._inbox.hand_over(self._early.release())
        self._inbox.recount()
        unwanted, self._unwanted = self._unwanted, set()
        for key in unwanted:
            self.revoke(key)

    async def _inherit(self) -> None:
        """Read what other owners have not, and what was left behind. Words that come twice are known by their keys."""
        deadline = time.monotonic() + LEFT_WAIT_S
        while self._left:
            if time.monotonic() > deadline:
                raise TransportUnreachable(self._out.where, "what is left to other owners is still waiting to be sent")
            await asyncio.sleep(0.005)
        found = await inherited(self._aside, self._ns, self.owner)
        self._inheriting = True
        try:
            self._inbox.hand_over(found)
        finally:
            self._inheriting = False

    async def _missing(self, keys: list[t.TaskKey]) -> tuple[list[t.TaskKey], float]:
        """Those of `keys` that no worker holds, that nobody could fetch, and whose answer is not on its way here.

        The others belong to this owner from now on: their messages come here. Also says how many seconds ago the server
        last forgot something.
        """
        named: list[Argument] = []
        for key in keys:
            sent = self._sent.get(key)
            named += (sent.pool if sent else "", codec.key_text(key))
        answer = await self._aside.run(scripts.UNKNOWN, self._ns, GROUP, self.owner, SERVER, *named)
        at, positions, forgot_ms = cast(tuple[bytes, list[int], int], answer)
        # An answer ends a task in the server. It must have had the time to arrive before the task is called lost.
        await self._inbox.reached(at.decode())
        return [keys[index] for index in positions], forgot_ms / 1000

    # ---- what goes out

    async def _flush_always(self) -> None:
        pace = Pace("tasks to send")
        while True:
            await self._wake.wait()
            self._wake.clear()
            while self._outbox or self._answers or self._left:
                try:
                    if self._left:
                        await leave_words(self._out, self._ns, self._left)
                    if self._answers:
                        await self._answers.send_first(self._out, self._ns)
                    if self._outbox:
                        await self._flush_batch()
                    pace.well()
                except TransportError as error:
                    if isinstance(error, TransportRefused) and not error.passing:
                        log.error("the server refuses what it is sent", error=str(error))
                    await pace.wait(error)

    async def _flush_batch(self) -> None:
        """Send the first operations of one kind. They leave the outbox once the server has them.

        After an answer that did not come they are sent again: a known task is not queued twice.
        """
        first = self._outbox[0]
        batch: list[Sent | Revoked] = []
        size = 0
        for operation in self._outbox:
            if type(operation) is not type(first) or len(batch) >= BATCH_MAX or size > BATCH_BYTES_MAX:
                break
            batch.append(operation)
            size += len(operation.body) if isinstance(operation, Sent) else 0
        if isinstance(first, Sent):
            words: list[Argument] = [self._ns, self.owner, INLINE_BYTES_MAX]
            for sent in cast(list[Sent], batch):
                if sent.unwanted:
                    continue
                sent.tried = True
                words += (sent.pool, sent.lane, sent.key, "1" if sent.effect else "", repr(sent.sent_at_s), sent.body)
            await self._out.run(scripts.SEND, *words)
            for sent in cast(list[Sent], batch):
                sent.queued = False
        else:
            words = [self._ns, GROUP, int(STREAM_KEEP_S * 1000), self.owner]
            for revoked in cast(list[Revoked], batch):
                words += (revoked.pool, revoked.key)
            await self._out.run(scripts.REVOKE, *words)
        for _ in batch:
            self._outbox.popleft()

    async def _flushed(self) -> None:
        """Wait until what was queued is in the server, for as long as a call may take."""
        deadline = time.monotonic() + 5.0
        while self._outbox or self._left:
            if time.monotonic() > deadline:
                raise TransportUnreachable(self._out.where, "tasks are still waiting to be sent")
            await asyncio.sleep(0.001)

    async def _beat(self, later_s: float = 0.0) -> None:
        now_ms = int((time.time() + later_s) * 1000)
        await self._aside.call("ZADD", f"{self._ns}:owners", now_ms, self.owner)

    # ---- what comes in

    def _deliver_one(self, tag: str, fields: dict[bytes, bytes], body: bytes) -> None:
        if tag in ("lost", "dead"):
            key = codec.key_of(fields[b"k"])
            if not self._inheriting and self._early.keep(key, (tag, fields, body)):
                return
            worker, why = fields.get(b"w", b"").decode(), fields.get(b"y", b"").decode()
            if self._sent.pop(key, None) is None:
                return
            if tag == "lost":
                self._lost(key, worker, why)
            else:
                self._say(t.TaskFailed(key=key, worker=worker, error="terminal", message=f"dead letter: {why}"))
            return
        message = codec.message_of(tag, body)
        if tag in codec.ASKS:
            self._answers.asked(fields, cast(t.OwnerRequest, message))
            return
        message = cast(t.TaskMessage, message)
        if not self._inheriting and self._early.keep(message.key, (tag, fields, body)):
            return
        if isinstance(message, t.TaskDone | t.TaskFailed):
            self._sent.pop(message.key, None)
        self._say(message)

    def _say(self, message: t.TaskMessage) -> None:
        if self._deliver is None:
            raise PromiseError("a worker answered, but nobody owns its run", "call `bind` before `send`")
        self._deliver(message)

    def _lost(self, key: t.TaskKey, worker: str, why: str) -> None:
        self._say(t.TaskFailed(key=key, worker=worker, error="lost", message=why))

    def _refuse(self, key: t.TaskKey, why: str) -> None:
        """Answer a task that cannot be sent; not at once, for `send` must not deliver."""
        failed = t.TaskFailed(key=key, worker="", error="terminal", message=why)
        asyncio.get_running_loop().call_soon(self._say, failed)
