"""Two gateways of one fleet keep one endpoint's rates together, through a real server."""

import anyio
import pytest

from orchestrator.app import open_models
from orchestrator.ports.model import Message, Prompt
from orchestrator.ports.model_errors import ModelRateLimited
from orchestrator.settings import EndpointSettings, GatewaySettings, ModelSettings, Settings
from orchestrator.testing.purse import Purse
from tests.models.faulty_endpoint import FaultyEndpoint
from tests.servers.redis import redis_server

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    """Real sockets."""
    return "asyncio"


async def test_the_rates_of_an_endpoint_hold_over_the_fleet() -> None:
    asked = Prompt(tier="cheap", messages=(Message(role="user", content="x"),), deadline_s=15.0)
    with redis_server("valkey") as server:
        async with FaultyEndpoint() as endpoint:
            here = EndpointSettings(base_url=endpoint.url, api_key_env="", requests_per_minute=3)
            tier = (ModelSettings(model="m", endpoint="here", free=True),)
            settings = Settings(
                transport=server.url, models=GatewaySettings(endpoints={"here": here}, tiers={"cheap": tier}, tries=1)
            )
            async with open_models(settings) as one, open_models(settings) as other:
                async with anyio.create_task_group() as group:
                    group.start_soon(one.complete, asked, Purse())
                    group.start_soon(other.complete, asked, Purse())
                    group.start_soon(one.complete, asked, Purse())
                for models in (one, other):
                    with pytest.raises(ModelRateLimited, match="comes after the deadline") as raised:
                        await models.complete(asked, Purse())
                    assert 15.0 < (raised.value.retry_after_s or 0.0) <= 20.0
            assert len(endpoint.ledger) == 3
