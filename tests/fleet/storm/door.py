"""Tenants of a service amid a storm: they hand jobs in, follow, cancel and pry; they talk, and are told by webhook."""

import random
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Collection
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import anyio
import httpx2

from tests.service.webhooks.receiver import Receiver, http

LATER = frozenset({429, 503})  #: come again; whatever else was not looked for is wrong
BRANCHES = 4  #: of a job's map
JOBS_AT_ONCE, SESSIONS = 2, 2  #: of each tenant
LANES = ("normal", "low", "high")
HANGS_UP_EACH = 5  #: the receiver takes every fifth message and does not say so
END = frozenset({"succeeded", "degraded", "stopped", "failed", "cancelled"})
ANSWER_S = 10.0  #: a client waits so long; a frozen service is asked again
SILENCE_S = 40.0  #: a stream that says nothing for so long is opened again; it comments every 15 s
FORBIDDEN = "http://169.254.169.254/latest"  #: where clouds keep their machines' secrets


@dataclass(kw_only=True)
class Job:
    """One job, as its client knows it."""

    key: str
    lane: str
    run: str
    replies: list[dict[str, Any]]  #: of the request and its repetitions
    cancelled_s: float = 0.0  #: when a cancel was acknowledged; 0: never
    over: str = ""  #: how it had ended before, if the acknowledgement said that it had
    followed: bool = False  #: by a stream to its end
    pieces: list[tuple[int, str]] = field(default_factory=list)  #: number and data of each message of its stream
    told: dict[str, Any] = field(default_factory=dict)  #: the run as the service shows it after its end


class Tenant:
    """A tenant: a key, a receiver of webhooks, jobs and conversations."""

    def __init__(self, name: str, url: str, key: str, seed: int, receiver: Receiver) -> None:
        self.name, self.key, self.receiver = name, key, receiver
        self.tag = f"{name}-mark"
        self.draw = random.Random(f"{seed} {name}")
        self.http = httpx2.AsyncClient(
            base_url=url, headers={"Authorization": f"Bearer {key}"}, timeout=ANSWER_S, trust_env=False
        )
        self.jobs: list[Job] = []
        self.turns: dict[tuple[str, int], str] = {}  #: acknowledged: the run of each session's turn
        self.secret = ""
        self.calm = False  #: the storm is over: every message is taken
        self.answered: list[
            tuple[float, bool]
        ] = []  #: each message: when, and whether the receiver said that it has it
        self.replies: Counter[str] = Counter()
        self.reconnects = 0
        self.wrong: list[str] = []
        receiver.answer = self._answer

    def _answer(self, number: int) -> bytes:
        said = self.calm or number % HANGS_UP_EACH != 0
        self.answered.append((time.time(), said))
        return http(204) if said else b""

    @property
    def runs(self) -> set[str]:
        """Everything that was acknowledged."""
        return {*(job.run for job in self.jobs), *self.turns.values()}

    async def taken(
        self, method: str, path: str, good: Collection[int] = (200, 202), later: Collection[int] = LATER, **more: Any
    ) -> httpx2.Response:
        """Ask until there is an answer that is one of `good`; what is neither that nor a `later` is wrong."""
        while True:
            try:
                answer = await self.http.request(method, path, **more)
            except httpx2.HTTPError as error:
                self.replies[type(error).__name__] += 1
            else:
                self.replies[str(answer.status_code)] += 1
                if answer.status_code in good:
                    return answer
                if answer.status_code not in later:
                    self.wrong.append(f"{method} {path}: {answer.status_code} {answer.text[:300]}")
            await anyio.sleep(0.2)

    async def begin(self) -> None:
        """Name the receiver; one at a forbidden address is refused."""
        refused = await self.taken("POST", "/v1/webhooks", good={422}, json={"url": FORBIDDEN})
        assert "secret" not in refused.json()
        made = await self.taken("POST", "/v1/webhooks", good={200, 201}, json={"url": self.receiver.url})
        self.secret = self.receiver.secret = made.json()["secret"]

    async def job(self, number: int, others: list["Tenant"]) -> None:
        """Hand one in, do with it what clients do, and see it to its end."""
        draw = self.draw
        key, lane = f"{self.name}-{number}", draw.choices(LANES, (6, 2, 2))[0]
        numbers = [draw.randrange(1_000) for _ in range(BRANCHES)]
        body = {"plan": "errand", "inputs": {"tag": self.tag, "numbers": numbers}, "lane": lane}
        sent = {"Idempotency-Key": key}
        reply = (await self.taken("POST", "/v1/runs", json=body, headers=sent)).json()
        job = Job(key=key, lane=lane, run=reply["id"], replies=[reply], followed=draw.random() < 0.5)
        self.jobs.append(job)
        if draw.random() < 0.3:
            job.replies.append((await self.taken("POST", "/v1/runs", json=body, headers=sent)).json())
        if draw.random() < 0.15:
            other = {**body, "inputs": {"tag": self.tag, "numbers": [*numbers, 1]}}
            await self.taken("POST", "/v1/runs", good={422}, json=other, headers=sent)
        if draw.random() < 0.15:
            await anyio.sleep(draw.uniform(0.0, 3.0))
            said = (await self.taken("POST", f"/v1/runs/{job.run}/cancel")).json()
            job.cancelled_s, job.over = time.time(), said["status"] if said["over"] else ""
        for stranger in others:
            if stranger.jobs and draw.random() < 0.3:
                await self.taken("GET", f"/v1/runs/{stranger.jobs[-1].run}", good={404})
        await self._see_out(job)

    async def _see_out(self, job: Job) -> None:
        if job.followed:
            await self._follow(job)
        while True:
            told = (await self.taken("GET", f"/v1/runs/{job.run}")).json()
            if told["status"] in END:
                break
            await anyio.sleep(0.5)
        job.told = told

    async def _follow(self, job: Job) -> None:
        """Read the stream to its end, cut it now and then, and go on behind what was read."""
        path = f"/v1/runs/{job.run}/events?said=false"
        while True:
            behind = {"Last-Event-ID": str(job.pieces[-1][0])} if job.pieces else {}
            cut_after = self.draw.randrange(1, 60)
            try:
                patience = httpx2.Timeout(ANSWER_S, read=SILENCE_S)
                async with self.http.stream("GET", path, headers=behind, timeout=patience) as answer:
                    if answer.status_code == 200:
                        if await _read(answer, job, cut_after):
                            return
                    elif answer.status_code not in LATER:
                        self.wrong.append(f"{path}: {answer.status_code}")
            except httpx2.HTTPError as error:
                self.replies[type(error).__name__] += 1
            self.reconnects += 1
            await anyio.sleep(0.2)

    async def talk(self, session: str, number: int) -> None:
        """One turn; the one before may not be answered yet."""
        body = {"plan": "talk", "text": f"{self.tag} {session} says {number}"}
        answer = await self.taken(
            "POST", f"/v1/sessions/{session}/turns", later=LATER | {409}, json=body,
            headers={"Idempotency-Key": f"turn-{number}"},
        )  # fmt: skip
        self.turns[session, number] = answer.json()["run"]


