"""A service of a fleet: it hands runs in, and supervisors and workers of other processes do the work."""

import json
import signal
import time
from collections.abc import AsyncIterator
from pathlib import Path

import anyio
import pytest
import requests

from tests.servers.postgres import postgres_server, postgres_url
from tests.servers.redis import redis_server
from tests.service.http.process import Shop, shop
from tests.service.http.test_serve import client
from tests.service.webhooks.receiver import Receiver, receiving

__all__ = ["postgres_server", "postgres_url"]
pytestmark = pytest.mark.anyio
WAIT_S = 60.0
TALK = """
version: 1
name: talk
inputs: {text: {type: string}}
steps:
  reply: {pool: desk, call: note, with: {text: "${{ inputs.text }}"}}
result: ${{ steps.reply.output }}
"""


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    async with receiving() as made:
        yield made


async def test_a_service_hands_all_kinds_of_work_to_a_fleet_and_tells_of_it(
    tmp_path: Path, postgres_url: str, receiver: Receiver
) -> None:
    env = {"DATABASE_URL": postgres_url, "ORCHESTRATOR_WEBHOOKS__LOOPBACK": json.dumps([receiver.allowed])}
    with redis_server("valkey") as redis, shop(tmp_path, REDIS_URL=redis.url, **env) as place:
        (tmp_path / "plans" / "talk.plan.yaml").write_text(TALK)
        await anyio.to_thread.run_sync(_story, place, receiver)


def _story(place: Shop, receiver: Receiver) -> None:
    scopes = ("read", "run", "manage", "approve", "metrics")
    key = place.key("ada", *(word for scope in scopes for word in ("--scope", scope)))
    service = place.serve()
    assert "supervisors drive the runs" in place.said()
    supervisor = place.start("supervise")
    worker = place.start("worker", "--pool", "desk")
    session = client(key)
    _jobs(place, session)
    _turns_webhooks_thumbs_retries_schedules(place, session, receiver)
    end_s = time.monotonic() + WAIT_S
    place.command("keys", "revoke", key)
    while session.get(f"{place.url}/v1/me").status_code != 401:
        assert time.monotonic() < end_s
        time.sleep(0.05)
    for child in (service, worker, supervisor):
        child.send_signal(signal.SIGTERM)
    assert [child.wait(40) for child in (service, worker, supervisor)] == [0, 0, 0]


def _jobs(place: Shop, session: requests.Session) -> None:
    def post(path: str, body: dict, **headers: str) -> requests.Response:
        return session.post(f"{place.url}{path}", json=body, headers=headers, timeout=WAIT_S)

    end_s = time.monotonic() + WAIT_S
    run = post("/v1/runs", {"plan": "asks"}, **{"Idempotency-Key": "one"}).json()["id"]
    assert post("/v1/runs", {"plan": "asks"}, **{"Idempotency-Key": "one"}).json()["id"] == run
    while not (asked := session.get(f"{place.url}/v1/approvals").json()["approvals"]):
        assert time.monotonic() < end_s, place.said()
        time.sleep(0.05)
    assert [(one["run"], one["step"], one["then"]) for one in asked] == [(run, "ask", "hold")]
    assert session.get(f"{place.url}/v1/runs").json()["runs"][0]["status"] == "waiting"
    told = post(
        f"/v1/runs/{run}/approvals/ask", {"choice": "publish", "reason": "good"}
    )  # a petition to the supervisor
    assert told.json() == {"id": run, "step": "ask", "choice": "publish"}
    with session.get(f"{place.url}/v1/runs/{run}/events", stream=True, timeout=WAIT_S) as events:
        facts = [json.loads(line[5:]) for line in events.iter_lines() if line.startswith(b"data:")]
    assert [fact.get("seq") for fact in facts] == [*range(1, len(facts)), None]
    assert facts[-2]["kind"] == "run.ended"
    assert facts[-1] == {"reason": "ended"}
    assert session.get(f"{place.url}/v1/runs/{run}").json()["output"] == "publish"
    held = post("/v1/runs", {"plan": "gated", "inputs": {"name": "door"}}).json()["id"]
    pool = f"{place.url}/v1/pools/desk/backlog"
    while session.get(pool).json()["running"] != 1:
        assert time.monotonic() < end_s, place.said()
        time.sleep(0.05)
    assert post(f"/v1/runs/{held}/cancel", {}).json()["over"] is False
    with session.get(f"{place.url}/v1/runs/{held}/events", stream=True, timeout=WAIT_S) as events:
        assert any(b'"reason":"ended"' in line for line in events.iter_lines())
    assert session.get(f"{place.url}/v1/runs/{held}").json()["status"] == "cancelled"


def _turns_webhooks_thumbs_retries_schedules(place: Shop, session: requests.Session, receiver: Receiver) -> None:
    end_s = time.monotonic() + WAIT_S

    def post(path: str, body: dict, **headers: str) -> dict:
        answer = session.post(f"{place.url}/v1/{path}", json=body, headers=headers, timeout=WAIT_S)
        assert answer.status_code < 300, (path, answer.text, place.said())
        return dict(answer.json())

    secret = post("webhooks", {"url": receiver.url})["secret"]
    said = {"plan": "talk", "text": "hello"}
    turn = post("sessions/anna/turns", said, **{"Prefer": "wait=30", "Idempotency-Key": "t1"})
    assert (turn["turn"], turn["status"], turn["answer"]) == (1, "succeeded", "hello")
    assert post("sessions/anna/turns", said, **{"Idempotency-Key": "t1"})["run"] == turn["run"]
    turns = session.get(f"{place.url}/v1/sessions/anna/turns").json()["turns"]
    assert [(one["role"], one["content"]) for one in turns] == [("user", "hello"), ("assistant", "hello")]
    rated = [post(f"runs/{turn['run']}/thumbs", {"value": value})["new"] for value in ("up", "up", "down")]
    assert rated == [True, False, True]
    again = post(f"runs/{turn['run']}/retry", {"step": "reply"})["id"]
    schedule = post("schedules", {"plan": "double", "at": "2026-01-01T00:00:00Z"})["id"]
    begun = None
    while begun is None:
        assert time.monotonic() < end_s, place.said()
        time.sleep(0.05)
        begun = session.get(f"{place.url}/v1/schedules/{schedule}").json()["last_run"]
    runs = {str(turn["run"]), str(again), str(begun)}
    while not runs <= {json.loads(one.body)["data"]["run"] for one in [*receiver.got]}:
        assert time.monotonic() < end_s, place.said()
        time.sleep(0.05)
    assert {one["type"] for one in receiver.verified(secret)} == {"run.succeeded"}  # type: ignore[index]
    for run, name in ((turn["run"], "ada ("), (again, "ada ("), (begun, "ada (")):
        first = session.get(f"{place.url}/v1/runs/{run}/history?limit=1").json()["events"][0]
        assert first["actor"].startswith(name)
