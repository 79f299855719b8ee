"""The limiter a fleet shares: the rates of an endpoint hold over all processes that ask the same server."""

import secrets
import time
from collections.abc import Callable, Mapping
from typing import Final, cast

from orchestrator.adapters.redis import scripts
from orchestrator.adapters.redis.limits import NAMESPACE
from orchestrator.adapters.redis.pace import Pace
from orchestrator.adapters.redis.wire import Argument, Wire
from orchestrator.errors import TransportError, TransportRefused
from orchestrator.ports.limiter import Limiter, Rates, Slot

PATIENCE_S: Final = 30.0  #: a server that is away is waited for so long; then the call fails and its step may retry
SLOT_KEEP_S: Final = 3600.0  #: a slot whose process died is forgotten so long after it was due


class RedisLimiter(Limiter):
    """`Limiter` over one server's clock. Every call names its slot, so a call without an answer can be made again."""

    def __init__(
        self,
        url: str,
        rates: Mapping[str, Rates],
        *,
        namespace: str = NAMESPACE,
        now_s: Callable[[], float] | None = None,
    ) -> None:
        """`now_s` is for tests; without it the server's clock counts, which is one for all."""
        self._wire = Wire(url, name="orchestrator-limiter")
        self._ns, self._rates, self._now_s = namespace, dict(rates), now_s

    async def reserve(self, endpoint: str, tokens: int) -> Slot:
        ticket = f"{endpoint}#{secrets.token_hex(8)}"
        return Slot(ticket=ticket, wait_s=await self._run("reserve", endpoint, ticket, tokens))

    async def start(self, slot: Slot) -> Slot:
        return Slot(ticket=slot.ticket, wait_s=await self._run("start", _endpoint(slot), slot.ticket))

    async def settle(self, slot: Slot, tokens: int, *, sent: bool = True) -> None:
        await self._run("settle", _endpoint(slot), slot.ticket, 0 if sent else 1, tokens if sent else 0)

    async def cool_down(self, endpoint: str, seconds: float) -> None:
        await self._run("cool", endpoint, repr(seconds))

    async def close(self) -> None:
        """Let go of the connection."""
        await self._wire.close()

    async def _run(self, operation: str, endpoint: str, *more: Argument) -> float:
        rates = self._rates.get(endpoint, Rates())
        words: tuple[Argument, ...] = (
            self._ns,
            operation,
            endpoint,
            "" if rates.requests_per_minute is None else rates.requests_per_minute,
            "" if rates.tokens_per_minute is None else rates.tokens_per_minute,
            "" if self._now_s is None else repr(self._now_s()),
            repr(SLOT_KEEP_S),
        )
        pace, until = Pace("the limits of models"), time.monotonic() + PATIENCE_S
        while True:
            try:
                answer = cast(bytes, await self._wire.run(scripts.LIMIT, *words, *more))
            except TransportError as error:
                if time.monotonic() > until or (isinstance(error, TransportRefused) and not error.passing):
                    raise
                await pace.wait(error)
            else:
                pace.well()
                return float(answer)


def _endpoint(slot: Slot) -> str:
    return slot.ticket.rpartition("#")[0]


__all__ = ["RedisLimiter"]
