"""Everything else over a fleet: turns of a session, webhooks, thumbs, retries and schedules, all over PostgreSQL."""

import json
import time
from collections.abc import AsyncIterator
from pathlib import Path

import anyio
import pytest

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


async def test_a_fleet_serves_turns_webhooks_thumbs_retries_and_schedules(
    tmp_path: Path, postgres_url: str, receiver: Receiver
) -> None:
    env = {"DATABASE_URL": postgres_url, "ORCHESTRATOR_WEBHOOKS__LOOPBACK": json.dumps([receiver.allowed])}
    with redis_server("valkey") as redis, shop(tmp_path, REDIS_URL=redis.url, **env) as place:
        (tmp_path / "plans" / "talk.plan.yaml").write_text(TALK)
        await anyio.to_thread.run_sync(_story, place, receiver)


def _story(place: Shop, receiver: Receiver) -> None:
    key = place.key("ada", "--scope", "read", "--scope", "run", "--scope", "manage")
    place.serve()
    place.start("supervise")
    place.start("worker", "--pool", "desk")
    session, end_s = client(key), time.monotonic() + WAIT_S

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
