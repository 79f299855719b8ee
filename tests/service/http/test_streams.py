"""Streams of events: the journal itself, cut anywhere, read by many, by slow ones and by none."""

import asyncio
import json
import socket
from collections.abc import AsyncIterator

import anyio
import httpx2
import pytest

from orchestrator.adapters.memory.journal import MemoryJournal
from orchestrator.core.event import canonical_event
from orchestrator.ids import JsonValue, RunId
from orchestrator.ports.journal import Recorded
from orchestrator.ports.tasks import TaskDelta, TaskKey
from orchestrator.service.http import feeds as feeding
from orchestrator.service.http import streams
from orchestrator.service.http.state import Kept
from tests.service.http.house import House, house, listening, until, until_ended

pytestmark = pytest.mark.anyio
Message = dict[str, str]


class CountingJournal(MemoryJournal):
    """Counts how often it is read."""

    def __init__(self) -> None:
        super().__init__()
        self.reads = 0

    async def read(self, run_id, after: int = 0, limit: int = 10_000) -> list[Recorded]:
        self.reads += 1
        return await super().read(run_id, after, limit)


@pytest.fixture
async def home() -> AsyncIterator[House]:
    async with house() as made:
        yield made


def messages(text: str) -> list[Message]:
    """Server-sent events as a client reads them; comments and unfinished ones left out."""
    found = []
    for block in text.split("\n\n")[:-1]:
        lines = [line for line in block.split("\n") if not line.startswith(":")]
        if lines:
            found.append(dict(line.split(": ", 1) for line in lines))
    return found


async def journal_of(home: House, run: str) -> list[JsonValue]:
    return [json.loads(json.dumps(canonical_event(one))) for one in await home.service.journal.read(run)]


async def ended_run(home: House, client: httpx2.AsyncClient, count: int = 3) -> str:
    run = (await client.post("/v1/runs", json={"plan": "many", "inputs": {"count": [*range(count)]}})).json()["id"]
    await until_ended(client, run)
    return run


async def test_cut_at_every_event_the_pieces_are_the_journal(home: House) -> None:
    async with home.client() as client:
        run = await ended_run(home, client)
        whole = await journal_of(home, run)
        assert len(whole) > 15
        for cut in range(len(whole) + 1):
            first = messages((await client.get(f"/v1/runs/{run}/events")).text)[:cut]
            last = first[-1]["id"] if first else "0"
            rest = messages((await client.get(f"/v1/runs/{run}/events", headers={"Last-Event-ID": last})).text)
            assert rest.pop() == {"event": "end", "data": '{"reason":"ended"}'}
            assert [json.loads(one["data"]) for one in (*first, *rest)] == whole
            assert [int(one["id"]) for one in (*first, *rest)] == [*range(1, len(whole) + 1)]


async def test_a_live_stream_that_breaks_at_every_event_goes_on_without_gap_or_duplicate(home: House) -> None:
    async with listening(home) as url, home.client() as client:
        run = (await client.post("/v1/runs", json={"plan": "gated"})).json()["id"]
        headers = client.headers
        seen: list[Message] = []

        async def follow() -> None:
            ended = False
            while not ended:
                last = {"Last-Event-ID": seen[-1]["id"]} if seen else {}
                async with (
                    httpx2.AsyncClient(base_url=url, headers={**headers, **last}) as live,
                    live.stream("GET", f"/v1/runs/{run}/events", timeout=30) as answer,
                ):
                    text = ""
                    async for piece in answer.aiter_text():
                        text += piece
                        found = messages(text)
                        if found:  # one event, and the connection is dropped
                            ended = found[0]["event"] == "end"
                            seen.extend(found[:1] if not ended else [])
                            break

        async with anyio.create_task_group() as group:
            group.start_soon(follow)

            async def some() -> bool:
                return len(seen) >= 3

            await until(some, "the stream has begun")
            home.gates.open()
        assert [json.loads(one["data"]) for one in seen] == await journal_of(home, run)


async def test_many_readers_of_a_run_read_the_journal_once() -> None:
    journal = CountingJournal()
    async with house(journal=journal) as home, home.client() as client:
        run = (await client.post("/v1/runs", json={"plan": "gated"})).json()["id"]
        texts: list[str] = []

        async def read() -> None:
            texts.append((await client.get(f"/v1/runs/{run}/events?after=2")).text)

        async with anyio.create_task_group() as group:
            for _ in range(200):
                group.start_soon(read)

            async def all_read() -> bool:
                kept: Kept = home.app.state.kept
                return kept.feeds is not None and kept.feeds.reading == 200

            await until(all_read, "everybody reads")
            await anyio.sleep(0.01)
            before = journal.reads
            home.gates.open()
        assert len(set(texts)) == 1
        assert messages(texts[0])[-1] == {"event": "end", "data": '{"reason":"ended"}'}
        assert journal.reads - before < 20  # whatever happened was read once for all


