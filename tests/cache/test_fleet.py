"""In a fleet the worker looks, and offers; the owner keeps what passed, on the server that both share."""

import anyio
import pytest

from orchestrator import Engine, Succeeded
from orchestrator.core import facts as f
from orchestrator.fleet import open_worker
from orchestrator.plan.files import parse_plan
from orchestrator.settings import EndpointSettings, GatewaySettings, ModelSettings, PriceSettings, Settings
from tests.engine.helpers import facts_of
from tests.models.faulty_endpoint import FaultyEndpoint
from tests.servers.postgres import TEMPLATE, shared_server
from tests.servers.redis import redis_server

PLAN = parse_plan("""
version: 1
name: faq
steps:
  answer: {pool: desk, task: What is the fee?, model: {cache: exact}, checks: [{rule: len(output) > 0}]}
result: ${{ steps.answer.output }}
""")


@pytest.fixture
def store() -> str:
    """A database of this test alone; it is made by an event loop of its own."""
    return shared_server().database(TEMPLATE)


@pytest.mark.anyio
@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_what_one_process_was_told_another_serves(store: str) -> None:
    with redis_server("valkey") as server:
        async with FaultyEndpoint() as endpoint:
            here = EndpointSettings(base_url=endpoint.url, api_key_env="")
            price = PriceSettings(input=3, output=12, cached=0.5)
            tier = (ModelSettings(model="m", endpoint="here", price=price),)
            settings = Settings(
                store=store,
                transport=server.url,
                pools=("tests.cache.cache_pools",),
                models=GatewaySettings(endpoints={"here": here}, tiers={"standard": tier}, tries=1),
            )
            async with (
                Engine(settings, owns="leased") as engine,
                open_worker(settings, {"desk": None}) as worker,
                anyio.create_task_group() as group,
            ):
                worker.workers.open(group)
                with anyio.fail_after(60):
                    first = await engine.submit(PLAN)
                    told = await first.result()
                    assert engine.runs.offers is not None
                    await engine.runs.offers.settle()
                    second = await engine.submit(PLAN)
                    again = await second.result()
                (called,) = await facts_of(second, f.ModelCalled)
                group.cancel_scope.cancel()
            asked = len(endpoint.ledger)
    assert isinstance(told, Succeeded)
    assert isinstance(again, Succeeded)
    assert (asked, again.output, again.usage.usd) == (1, told.output, 0.0)
    assert (called.served, called.saved_cache_usd) == ("exact", told.usage.usd)
