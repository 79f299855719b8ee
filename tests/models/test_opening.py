"""From settings and environment to a gateway; what cannot work is refused before anything is sent."""

from collections.abc import Callable
from typing import Any

import pytest
from pydantic import ValidationError

from orchestrator.adapters.memory.limiter import MemoryLimiter
from orchestrator.adapters.prices import GenaiPrices
from orchestrator.errors import PromiseError
from orchestrator.models.gateway import Gateway
from orchestrator.models.opening import address_of, open_gateway, rates_of, tiers_of
from orchestrator.ports.limiter import Rates
from orchestrator.settings import EndpointSettings, GatewaySettings, ModelSettings, PriceSettings, Settings
from tests.models.fakes import FakeEndpoint

pytestmark = pytest.mark.anyio

OPENAI = "https://api.openai.com/v1"
KEY = {"OPENAI_API_KEY": "sk-secret"}


@pytest.fixture
def opened() -> Callable[..., list[tuple[str, str | None]]]:
    def opened(environment: dict[str, str] | None = None, **settings: Any) -> list[tuple[str, str | None]]:
        """Addresses and keys that a gateway connects to."""
        seen: list[tuple[str, str | None]] = []

        def connect(address: str, key: str | None, _settings: EndpointSettings) -> FakeEndpoint:
            seen.append((address, key))
            return FakeEndpoint()

        found = open_gateway(
            GatewaySettings(**settings),
            connect=connect,
            limiter=MemoryLimiter({}),
            prices=GenaiPrices(),
            environment=KEY if environment is None else environment,
        )
        assert isinstance(found, Gateway)
        return seen

    return opened


Opened = Callable[..., list[tuple[str, str | None]]]


async def test_a_key_alone_is_enough(opened: Opened) -> None:
    assert opened() == [(OPENAI, "sk-secret")]
    assert {tier: [one.model for one in models] for tier, models in tiers_of(GatewaySettings(), {}).items()} == {
        "cheap": ["gpt-5-nano"],
        "standard": ["gpt-5-mini"],
        "strong": ["gpt-5"],
    }


async def test_no_key_is_said_at_once(opened: Opened) -> None:
    with pytest.raises(PromiseError, match="OPENAI_API_KEY is not set; set OPENAI_API_KEY"):
        opened({})


@pytest.mark.parametrize("key", ["sk-a\nsk-b", "sk a", "schlüssel", "\x00"])
async def test_what_cannot_be_a_key_is_refused_without_being_shown(opened: Opened, key: str) -> None:
    with pytest.raises(PromiseError, match="OPENAI_API_KEY holds something that is no key") as raised:
        opened({"OPENAI_API_KEY": key})

    assert key not in str(raised.value)


async def test_the_end_of_a_line_is_no_part_of_a_key(opened: Opened) -> None:
    assert opened({"OPENAI_API_KEY": "sk-secret\n"}) == [(OPENAI, "sk-secret")]


async def test_another_endpoint_wants_models_named(opened: Opened) -> None:
    elsewhere = {**KEY, "OPENAI_BASE_URL": "https://models.example/v1/"}

    with pytest.raises(PromiseError, match="no model is named; name a model per tier"):
        opened(elsewhere)
    assert opened(elsewhere, tiers={"cheap": {"model": "m", "free": True}}) == [
        ("https://models.example/v1", "sk-secret")
    ]


async def test_a_server_of_ones_own_machine_needs_no_key(opened: Opened) -> None:
    own = {"default": {"base_url": "http://127.0.0.1:8080/v1"}}

    assert opened({}, endpoints=own, tiers={"cheap": {"model": "m", "free": True}}) == [
        ("http://127.0.0.1:8080/v1", None)
    ]


async def test_a_setting_of_its_own_wins_over_the_environment() -> None:
    environment = {"OPENAI_BASE_URL": "https://other.example/v1"}

    assert address_of(EndpointSettings(base_url="https://mine.example/v1"), environment) == "https://mine.example/v1"
    assert address_of(EndpointSettings(), environment) == "https://other.example/v1"
    assert address_of(EndpointSettings(), {}) == OPENAI


@pytest.mark.parametrize("address", ["ftp://x/v1", "/v1", "https://"])
async def test_an_address_that_is_none_is_refused(opened: Opened, address: str) -> None:
    with pytest.raises(PromiseError, match="no http address"):
        opened(endpoints={"default": {"base_url": address}}, tiers={"cheap": {"model": "m", "free": True}})