async def test_nothing_is_left_behind_when_readers_go(home: House) -> None:
    async with listening(home) as url, home.client() as client:
        run = (await client.post("/v1/runs", json={"plan": "gated"})).json()["id"]
        kept: Kept = home.app.state.kept
        assert kept.feeds is not None
        for _ in range(20):
            async with (
                httpx2.AsyncClient(base_url=url, headers=client.headers) as live,
                live.stream("GET", f"/v1/runs/{run}/events", timeout=30) as answer,
            ):
                async for _ in answer.aiter_text():
                    break

        async def alone() -> bool:
            assert kept.feeds is not None
            return kept.feeds.reading == 0 and not kept.feeds._feeds

        await until(alone, "readers are let go of")
        driver = home.engine.runs.driver(run)
        assert driver is not None
        assert driver.watchers == []
        home.gates.open()
        assert (await until_ended(client, run))["status"] == "succeeded"


async def test_what_a_worker_says_reaches_readers_without_an_id_and_the_oldest_gives_way(home: House) -> None:
    async with listening(home) as url, home.client() as client:
        run = (await client.post("/v1/runs", json={"plan": "gated"})).json()["id"]
        driver = home.engine.runs.driver(run)
        assert driver is not None
        text = ""
        async with (
            httpx2.AsyncClient(base_url=url, headers=client.headers) as live,
            live.stream("GET", f"/v1/runs/{run}/events?after=2", timeout=30) as answer,
        ):

            async def watched() -> bool:
                return bool(driver.watchers)

            await until(watched, "the stream listens")
            key = TaskKey(run, "slow", -1, 1)
            for number in range(feeding.SAID_MAX + 50):  # in one go: the reader has no turn in between
                driver.hear(TaskDelta(key=key, worker="w", text=f"{number} "))
            home.gates.open()
            async for piece in answer.aiter_text():
                text += piece
        said = [json.loads(one["data"]) for one in messages(text) if one["event"] == "said"]
        assert [one["text"] for one in said] == [f"{n} " for n in range(50, feeding.SAID_MAX + 50)]
        assert {(one["step"], one["branch"], one["attempt"]) for one in said} == {("slow", -1, 1)}
        assert all("id" not in one for one in messages(text) if one["event"] != "fact")


def step(call: str, after: str = "", **given: object) -> dict[str, object]:
    return {"pool": "desk", "call": call, "with": given, **({"needs": [after]} if after else {})}


