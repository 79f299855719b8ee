"""A limiter of one process: a bucket per endpoint and rate, which may be in debt to slots that lie ahead."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from itertools import count

import anyio

from orchestrator.ports.limiter import Rates, Slot

_MINUTE_S = 60.0
_TICK_S = 1e-6  #: a sleep may end this much early where floats are rounded


@dataclass(slots=True)
class _Bucket:
    """Fills evenly up to a minute's worth. Below zero, the debt is the time that the next one waits."""

    per_minute: float
    level: float
    at_s: float  #: when `level` was true; ahead of now while the endpoint cools down

    def fill(self, now_s: float) -> None:
        if now_s > self.at_s:
            self.level = min(self.per_minute, self.level + (now_s - self.at_s) * self.per_minute / _MINUTE_S)
            self.at_s = now_s

    def wait_s(self, now_s: float) -> float:
        return max(self.at_s - now_s, 0.0) + max(-self.level, 0.0) * _MINUTE_S / self.per_minute


@dataclass(slots=True)
class _Taken:
    endpoint: str
    tokens: int
    due_s: float
    started: bool = False


@dataclass(slots=True)
class _Gate:
    requests: _Bucket | None
    tokens: _Bucket | None
    cool_until_s: float = 0.0
    taken: dict[str, _Taken] = field(default_factory=dict)

    def take(self, tokens: int, now_s: float) -> float:
        """Take from both buckets; return when the call may begin."""
        wait_s = max(self.cool_until_s - now_s, 0.0)
        for bucket, amount in ((self.requests, 1), (self.tokens, tokens)):
            if bucket is not None:
                bucket.fill(now_s)
                bucket.level -= amount
                wait_s = max(wait_s, bucket.wait_s(now_s))
        return now_s + wait_s

    def give_back(self, requests: int, tokens: int, now_s: float) -> None:
        for bucket, amount in ((self.requests, requests), (self.tokens, tokens)):
            if bucket is not None:
                bucket.fill(now_s)
                bucket.level = min(bucket.per_minute, bucket.level + amount)

    def empty_until(self, until_s: float, now_s: float) -> None:
        """Fill from then on: a full minute at once is what the endpoint just complained about."""
        for bucket in (self.requests, self.tokens):
            if bucket is not None:
                bucket.fill(now_s)
                bucket.level, bucket.at_s = min(bucket.level, 0.0), until_s


class MemoryLimiter:
    """Keeps the rates of endpoints named in `rates`. The reference for limiters that more than one process shares."""

    def __init__(self, rates: Mapping[str, Rates], now_s: Callable[[], float] = anyio.current_time) -> None:
        self._rates, self._now_s = dict(rates), now_s
        self._gates: dict[str, _Gate] = {}
        self._tickets = count(1)

    async def reserve(self, endpoint: str, tokens: int) -> Slot:
        now_s = self._now_s()
        gate = self._gate(endpoint, now_s)
        ticket = f"{endpoint}#{next(self._tickets)}"
        due_s = gate.take(tokens, now_s)
        gate.taken[ticket] = _Taken(endpoint, tokens, due_s)
        return Slot(ticket=ticket, wait_s=due_s - now_s)

    async def start(self, slot: Slot) -> Slot:
        now_s = self._now_s()
        gate, taken = self._find(slot)
        if gate is None or taken is None:
            return Slot(ticket=slot.ticket, wait_s=0.0)
        taken.started = taken.due_s - now_s < _TICK_S
        return Slot(ticket=slot.ticket, wait_s=0.0 if taken.started else taken.due_s - now_s)

    async def settle(self, slot: Slot, tokens: int, *, sent: bool = True) -> None:
        gate, taken = self._find(slot)
        if gate is not None and taken is not None:
            del gate.taken[slot.ticket]
            gate.give_back(0 if sent else 1, taken.tokens - (tokens if sent else 0), self._now_s())

    async def cool_down(self, endpoint: str, seconds: float) -> None:
        now_s = self._now_s()
        gate = self._gate(endpoint, now_s)
        if now_s + seconds <= gate.cool_until_s:
            return
        gate.cool_until_s = now_s + seconds
        waiting = sorted((taken for taken in gate.taken.values() if not taken.started), key=lambda taken: taken.due_s)
        for taken in waiting:
            gate.give_back(1, taken.tokens, now_s)
        gate.empty_until(gate.cool_until_s, now_s)
        for taken in waiting:
            taken.due_s = gate.take(taken.tokens, now_s)

    def _find(self, slot: Slot) -> tuple[_Gate | None, _Taken | None]:
        gate = self._gates.get(slot.ticket.rpartition("#")[0])
        return gate, None if gate is None else gate.taken.get(slot.ticket)

    def _gate(self, endpoint: str, now_s: float) -> _Gate:
        gate = self._gates.get(endpoint)
        if gate is None:
            rates = self._rates.get(endpoint, Rates())
            gate = _Gate(_bucket(rates.requests_per_minute, now_s), _bucket(rates.tokens_per_minute, now_s))
            self._gates[endpoint] = gate
        return gate


def _bucket(per_minute: int | None, now_s: float) -> _Bucket | None:
    return None if per_minute is None else _Bucket(float(per_minute), float(per_minute), now_s)
