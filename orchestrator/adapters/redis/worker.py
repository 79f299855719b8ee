"""The workers' side over Redis: fetches under leases, posts in batches, asks owners, stops what nobody wants."""

import asyncio
import itertools
import secrets
import time
from collections import OrderedDict, deque
from collections.abc import Callable
from typing import Self, cast

import structlog

from orchestrator.adapters.redis import codec, scripts
from orchestrator.adapters.redis.inbox import Inbox
from orchestrator.adapters.redis.leases import Lease, Renewals
from orchestrator.adapters.redis.limits import (
    ASK_AGAIN_S,
    BATCH_BYTES_MAX,
    BATCH_MAX,
    BLOCK_S,
    BODY_BYTES_MAX,
    GROUP,
    INLINE_BYTES_MAX,
    LEASE_S,
    NAMESPACE,
    SAID_BYTES_MAX,
    SAID_KEEP_S,
    SAID_MAX,
    STOPS_MAX,
    STREAM_KEEP_S,
    WORKER_GONE_S,
)
from orchestrator.adapters.redis.pace import Pace, watched
from orchestrator.adapters.redis.queue import PoolQueue, give_words
from orchestrator.adapters.redis.server import check_server
from orchestrator.adapters.redis.wire import SERVER, Argument, Wire
from orchestrator.errors import TransportError, TransportRefused
from orchestrator.ids import PoolName
from orchestrator.ports import tasks as t

AGAIN_S = 1.0  #: a task that is still being stopped here is offered again after so long
CLOSE_S = 5.0  #: for the last words of a process that ends
log = structlog.get_logger(__name__)


class _Word:
    """A message on its way out."""

    __slots__ = ("body", "kind", "lease", "number", "tag")

    def __init__(self, kind: str, lease: Lease, tag: str, body: bytes, number: str = "") -> None:
        self.kind, self.lease, self.tag, self.body, self.number = kind, lease, tag, body, number


class _Given:
    """A task on its way back."""

    __slots__ = ("delay_s", "lease")

    def __init__(self, lease: Lease, delay_s: float) -> None:
        self.lease, self.delay_s = lease, delay_s


class _Buried:
    """A task on its way to the dead letters."""

    __slots__ = ("lease", "reason")

    def __init__(self, lease: Lease, reason: str) -> None:
        self.lease, self.reason = lease, reason


