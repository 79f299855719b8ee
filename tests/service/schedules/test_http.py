"""Schedules over HTTP: made, looked at, paused, deleted; another tenant's are not there; a real service starts them."""

import re
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import anyio
import httpx2
import pytest

from orchestrator.adapters.clock import SystemClock
from orchestrator.ports.keys import Caps
from orchestrator.service.http.app import make_app
from orchestrator.service.http.schedules import opener
from orchestrator.service.schedules.timetable import Timetable
from tests.service.http.house import House, house, until
from tests.service.webhooks.served import Served

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    """Sockets and processes are at work."""
    return "asyncio"


@asynccontextmanager
async def shop() -> AsyncIterator[House]:
    async with house() as made, opener(made.service, made.engine) as parts:
        service = replace(made.service, parts=parts)
        yield replace(made, service=service, app=make_app(service))


@pytest.fixture
async def home() -> AsyncIterator[House]:
    async with shop() as made:
        yield made


async def test_a_schedule_is_made_looked_at_paused_and_deleted(home: House) -> None:
    body = {"plan": "double", "inputs": {"n": 4}, "cron": "0 7 * * MON-FRI", "zone": "Europe/Berlin", "name": "early"}
    async with home.client() as client:
        made = await client.post("/v1/schedules", json=body)
        told = made.json()
        name = told["id"]
        assert (made.status_code, {**told, "id": "", "next": 0, "created_at": 0}) == (
            201,
            {
                "id": "",
                "name": "early",
                "plan": "double",
                "cron": "0 7 * * MON-FRI",
                "zone": "Europe/Berlin",
                "at": None,
                "lane": "normal",
                "missed": "last",
                "missed_max": 10,
                "state": "active",
                "next": 0,
                "last": None,
                "last_run": None,
                "note": "",
                "created_at": 0,
            },
        )
        coming = datetime.fromtimestamp(told["next"], UTC)
        assert (coming.weekday() < 5, coming.hour in {5, 6}, coming.minute) == (True, True, 0)
        assert (await client.get(f"/v1/schedules/{name}")).json() == told
        assert (await client.get("/v1/schedules")).json() == {"schedules": [told]}
        paused = (await client.post(f"/v1/schedules/{name}/pause")).json()
        assert paused == {**told, "state": "paused", "next": None}
        assert (await client.post(f"/v1/schedules/{name}/pause")).json() == paused
        assert (await client.post(f"/v1/schedules/{name}/resume")).json() == told
        assert (await client.delete(f"/v1/schedules/{name}")).status_code == 204
        assert (await client.delete(f"/v1/schedules/{name}")).status_code == 404


async def test_what_is_another_tenants_is_not_there(home: House) -> None:
    async with home.client() as mine, home.client("other") as theirs:
        name = (await mine.post("/v1/schedules", json={"plan": "double", "cron": "0 7 * * *"})).json()["id"]
        probes = [
            await theirs.get(f"/v1/schedules/{name}"),
            await theirs.post(f"/v1/schedules/{name}/pause"),
            await theirs.post(f"/v1/schedules/{name}/resume"),
            await theirs.delete(f"/v1/schedules/{name}"),
        ]

        assert [one.status_code for one in probes] == [404] * 4
        assert (await theirs.get("/v1/schedules")).json() == {"schedules": []}
        assert (await mine.get(f"/v1/schedules/{name}")).json()["state"] == "active"


@pytest.mark.parametrize(
    "body",
    [
        {"plan": "double"},
        {"plan": "double", "cron": "0 7 * * *", "at": "2030-01-01T00:00:00Z"},
        {"plan": "double", "cron": "0 7 * *"},
        {"plan": "double", "cron": "0 0 31 2 *"},
        {"plan": "double", "cron": "0 7 * * *", "zone": "Mars/Olympus"},
        {"plan": "double", "cron": "0 7 * * *", "zone": "localtime"},
        {"plan": "double", "cron": "0 7 * * *", "zone": "right/UTC"},
        {"plan": "double", "cron": "0 7 * * *", "zone": "America"},
        {"plan": "double", "at": "2030-01-01T00:00:00"},
        {"plan": "double", "at": "0001-01-01T00:00:00+14:00"},
        {"plan": "double", "cron": "0 7 * * *", "missed": "some"},
        {"plan": "double", "cron": "0 7 * * *", "inputs": {"n": "four"}},
        {"plan": "none", "cron": "0 7 * * *"},
        {"plan": {"name": "x", "steps": {}}, "cron": "0 7 * * *"},
        {"plan": "double", "cron": "0 7 * * *", "name": "a\0b"},
    ],
)
async def test_what_could_never_start_is_refused(home: House, body: dict[str, object]) -> None:
    async with home.client() as client:
        answer = await client.post("/v1/schedules", json=body)
        assert (answer.status_code, answer.headers["content-type"]) == (422, "application/problem+json"), answer.text
        assert (await client.get("/v1/schedules")).json() == {"schedules": []}


