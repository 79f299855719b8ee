"""A process works on so many requests at once; the next is sent away at once, told when, and nothing was done."""

import asyncio

import anyio
import pytest
from starlette.types import Receive, Scope, Send

from orchestrator.ports.journal import RunQuery
from orchestrator.service.http.gate import Gate
from orchestrator.service.http.limits import RETRY_AFTER_MOST_S, Limits
from orchestrator.service.http.problems import Problem
from orchestrator.service.http.seats import Seat, Seats
from orchestrator.settings import Settings
from tests.service.http.house import house, until_ended

pytestmark = pytest.mark.anyio
MOST = 3


class Slow:
    """An application that begins its answers, and ends them, when it is told to."""

    def __init__(self) -> None:
        self.inside = 0
        self.begin, self.end = anyio.Event(), anyio.Event()
        self.break_it = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.inside += 1
        if scope["path"] != "/healthz":
            await self.begin.wait()
        if self.break_it:
            raise RuntimeError("our bug")
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await self.end.wait()
        await send({"type": "http.response.body", "body": b"whole"})


async def ask(gate: Gate, path: str = "/v1/runs") -> list[dict]:
    """The messages of one answer."""
    sent: list[dict] = []

    async def send(message: dict) -> None:
        sent.append(message)

    async def receive() -> dict:
        return {"type": "http.request", "body": b"", "more_body": False}

    scope = {"type": "http", "method": "GET", "path": path, "query_string": b"", "headers": []}
    await gate(scope, receive, send)  # type: ignore[arg-type]  # dictionaries, as ASGI has them
    return sent


async def test_one_more_than_there_are_seats_is_refused_and_health_never() -> None:
    app = Slow()
    app.end.set()
    gate = Gate(app, Limits(requests_at_once=MOST))
    async with anyio.create_task_group() as group:
        for _ in range(MOST):
            group.start_soon(ask, gate)
        await anyio.wait_all_tasks_blocked()

        refused = await ask(gate)
        health = [(await ask(gate, "/healthz"))[0]["status"] for _ in range(5)]
        app.begin.set()
    after = await ask(gate)

    headers = dict(refused[0]["headers"])
    assert (refused[0]["status"], headers[b"content-type"], headers[b"retry-after"]) == (
        503, b"application/problem+json", b"1",
    )  # fmt: skip
    assert b'"type":"urn:hierarchical-orchestrator:overloaded"' in refused[1]["body"]
    assert b"the process works on 3 requests, and 3 may be under way" in refused[1]["body"]
    assert health == [200] * 5
    assert after[0]["status"] == 200
    assert app.inside == MOST + 5 + 1  # the application has not seen the refused one


async def test_an_answer_that_has_begun_holds_no_seat_however_slowly_it_is_read() -> None:
    app = Slow()
    app.begin.set()
    gate = Gate(app, Limits(requests_at_once=1))
    async with anyio.create_task_group() as group:
        for _ in range(20):
            group.start_soon(ask, gate)
            await anyio.wait_all_tasks_blocked()
        assert app.inside == 20
        app.end.set()


async def test_a_seat_is_free_again_after_a_bug_and_after_whoever_asked_has_left() -> None:
    app = Slow()
    gate = Gate(app, Limits(requests_at_once=1))
    with anyio.move_on_after(0.01):
        await ask(gate)
    app.begin.set()
    app.end.set()
    app.break_it = True
    for _ in range(2):
        with pytest.raises(RuntimeError):
            await ask(gate)
    app.break_it = False
    assert (await ask(gate))[0]["status"] == 200


def test_who_is_sent_away_is_told_a_later_time_than_those_before_and_never_a_far_one() -> None:
    now_s = 100.0
    seats = Seats(1, lambda: now_s)
    for _ in range(400):  # answers that follow each other by a tenth of a second
        seat = seats.take()
        now_s += 0.1
        seat.leave()
        seat.leave()
    held = seats.take()

    told = [_told(seats) for _ in range(400)]
    now_s += 1_000.0
    later = _told(seats)
    held.leave()

    assert told[:10] == ["1"] * 10
    assert told[99] == "10"
    assert [*map(int, told)] == sorted(map(int, told))
    assert told[-1] == str(int(RETRY_AFTER_MOST_S))
    assert later == "1"
    assert seats.taken == 0


def _told(seats: Seats) -> str:
    with pytest.raises(Problem) as refused:
        seats.take()
    return refused.value.headers["Retry-After"]


async def test_standing_aside_lends_the_seat_and_takes_it_back() -> None:
    seats = Seats(1)
    seat = seats.take()
    with seat.aside():
        other = seats.take()
    assert seats.taken == 2
    with pytest.raises(Problem):
        seats.take()
    other.leave()
    seat.leave()
    with seat.aside():  # a seat that was left is lent no more
        assert seats.taken == 0
    assert seats.taken == 0
    assert isinstance(seats.take(), Seat)


async def test_of_a_burst_what_was_refused_left_nothing_behind() -> None:
    async with house(limits=Limits(requests_at_once=4)) as home, home.client() as client:
        bodies = [{"plan": "double", "inputs": {"n": number}} for number in range(60)]
        answers = await asyncio.gather(*(client.post("/v1/runs", json=body) for body in bodies))
        taken = [answer.json()["id"] for answer in answers if answer.status_code == 202]
        refused = [answer for answer in answers if answer.status_code != 202]
        rows = await home.service.journal.runs(RunQuery(limit=100))
        ended = [(await until_ended(client, run))["status"] for run in taken]

    assert {(answer.status_code, answer.json()["type"].rpartition(":")[2]) for answer in refused} == {
        (503, "overloaded")
    }
    assert all(int(answer.headers["retry-after"]) >= 1 for answer in refused)
    assert len(taken) >= 4
    assert {row.run_id for row in rows} == {*taken}
    assert {*ended} == {"succeeded"}


async def test_a_reader_of_events_holds_no_seat() -> None:
    async with house(limits=Limits(requests_at_once=1)) as home, home.client() as client:
        run = (await client.post("/v1/runs", json={"plan": "gated", "inputs": {"name": "g"}})).json()["id"]
        async with anyio.create_task_group() as group:
            group.start_soon(until_ended, client, run)
            await anyio.wait_all_tasks_blocked()
            assert (await client.get(f"/v1/runs/{run}")).status_code == 200
            home.gates.open("g")


def test_the_setting_is_the_limit() -> None:
    assert Settings(store="memory:").requests_at_once == Limits().requests_at_once
    with pytest.raises(ValueError, match="requests_at_once"):
        Settings(store="memory:", requests_at_once=0)
