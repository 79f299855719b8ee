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
from tests.service.http.process import WAIT_S, Shop, shop

FULL = os.environ.get("ORCHESTRATOR_PROVE") == "full"
JOBS, KILLS, CLIENTS = (1_000, 20, 8) if FULL else (40, 1, 4)
PATIENCE_S = 3_600.0 if FULL else 300.0  #: for all jobs to be taken, on a busy machine


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


def test_a_job_from_the_first_command_to_the_result(place: Shop) -> None:
    key = place.key("ada", "--tenant", "acme", "--scope", "read", "--scope", "run", "--scope", "approve")
    service = place.serve()
    session = client(key)
    answer = session.post(f"{place.url}/v1/runs", json={"plan": "asks"}, headers={"Idempotency-Key": "a"})
    run = answer.json()["id"]
    assert (answer.status_code, answer.headers["Location"]) == (202, f"/v1/runs/{run}")
    kinds = []
    with session.get(f"{place.url}/v1/runs/{run}/events?said=false", stream=True, timeout=WAIT_S) as events:
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
    events = place.command("events", run, "--jsonl").stdout  # a second terminal asks the service itself
    (answered,) = [json.loads(line) for line in events.splitlines() if "approval.answered" in line]
    assert answered["actor"].startswith("ada (")
    assert answered["data"]["reason"] == "read it twice"
    service.send_signal(signal.SIGTERM)
    assert service.wait(WAIT_S) == 0


def test_asked_to_go_it_ends_streams_finishes_steps_and_takes_nothing_new(place: Shop) -> None:
    key = place.key()
    service = place.serve("--grace", "30")
    session = client(key)
    run = session.post(f"{place.url}/v1/runs", json={"plan": "gated", "inputs": {"name": "door"}}).json()["id"]
    lines: list[bytes] = []

    def follow() -> None:
        with client(key).get(f"{place.url}/v1/runs/{run}/events", stream=True, timeout=WAIT_S) as events:
            lines.extend(events.iter_lines())

    reader = threading.Thread(target=follow, daemon=True)
    reader.start()
    while b"step.dispatched" not in session.get(f"{place.url}/v1/runs/{run}/history").content:
        time.sleep(0.02)
    time.sleep(0.1)
    service.send_signal(signal.SIGTERM)
    reader.join(WAIT_S)
    assert b'data: {"reason":"leaving"}' in lines
    try:
        while True:
            answer = requests.post(
                f"{place.url}/v1/runs", json={"plan": "double"}, headers=session.headers, timeout=WAIT_S
            )
            assert answer.status_code == 503
    except requests.ConnectionError:
        pass  # nobody listens any more, and the step still runs
    assert service.poll() is None
    (place.folder / "door").touch()
    assert service.wait(WAIT_S) == 0
    told = json.loads(place.command("show", run, "--json").stdout)
    assert told["steps"]["slow"]["status"] == "passed"


class Load:
    """Clients that hand jobs in, each with a key of its own, until every one of them is acknowledged."""

    def __init__(self, url: str, key: str) -> None:
        self._url, self._key = url, key
        self._todo = [f"job-{number}" for number in range(JOBS)]
        self._lock = threading.Lock()
        self.acknowledged: dict[str, str] = {}
        self.replies: Counter[str] = Counter()
        self.refused: list[str] = []
        self.workers = [threading.Thread(target=self._work, daemon=True) for _ in range(CLIENTS)]

    def _work(self) -> None:
        session = client(self._key)
        while not self.refused:
            with self._lock:  # between a look and a taking, another may take the last one
                if not self._todo:
                    return
                name = self._todo.pop(0)
            while not self._handed_in(session, name) and not self.refused:
                time.sleep(0.05)

    def _handed_in(self, session: requests.Session, name: str) -> bool:
        body = {"plan": "effect", "inputs": {"text": name}}
        try:
            answer = session.post(f"{self._url}/v1/runs", json=body, headers={"Idempotency-Key": name}, timeout=WAIT_S)
        except requests.RequestException:
            self.replies["broken"] += 1
            return False
        self.replies[str(answer.status_code)] += 1
        if answer.status_code == 202:
            self.acknowledged[name] = answer.json()["id"]
        elif answer.status_code not in {429, 503}:
            self.refused.append(answer.text)
        return answer.status_code == 202


@pytest.mark.crash
def test_killed_amid_load_every_acknowledged_job_ends_exactly_once(place: Shop) -> None:
    key = place.key("load", "--requests-per-minute", "1000000")
    service = place.serve()
    dice = random.Random(5)
    load = Load(place.url, key)
    for worker in load.workers:
        worker.start()
    for kill in range(KILLS):
        while len(load.acknowledged) < JOBS * (kill + 1) / (KILLS + 1):
            assert not load.refused
            time.sleep(0.005)
        time.sleep(dice.uniform(0.0, 0.05))
        service.send_signal(signal.SIGKILL)
        service.wait()
        service = place.serve()
    for worker in load.workers:
        worker.join(PATIENCE_S)
    assert len(load.acknowledged) == JOBS
    session = client(key)
    for name, run in load.acknowledged.items():
        with session.get(f"{place.url}/v1/runs/{run}/events?said=false", stream=True, timeout=WAIT_S) as events:
            assert any(b'"reason":"ended"' in line for line in events.iter_lines())
        headers = {"Idempotency-Key": name}
        again = session.post(f"{place.url}/v1/runs", json={"plan": "effect", "inputs": {"text": name}}, headers=headers)
        assert (again.status_code, again.json()["id"]) == (202, run)
    service.send_signal(signal.SIGTERM)
    assert service.wait(WAIT_S) == 0
    ends = anyio.run(ends_of, place.folder / ".orchestrator" / "journal.db")
    assert ends == {run: ["succeeded"] for run in load.acknowledged.values()}
    written = Counter((place.folder / "witness").read_text().split("\n")[:-1])
    assert set(written) == {f"{name} {name}" for name in load.acknowledged}  # each under the key of its effect
    assert sum(written.values()) <= JOBS + KILLS * 16  # again only what was under way at a kill
    again_begun = sum(written.values()) - JOBS
    print(f"{JOBS} jobs, {KILLS} kills, answers {dict(load.replies)}, effects begun again {again_begun}")


async def ends_of(path: Path) -> dict[str, list[str]]:
    """How often, and how, each run of a journal has ended."""
    journal = await SqliteJournal.open(path)
    try:
        found: dict[str, list[str]] = {}
        for row in await journal.runs(RunQuery(limit=10 * JOBS)):
            facts = [record.fact for record in await journal.read(row.run_id)]
            found[row.run_id] = [fact.status for fact in facts if isinstance(fact, RunEnded)]
        return found
    finally:
        await journal.close()