class RedisWorkers:
    """The worker port of one process, for any number of pools. Open it with `open`, close it with `close`."""

    def __init__(self, url: str, *, worker: str, namespace: str = NAMESPACE, lease_s: float = LEASE_S) -> None:
        self._url, self._ns, self._lease_s = url, namespace, lease_s
        # A name no later process shares, even where `worker` is a pod's name that comes back after a restart.
        self.name = f"{worker}-{secrets.token_hex(3)}"
        self._out = Wire(url, name=f"orchestrator-worker-{self.name}")
        self._inbox = Inbox(url, namespace, self.name, self._heard)
        self._queues: dict[PoolName, PoolQueue] = {}
        self._cancels: dict[PoolName, list[Callable[[t.TaskKey], None]]] = {}
        self._leases: dict[t.TaskKey, Lease] = {}
        self._ended: OrderedDict[t.TaskKey, Lease] = OrderedDict()  #: answered or lost: money may still be reported
        self._stopped: OrderedDict[str, None] = OrderedDict()  #: entries cancelled before they arrived
        self._outbox: deque[_Word | _Given | _Buried] = deque()
        self._last_words: deque[tuple[float, _Word]] = deque(
            maxlen=SAID_MAX
        )  #: the server has them, and when it got them
        self._asked: dict[str, asyncio.Future[t.OwnerReply]] = {}
        self._numbers = itertools.count(1)
        self._wake = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []
        self._renewals = Renewals(
            url,
            namespace,
            self.name,
            lease_s=lease_s,
            held=self._held,
            lost=self._lost,
            forgot=self._say_again,
            said=self._said,
        )

    @classmethod
    async def open(cls, url: str, *, worker: str, namespace: str = NAMESPACE, lease_s: float = LEASE_S) -> Self:
        """Connect, check the server, begin to listen.

        Raises:
            TransportUnreachable: there is no server at `url`.
            PromiseError: it cannot keep what a transport promises; the error names the remedy.
        """
        workers = cls(url, worker=worker, namespace=namespace, lease_s=lease_s)
        try:
            await check_server(workers._out)
            words = (namespace, GROUP, workers.name, workers._said(), SERVER, int(lease_s * 1000))
            era, _ = cast(tuple[bytes, list[int]], await workers._out.run(scripts.RENEW, *words))
        except BaseException:
            await workers._out.close()
            raise
        workers._renewals.start(era.decode())
        workers._tasks = [
            watched(workers._flush_always(), "transport outbox"),
            watched(workers._inbox.run(), "transport inbox"),
            watched(workers._tidy_always(), "transport tidying"),
        ]
        return workers

    async def close(self) -> None:
        """Fetch nothing more, hand back what is not answered, say the last words, let go of the connections."""
        for queue in self._queues.values():
            await queue.stop()
        for lease in list(self._leases.values()):
            self._give(lease, 0.0)
        deadline = time.monotonic() + CLOSE_S
        while self._outbox and time.monotonic() < deadline and self._tasks:  # noqa: ASYNC110  # the end of a process
            await asyncio.sleep(0.005)
        await self._renewals.stop()
        tasks, self._tasks = self._tasks, []
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for future in self._asked.values():
            future.cancel()
        try:
            await self._out.run(scripts.LEAVE, self._ns, GROUP, self.name, int(WORKER_GONE_S * 1000), *self._queues)
        except TransportError as error:
            log.warning("the transport was not told that this worker leaves", error=str(error))
        await self._out.close()
        await self._inbox.close()

    # ---- the port

    async def fetch(self, pool: PoolName, slots: int) -> list[t.StepTask]:
        return await self._queue(pool).fetch(slots)

    def take(self, pool: PoolName) -> t.StepTask | None:
        queue = self._queues.get(pool)
        return queue.take() if queue is not None else None

    def post(self, message: t.TaskMessage) -> None:
        key = message.key
        if isinstance(message, t.TaskDone | t.TaskFailed):
            lease = self._leases.pop(key, None)
            if lease is None:
                return  # lost or revoked: another word on it would be a zombie's
            self._remember(key, lease)
            body = codec.message_bytes(message)
            if len(body) > BODY_BYTES_MAX:
                why = f"the answer has {len(body)} bytes; {BODY_BYTES_MAX} is the most a transport carries"
                message = t.TaskFailed(key=key, worker=message.worker, error="terminal", message=why)
                body = codec.message_bytes(message)
            self._queue_up(_Word("f", lease, codec.tag_of(message), body))
            return
        money = isinstance(message, t.TaskSpent | t.TaskCalled)
        lease = self._leases.get(key) or (self._ended.get(key) if money else None)
        if lease is not None:
            self._queue_up(_Word("m" if money else "s", lease, codec.tag_of(message), codec.message_bytes(message)))

    async def ask(self, request: t.OwnerRequest) -> t.OwnerReply:
        lease = self._leases.get(request.key)
        if lease is None:
            return _UNWANTED
        number = str(next(self._numbers))
        future = self._asked[number] = asyncio.get_running_loop().create_future()
        word = _Word("a", lease, codec.tag_of(request), codec.message_bytes(request), number)
        try:
            while True:
                self._queue_up(word)
                # An owner that died took the question along. Whoever owns the run by now is asked the same again;
                # a charge or an effect is journaled once, however often it is asked about.
                try:
                    async with asyncio.timeout(ASK_AGAIN_S):
                        return await asyncio.shield(future)
                except TimeoutError:
                    if request.key not in self._leases:
                        return _UNWANTED
        finally:
            del self._asked[number]

    def on_revoke(self, pool: PoolName, cancel: Callable[[t.TaskKey], None]) -> None:
        self._cancels.setdefault(pool, []).append(cancel)

    def give_back(self, key: t.TaskKey, delay_s: float = 0.0) -> None:
        """Hand a task back unfinished; with a delay, nobody gets it before that has passed. Counts as no delivery."""
        lease = self._leases.get(key)
        if lease is not None:
            self._give(lease, delay_s)

    # ---- leases

    def _queue(self, pool: PoolName) -> PoolQueue:
        queue = self._queues.get(pool)
        if queue is None:
            queue = self._queues[pool] = PoolQueue(
                self._url,
                self._ns,
                pool,
                self.name,
                lease_s=self._lease_s,
                accept=self._accept,
                refuse=lambda lease, why: self._queue_up(_Buried(lease, why)),
                give_back=self._give,
            )
        return queue

    def _accept(self, lease: Lease, task: t.StepTask) -> bool:
        """Take a lease for a task that has just come; False when it must not run here now."""
        if self._stopped.pop(lease.entry, self) is None:
            return False
        lease.era = self._renewals.era
        before = self._leases.get(task.key)
        if before is not None:
            # What runs here must end before it can be run again here. Under another entry it was sent anew: where the
            # server had forgotten it, what runs here goes on in its place, and the server is asked which it is.
            if before.entry == lease.entry:
                self._lost([before])
            else:
                self._renewals.look()
            self._queue_up(_Given(lease, AGAIN_S))
            return False
        self._leases[task.key] = lease
        return True

    def _give(self, lease: Lease, delay_s: float) -> None:
        if self._leases.get(lease.key) is lease:
            del self._leases[lease.key]
        self._queue_up(_Given(lease, delay_s))

    def _held(self) -> list[Lease]:
        """All leases; called from the renewing thread."""
        return list(self._leases.copy().values())

    def _lost(self, leases: list[Lease]) -> None:
        """These are not ours any more: stop the work."""
        for lease in leases:
            if self._leases.get(lease.key) is not lease:
                continue
            del self._leases[lease.key]
            self._remember(lease.key, lease)
            log.warning("a lease was lost, its task is stopped", task=str(lease.key), entry=lease.entry)
            self._stop(lease)

    def _stop(self, lease: Lease) -> None:
        for cancel in self._cancels.get(lease.pool, ()):
            cancel(lease.key)

    def _remember(self, key: t.TaskKey, lease: Lease) -> None:
        self._ended[key] = lease
        if len(self._ended) > STOPS_MAX:
            self._ended.popitem(last=False)

    def _said(self) -> str:
        """What others may know of this process: tasks under way, and its pools."""
        return f"{len(self._leases)} {','.join(list(self._queues))}"

    # ---- what comes in

    def _heard(self, tag: str, fields: dict[bytes, bytes], body: bytes) -> None:
        if tag == "reply":
            future = self._asked.get(fields[b"i"].decode())
            if future is not None and not future.done():
                future.set_result(cast(t.OwnerReply, codec.message_of("reply", body)))
        elif tag == "stop":
            entry, key = fields[b"i"].decode(), codec.key_of(fields[b"k"])
            lease = self._leases.get(key)
            if lease is not None and lease.entry == entry:
                del self._leases[key]
                self._remember(key, lease)
                self._stop(lease)
            else:
                self._stopped[entry] = None
                if len(self._stopped) > STOPS_MAX:
                    self._stopped.popitem(last=False)

    # ---- what goes out

    def _queue_up(self, operation: _Word | _Given | _Buried) -> None:
        self._outbox.append(operation)
        self._wake.set()

    async def _flush_always(self) -> None:
        pace = Pace("messages to send")
        while True:
            await self._wake.wait()
            self._wake.clear()
            while self._outbox:
                try:
                    await self._flush_batch()
                    pace.well()
                except TransportError as error:
                    if isinstance(error, TransportRefused) and not error.passing:
                        log.error("the server refuses what it is sent", error=str(error))
                    await pace.wait(error)

    async def _flush_batch(self) -> None:
        """Carry out the first operations of one kind; they leave the outbox when that is done.

        After an answer that did not come they are tried again: what was done already is refused by its lease.
        """
        first = self._outbox[0]
        batch: list[_Word | _Given | _Buried] = []
        size = 0
        for operation in self._outbox:
            if type(operation) is not type(first) or len(batch) >= BATCH_MAX or size > BATCH_BYTES_MAX:
                break
            batch.append(operation)
            size += len(operation.body) if isinstance(operation, _Word) else 0
        if isinstance(first, _Word):
            await self._say(cast(list[_Word], batch))
        elif isinstance(first, _Given):
            leases = [(given.lease, given.delay_s) for given in cast(list[_Given], batch)]
            await self._out.run(scripts.GIVE, *give_words(self._ns, self.name, leases))
        else:
            lease = first.lease
            batch = [first]
            words: list[Argument] = [
                self._ns,
                GROUP,
                self.name,
                int(STREAM_KEEP_S * 1000),
                lease.pool,
                lease.lane,
                lease.entry,
            ]
            words += (lease.deliveries, lease.key_text, first.reason)
            log.error("a task went to the dead letters", pool=lease.pool, entry=lease.entry, reason=first.reason)
            await self._out.run(scripts.BURY, *words)
        for _ in batch:
            self._outbox.popleft()

    async def _say(self, batch: list[_Word]) -> None:
        words: list[Argument] = [self._ns, GROUP, self.name, INLINE_BYTES_MAX, int(STREAM_KEEP_S * 1000), SERVER]
        for word in batch:
            lease = word.lease
            words += (word.kind, lease.pool, lease.lane, lease.entry, lease.deliveries, lease.key_text, lease.owner)
            words += (word.tag, word.body, word.number, lease.era)
        sent = cast(list[int], await self._out.run(scripts.POST, *words))
        now_s = time.monotonic()
        for word, good in zip(batch, sent, strict=True):
            if good:
                if word.kind in "fm" and len(word.body) <= SAID_BYTES_MAX:
                    self._last_words.append((now_s, word))
                continue
            if word.kind == "a":
                future = self._asked.get(word.number)
                if future is not None and not future.done():
                    future.set_result(_UNWANTED)
            elif word.kind == "f":
                log.warning("an answer came too late and was dropped", task=str(word.lease.key))

    def _say_again(self) -> None:
        """The server forgot: an owner may not have read the last words. Those it has read change nothing."""
        since_s = time.monotonic() - SAID_KEEP_S
        again = [word for at_s, word in self._last_words if at_s >= since_s]
        self._last_words.clear()
        for word in again:
            self._queue_up(word)

    async def _tidy_always(self) -> None:
        """Forget workers that died and hold nothing."""
        wire = Wire(self._url, name=f"orchestrator-tidy-{self.name}")
        try:
            while True:
                try:
                    idle_ms = int(WORKER_GONE_S * 1000)
                    await wire.run(scripts.LEAVE, self._ns, GROUP, "", idle_ms, *self._queues)
                except TransportError as error:
                    log.debug("not tidied", error=str(error))
                await asyncio.sleep(WORKER_GONE_S / 4 + BLOCK_S)
        finally:
            await wire.close()


_UNWANTED = t.OwnerReply(granted=False, limit="run", left=0.0)
