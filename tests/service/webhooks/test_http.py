"""Webhooks over HTTP: what a tenant may do, what another one sees of it, what is refused."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest

from orchestrator.service.http.app import make_app
from orchestrator.service.http.webhooks import opener
from orchestrator.service.webhooks.receivers import Receivers
from orchestrator.service.webhooks.signing import new_secret
from tests.service.http.house import House, house, until, until_ended
from tests.service.webhooks.receiver import Receiver, http

pytestmark = pytest.mark.anyio
PUBLIC = "https://hooks.example.org/x"


@pytest.fixture
def anyio_backend() -> str:
    """Sockets are at work."""
    return "asyncio"


@asynccontextmanager
async def shop(receiver: Receiver) -> AsyncIterator[House]:
    """A service with webhooks, which may tell one receiver of this machine."""
    async with (
        house(settings={"webhooks": {"loopback": (receiver.allowed,)}}) as made,
        opener(made.service, made.engine) as parts,
    ):
        service = replace(made.service, parts=parts)
        yield replace(made, service=service, app=make_app(service))


@pytest.fixture
async def home(receiver: Receiver) -> AsyncIterator[House]:
    async with shop(receiver) as made:
        yield made


async def test_a_receiver_is_named_looked_at_changed_and_deleted(home: House, receiver: Receiver) -> None:
    async with home.client() as client:
        made = await client.post("/v1/webhooks", json={"url": receiver.url, "events": ["run.failed"]})
        name, secret = made.json()["id"], made.json()["secret"]
        expected = {
            "id": name,
            "url": receiver.url,
            "events": ["run.failed"],
            "state": "active",
            "reason": "",
            "created_at": made.json()["created_at"],
            "secrets": 1,
        }
        assert (made.status_code, made.json()) == (201, {**expected, "secret": secret})
        assert (await client.get(f"/v1/webhooks/{name}")).json() == expected
        assert (await client.get("/v1/webhooks")).json() == {"webhooks": [expected]}
        rotated = (await client.post(f"/v1/webhooks/{name}/rotate", json={"overlap_s": 60})).json()
        assert rotated == {**expected, "secrets": 2, "secret": rotated["secret"]}
        assert rotated["secret"] != secret
        assert (await client.delete(f"/v1/webhooks/{name}")).status_code == 204
        assert (await client.delete(f"/v1/webhooks/{name}")).status_code == 404
        assert (await client.get("/v1/webhooks")).json() == {"webhooks": []}


async def test_what_is_another_tenants_is_not_there(home: House, receiver: Receiver) -> None:
    async with home.client() as mine, home.client("other") as theirs:
        name = (await mine.post("/v1/webhooks", json={"url": receiver.url})).json()["id"]
        receiver.answer = lambda _: http(410)
        run = (await mine.post("/v1/runs", json={"plan": "double", "callback_url": receiver.url})).json()["id"]
        await until_ended(mine, run)

        async def all_dead() -> bool:
            dead = (await mine.get("/v1/webhooks/deliveries?state=dead")).json()["deliveries"]
            return len(dead) == 2

        await until(all_dead, "both messages are given up")
        [message, _] = [one["id"] for one in (await mine.get("/v1/webhooks/deliveries")).json()["deliveries"]]
        probes = [
            await theirs.get(f"/v1/webhooks/{name}"),
            await theirs.get(f"/v1/webhooks/cb_{run}"),
            await theirs.delete(f"/v1/webhooks/{name}"),
            await theirs.post(f"/v1/webhooks/{name}/rotate"),
            await theirs.post(f"/v1/webhooks/{name}/enable"),
            await theirs.post(f"/v1/webhooks/deliveries/{message}/requeue"),
        ]
        nothing = [
            await theirs.get("/v1/webhooks"),
            await theirs.get("/v1/webhooks/deliveries"),
            await theirs.get("/v1/webhooks/deliveries", params={"webhook": name, "run": run}),
            await theirs.get("/v1/webhooks/deliveries", params={"cursor": message}),
        ]

        assert [one.status_code for one in probes] == [404] * 6
        assert [next(iter(one.json().values())) for one in nothing] == [[]] * 4
        assert (await mine.get(f"/v1/webhooks/{name}")).json()["state"] == "disabled"


async def test_a_dead_message_is_sent_again_once_the_receiver_is_enabled(home: House, receiver: Receiver) -> None:
    receiver.answer = lambda number: http(410) if number == 0 else http(204)
    async with home.client() as client:
        made = (await client.post("/v1/webhooks", json={"url": receiver.url})).json()
        run = (await client.post("/v1/runs", json={"plan": "double"})).json()["id"]
        await until_ended(client, run)

        async def state(wanted: str) -> bool:
            found = (await client.get("/v1/webhooks/deliveries", params={"run": run})).json()["deliveries"]
            return [one["state"] for one in found] == [wanted]

        await until(lambda: state("dead"), "it is given up")
        shown = (await client.get(f"/v1/webhooks/{made['id']}")).json()
        assert (shown["state"], shown["reason"]) == ("disabled", "the receiver answered 410 Gone")
        assert (await client.post(f"/v1/webhooks/{made['id']}/enable")).json()["state"] == "active"
        [dead] = (await client.get("/v1/webhooks/deliveries", params={"state": "dead"})).json()["deliveries"]
        assert (await client.post(f"/v1/webhooks/deliveries/{dead['id']}/requeue")).json() == {
            "id": dead["id"],
            "state": "pending",
        }
        await until(lambda: state("delivered"), "it arrives")

    assert [one.headers["webhook-id"] for one in receiver.got] == [dead["id"]] * 2
    assert len(receiver.verified(made["secret"])) == 2


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"url": "http://hooks.example.org/"}, 422),
        ({"url": "https://127.0.0.1/"}, 422),
        ({"url": "https://[::ffff:7f00:1]/"}, 422),
        ({"url": PUBLIC, "events": ["run.open"]}, 422),
        ({"url": PUBLIC, "secret": "whsec_x"}, 422),
        ({}, 422),
    ],
)
async def test_a_receiver_that_cannot_be_told_is_refused(home: House, body: dict[str, object], status: int) -> None:
    async with home.client() as client:
        answer = await client.post("/v1/webhooks", json=body)
        assert (answer.status_code, answer.headers["content-type"]) == (status, "application/problem+json")
        assert (await client.get("/v1/webhooks")).json() == {"webhooks": []}


async def test_a_callback_that_cannot_be_made_creates_no_run(home: House, receiver: Receiver) -> None:
    async with home.client() as client:
        unsigned = await client.post("/v1/runs", json={"plan": "double", "callback_url": receiver.url})
        await client.post("/v1/webhooks", json={"url": receiver.url, "events": ["callback"]})
        inward = await client.post("/v1/runs", json={"plan": "double", "callback_url": "https://10.0.0.1/"})
        assert [unsigned.status_code, inward.status_code] == [422, 422]
        assert "no webhook whose secret could sign" in unsigned.text
        assert (await client.get("/v1/runs")).json()["runs"] == []

        keyed = {"Idempotency-Key": "k"}
        body = {"plan": "double", "callback_url": receiver.url}
        first = await client.post("/v1/runs", json=body, headers=keyed)
        same = await client.post("/v1/runs", json=body, headers=keyed)
        other = await client.post("/v1/runs", json={**body, "callback_url": PUBLIC}, headers=keyed)
        assert [first.status_code, same.status_code, other.status_code] == [202, 202, 422]
        assert first.json()["id"] == same.json()["id"]


async def test_scopes_are_asked_for(home: House) -> None:
    async with home.client(key=await home.key("acme", "read", "run", "approve")) as client:
        assert (await client.post("/v1/webhooks", json={"url": PUBLIC})).status_code == 403
        assert (await client.get("/v1/webhooks")).status_code == 200
    async with home.client(None) as stranger:
        assert (await stranger.get("/v1/webhooks")).status_code == 401


async def test_a_secret_is_shown_once_and_nowhere_else(home: House, receiver: Receiver) -> None:
    canary = new_secret().value
    receivers = home.service.part("webhooks", Receivers)
    async with home.client() as client:
        tenant = (await home.service.keys.all())[0].tenant  # type: ignore[union-attr]  # this service has keys
        made = await receivers.create(tenant, receiver.url, secret=canary)
        run = (await client.post("/v1/runs", json={"plan": "double"})).json()["id"]
        await until_ended(client, run)
        shown = [
            (await client.get(path)).text
            for path in ("/v1/webhooks", f"/v1/webhooks/{made.id}", "/v1/webhooks/deliveries", f"/v1/runs/{run}")
        ]
        shown.append((await client.post(f"/v1/webhooks/{made.id}/enable")).text)
        shown.append((await client.post(f"/v1/webhooks/{made.id}/rotate")).text)
        shown += [repr(one) for one in await home.service.journal.read(run)]

    assert [text for text in shown if canary in text or canary.removeprefix("whsec_") in text] == []


async def test_a_person_is_called_answers_and_is_told_the_end(home: House, receiver: Receiver) -> None:
    async with home.client() as client:
        secret = (await client.post("/v1/webhooks", json={"url": receiver.url})).json()["secret"]
        run = (await client.post("/v1/runs", json={"plan": "asks", "inputs": {"text": "a canary"}})).json()["id"]

        async def told(count: int) -> bool:
            return len(receiver.got) == count

        await until(lambda: told(1), "the question arrives")
        [question] = receiver.verified(secret)
        place = f"/v1/runs/{question['data']['run']}/approvals/{question['data']['step']}"
        answered = await client.post(place, json={"choice": question["data"]["choices"][0], "reason": "read it"})
        assert answered.status_code == 200, answered.text
        await until(lambda: told(2), "the end arrives")

    [_, end] = receiver.verified(secret)
    assert (question["type"], end["type"]) == ("approval.asked", "run.succeeded")
    assert question["data"] | {"expires_at": ""} == {
        "run": run,
        "plan": "asks",
        "status": "waiting",
        "step": "ask",
        "branch": None,
        "choices": ["publish", "hold"],
        "expires_at": "",
    }
    assert "canary" not in "".join(one.body.decode() for one in receiver.got)