async def test_a_model_without_a_price_is_refused_until_the_settings_say_what_it_costs(opened: Opened) -> None:
    with pytest.raises(PromiseError, match="nobody knows what the model 'secret-model' costs"):
        opened(tiers={"cheap": "secret-model"})
    opened(tiers={"cheap": {"model": "secret-model", "free": True}})
    opened(tiers={"cheap": {"model": "secret-model", "price": {"input": 1, "output": 2}}})


async def test_endpoints_are_connected_once_and_only_where_used(opened: Opened) -> None:
    endpoints = {name: {"base_url": f"https://{name}.example/v1", "provider": "openai"} for name in ("a", "b", "c")}

    found = opened(endpoints=endpoints, tiers={"cheap": ["gpt-5@a", "gpt-5-mini@b"], "strong": "gpt-5@a"})

    assert [address for address, _ in found] == ["https://a.example/v1", "https://b.example/v1"]


def test_an_endpoint_that_is_not_configured_is_refused() -> None:
    with pytest.raises(ValidationError, match="names the endpoint 'nowhere', which is not configured"):
        GatewaySettings(tiers={"cheap": "m@nowhere"})  # type: ignore[dict-item]  # the short form is for files
    with pytest.raises(ValidationError, match="names no model"):
        GatewaySettings(tiers={"cheap": ()})


def test_settings_are_read_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ORCHESTRATOR_MODELS__TIERS__CHEAP", "small@own")
    monkeypatch.setenv("ORCHESTRATOR_MODELS__TIERS__STRONG", '[{"model": "large", "free": true}, "small@own"]')
    monkeypatch.setenv("ORCHESTRATOR_MODELS__ENDPOINTS__OWN", '{"requests_per_minute": 9, "concurrency": 2}')
    monkeypatch.setenv("ORCHESTRATOR_MODELS__TRIES", "2")

    found = Settings().models

    small = ModelSettings(model="small", endpoint="own")
    assert found == GatewaySettings(
        endpoints={"own": EndpointSettings(requests_per_minute=9, concurrency=2)},
        tiers={"cheap": (small,), "strong": (ModelSettings(model="large", free=True), small)},
        tries=2,
    )
    assert rates_of(found) == {"own": Rates(requests_per_minute=9)}


def test_a_setting_with_a_typing_error_is_refused() -> None:
    with pytest.raises(ValidationError, match="Extra inputs"):
        EndpointSettings(request_per_minute=9)  # type: ignore[call-arg]


def test_settings_hold_names_of_keys_and_no_keys() -> None:
    assert "sk-" not in repr(GatewaySettings(endpoints={"a": EndpointSettings()}))


def test_prices_are_those_of_the_table_cached_tokens_included() -> None:
    found = GenaiPrices().price_of("gpt-5-mini", "openai", None)

    assert found is not None
    assert found.version.startswith("genai-prices ")
    assert found.usd(1_000, 200, 400) == pytest.approx(0.00056)  # as the table itself works it out


def test_straight_prices_are_what_the_table_works_out() -> None:
    from genai_prices import Usage
    from genai_prices.data import providers

    from orchestrator.adapters.prices import LinearPrice

    table, straight = GenaiPrices(), 0
    for provider in providers:
        for model in provider.models:
            price = table.price_of(model.id, provider.id, None)
            if isinstance(price, LinearPrice):
                usage = Usage(input_tokens=1_000, output_tokens=200, cache_read_tokens=400)
                assert price.usd(1_000, 200, 400) == pytest.approx(float(model.calc_price(usage, provider).total_price))
                straight += 1
    assert straight > 1_000


def test_a_price_with_steps_is_worked_out_by_the_table() -> None:
    found = GenaiPrices().price_of("gemini-2.5-pro", "google", None)

    assert found is not None
    assert found.usd(300_000, 0) > 2 * found.usd(150_000, 0)


def test_an_unknown_model_has_no_price() -> None:
    assert GenaiPrices().price_of("no-such-model", "openai", None) is None
    assert GenaiPrices().price_of("gpt-5", None, "http://127.0.0.1:1/v1") is None


def test_a_price_of_ones_own() -> None:
    from orchestrator.models.routes import own_price

    given = own_price(ModelSettings(model="m", price=PriceSettings(input=2.0, output=8.0)))

    assert given is not None
    assert (given.version, given.usd(1_000_000, 500_000, 1_000_000)) == ("settings", 6.0)
