"""Users: half of them in conversations, half of them with jobs; each thinks, asks, and waits for the answer."""

import asyncio
import json
import random
import time
from collections import Counter
from dataclasses import dataclass, field

from benchmarks.performance.load.client import Answered, Client, Lost
from benchmarks.performance.load.served import Site

REFUSALS_MAX = 200  #: in a row, after which a user gives up
REFUSED = (429, 503)  #: with Retry-After: nothing was done, come back then
COMMON = 10  #: questions that many users ask
_BODY = {"model": "stand-in", "messages": [{"role": "user", "content": "Answer in one sentence."}]}


@dataclass
class Seen:
    """What users have seen."""

    submit_s: list[float] = field(default_factory=list)  #: to 202, of a job; without the waits that refusals asked for
    turn_s: list[float] = field(default_factory=list)  #: from the question to the answer, of a conversation
    job_s: list[float] = field(default_factory=list)  #: from the question to the answer, of a job
    direct_s: list[float] = field(default_factory=list)  #: of the model alone
    refused: Counter[int] = field(default_factory=Counter)  #: answers 429 and 503 with Retry-After
    refusal_s: list[float] = field(default_factory=list)  #: to such an answer
    spared: int = 0  #: jobs that were answered without the model
    errors: Counter[str] = field(default_factory=Counter)  #: everything else that was no answer, by kind


@dataclass(frozen=True, slots=True, kw_only=True)
class Habits:
    """How users behave."""

    users: int
    turns: int  #: questions of each user
    think_s: float  #: on average before each question
    common: float = 0.0  #: share of the jobs' questions that many ask
    name: str = "user"  #: of this crowd: another one has sessions and keys of its own


async def crowd(site: Site, habits: Habits, seed: int = 1) -> Seen:
    """Let all users do what they do; return what they have seen."""
    drawn, seen = random.Random(seed), Seen()
    async with asyncio.TaskGroup() as group:
        for number in range(habits.users):
            one = _talk if number % 2 else _work
            group.create_task(one(site, habits, seen, number, random.Random(drawn.random())))
    return seen


async def directly(site: Site, habits: Habits, seed: int = 1) -> Seen:
    """The same users, asking the model itself."""
    drawn, seen = random.Random(seed), Seen()

    async def one(mine: random.Random) -> None:
        client = Client(site.model_port)
        for _ in range(habits.turns):
            await _think(habits, mine)
            began_s = time.perf_counter()
            try:
                answer = await client.ask("POST", "/v1/chat/completions", _BODY)
            except Lost as lost:
                seen.errors[f"direct: {lost}"] += 1
                continue
            seen.direct_s.append(time.perf_counter() - began_s)
            if answer.status != 200:
                seen.errors[f"direct: {answer.status}"] += 1
        client.close()

    async with asyncio.TaskGroup() as group:
        for _ in range(habits.users):
            group.create_task(one(random.Random(drawn.random())))
    return seen


async def _talk(site: Site, habits: Habits, seen: Seen, number: int, mine: random.Random) -> None:
    """One conversation."""
    client = _client(site, number)
    path = f"/v1/sessions/{habits.name}-{number}/turns"
    for turn in range(habits.turns):
        await _think(habits, mine)
        began_s = time.perf_counter()
        body = {"plan": "reply", "text": f"question {turn} of user {number}"}
        asked = {"Prefer": "wait=30", "Idempotency-Key": f"{habits.name}-{number}-{turn}"}
        answer = await _patiently(client, seen, "POST", path, body, asked)
        while answer is not None and answer.status == 202:  # not answered within the wait: the same key waits on
            answer = await _patiently(client, seen, "POST", path, body, asked)
        if answer is None:
            continue
        if answer.status == 200 and answer.json()["status"] == "succeeded":
            seen.turn_s.append(time.perf_counter() - began_s)
        else:
            seen.errors[f"turn: {_said(answer)}"] += 1
    client.close()


async def _work(site: Site, habits: Habits, seen: Seen, number: int, mine: random.Random) -> None:
    """One user with jobs: submit, follow the events to the end, fetch the result."""
    client = _client(site, number)
    for turn in range(habits.turns):
        await _think(habits, mine)
        began_s = time.perf_counter()
        text = f"question {turn} of {habits.name} {number}"
        if habits.common and mine.random() < habits.common:
            text = f"common question {mine.randrange(COMMON)}"
        body = {"plan": "job", "inputs": {"text": text}}
        answer = await _patiently(
            client, seen, "POST", "/v1/runs", body, {"Idempotency-Key": f"{habits.name}-{number}-{turn}"}
        )
        if answer is None:
            continue
        if answer.status != 202:
            seen.errors[f"submit: {_said(answer)}"] += 1
            continue
        run = answer.json()["id"]
        events = await _patiently(client, seen, "GET", f"/v1/runs/{run}/events?said=false")
        result = await _patiently(client, seen, "GET", f"/v1/runs/{run}") if events is not None else None
        if result is None:
            continue
        found = result.json()
        if result.status == 200 and found["status"] == "succeeded":
            seen.job_s.append(time.perf_counter() - began_s)
            usage = found["usage"]
            seen.spared += isinstance(usage, dict) and not usage["calls"]
        else:
            seen.errors[f"job: {_said(result)}"] += 1
    client.close()


def _client(site: Site, number: int) -> Client:
    """Of one user, who stays with one service and one tenant."""
    port = site.ports[number // 2 % len(site.ports)]
    return Client(port, {"Authorization": f"Bearer {site.keys[number // 2 % len(site.keys)]}"})


async def _patiently(
    client: Client, seen: Seen, method: str, path: str, body: object = None, headers: dict[str, str] | None = None
) -> Answered | None:
    """Ask, and ask again as often and as late as refusals say; None: there was no answer, and it is counted."""
    for _ in range(REFUSALS_MAX):
        began_s = time.perf_counter()
        try:
            answer = await client.ask(method, path, body, headers)
        except Lost as lost:
            seen.errors[f"{method} {path.split('/')[2]}: {lost}"] += 1
            return None
        if answer.status not in REFUSED:
            if path == "/v1/runs" and answer.status == 202:
                seen.submit_s.append(time.perf_counter() - began_s)
            return answer
        wait_s = answer.headers.get("retry-after", "")
        if not wait_s.isdigit():
            seen.errors[f"{answer.status} without Retry-After"] += 1
            return None
        seen.refused[answer.status] += 1
        seen.refusal_s.append(time.perf_counter() - began_s)
        await asyncio.sleep(float(wait_s) * random.uniform(1.0, 1.5))
    seen.errors["refused for ever"] += 1
    return None


async def _think(habits: Habits, mine: random.Random) -> None:
    await asyncio.sleep(mine.uniform(0, 2 * habits.think_s))


def _said(answer: Answered) -> str:
    """What was wrong, in a word or two."""
    try:
        told = json.loads(answer.body)
    except ValueError:
        return str(answer.status)
    kind = str(told.get("type", told.get("status", ""))).rpartition(":")[2]
    return " ".join(filter(None, (str(answer.status), kind, str(told.get("reason", "")))))
