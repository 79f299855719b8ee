"""The model that workers ask in a storm: it has a price and a rate, fails now and then, and keeps the bills."""

import asyncio
import time
from dataclasses import dataclass
from decimal import Decimal

from tests.models.faulty_endpoint import USD_CACHED, USD_IN, USD_OUT, Exchange, FaultyEndpoint

PRICE = {"input": float(USD_IN), "cached": float(USD_CACHED), "output": float(USD_OUT)}
REQUESTS_PER_MINUTE = 30  #: of the whole fleet; the tenants would ask more often
FAILS = 0.1  #: of the calls
WINDOW_S = 60.0


@dataclass(frozen=True)
class Asked:
    """One request that reached the model."""

    at_s: float
    run: str  #: empty: the service asked for the summary of a conversation, which is booked there
    usd: Decimal  #: billed
    tokens: int


class BillingModel(FaultyEndpoint):
    """Answers, late and not always."""

    def __init__(self, seed: int) -> None:
        super().__init__()
        self.set(self._say, seed)
        self._arrived_s: list[float] = []

    async def _say(self, exchange: Exchange) -> None:
        self._arrived_s.append(time.time())
        await asyncio.sleep(exchange.chance.uniform(0.05, 0.5))
        if exchange.chance.random() < FAILS:
            await exchange.error(503)
        else:
            await exchange.answer("said")

    @property
    def asked(self) -> list[Asked]:
        """Every request; the prompt's first word is the run."""
        return [
            Asked(at_s, _run(entry.body["messages"]), entry.usd, entry.tokens)
            for at_s, entry in zip(self._arrived_s, self.ledger, strict=True)
        ]


def _run(messages: list[dict[str, str]]) -> str:
    words = [message["content"].split(" ") for message in messages if message["role"] == "user"]
    return next((first for first, *more in words if len(more) == 1), "")


def most_in_a_window(asked: list[Asked], forgotten_s: list[float]) -> list[str]:
    """Windows with more calls than the rate lets through: a full bucket and its filling, and one more whenever the
    server that keeps it had forgotten everything meanwhile."""
    times = sorted(one.at_s for one in asked)
    found, last = [], 0
    for first, begin_s in enumerate(times):
        while last < len(times) and times[last] < begin_s + WINDOW_S:
            last += 1
        forgot = sum(begin_s - WINDOW_S <= at_s < begin_s + WINDOW_S for at_s in forgotten_s)
        most = REQUESTS_PER_MINUTE * (2 + forgot)
        if last - first > most:
            found.append(f"the model was asked {last - first} times in a minute from {begin_s:.3f}, {most} may be")
    return found
