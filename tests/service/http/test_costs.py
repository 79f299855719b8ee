"""GET /v1/costs: what a tenant's runs cost by any side, and nothing of another's."""

from collections.abc import AsyncIterator

import pytest

from tests.service.http.house import House, house, until_ended

pytestmark = pytest.mark.anyio


@pytest.fixture
async def home() -> AsyncIterator[House]:
    async with house() as made:
        yield made


async def test_costs_are_told_by_every_side_and_of_ones_own_runs_alone(home: House) -> None:
    async with home.client() as acme, home.client("other") as stranger:
        run = (await acme.post("/v1/runs", json={"plan": "paid"})).json()["id"]
        await until_ended(acme, run)
        by_side = {}
        for side in ("plan", "run", "step", "model", "pool", "tenant", "day"):
            told = (await acme.get("/v1/costs", params={"by": side})).json()
            by_side[side] = {row["name"] for row in told["rows"]}
            assert sum(row["usd"] for row in told["rows"]) == told["total"]["usd"] > 0
            assert told["total"]["without_usd"] == told["total"]["usd"]
            assert (told["by"], told["runs"], told["whole"], told["alarms"]) == (side, 1, True, [])
        assert (by_side["plan"], by_side["run"], by_side["model"]) == ({"paid"}, {run}, {"(no model)"})
        theirs = (await stranger.get("/v1/costs")).json()
        assert (theirs["runs"], theirs["rows"], theirs["total"]["usd"]) == (0, [], 0.0)
        assert (await acme.get("/v1/costs", params={"since": 4e9})).json()["runs"] == 0
        assert (await acme.get("/v1/costs", params={"by": "weather"})).status_code in (400, 422)
