"""A service of a fleet: it hands runs in, and supervisors and workers of other processes do the work."""

import json
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from tests.servers.postgres import postgres_server, postgres_url
from tests.servers.redis import redis_server
from tests.service.http.process import Shop, shop

__all__ = ["postgres_server", "postgres_url"]
WAIT_S = 60.0


@pytest.fixture
def place(tmp_path: Path, postgres_url: str) -> Iterator[Shop]:
    with redis_server("valkey") as redis, shop(tmp_path, DATABASE_URL=postgres_url, REDIS_URL=redis.url) as made:
        yield made


def test_a_service_hands_runs_to_a_fleet_and_tells_of_them(place: Shop) -> None:
    key = place.key("fleet")
    service = place.serve()
    assert "supervisors drive the runs" in place.said()
    supervisor = place.start("supervise")
    worker = place.start("worker", "--pool", "desk")
    session = requests.Session()
    session.headers["Authorization"] = f"Bearer {key}"

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
    place.command("keys", "revoke", key)
    while session.get(f"{place.url}/v1/me").status_code != 401:
        assert time.monotonic() < end_s
        time.sleep(0.05)
    for child in (service, worker, supervisor):
        child.send_signal(signal.SIGTERM)
    assert [child.wait(40) for child in (service, worker, supervisor)] == [0, 0, 0]
