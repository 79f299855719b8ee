"""How fast tenants may ask, and how often a stranger may guess."""

from collections.abc import Callable
from typing import Final

from limits import RateLimitItemPerMinute
from limits.aio.storage import MemoryStorage, Storage
from limits.aio.strategies import SlidingWindowCounterRateLimiter

from orchestrator.service.http.limits import BATCHES_TOLD_PER_MINUTE
from orchestrator.service.http.problems import Problem, retry_after

_NOT_YET: Final = 1.0  #: seconds, where nobody can say when there is room again


class _PerMinute(RateLimitItemPerMinute):
    """So many per minute. Callers with different limits are counted together."""

    def key_for(self, *identifiers: bytes | str | float) -> str:
        """Who is counted, without the limit."""
        return "/".join(("LIMITER", *map(str, identifiers)))


class Rates:
    """Counts requests over sliding minutes. Of one process, unless its storage is shared."""

    def __init__(self, now_s: Callable[[], float], storage: Storage | None = None) -> None:
        self._now_s = now_s
        self._limiter = SlidingWindowCounterRateLimiter(storage or MemoryStorage())

    async def ask(self, tenant: str, per_minute: int) -> None:
        """Count a request of a tenant.

        Raises:
            Problem: one too many within a minute.
        """
        await self._hit("tenant", tenant, per_minute, f"the tenant has asked {per_minute:,} times within a minute")

    async def guess(self, address: str, per_minute: int) -> None:
        """Count a key that does not exist, by the address it came from.

        Raises:
            Problem: one too many within a minute.
        """
        await self._hit("guess", address, per_minute, "too many keys that are not valid came from this address")

    async def told(self) -> None:
        """Count a signed word of the provider of the batch service.

        Raises:
            Problem: one too many within a minute.
        """
        most = BATCHES_TOLD_PER_MINUTE
        await self._hit("batches", "provider", most, f"the provider has told {most:,} things within a minute")

    async def _hit(self, what: str, who: str, per_minute: int, said: str) -> None:
        item = _PerMinute(per_minute)
        if await self._limiter.hit(item, what, who):
            return
        stats = await self._limiter.get_window_stats(item, what, who)
        wait_s = max(stats.reset_time - self._now_s(), _NOT_YET)
        raise Problem(429, "rate-limit", said, remedy="ask more slowly", headers=retry_after(wait_s))
