"""Sessions on a Redis or Valkey server, which may lose them.

They live as long as the server keeps them: a restart may lose the last moments or all of them. What was lost is not
there any more, and never half there.
"""

import math
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Final, TypeVar, cast

import structlog

from orchestrator.adapters.redis import scripts
from orchestrator.adapters.redis.limits import NAMESPACE
from orchestrator.adapters.redis.pace import Pace
from orchestrator.adapters.redis.wire import Argument, Wire
from orchestrator.adapters.session_rows import head_of, head_text, is_next, turn_of, turn_text
from orchestrator.errors import SessionsUnreachable, TransportError, TransportRefused
from orchestrator.ids import SessionId, TenantId
from orchestrator.ports.sessions import SWEEP_MAX, TURNS_READ_MAX, SessionHead, SessionKey, Turn

PATIENCE_S: Final = 5.0  #: a turn waits no longer for a server that is away
LOST: Final = "sessions on this server may be lost with it: a conversation that is gone begins anew, without its turns"
T = TypeVar("T")
log = structlog.get_logger(__name__)


class RedisSessions:
    """`Sessions` for every process that asks the same server. Every write names its stamp, so it can be made again."""

    def __init__(self, url: str, *, namespace: str = NAMESPACE) -> None:
        self._wire = Wire(url, name="orchestrator-sessions")
        self._ns = namespace
        log.warning("sessions", where=self._wire.where, durable=LOST)

    async def read(self, key: SessionKey, now_s: float) -> SessionHead | None:
        head = await self._held(key)
        return head if head is not None and head.expires_at_s > now_s else None

    async def write(self, head: SessionHead, turns: Sequence[Turn], over: SessionHead | None) -> bool:
        is_next(head, len(turns), over)
        key, now_s = head.key, head.updated_at_s
        if over is not None and over.expires_at_s <= now_s:
            return False
        # What has expired by the caller's clock, and not yet by the server's, is replaced like nothing.
        old = over or await self._held(key)
        if over is None and old is not None and old.expires_at_s > now_s:
            return False
        told = [word for turn in turns for word in (str(turn.number), turn_text(turn))]
        left_ms = max(math.ceil((head.expires_at_s - now_s) * 1000), 1)
        stamp, operation = old.stamp if old is not None else "", "begin" if over is None else "write"
        return await self._run(operation, key, stamp, head.stamp, head_text(head), left_ms, *told) == 1

    async def turns(self, key: SessionKey, after: int, limit: int = TURNS_READ_MAX) -> list[Turn]:
        numbers = range(max(after, 0) + 1, max(after, 0) + limit + 1)
        if not numbers:
            return []
        texts = cast(list[bytes | None], await self._call("HMGET", self._session(key), *map(str, numbers)))
        return [turn_of(key, number, text) for number, text in zip(numbers, texts, strict=True) if text is not None]

    async def page(self, tenant: TenantId, after: str, limit: int, now_s: float) -> list[SessionHead]:
        key = SessionKey(tenant=tenant, id=SessionId(after))
        rows: list[SessionHead] = []
        while limit > len(rows):
            told = cast(list[bytes], await self._run("page", key, limit, session=self._session_of(tenant)))
            for name, text in zip(told[::2], told[1::2], strict=True):
                key = SessionKey(tenant=tenant, id=SessionId(name.decode()))
                head = head_of(key, text)
                if head.expires_at_s > now_s:
                    rows.append(head)
            if len(told) < 2 * limit:
                break
        return rows[:limit]

    async def delete(self, key: SessionKey) -> bool:
        return await self._run("delete", key) == 1

    async def sweep(self, now_s: float, limit: int = SWEEP_MAX) -> int:
        """The server lets go of what has expired by itself."""
        return 0

    async def close(self) -> None:
        """Let go of the connection."""
        await self._wire.close()

    def _session_of(self, tenant: TenantId) -> str:
        # The length tells where a tenant's name ends, whatever characters it has.
        return f"{self._ns}:session:{len(tenant)}:{tenant}:"

    def _session(self, key: SessionKey) -> str:
        return f"{self._session_of(key.tenant)}{key.id}"

    async def _held(self, key: SessionKey) -> SessionHead | None:
        """What the server has, expired or not."""
        text = cast(bytes | None, await self._call("HGET", self._session(key), "head"))
        return None if text is None else head_of(key, text)

    async def _run(self, operation: str, key: SessionKey, *more: Argument, session: str = "") -> object:
        names = f"{self._ns}:sessions:{key.tenant}"
        where = session or self._session(key)
        return await self._well(lambda: self._wire.run(scripts.SESSION, operation, where, names, key.id, *more))

    async def _call(self, *words: Argument) -> object:
        return await self._well(lambda: self._wire.call(*words))

    async def _well(self, work: Callable[[], Awaitable[T]]) -> T:
        """Do what may be done twice, while the server is away for a moment.

        Raises:
            SessionsUnreachable: it stayed away, or refused.
        """
        pace, until = Pace("sessions"), time.monotonic() + PATIENCE_S
        while True:
            try:
                result = await work()
            except TransportError as error:
                if time.monotonic() > until or (isinstance(error, TransportRefused) and not error.passing):
                    raise SessionsUnreachable(self._wire.where, str(getattr(error, "reason", error))) from error
                await pace.wait(error)
            else:
                pace.well()
                return result


__all__ = ["RedisSessions"]
