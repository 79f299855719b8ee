"""A real service, a real receiver that verifies with the reference library, and kill -9 amid it all."""

import json
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import httpx2
import pytest

from tests.service.http.house import until
from tests.service.webhooks.receiver import Receiver, http, receiving
from tests.service.webhooks.served import Served
from tests.sizes import SIZES

pytestmark = pytest.mark.anyio
JOBS = 400 if SIZES.name == "prove" else 30


@pytest.fixture
def anyio_backend() -> str:
    """Sockets and processes are at work."""
    return "asyncio"


@pytest.fixture
def served(tmp_path: Path) -> Iterator[list[Served]]:
    """Where a test puts what it starts."""
    made: list[Served] = []
    yield made
    for one in made:
        one.stop()


async def until_got(receiver: Receiver, runs: set[str]) -> None:
    async def got() -> bool:
        return runs <= {json.loads(one.body)["data"]["run"] for one in receiver.got}

    await until(got, "every run is told of")


async def settled(client: httpx2.AsyncClient) -> bool:
    answer = await client.get("/v1/webhooks/deliveries", params={"state": "pending"})
    return answer.json() == {"deliveries": [], "next": None}


async def test_a_job_tells_its_end_to_a_receiver_that_verifies_it(
    tmp_path: Path, served: list[Served], receiver: Receiver
) -> None:
    async with receiving() as called:
        served.append(Served(tmp_path, loopback=[receiver.allowed, called.allowed]))
        async with httpx2.AsyncClient(base_url=served[0].start()) as client:
            made = (await client.post("/v1/webhooks", json={"url": receiver.url})).json()
            asked = {"plan": "note", "inputs": {"text": "canary-of-the-content"}, "callback_url": called.url}
            run = (await client.post("/v1/runs", json=asked)).json()["id"]
            await until_got(receiver, {run})
            await until_got(called, {run})
            listed = (await client.get("/v1/webhooks")).text
            sent = (await client.get("/v1/webhooks/deliveries", params={"run": run})).json()["deliveries"]
        served[0].stop()

    [told], [called_back] = receiver.verified(made["secret"]), called.verified(made["secret"])
    assert told == called_back
    assert told["type"] == "run.succeeded"
    assert told["data"]["run"] == run
    assert "canary-of-the-content" not in receiver.got[0].body.decode()
    assert {one["webhook"]: one["state"] for one in sent} == {made["id"]: "delivered", f"cb_{run}": "delivered"}
    assert made["secret"] not in listed
    stored = b"".join(path.read_bytes() for path in tmp_path.glob("journal.db*"))
    secret = made["secret"].encode()
    assert stored.count(secret) <= 2  # in the row of the endpoint, and perhaps once more in the log of the store
    assert made["secret"] not in served[0].said
    assert "/hook" not in served[0].said


@pytest.mark.crash
async def test_after_kill_9_every_acknowledged_job_is_told_of_and_duplicates_are_known_by_their_id(
    tmp_path: Path, served: list[Served]
) -> None:
    """The receiver takes every other message and never says so; the process is killed twice; clients come back."""
    async with receiving(lambda number: None if number % 2 else http(204)) as receiver:
        served.append(Served(tmp_path, loopback=[receiver.allowed]))
        secret, acknowledged = "", dict[str, str]()
        for life in range(3):
            if life == 2:
                receiver.answer = lambda _: http(204)
            async with httpx2.AsyncClient(base_url=served[0].start(), timeout=30) as client:
                if not secret:
                    secret = (await client.post("/v1/webhooks", json={"url": receiver.url})).json()["secret"]
                for number in range(JOBS * life // 3, JOBS * (life + 1) // 3):
                    body = {"plan": "note", "inputs": {"text": str(number)}, "callback_url": receiver.url}
                    answer = await client.post("/v1/runs", json=body, headers={"Idempotency-Key": f"job-{number}"})
                    acknowledged[f"job-{number}"] = answer.json()["id"]
                if life < 2:
                    served[0].kill()
                    continue
                for key, run in acknowledged.items():  # as a client does who is not sure
                    number = key.removeprefix("job-")
                    body = {"plan": "note", "inputs": {"text": number}, "callback_url": receiver.url}
                    again = await client.post("/v1/runs", json=body, headers={"Idempotency-Key": key})
                    assert again.json()["id"] == run
                await until_got(receiver, set(acknowledged.values()))
                await until(partial(settled, client), "nothing is pending")
                runs = (await client.get("/v1/runs", params={"limit": 200})).json()["runs"]
        served[0].stop()

    assert len(acknowledged) == JOBS
    assert len(set(acknowledged.values())) == JOBS
    told = receiver.verified(secret)
    assert {one["data"]["run"] for one in told} == set(acknowledged.values())
    assert {one["data"]["status"] for one in told} == {"succeeded"}
    ids = {(json.loads(one.body)["data"]["run"], one.headers["webhook-id"]) for one in receiver.got}
    assert len(ids) == 2 * JOBS  # one for the tenant's webhook and one for the callback, however often each came
    assert {run["status"] for run in runs} == {"succeeded"}
    assert len(receiver.got) > len(ids)
