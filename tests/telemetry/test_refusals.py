"""Requests that a process sends away are in its metrics, by reason: no journal could tell of them."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace

import httpx2
import pytest

from orchestrator.ports.keys import Caps
from orchestrator.service.http.app import make_app
from orchestrator.service.http.limits import Limits
from orchestrator.service.http.metrics import opener
from orchestrator.service.http.problems import TITLES
from orchestrator.service.http.refusals import REASONS
from orchestrator.service.metrics import station
from tests.service.http.house import House, house
from tests.telemetry.test_metrics import exported

pytestmark = pytest.mark.anyio
NONE = dict.fromkeys(REASONS, 0.0)


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(autouse=True)
def always_fresh(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(station, "FRESH_S", 0.0)


@asynccontextmanager
async def counting(limits: Limits | None = None) -> AsyncIterator[House]:
    """A house whose application counts what it refuses."""
    async with house(limits=limits) as made, opener(made.service, made.engine) as parts:
        made.app = make_app(replace(made.service, parts=parts))
        yield made


async def refused(client: httpx2.AsyncClient) -> dict[str, float]:
    """Reasons that were counted."""
    told = exported((await client.get("/metrics")).text)["refusals_total"]
    return {reason: value for (reason,), value in told.items() if value}


async def test_every_reason_is_there_from_the_beginning_as_zero() -> None:
    async with counting() as made, made.client() as client:
        text = (await client.get("/metrics")).text
    assert exported(text)["refusals_total"] == {(reason,): 0.0 for reason in NONE}
    assert set(REASONS) <= set(TITLES)


async def test_a_process_without_a_free_seat_counts_whom_it_sends_away() -> None:
    async with counting(Limits(requests_at_once=0)) as made, made.client() as client:
        answers = [(await client.get("/v1/runs")).status_code for _ in range(3)]
        assert answers == [503] * 3
        assert await refused(client) == {"overloaded": 3.0}


async def test_a_full_queue_and_a_cap_and_a_rate_are_counted_apart() -> None:
    async with counting(Limits(queue_depth=1)) as made:
        async with made.client() as client:
            assert (await client.post("/v1/runs", json={"plan": "gated"})).status_code == 202
            assert (await client.post("/v1/runs", json={"plan": "gated"})).status_code == 429
            assert await refused(client) == {"queue-full": 1.0}
        slow = await made.key("other", caps=Caps(requests_per_minute=1))
        async with made.client(key=slow) as client:
            codes = [(await client.get("/v1/runs")).status_code for _ in range(4)]
        assert set(codes) <= {200, 429}
        async with made.client() as client:
            assert await refused(client) == {"queue-full": 1.0, "rate-limit": float(codes.count(429))}
        assert codes.count(429) >= 1


async def test_what_is_wrong_with_a_request_is_no_refusal() -> None:
    async with counting() as made, made.client() as client:
        assert (await client.get("/v1/runs/none")).status_code == 404
        assert (await client.post("/v1/runs", json={"plan": "no such"})).status_code in {404, 422}
        async with made.client(None) as stranger:
            assert (await stranger.get("/v1/runs")).status_code == 401
        assert await refused(client) == {}
