"""The service as users start it: a process of its own, asked over a socket, stopped, and killed."""

import json
import os
import random
import signal
import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import anyio
import pytest
import requests

from orchestrator.adapters.sql.journal import SqliteJournal
from orchestrator.core.facts import RunEnded
from orchestrator.ports.journal import RunQuery
from tests.service.http.process import Shop, shop

FULL = os.environ.get("ORCHESTRATOR_PROVE") == "full"
JOBS, KILLS, CLIENTS = (1_000, 20, 8) if FULL else (60, 2, 4)


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Shop]:
    with shop(tmp_path) as made:
        yield made


def client(key: str) -> requests.Session:
    session = requests.Session()
    session.headers["Authorization"] = f"Bearer {key}"
    return session


def test_nobody_is_let_in_from_outside_without_a_key(place: Shop) -> None:
    refused = place.command("serve", "--host", "0.0.0.0", "--port", "0", code=2)
    assert "make one first: orchestrator keys create NAME" in refused.stderr
    refused = place.command("serve", "--host", "0.0.0.0", "--port", "0", "--no-keys", code=2)
    assert "listen on 127.0.0.1" in refused.stderr
    key = place.key()
    place.command("keys", "revoke", key)
    refused = place.command("serve", "--host", "0.0.0.0", "--port", "0", code=2)
    assert "there is no key" in refused.stderr


def test_a_job_from_the_first_command_to_the_result(place: Shop) -> None:
    key = place.key("ada", "--tenant", "acme", "--scope", "read", "--scope", "run", "--scope", "approve")
    service = place.serve()
    session = client(key)
    answer = session.post(f"{place.url}/v1/runs", json={"plan": "asks"}, headers={"Idempotency-Key": "a"})
    run = answer.json()["id"]
    assert (answer.status_code, answer.headers["Location"]) == (202, f"/v1/runs/{run}")
    kinds = []
    with session.get(f"{place.url}/v1/runs/{run}/events?said=false", stream=True, timeout=30) as events:
        for line in events.iter_lines():
            if not line.startswith(b"data:"):
                continue
            told = json.loads(line[5:])
            kinds.append(told.get("kind", "end"))
            if kinds[-1] == "approval.asked":
                (question,) = session.get(f"{place.url}/v1/approvals").json()["approvals"]
                assert (question["ask"], question["show"], question["then"]) == ("Publish?", "the draft", "hold")
                body = {"choice": "publish", "reason": "read it twice"}
                told = session.post(f"{place.url}/v1/runs/{run}/approvals/ask", json=body)
                assert told.json() == {"id": run, "step": "ask", "choice": "publish"}
    assert kinds[-2:] == ["run.ended", "end"]
    ended = session.get(f"{place.url}/v1/runs/{run}").json()
    assert (ended["status"], ended["output"]) == ("succeeded", "publish")
    seen = place.command("show", run, "--json").stdout  # a second terminal asks the service itself
    assert json.loads(seen)["status"] == "succeeded"
    events = place.command("events", run, "--jsonl").stdout
    (answered,) = [json.loads(line) for line in events.splitlines() if "approval.answered" in line]
    assert answered["actor"].startswith("ada (")
    assert answered["data"]["reason"] == "read it twice"
    service.send_signal(signal.SIGTERM)
    assert service.wait(20) == 0


def test_asked_to_go_it_ends_streams_finishes_steps_and_takes_nothing_new(place: Shop) -> None:
    key = place.key()
    service = place.serve("--grace", "30")
    session = client(key)
    run = session.post(f"{place.url}/v1/runs", json={"plan": "gated", "inputs": {"name": "door"}}).json()["id"]
    lines: list[bytes] = []

    def follow() -> None:
        with client(key).get(f"{place.url}/v1/runs/{run}/events", stream=True, timeout=30) as events:
            lines.extend(events.iter_lines())

    reader = threading.Thread(target=follow)
    reader.start()
    while b"step.dispatched" not in session.get(f"{place.url}/v1/runs/{run}/history").content:
        time.sleep(0.02)
    time.sleep(0.1)
    service.send_signal(signal.SIGTERM)
    reader.join(20)
    assert b'data: {"reason":"leaving"}' in lines
    try:
        while True:
            answer = requests.post(f"{place.url}/v1/runs", json={"plan": "double"}, headers=session.headers, timeout=5)
            assert answer.status_code == 503
    except requests.ConnectionError:
        pass  # nobody listens any more, and the step still runs
    assert service.poll() is None
    (place.folder / "door").touch()
    assert service.wait(30) == 0
    told = json.loads(place.command("show", run, "--json").stdout)
    assert told["steps"]["slow"]["status"] == "passed"


@pytest.mark.crash
def test_killed_amid_load_every_acknowledged_job_ends_exactly_once(place: Shop) -> None:
    key = place.key("load", "--requests-per-minute", "1000000")
    service = place.serve()
    dice = random.Random(5)
    todo = [f"job-{number}" for number in range(JOBS)]
    acknowledged: dict[str, str] = {}
    replies: Counter[str] = Counter()
    lock = threading.Lock()

    def work() -> None:
        session = client(key)
        while True:
            with lock:
                if not todo:
                    return
                name = todo.pop(0)
            while True:
                try:
                    answer = session.post(
                        f"{place.url}/v1/runs",
                        json={"plan": "effect", "inputs": {"text": name}},
                        headers={"Idempotency-Key": name},
                        timeout=10,
                    )
                except requests.RequestException:
                    replies["broken"] += 1
                    time.sleep(0.05)
                    continue
                replies[str(answer.status_code)] += 1
                if answer.status_code == 202:
                    with lock:
                        assert acknowledged.setdefault(name, answer.json()["id"]) == answer.json()["id"]
                    break
                assert answer.status_code in {429, 503}
                time.sleep(0.05)

    workers = [threading.Thread(target=work) for _ in range(CLIENTS)]
    for worker in workers:
        worker.start()
    for kill in range(KILLS):
        while len(acknowledged) < JOBS * (kill + 1) / (KILLS + 1):
            time.sleep(0.005)
        time.sleep(dice.uniform(0.0, 0.05))
        service.send_signal(signal.SIGKILL)
        service.wait()
        service = place.serve()
    for worker in workers:
        worker.join(120)
    assert len(acknowledged) == JOBS
    session = client(key)
    for run in acknowledged.values():
        with session.get(f"{place.url}/v1/runs/{run}/events?said=false", stream=True, timeout=60) as events:
            assert any(b'"reason":"ended"' in line for line in events.iter_lines())
    service.send_signal(signal.SIGTERM)
    assert service.wait(30) == 0

    async def look() -> None:
        journal = await SqliteJournal.open(place.folder / ".orchestrator" / "journal.db")
        try:
            rows = await journal.runs(RunQuery(limit=10 * JOBS))
            assert {row.run_id for row in rows} == set(acknowledged.values())
            assert {row.status for row in rows} == {"succeeded"}
            for row in rows:
                facts = [record.fact for record in await journal.read(row.run_id)]
                assert sum(isinstance(fact, RunEnded) for fact in facts) == 1
        finally:
            await journal.close()

    anyio.run(look)
    written = Counter((place.folder / "witness").read_text().split("\n")[:-1])
    assert set(written) == {f"{name} {name}" for name in acknowledged}  # each under the key of its effect
    assert sum(written.values()) <= JOBS + KILLS * 16  # again only what was under way at a kill
    print(f"{JOBS} jobs, {KILLS} kills, answers {dict(replies)}, effects begun again {sum(written.values()) - JOBS}")