async def test_a_reader_who_falls_behind_is_told_so_and_goes_on_later(
    home: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(feeding, "BEHIND_MAX", 10)
    over = {"over": [*range(60)], "as": "k"}
    steps = {
        "first": step("gated", name="a"),
        "second": step("gated", "first", name="b"),
        "many": {**step("double", "second", n="${{ k }}"), "foreach": over},
    }
    async with home.client() as client:
        kept: Kept = home.app.state.kept
        assert kept.feeds is not None
        run = (await client.post("/v1/runs", json={"plan": {"name": "slow", "steps": steps}})).json()["id"]
        await until_status(home, run, "first")
        got = b""
        async for chunk in kept.feeds.read(run, 0, 0, said=False):
            got += chunk
            if b"step.passed" in chunk:  # the reader is up to date, and now takes its time
                home.gates.open("b")
                await until_ended(client, run)
            elif b"step.dispatched" in chunk:
                asyncio.get_running_loop().call_later(0.01, home.gates.open, "a")
        first, whole = messages(got.decode()), await journal_of(home, run)
        assert first.pop() == {"event": "end", "data": '{"reason":"too-slow"}'}
        assert len(first) < 20 < len(whole)
        again = await client.get(f"/v1/runs/{run}/events?said=false", headers={"Last-Event-ID": first[-1]["id"]})
        rest = messages(again.text)
        assert rest.pop() == {"event": "end", "data": '{"reason":"ended"}'}
        assert [json.loads(one["data"]) for one in (*first, *rest)] == whole


async def test_a_burst_is_no_reason_to_call_a_reader_slow(home: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feeding, "BEHIND_MAX", 10)
    monkeypatch.setattr(feeding, "CHUNK_BYTES", 1)  # one message at a time, the longest way through a burst
    over = {"over": [*range(100)], "as": "k"}
    steps = {"first": step("gated", name="a"), "many": {**step("double", "first", n="${{ k }}"), "foreach": over}}
    async with home.client() as client:
        run = (await client.post("/v1/runs", json={"plan": {"name": "burst", "steps": steps}})).json()["id"]
        asyncio.get_running_loop().call_later(0.02, home.gates.open, "a")
        read = messages((await client.get(f"/v1/runs/{run}/events?said=false")).text)
        assert read.pop() == {"event": "end", "data": '{"reason":"ended"}'}
        assert [json.loads(one["data"]) for one in read] == await journal_of(home, run)


async def until_status(home: House, run: str, step: str) -> None:
    """Wait until a step of a run is at work."""

    async def works() -> bool:
        driver = home.engine.runs.driver(RunId(run))
        return driver is not None and any(key.step_id == step for key in driver.inflight)

    await until(works, f"{step} is at work")


async def test_a_reader_who_takes_nothing_is_cut_off(home: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streams, "SEND_S", 0.2)
    async with listening(home, send_buffer=8_192) as url, home.client() as client:
        big = "x" * 20_000
        inputs = {"count": [1] * 400}
        run = (await client.post("/v1/runs", json={"plan": "many", "inputs": inputs})).json()["id"]
        await until_ended(client, run)
        note = {
            "name": "n",
            "steps": {f"s{n}": {"pool": "desk", "call": "note", "with": {"text": big}} for n in range(40)},
        }
        long = (await client.post("/v1/runs", json={"plan": note})).json()["id"]
        await until_ended(client, long)
        kept: Kept = home.app.state.kept
        assert kept.feeds is not None
        host, port = url.removeprefix("http://").split(":")
        with socket.socket() as idle:
            idle.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            idle.setblocking(False)
            await asyncio.get_running_loop().sock_connect(idle, (host, int(port)))
            auth = client.headers["authorization"]
            request = f"GET /v1/runs/{long}/events HTTP/1.1\r\nHost: x\r\nAuthorization: {auth}\r\n\r\n"
            await asyncio.get_running_loop().sock_sendall(idle, request.encode())

            async def reading() -> bool:
                return kept.feeds is not None and kept.feeds.reading == 1

            async def cut() -> bool:
                return kept.feeds is not None and kept.feeds.reading == 0

            await until(reading, "it is served")
            await until(cut, "it is let go of")


async def test_streams_end_when_the_service_leaves(home: House) -> None:
    async with home.client() as client:
        run = (await client.post("/v1/runs", json={"plan": "gated"})).json()["id"]
        kept: Kept = home.app.state.kept
        assert kept.feeds is not None
        text = ""

        async def read() -> None:
            nonlocal text
            text = (await client.get(f"/v1/runs/{run}/events")).text

        async with anyio.create_task_group() as group:
            group.start_soon(read)

            async def reading() -> bool:
                return kept.feeds is not None and kept.feeds.reading == 1

            await until(reading, "it is served")
            kept.feeds.leave()
        assert messages(text)[-1] == {"event": "end", "data": '{"reason":"leaving"}'}


async def test_silence_is_filled_with_comments(home: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feeding, "KEEP_ALIVE_S", 0.01)
    async with home.client() as client:
        run = (await client.post("/v1/runs", json={"plan": "gated"})).json()["id"]
        kept: Kept = home.app.state.kept
        assert kept.feeds is not None
        seen = b""
        async for chunk in kept.feeds.read(run, 0, 2, said=True):
            seen += chunk
            if seen.count(b": nothing new") == 3:
                break
        assert b"event: end" not in seen


@pytest.mark.parametrize("last", ["-1", "x", "1.5", "9" * 30, ""])
async def test_a_place_that_is_none_is_refused(home: House, last: str) -> None:
    async with home.client() as client:
        run = await ended_run(home, client)
        answer = await client.get(f"/v1/runs/{run}/events", headers={"Last-Event-ID": last})
        assert (answer.status_code, answer.headers["content-type"]) == (422, "application/problem+json")


async def test_history_gives_the_same_events_page_by_page(home: House) -> None:
    async with home.client() as client:
        run = await ended_run(home, client)
        found: list[JsonValue] = []
        after: int | None = 0
        while after is not None:
            page = (await client.get(f"/v1/runs/{run}/history?after={after}&limit=4")).json()
            found += page["events"]
            after = page["next"]
        assert found == await journal_of(home, run)
