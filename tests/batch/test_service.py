"""The client of the service: a group is found by its key, or nobody knows of it; it is never taken for new then."""

import pytest

from benchmarks.cost.batch import work
from benchmarks.cost.batch.stand_in import Service, serving
from orchestrator.adapters.openai import batches
from orchestrator.adapters.openai.batches import OpenAIBatches
from orchestrator.ports.model_errors import ModelUnavailable
from orchestrator.testing.batches_contract import item

pytestmark = [pytest.mark.anyio, pytest.mark.parametrize("anyio_backend", ["asyncio"])]


async def test_a_group_is_found_by_its_key_and_one_beyond_the_newest_is_not_handed_over_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with serving(Service()) as service:
        endpoint = work.settings(service.url, "memory:").models.endpoints["default"]
        client = OpenAIBatches(service.url, None, endpoint)
        made = {key: await client.submit(key, [item(key)]) for key in ("a", "b", "c")}
        assert {key: await client.find(key, 0.0) for key in made} == made
        assert await client.find("d", 0.0) == ""
        monkeypatch.setattr(batches, "LOOKED_AT_MAX", 2)
        assert await client.find("c", 0.0) == made["c"]
        with pytest.raises(ModelUnavailable, match="not among the newest 2 batches"):
            await client.find("a", 0.0)
        assert await client.find("a", 1e10) == ""  # all are older than it could be
        await client.aclose()
