"""kill -9 of the service amid jobs, turns of sessions and webhooks together: clients repeat what was not answered."""

import json
import os
import random
import threading
import time
from collections import Counter
from pathlib import Path

import anyio
import pytest
import requests

from tests.service.http.process import WAIT_S, Shop, shop
from tests.service.http.test_serve import client, ends_of
from tests.service.webhooks.receiver import Receiver, http, receiving

pytestmark = [pytest.mark.anyio, pytest.mark.crash]
FULL = os.environ.get("ORCHESTRATOR_PROVE") == "full"
JOBS, SESSIONS, TURNS, KILLS = (400, 8, 12, 12) if FULL else (12, 2, 3, 1)
PATIENCE_S = 3_600.0 if FULL else 300.0  #: on a busy machine; each kill costs a start of the whole service
TALK = """
version: 1
name: talk
inputs: {text: {type: string}}
steps:
  reply: {pool: desk, call: note, with: {text: "${{ inputs.text }}"}}
result: ${{ steps.reply.output }}
"""


class Clients:
    """Programs that hand in jobs and talk, and send each request again with its key until it is acknowledged."""

    def __init__(self, url: str, key: str) -> None:
        self._url, self._key = url, key
        self._end_s = time.monotonic() + PATIENCE_S
        self.jobs: dict[str, str] = {}  #: acknowledged: the run of each key
        self.turns: dict[tuple[str, int], tuple[str, int]] = {}  #: acknowledged: run and number
        self.replies: Counter[str] = Counter()
        self.refused: list[str] = []
        halves = [range(0, JOBS, 2), range(1, JOBS, 2)]
        self.threads = [
            *(threading.Thread(target=self._hand_in, args=(half,), daemon=True) for half in halves),
            *(threading.Thread(target=self._talk, args=(f"talk-{one}",), daemon=True) for one in range(SESSIONS)),
        ]

    @property
    def done(self) -> int:
        """How much is acknowledged."""
        return len(self.jobs) + len(self.turns)

    def _hand_in(self, numbers: range) -> None:
        for number in numbers:
            name = f"job-{number}"
            told = self._until_taken("/v1/runs", {"plan": "effect", "inputs": {"text": name}}, name)
            self.jobs[name] = str(told["id"])

    def _talk(self, session: str) -> None:
        for number in range(TURNS):
            body = {"plan": "talk", "text": f"{session} says {number}"}
            told = self._until_taken(f"/v1/sessions/{session}/turns", body, f"turn-{number}")
            self.turns[session, number] = (str(told["run"]), int(str(told["turn"])))

    def _until_taken(self, path: str, body: dict[str, object], key: str) -> dict[str, object]:
        session = client(self._key)
        while time.monotonic() < self._end_s:
            try:
                answer = session.post(self._url + path, json=body, headers={"Idempotency-Key": key}, timeout=WAIT_S)
            except requests.RequestException:
                self.replies["broken"] += 1
                time.sleep(0.02)
                continue
            self.replies[str(answer.status_code)] += 1
            if answer.status_code in {200, 202}:
                return dict(answer.json())
            if answer.status_code not in {409, 429, 503}:  # 409: the turn before is not answered yet
                self.refused.append(answer.text)
            time.sleep(0.02)
        self.refused.append(f"never taken: {path} {key}")
        return {"id": "", "run": "", "turn": 0}


async def test_killed_amid_jobs_turns_and_webhooks_everything_acknowledged_happens_once(tmp_path: Path) -> None:
    """The receiver takes some of the first messages and hangs up without saying so."""
    async with receiving(lambda number: b"" if number in {0, 3, 6} else http(204)) as receiver:
        allowed = json.dumps([receiver.allowed])
        with shop(tmp_path, ORCHESTRATOR_WEBHOOKS__LOOPBACK=allowed) as place:
            (tmp_path / "plans" / "talk.plan.yaml").write_text(TALK)
            await anyio.to_thread.run_sync(_story, place, receiver)


def _story(place: Shop, receiver: Receiver) -> None:
    key = place.key(
        "night", "--requests-per-minute", "1000000", "--scope", "read", "--scope", "run", "--scope", "manage"
    )
    service = place.serve()
    session = client(key)
    secret = session.post(f"{place.url}/v1/webhooks", json={"url": receiver.url}).json()["secret"]
    receiver.secret = secret
    clients, dice = Clients(place.url, key), random.Random(11)
    for thread in clients.threads:
        thread.start()
    for kill in range(KILLS):
        while clients.done < (JOBS + SESSIONS * TURNS) * (kill + 1) / (KILLS + 1):
            assert not clients.refused
            time.sleep(0.005)
        time.sleep(dice.uniform(0.0, 0.05))
        service.kill()
        service.wait()
        service = place.serve()
    receiver.answer = lambda _: http(204)
    for thread in clients.threads:
        thread.join(PATIENCE_S)
    assert not clients.refused
    assert len(clients.jobs) == JOBS
    assert len(clients.turns) == SESSIONS * TURNS

    runs = {*clients.jobs.values(), *(run for run, _ in clients.turns.values())}
    assert len(runs) == JOBS + SESSIONS * TURNS
    session = client(key)
    for run in runs:
        with session.get(f"{place.url}/v1/runs/{run}/events?said=false", stream=True, timeout=WAIT_S) as events:
            assert any(b'"reason":"ended"' in line for line in events.iter_lines())
    for name in {name for name, _ in clients.turns}:
        said = [f"{name} says {number}" for number in range(TURNS)]
        told = session.get(f"{place.url}/v1/sessions/{name}/turns?limit=200").json()["turns"]
        assert [(one["number"], one["role"], one["content"]) for one in told] == [
            (2 * at + 1 + half, role, text)
            for at, text in enumerate(said)
            for half, role in enumerate(("user", "assistant"))
        ]
        assert [one["status"] for one in told] == ["said", "succeeded"] * TURNS
        assert {one["run"] for one in told} == {clients.turns[name, number][0] for number in range(TURNS)}
    end_s = time.monotonic() + PATIENCE_S
    while (
        not runs <= {json.loads(one.body)["data"]["run"] for one in [*receiver.got]}
        or session.get(f"{place.url}/v1/webhooks/deliveries?state=pending").json()["deliveries"]
    ):
        assert time.monotonic() < end_s, "webhooks are still due"
        time.sleep(0.05)
    assert session.get(f"{place.url}/v1/webhooks/deliveries?state=dead").json()["deliveries"] == []
    service.terminate()
    assert service.wait(WAIT_S) == 0

    assert anyio.run(ends_of, place.folder / ".orchestrator" / "journal.db") == {run: ["succeeded"] for run in runs}
    bodies = receiver.verified(secret)
    told_of = {one["data"]["run"] for one in bodies}  # type: ignore[index]  # JSON of the reference library
    ids = {one.headers["webhook-id"] for one in receiver.got}
    assert told_of == runs
    assert len(ids) == len(runs)  # however often each came, it has one id
    marks = Counter((place.folder / "witness").read_text().split("\n")[:-1])
    assert set(marks) == {f"{name} {name}" for name in clients.jobs}
    print(
        f"{JOBS} jobs, {SESSIONS} sessions of {TURNS} turns, {KILLS} kills: answers {dict(clients.replies)}, "
        f"{len(receiver.got)} messages for {len(ids)} ends, {sum(marks.values())} effects begun for {JOBS}"
    )
