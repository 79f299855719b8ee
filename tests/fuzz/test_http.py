"""Requests of strangers: whatever is sent, the service answers in its own words, in time, and goes on serving."""

import json
import random
import time
import tracemalloc
from collections.abc import AsyncIterator

import anyio
import pytest
from fastapi import FastAPI

from orchestrator.service.http.limits import Limits
from tests.fuzz.fuzzer import FULL, INPUTS, INPUTS_FULL, MEMORY_BYTES, WEIGHED_EACH, Target, input_of
from tests.fuzz.progress import Progress
from tests.service.http.house import House, house, until_ended
from tests.service.http.test_streams import messages

pytestmark = pytest.mark.anyio
CPU_S = 1.0
HANG_S = 30.0
MANY = 10_000_000  #: so that no request is sent away for how often it comes
WORDS = (
    *(b"GET", b"POST", b"DELETE", b"PUT", b"/v1/runs", b"/v1/runs/RUN", b"/events", b"/history", b"/cancel"),
    *(b"/retry", b"/fork"),
    *(b"?after=", b"?limit=", b"%00", b"%2e%2e%2f", b"Last-Event-ID: ", b"Idempotency-Key: "),
    b"Content-Type: application/json",
    *(b"Content-Length: 99999999999", b"Transfer-Encoding: chunked", b"traceparent: ", b'"plan":', b'"inputs":'),
    b'"budget":',
    *(b'"steps":', b'"goal":', b'"callback_url":"http://127.0.0.1/"', b'"lane":', b'"wall":', b"\r\nX: y"),
    b"Accept: */*",
)  # fmt: skip
TARGET = Target(name="http", feed=len, words=WORDS)
WEIGHED_EACH_FULL = 80  #: to weigh a request takes ten times as long as to answer it
CUTS = 2_000 if FULL else 60


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
async def home() -> AsyncIterator[House]:
    async with house(limits=Limits(requests_per_minute=MANY, open_runs_per_tenant=MANY, queue_depth=MANY)) as made:
        yield made


async def ask(app: FastAPI, data: bytes, key: str) -> tuple[int, dict[bytes, bytes], bytes]:
    """Send one request, as raw as a server would hand it over: a line, header lines, an empty line, the body."""
    head, _, body = data.partition(b"\n\n")
    first, *lines = head.split(b"\n")
    method, _, address = first.partition(b" ")
    path, _, query = address.partition(b"?")
    headers = [(name.strip().lower(), value.strip()) for name, _, value in (line.partition(b":") for line in lines)]
    headers += [(b"authorization", b"Bearer " + key.encode()), (b"host", b"test")]
    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "scheme": "http",
        "method": method.decode("latin-1").upper(),
        "path": path.decode("latin-1"),
        "raw_path": path,
        "query_string": query,
        "root_path": "",
        "headers": headers,
        "client": ("127.0.0.1", 1),
        "server": ("test", 80),
    }
    sent: list[dict[str, object]] = []
    given = [{"type": "http.request", "body": body, "more_body": False}]
    over = anyio.Event()

    async def receive() -> dict[str, object]:
        if given:
            return given.pop()
        await over.wait()
        return {"type": "http.disconnect"}

    async def send(message: dict[str, object]) -> None:
        sent.append(message)

    with anyio.fail_after(HANG_S):
        await app(scope, receive, send)  # type: ignore[arg-type]  # as the protocol asks
    over.set()
    told = b"".join(message.get("body", b"") for message in sent[1:])  # type: ignore[misc]  # bytes
    return sent[0]["status"], dict(sent[0]["headers"]), told  # type: ignore[return-value, arg-type, call-overload]


def look(status: int, headers: dict[bytes, bytes], body: bytes, data: bytes) -> str:
    """What an answer is called; a failure where it is none of ours."""
    assert status < 500, f"{status} {body[:300]!r} for {data!r}"
    if status >= 400:
        assert headers[b"content-type"] == b"application/problem+json", (status, headers, data)
        assert json.loads(body)["status"] == status
    return str(status)


async def test_every_request_is_answered_in_words_of_ours(home: House) -> None:
    async with home.client() as client:
        run = (await client.post("/v1/runs", json={"plan": "double"})).json()["id"]
        await until_ended(client, run)
        kept = TARGET.corpus()
        progress = Progress(TARGET.name, kept, full=FULL)
        found = progress.found
        for number in progress.numbers(INPUTS_FULL if FULL else INPUTS):
            data = input_of(TARGET, number, kept).replace(b"RUN", run.encode())
            weighed = number % (WEIGHED_EACH_FULL if FULL else WEIGHED_EACH) == 0
            if weighed:
                tracemalloc.start()
            began_s = time.process_time()
            found[look(*await ask(home.app, data, home.keys["acme"]), data)] += 1
            used_s = time.process_time() - began_s
            if weighed:
                peak = tracemalloc.get_traced_memory()[1]
                tracemalloc.stop()
                assert peak <= MEMORY_BYTES, f"{peak:,} bytes for {data!r}"
            assert used_s <= CPU_S * (5 if weighed else 1), f"{used_s:.2f} s of processor time for {data!r}"
        assert {"200", "202", "422"} <= found.keys(), found
        assert (await client.get(f"/v1/runs/{run}")).json()["status"] == "succeeded"
        after = (await client.post("/v1/runs", json={"plan": "double"})).json()["id"]
        assert (await until_ended(client, after))["status"] == "succeeded"


@pytest.mark.parametrize(
    "last", ["", "-1", "1e3", " 3", "0x10", "9" * 30, "9007199254740993", "null", "३", "1,2", "NaN"]
)
async def test_an_id_that_is_no_place_in_a_stream_is_refused_or_read_as_a_number(home: House, last: str) -> None:
    async with home.client() as client:
        run = (await client.post("/v1/runs", json={"plan": "double"})).json()["id"]
        await until_ended(client, run)
    data = b"GET /v1/runs/%b/events?said=false\nLast-Event-ID: %b\n\n" % (run.encode(), last.encode())
    status, headers, body = await ask(home.app, data, home.keys["acme"])
    look(status, headers, body, data)
    if status == 200:
        assert [*messages(body.decode())][-1]["event"] == "end"


async def test_cut_at_any_byte_and_gone_on_with_a_stream_is_the_journal(home: House) -> None:
    async with home.client() as client:
        run = (await client.post("/v1/runs", json={"plan": "many", "inputs": {"count": [1, 2, 3]}})).json()["id"]
        await until_ended(client, run)
    key = home.keys["acme"]
    asked = b"GET /v1/runs/%b/events?said=false" % run.encode()
    _, _, whole = await ask(home.app, asked + b"\n\n", key)
    facts = [one for one in messages(whole.decode()) if one["event"] == "fact"]
    dice = random.Random(9)
    for _ in range(CUTS):
        seen: list[dict[str, str]] = []
        while not (seen and seen[-1]["event"] == "end"):
            last = b"\nLast-Event-ID: " + seen[-1]["id"].encode() if seen else b""
            _, _, body = await ask(home.app, asked + last + b"\n\n", key)
            cut = body[: dice.randrange(len(body) + 1)] if dice.random() < 0.8 else body
            seen += messages(cut.decode(errors="replace"))
        assert seen[:-1] == facts