async def test_schedules_go_on_acting_and_need_the_scope_for_that(home: House) -> None:
    async with home.client(key=await home.key("acme", "read", "run", "approve")) as client:
        assert (await client.post("/v1/schedules", json={"plan": "double", "cron": "0 7 * * *"})).status_code == 403
        assert (await client.get("/v1/schedules")).status_code == 200


async def test_runs_of_a_schedule_stay_within_the_caps_of_its_key_and_end_with_it(home: House) -> None:
    key = await home.key("acme", "manage", "read", caps=Caps(open_runs=1))
    keys = home.service.keys
    assert keys is not None
    async with home.client(key=key) as client:

        async def schedule(plan: str) -> str:
            body = {"plan": plan, "at": datetime.now(UTC).isoformat()}
            return str((await client.post("/v1/schedules", json=body)).json()["id"])

        async def shown(name: str) -> dict:
            return (await client.get(f"/v1/schedules/{name}")).json()

        async def begun(name: str) -> bool:
            return bool((await shown(name))["last_run"])

        async def noted(name: str) -> bool:
            return bool((await shown(name))["note"])

        first = await schedule("gated")
        await until(lambda: begun(first), "the first is started")
        history = await client.get(f"/v1/runs/{(await shown(first))['last_run']}/history?limit=1")
        [accepted] = history.json()["events"]
        assert re.fullmatch(rf"acme key \(\w+\), by schedule {first}", accepted["actor"])
        second = await schedule("double")
        await anyio.sleep(1.2)
        assert (await shown(second))["last_run"] is None
        home.gates.open("gate")
        await until(lambda: begun(second), "there is room for the second")

        [held] = [one for one in await keys.all() if one.caps.open_runs == 1]
        assert await keys.revoke(held.id, 5.0)
        third = await Timetable(
            home.service.part("schedules", Timetable).store, SystemClock(), home.service.plans
        ).create("double", {}, at=time.time(), tenant=held.tenant, by=held.id)
    async with home.client() as client:
        await until(lambda: noted(third.id), "the third is refused")
        assert (await shown(third.id))["note"] == (
            "ScheduleRefused: the key that made this schedule is not in force any more; "
            "make the schedule anew with another key"
        )
        assert {run["plan"] for run in (await client.get("/v1/runs")).json()["runs"]} == {"gated", "double"}


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Served]:
    made = Served(tmp_path)
    yield made
    made.stop()


@pytest.mark.crash
async def test_a_run_that_is_due_while_nobody_serves_starts_with_the_next_process_and_once(served: Served) -> None:
    async with httpx2.AsyncClient(base_url=served.start()) as client:
        at = datetime.fromtimestamp(time.time() + 0.5, UTC).isoformat()
        whole = {"name": "own", "steps": {"a": {"pool": "desk", "call": "note", "with": {"text": "late"}}}}
        made = (await client.post("/v1/schedules", json={"plan": whole, "at": at})).json()
    served.kill()
    async with httpx2.AsyncClient(base_url=served.start()) as client:

        async def done() -> bool:
            told = (await client.get(f"/v1/schedules/{made['id']}")).json()
            return (told["state"], bool(told["last_run"])) == ("done", True)

        await until(done, "it is started")
        told = (await client.get(f"/v1/schedules/{made['id']}")).json()
        [run] = (await client.get("/v1/runs")).json()["runs"]

    assert (run["id"], run["plan"]) == (told["last_run"], "own")
    assert told["next"] is None
