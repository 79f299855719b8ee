"""An endpoint without a network, and gateways over it: what retries, routes and limits do, on a clock that jumps."""

import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import anyio

from orchestrator.adapters.memory.limiter import MemoryLimiter
from orchestrator.models.breaker import Breaker
from orchestrator.models.gateway import Gateway
from orchestrator.models.retry import Backoff
from orchestrator.models.routes import FREE, Line, OwnPrice, Route
from orchestrator.ports.endpoint import ChatReply, ChatRequest, Usage
from orchestrator.ports.limiter import Limiter, Rates
from orchestrator.ports.model import Message, Prompt
from orchestrator.ports.model_errors import ModelError
from orchestrator.ports.prices import ModelPrice

DEAR = OwnPrice(version="settings", input=10.0, output=20.0, cached=1.0)


def reply(text: str = "yes", tokens_in: int = 10, tokens_out: int = 5) -> ChatReply:
    """A whole answer."""
    return ChatReply(text=text, finish="stop", usage=Usage(tokens_in=tokens_in, tokens_out=tokens_out))


Turn = ChatReply | ModelError | float  #: a float: that many seconds of silence, then the next turn


@dataclass(slots=True)
class FakeEndpoint:
    """Takes one turn per request, then goes on with `after`."""

    turns: list[Turn] = field(default_factory=list)
    after: Turn = field(default_factory=reply)
    asked: list[ChatRequest] = field(default_factory=list)
    asked_at: list[float] = field(default_factory=list)
    in_flight: int = 0
    most_in_flight: int = 0
    closed: bool = False

    async def ask(self, request: ChatRequest, on_text: Callable[[str], None]) -> ChatReply:
        self.asked.append(request)
        self.asked_at.append(anyio.current_time())
        self.in_flight += 1
        self.most_in_flight = max(self.most_in_flight, self.in_flight)
        try:
            return await self._turn(on_text)
        finally:
            self.in_flight -= 1

    async def _turn(self, on_text: Callable[[str], None]) -> ChatReply:
        turn = self.turns.pop(0) if self.turns else self.after
        while isinstance(turn, float):
            await anyio.sleep(turn)
            turn = self.turns.pop(0) if self.turns else reply()
        if isinstance(turn, ModelError):
            raise turn
        on_text(turn.text)
        return turn

    async def aclose(self) -> None:
        self.closed = True


def gateway(
    *endpoints: FakeEndpoint,
    tries: int = 4,
    price: ModelPrice | None = FREE,
    rates: Mapping[str, Rates] | None = None,
    concurrency: int = 100,
    attempt_s: float | None = None,
    failures_to_open: int = 5,
    limiter: Limiter | None = None,
) -> Gateway:
    """A gateway whose tier `standard` goes to the endpoints `e0`, `e1`, … in this order, with models `m0`, `m1`, …."""
    routes = tuple(
        Route(
            line=Line(
                name=f"e{number}",
                endpoint=endpoint,
                breaker=Breaker(failures_to_open, 30.0, anyio.current_time),
                permits=anyio.Semaphore(concurrency),
                attempt_s=attempt_s,
            ),
            model=f"m{number}",
            price=lambda: price,
        )
        for number, endpoint in enumerate(endpoints)
    )
    return Gateway(
        {"standard": routes},
        limiter or MemoryLimiter(rates or {}),
        tries=tries,
        backoff=Backoff(first_s=1.0, most_s=20.0),
        chance=random.Random(7),
        closers=tuple(endpoint.aclose for endpoint in endpoints),
    )


def prompt(text: str = "why?", deadline_s: float = 120.0, tokens_max: int = 100) -> Prompt:
    """A short question."""
    messages = (Message(role="user", content=text),)
    return Prompt(tier="standard", messages=messages, deadline_s=deadline_s, tokens_max=tokens_max)