async def _read(answer: httpx2.Response, job: Job, cut_after: int) -> bool:
    """Take messages until the stream ends or enough were read; whether all was told."""
    message: dict[str, str] = {}
    async for line in answer.aiter_lines():
        if line:
            name, _, value = line.partition(": ")
            message[name] = value
            continue
        if message.get("event") == "fact":
            job.pieces.append((int(message["id"]), message["data"]))
            cut_after -= 1
        elif message.get("event") == "end":
            return '"reason":"ended"' in message["data"]
        if not cut_after:
            return False
        message = {}
    return False


class Door:
    """All tenants of one service."""

    def __init__(self, tenants: list[Tenant]) -> None:
        self.tenants = tenants

    async def load(self, enough: Callable[[], bool]) -> None:
        """Everybody is busy until it is enough, and then until what was begun has ended."""

        async def jobs(tenant: Tenant, numbers: range) -> None:
            others = [one for one in self.tenants if one is not tenant]
            for number in numbers:
                if enough():
                    return
                await tenant.job(number, others)

        async def talks(tenant: Tenant, session: str) -> None:
            for number in range(10**9):
                if enough():
                    return
                await tenant.talk(session, number)
                await anyio.sleep(1.0)

        async with anyio.create_task_group() as group:
            for tenant in self.tenants:
                for lane in range(JOBS_AT_ONCE):
                    group.start_soon(jobs, tenant, range(lane, 10**9, JOBS_AT_ONCE))
                for number in range(SESSIONS):
                    group.start_soon(talks, tenant, f"{tenant.name}-talk-{number}")

    async def begin(self) -> None:
        """Before the first fault."""
        for tenant in self.tenants:
            await tenant.begin()


@asynccontextmanager
async def door(url: str, keys: dict[str, str], receivers: dict[str, Receiver], seed: int) -> AsyncIterator[Door]:
    """A door with one tenant for each key."""
    tenants = [Tenant(name, url, key, seed, receivers[name]) for name, key in keys.items()]
    try:
        yield Door(tenants)
    finally:
        for tenant in tenants:
            await tenant.http.aclose()
