"""From settings to a gateway: which endpoints, which models, which prices; what cannot work is refused here."""

import os
from collections.abc import Awaitable, Callable, Mapping
from typing import Final
from urllib.parse import urlsplit

import anyio

from orchestrator.errors import PromiseError
from orchestrator.models.breaker import Breaker
from orchestrator.models.gateway import Gateway
from orchestrator.models.retry import Backoff
from orchestrator.models.routes import Line, Route, own_price
from orchestrator.ports.endpoint import ModelEndpoint
from orchestrator.ports.limiter import Limiter, Rates
from orchestrator.ports.model import Tier
from orchestrator.ports.prices import ModelPrice, Prices
from orchestrator.settings import DEFAULT_ENDPOINT, EndpointSettings, GatewaySettings, ModelSettings

OPENAI_URL: Final = "https://api.openai.com/v1"
#: Used where the settings name no tiers and the endpoint is OpenAI's own.
OPENAI_TIERS: Final[Mapping[Tier, tuple[ModelSettings, ...]]] = {
    "cheap": (ModelSettings(model="gpt-5-nano"),),
    "standard": (ModelSettings(model="gpt-5-mini"),),
    "strong": (ModelSettings(model="gpt-5"),),
}
_TIERS_REMEDY: Final = "name a model per tier, such as ORCHESTRATOR_MODELS__TIERS__STANDARD=name"

EndpointFactory = Callable[[str, str | None, EndpointSettings], ModelEndpoint]  #: address, key, settings


def tiers_of(settings: GatewaySettings, environment: Mapping[str, str]) -> Mapping[Tier, tuple[ModelSettings, ...]]:
    """The models of each tier: those of the settings, or OpenAI's where nothing points elsewhere.

    Raises:
        PromiseError: no tier is named and the endpoint is not OpenAI's.
    """
    if settings.tiers:
        return settings.tiers
    if address_of(settings.endpoints.get(DEFAULT_ENDPOINT, EndpointSettings()), environment) != OPENAI_URL:
        raise PromiseError("the endpoint is not OpenAI's and no model is named", _TIERS_REMEDY)
    return OPENAI_TIERS


def address_of(endpoint: EndpointSettings, environment: Mapping[str, str]) -> str:
    """Where an endpoint is: its own setting, OPENAI_BASE_URL, or OpenAI's address."""
    return (endpoint.base_url or environment.get("OPENAI_BASE_URL") or OPENAI_URL).rstrip("/")


def rates_of(settings: GatewaySettings) -> dict[str, Rates]:
    """What a limiter keeps, by endpoint."""
    return {
        name: Rates(requests_per_minute=one.requests_per_minute, tokens_per_minute=one.tokens_per_minute)
        for name, one in settings.endpoints.items()
    }


def open_gateway(
    settings: GatewaySettings,
    *,
    connect: EndpointFactory,
    limiter: Limiter,
    prices: Prices,
    environment: Mapping[str, str] = os.environ,
    now_s: Callable[[], float] = anyio.current_time,
    closers: tuple[Callable[[], Awaitable[None]], ...] = (),
) -> Gateway:
    """A gateway over the endpoints that the tiers of `settings` use; nothing is sent yet. `closers` end with it.

    Raises:
        PromiseError: a key is missing, an address is none, or a model has no price.
    """
    tiers = tiers_of(settings, environment)
    lines: dict[str, Line] = {}
    routes: dict[Tier, tuple[Route, ...]] = {}
    for tier, models in tiers.items():
        found = []
        for model in models:
            endpoint = settings.endpoints.get(model.endpoint, EndpointSettings())
            address = address_of(endpoint, environment)
            price = _price(model, endpoint, address, prices)
            if model.endpoint not in lines:
                lines[model.endpoint] = Line(
                    name=model.endpoint,
                    endpoint=connect(
                        address, key_of_endpoint(model.endpoint, endpoint, address, environment), endpoint
                    ),
                    breaker=Breaker(settings.failures_to_open, settings.open_s, now_s),
                    # Fast: a free permit is taken without giving way to every other task first.
                    permits=anyio.Semaphore(endpoint.concurrency, fast_acquire=True),
                    attempt_s=endpoint.attempt_s,
                )
            found.append(
                Route(line=lines[model.endpoint], model=model.model, price=price, temperature=model.temperature)
            )
        routes[tier] = tuple(found)
    return Gateway(
        routes,
        limiter,
        tries=settings.tries,
        backoff=Backoff(first_s=settings.backoff_first_s, most_s=settings.backoff_most_s),
        unrouted=settings.routing.fallback,
        closers=(*(line.endpoint.aclose for line in lines.values()), *closers),
    )


def key_of_endpoint(name: str, endpoint: EndpointSettings, address: str, environment: Mapping[str, str]) -> str | None:
    """The key that an endpoint wants, from the environment; None where it wants none.

    Raises:
        PromiseError: the address is none, or a key is missing or is none.
    """
    parts = urlsplit(address)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise PromiseError(f"endpoint {name}: its base_url is no http address", "write it as https://host/v1")
    if not endpoint.api_key_env:
        return None
    key = environment.get(endpoint.api_key_env, "").strip()
    if not (key.isascii() and key.isprintable()) or " " in key:
        # Said here without the key; an HTTP library would quote it.
        raise PromiseError(
            f"{endpoint.api_key_env} holds something that is no key", "set it to the key alone: no spaces, one line"
        )
    if not key and parts.hostname not in ("127.0.0.1", "localhost", "::1"):
        raise PromiseError(
            f"endpoint {name} wants a key and {endpoint.api_key_env} is not set",
            f'set {endpoint.api_key_env}, or say api_key_env: "" where no key is needed',
        )
    return key or None


def _price(
    model: ModelSettings, endpoint: EndpointSettings, address: str, prices: Prices
) -> Callable[[], ModelPrice | None]:
    own = own_price(model)
    if own is not None:
        return lambda: own
    if prices.price_of(model.model, endpoint.provider, address) is None:
        raise PromiseError(
            f"nobody knows what the model {model.model!r} costs at endpoint {model.endpoint}",
            "give it a price (USD per million tokens), say whose it is with provider, or say free: true",
        )
    return lambda: prices.price_of(model.model, endpoint.provider, address)
