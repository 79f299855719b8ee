"""Thumbs over HTTP: each person has one, sees it again, and changes it; the rest of the tenant is told as counts."""

import pytest

from tests.service.http.house import house, until_ended

pytestmark = pytest.mark.anyio


async def test_a_thumb_is_shown_again_to_whoever_gave_it_and_counted_for_the_tenant() -> None:
    async with house() as home:
        second = await home.key("acme", "read", "run")
        async with home.client() as first, home.client(key=second) as other, home.client("other") as stranger:
            run = (await first.post("/v1/runs", json={"plan": "double"})).json()["id"]
            place = f"/v1/runs/{run}/thumbs"
            await until_ended(first, run)
            nobody = {"id": run, "value": None, "reason": "", "up": 0, "down": 0}
            assert (await first.get(place)).json() == nobody
            assert (await first.post(place, json={"value": "up"})).json() == {"id": run, "value": "up", "new": True}
            assert (await first.get(place)).json() == {**nobody, "value": "up", "up": 1}
            assert (await other.get(place)).json() == {**nobody, "up": 1}, "another key has said nothing yet"
            assert (await first.post(place, json={"value": "down", "reason": "no source"})).status_code == 200
            assert (await other.post(place, json={"value": "up", "by": "ann"})).status_code == 200
            assert (await first.get(place)).json() == {
                **nobody, "value": "down", "reason": "no source", "up": 1, "down": 1,
            }  # fmt: skip
            assert (await other.get(f"{place}?by=ann")).json() == {**nobody, "value": "up", "up": 1, "down": 1}
            assert (await first.get(f"{place}?by=ann")).json()["value"] is None, "each key has an ann of its own"
            assert (await stranger.get(place)).status_code == 404
            assert (await home.client(key=await home.key("acme", "run")).get(place)).status_code == 403


async def test_a_run_that_is_open_has_no_thumbs() -> None:
    async with house() as home, home.client() as client:
        run = (await client.post("/v1/runs", json={"plan": "gated"})).json()["id"]
        told = (await client.get(f"/v1/runs/{run}/thumbs")).json()
        assert told == {"id": run, "value": None, "reason": "", "up": 0, "down": 0}
