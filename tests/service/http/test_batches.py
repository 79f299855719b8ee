"""The provider's webhook over HTTP: signed or nothing, without a key, and not as often as one likes."""

from collections.abc import AsyncIterator
from dataclasses import replace

import anyio
import httpx2
import pytest

from orchestrator.app.batch import WEBHOOK_VARIABLE, Batches
from orchestrator.models.batch.lane import BatchLane
from orchestrator.service.http import rates
from orchestrator.service.http.app import make_app
from orchestrator.service.http.batches import NAME
from orchestrator.settings import Settings
from orchestrator.testing.scripted import ScriptedModel
from tests.batch.test_webhook import KEY, TOLD, Heard, signed
from tests.service.http.house import House, house

pytestmark = pytest.mark.anyio
WHERE = "/v1/batches/webhook"


def listening(home: House, lane: BatchLane | None, *, guesses: int = 1_000) -> httpx2.AsyncClient:
    """A client without a key of a service that has a lane."""
    batches = Batches(Settings(), ScriptedModel(), "o", environment={WEBHOOK_VARIABLE: KEY})
    batches._lane = lane
    limits = replace(home.service.limits, guesses_per_minute=guesses)
    app = make_app(replace(home.service, parts={NAME: batches}, limits=limits, rates=None))
    return httpx2.AsyncClient(transport=httpx2.ASGITransport(app=app), base_url="http://service")


@pytest.fixture
async def home() -> AsyncIterator[House]:
    async with house() as made:
        yield made


async def tell(client: httpx2.AsyncClient, payload: str, headers: dict[str, str]) -> httpx2.Response:
    return await client.post(WHERE, content=payload, headers={**headers, "content-type": "application/json"})


async def test_a_signed_word_wakes_whoever_waits_and_needs_no_key(home: House) -> None:
    lane = Heard()
    async with listening(home, lane) as provider:
        assert (await tell(provider, TOLD, signed(TOLD))).status_code == 204
        assert lane.count == 1
        changed = await tell(provider, TOLD.replace("batch_1", "batch_2"), signed(TOLD))
        old = await tell(provider, TOLD, signed(TOLD, age_s=600.0))
        bare = await tell(provider, TOLD, {})
        garbled = await tell(provider, TOLD, {**signed(TOLD), "webhook-signature": "v1"})
        assert [one.status_code for one in (changed, old, bare, garbled)] == [401] * 4
        assert {one.json()["type"] for one in (changed, old, bare, garbled)} == {
            "urn:hierarchical-orchestrator:unauthenticated"
        }
        assert KEY not in changed.text
        assert lane.count == 1


async def test_a_service_in_which_nobody_waits_takes_the_word_all_the_same(home: House) -> None:
    async with listening(home, None) as provider:
        assert (await tell(provider, TOLD, signed(TOLD))).status_code == 204


async def test_who_guesses_signatures_is_slowed_down_and_the_provider_is_not(home: House) -> None:
    lane = Heard()
    async with listening(home, lane, guesses=3) as provider:
        assert [(await tell(provider, TOLD, {})).status_code for _ in range(5)] == [401, 401, 401, 429, 429]
        assert (await tell(provider, TOLD, signed(TOLD))).status_code == 204


async def test_even_signed_words_have_a_limit(home: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rates, "BATCHES_TOLD_PER_MINUTE", 2)
    async with listening(home, Heard()) as provider:
        assert [(await tell(provider, TOLD, signed(TOLD))).status_code for _ in range(3)] == [204, 204, 429]


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_a_served_engine_has_the_route_by_itself(home: House, monkeypatch: pytest.MonkeyPatch) -> None:
    from orchestrator import Engine
    from orchestrator.service.http.batches import opener

    async with Engine(Settings(store="memory:"), pools=[]) as engine, opener(home.service, engine) as parts:
        assert isinstance(parts[NAME], Batches)
    await anyio.lowlevel.checkpoint()
