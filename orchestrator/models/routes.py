"""Where a question can go: lines to endpoints with their state, and the models of a tier behind them."""

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import anyio

from orchestrator.models.breaker import Breaker
from orchestrator.models.retry import RetryCredit
from orchestrator.ports.endpoint import ModelEndpoint
from orchestrator.ports.prices import ModelPrice
from orchestrator.settings import ModelSettings, PriceSettings


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnPrice:
    """A price from the settings, or none at all for a model that is free."""

    version: str = ""
    input: float = 0.0
    output: float = 0.0
    cached: float = 0.0

    def usd(self, tokens_in: int, tokens_out: int, tokens_cached: int = 0) -> float:
        """What so many tokens cost, in USD."""
        fresh = tokens_in - tokens_cached
        return (self.input * fresh + self.cached * tokens_cached + self.output * tokens_out) / 1_000_000


FREE = OwnPrice()


def own_price(model: ModelSettings) -> OwnPrice | None:
    """The price that the settings of a model say, if they say one."""
    if model.free:
        return FREE
    given: PriceSettings | None = model.price
    if given is None:
        return None
    cached = given.input if given.cached is None else given.cached
    return OwnPrice(version="settings", input=given.input, output=given.output, cached=cached)


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One endpoint with what is known of its health; shared by all models behind it."""

    name: str
    endpoint: ModelEndpoint
    breaker: Breaker
    permits: anyio.Semaphore  #: calls in flight
    attempt_s: float | None = None  #: longest single try
    credit: RetryCredit = field(default_factory=RetryCredit)


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """One model at one endpoint."""

    line: Line
    model: str
    price: Callable[[], ModelPrice | None]  #: looked up per try, and fixed for it
    temperature: float | None = None


Tried = Counter[tuple[str, str]]


def key_of(route: Route) -> tuple[str, str]:
    """What tells routes apart."""
    return route.line.name, route.model


def next_route(
    routes: tuple[Route, ...], tried: Mapping[tuple[str, str], int], given_up: set[tuple[str, str]]
) -> Route | None:
    """The route to try now: least tried, then in the order of the settings; open circuits and dead ends left out."""
    able = [route for route in routes if key_of(route) not in given_up and route.line.breaker.lets_through]
    return min(able, key=lambda route: tried.get(key_of(route), 0), default=None)
