"""The leases of one worker process, renewed from a thread, so that code that blocks the event loop cannot lose them."""

import asyncio
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, cast

import redis
import redis.exceptions as vendor
import structlog
from redis.backoff import NoBackoff
from redis.retry import Retry

from orchestrator.adapters.redis import scripts
from orchestrator.adapters.redis.limits import BATCH_MAX, CALL_S, CONNECT_S, GROUP
from orchestrator.ids import PoolName
from orchestrator.ports.tasks import TaskKey

JOIN_S: Final = 2 * CALL_S + 1.0  #: the thread ends within a call and a half
log = structlog.get_logger(__name__)


@dataclass(slots=True, eq=False)
class Lease:
    """One delivery of one task to this process. Worker, entry and count together are the fence.

    `era` alone changes: what the server forgets in a later one may be missing without that anybody took it.
    """

    pool: PoolName
    lane: str
    entry: str
    deliveries: int  #: of this entry; a later delivery has a higher one
    key: TaskKey
    key_text: str
    owner: str  #: of the run when the task was delivered
    era: str = ""  #: of the server's memory, when the lease was last known to be there


class Renewals:
    """The thread. `lost` is called in the event loop with what this process holds no more, `forgot` when the server's
    memory is another than before.
    """

    def __init__(
        self,
        url: str,
        namespace: str,
        worker: str,
        *,
        lease_s: float,
        held: Callable[[], list[Lease]],
        lost: Callable[[list[Lease]], None],
        forgot: Callable[[], None],
        said: Callable[[], str],
    ) -> None:
        self.era = ""  #: of the server's memory, as last heard
        self._lease_ms = int(lease_s * 1000)
        self._url, self._ns, self._worker = url, namespace, worker
        self._every_s = lease_s / 3
        self._held, self._lost, self._forgot, self._said = held, lost, forgot, said
        self._loop = asyncio.get_running_loop()
        self._stop = False
        self._wake = threading.Event()
        self._thread = threading.Thread(target=self._run, name="transport leases", daemon=True)

    def start(self, era: str) -> None:
        """Begin, in the era that the server is in."""
        self.era = era
        self._thread.start()

    def look(self) -> None:
        """Renew now: something looks as if leases were lost."""
        self._wake.set()

    async def stop(self) -> None:
        """End the thread and wait for it."""
        self._stop = True
        self._wake.set()
        await asyncio.to_thread(self._thread.join, JOIN_S)

    def _run(self) -> None:
        client = redis.Redis.from_url(
            self._url,
            socket_timeout=CALL_S,
            socket_connect_timeout=CONNECT_S,
            retry=Retry(NoBackoff(), 0),
            client_name=f"orchestrator-leases-{self._worker}",
        )
        failing = False
        try:
            while True:
                started = time.monotonic()
                try:
                    self._renew(client)
                    failing = False
                except (vendor.RedisError, OSError) as error:
                    if not failing:
                        log.warning("leases cannot be renewed; trying again until they can", error=str(error))
                    failing = True
                pause_s = min(self._every_s, 0.5) if failing else self._every_s
                self._wake.wait(max(pause_s - (time.monotonic() - started), 0.01))
                if self._stop:
                    return
                self._wake.clear()
        finally:
            client.close()

    def _renew(self, client: redis.Redis) -> None:
        held = self._held()
        server = cast(dict[str, str], client.info("server"))["run_id"]
        for start in range(0, max(len(held), 1), BATCH_MAX):
            part = held[start : start + BATCH_MAX]
            words: list[str | int] = [self._ns, GROUP, self._worker, self._said(), server, self._lease_ms]
            for lease in part:
                words += (lease.pool, lease.lane, lease.entry, lease.deliveries)
                words += (lease.key_text, lease.owner, lease.era)
            try:
                answer = client.evalsha(scripts.RENEW.sha, 0, *words)
            except vendor.NoScriptError:
                answer = client.eval(scripts.RENEW.text, 0, *words)
            told, positions = cast(tuple[bytes, list[int]], answer)
            lost, era = {int(index) for index in positions}, told.decode()
            for index, lease in enumerate(part):
                if index not in lost:
                    lease.era = era
            gone = [part[index] for index in sorted(lost)]
            if self._stop:
                return
            if gone:
                self._loop.call_soon_threadsafe(self._lost, gone)
            if era != self.era:
                self.era = era
                self._loop.call_soon_threadsafe(self._forgot)
