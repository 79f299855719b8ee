"""Bodies, heads and addresses that are too large, too deep, too slow, or nonsense."""

import asyncio
import random
import socket
from collections.abc import AsyncIterator

import anyio
import pytest

from orchestrator.service.http import patience
from orchestrator.service.http.gate import depth_of
from orchestrator.service.http.limits import HEAD_BYTES_MAX, Limits
from orchestrator.service.http.serving import server_of
from tests.service.http.house import House, house, listening

pytestmark = pytest.mark.anyio
JSON = {"Content-Type": "application/json"}


@pytest.fixture
async def home() -> AsyncIterator[House]:
    async with house(limits=Limits(body_bytes_max=50_000, body_s=0.3)) as made:
        yield made


@pytest.mark.parametrize(
    ("body", "headers", "status", "kind"),
    [
        (b"x" * 50_001, JSON, 413, "too-large"),
        (b"{", JSON, 400, "bad-request"),
        (b"\xff\xfe", JSON, 400, "bad-request"),
        (b'{"plan": "double", "inputs": {"n": NaN}}', JSON, 400, "bad-request"),
        (b'{"plan": "double", "inputs": {"n": "\\ud800"}}', JSON, 400, "bad-request"),
        (b'{"plan": "double", "inputs": {"n": "\\u0000"}}', JSON, 422, "input-invalid"),
        (b'{"plan": "double", "inputs": {"n": 1' + b"0" * 5_000 + b"}}", JSON, 400, "bad-request"),
        (b"[" * 65 + b"]" * 65, JSON, 422, "invalid"),
        (b"[" * 40_000, JSON, 422, "invalid"),
        (b'{"plan": "double"}', {"Content-Type": "text/plain"}, 415, "media-type"),
        (b'{"plan": "double"}', {"Content-Type": "application/x-www-form-urlencoded"}, 415, "media-type"),
        (b"[]", JSON, 422, "invalid"),
        (b"null", JSON, 422, "invalid"),
        (b'{"plan": "double", "extra": 1}', JSON, 422, "invalid"),
        (b'{"plan": "double", "goal": "both"}', JSON, 422, "invalid"),
        (b'{"plan": "no-such-plan"}', JSON, 422, "plan-invalid"),
        (b'{"plan": {"name": "x", "steps": {"a": {"plan": "/etc/passwd"}}}}', JSON, 422, "plan-invalid"),
        (b'{"plan": "double", "inputs": {"n": "three"}}', JSON, 422, "input-invalid"),
        (b'{"plan": "double", "lane": "express"}', JSON, 422, "invalid"),
        (b'{"plan": "double", "budget": {"usd": -1}}', JSON, 422, "invalid"),
    ],
)
async def test_what_cannot_be_taken_is_refused_with_its_kind(
    home: House, body: bytes, headers: dict[str, str], status: int, kind: str
) -> None:
    async with home.client() as client:
        answer = await client.post("/v1/runs", content=body, headers=headers)
        told = answer.json()
        assert (answer.status_code, told["status"], told["type"]) == (
            status, status, f"urn:hierarchical-orchestrator:{kind}"
        )  # fmt: skip
        assert answer.headers["content-type"] == "application/problem+json"
        assert told["title"]
        assert told["detail"]
        assert (await client.get("/v1/runs")).json()["runs"] == []


@pytest.mark.parametrize(
    "path", ["/v1/runs/%00", "/v1/runs?plan=%00", "/v1/runs/" + "x" * 600, "/v1/runs/..%2f..%2fetc"]
)
async def test_addresses_that_are_none_are_refused(home: House, path: str) -> None:
    async with home.client() as client:
        answer = await client.get(f"/v1/runs{path}")
        assert answer.status_code in {400, 404, 422}
        assert answer.headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize("key", ["", "x" * 256, "tab\there", "ü"])
async def test_a_key_that_cannot_be_kept_is_refused(home: House, key: str) -> None:
    async with home.client() as client:
        headers = {"Idempotency-Key": key.encode()}
        answer = await client.post("/v1/runs", json={"plan": "double"}, headers=headers)
        assert answer.status_code == (202 if key == "ü" else 422)


async def spoken(url: str, data: bytes) -> bytes:
    """What a server says to some bytes until it hangs up."""
    host, port = url.removeprefix("http://").split(":")
    told = b""
    async with await anyio.connect_tcp(host, int(port)) as raw:
        await raw.send(data)
        with anyio.fail_after(10):
            try:
                while True:
                    told += await raw.receive()
            except (anyio.EndOfStream, anyio.BrokenResourceError):
                return told


async def test_a_body_that_trickles_in_is_cut(home: House) -> None:
    async with listening(home) as url:
        head = f"POST /v1/runs HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {home.keys['acme']}\r\n"
        answer = await spoken(url, f"{head}Content-Type: application/json\r\nContent-Length: 1000\r\n\r\n{{".encode())
        assert answer.startswith(b"HTTP/1.1 408 ")


async def test_a_head_that_does_not_end_is_cut(home: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(patience, "HEAD_S", 0.2)
    whole = b"GET /healthz HTTP/1.1\r\nHost: x\r\n"
    async with listening(home) as url:
        for first in (b"", whole + b"X-A:", whole + b"\r\nGET /he"):
            answer = await spoken(url, first or b"\r\n")
            assert answer.count(b"HTTP/1.1 200") == first.count(b"\r\n\r\n")


async def test_an_answer_waits_for_nobodys_acknowledgement(home: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its head and its body are written apart; a system that gathers small pieces would keep the second one back."""
    made, at_once = patience.PatientProtocol.connection_made, []

    def noted(self: patience.PatientProtocol, transport: asyncio.BaseTransport) -> None:
        made(self, transport)
        at_once.append(transport.get_extra_info("socket").getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))

    monkeypatch.setattr(patience.PatientProtocol, "connection_made", noted)
    async with listening(home) as url:
        assert b" 200 " in await spoken(url, b"GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
    assert len(at_once) == 1
    assert all(at_once)


async def test_heads_that_are_too_large_are_refused(home: House) -> None:
    async with listening(home) as url:
        for bomb in (b"X-A: " + b"a" * 2 * HEAD_BYTES_MAX, b"\r\n".join(b"X-%d: b" % n for n in range(20_000))):
            head = b"GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
            answer = await spoken(url, head + bomb + b"\r\n\r\n")
            assert answer.startswith(b"HTTP/1.1 4") or answer == b""


async def test_nonsense_on_the_wire_harms_nobody(home: House) -> None:
    dice = random.Random(7)
    auth = f"Authorization: Bearer {home.keys['acme']}".encode()
    pieces = [
        b"GET", b"POST", b" ", b"/v1/runs", b"/healthz", b" HTTP/1.1", b"\r\n", b"\n", b"Host: x", auth, b"\x00",
        b"Content-Length: 5", b"Content-Length: -1", b"Content-Length: 99999999999", b"Transfer-Encoding: chunked",
        b"0\r\n\r\n", b"ffffffffffffffff\r\n", b"{}", b"Content-Type: application/json",
        b": ", b"Expect: 100-continue", b"\xff",
    ]  # fmt: skip
    async with listening(home) as url, home.client() as client:
        host, port = url.removeprefix("http://").split(":")

        def send(data: bytes) -> None:
            with socket.create_connection((host, int(port)), timeout=60) as raw:
                raw.sendall(data)
                raw.shutdown(socket.SHUT_WR)
                try:
                    while raw.recv(65_536):
                        pass
                except OSError:
                    pass

        for _ in range(150):
            await asyncio.to_thread(send, b"".join(dice.choices(pieces, k=dice.randrange(1, 25))))
        assert (await client.get("/healthz")).text == "alive\n"
        assert (await client.get("/v1/runs")).json()["runs"] == []


def test_depth_is_counted_outside_of_strings() -> None:
    assert depth_of(b'{"a": ["[[[[", {"b\\"]": 1}]}') == 3
    assert depth_of(b"") == 0
    assert depth_of(b"]]]][[") == 0


async def test_a_service_without_keys_answers_to_local_names_alone() -> None:
    async with house(keyless=True) as home:
        from orchestrator.service.http.app import make_app

        home.app = make_app(home.service, local_alone=True)
        async with home.client(None) as client:
            for host in ("localhost", "127.0.0.1:8000", "[::1]:8000", "LOCALHOST:1"):
                assert (await client.get("/v1/me", headers={"Host": host})).json()["name"] == "local"
            for host in ("evil.example", "evil.example:8000", "localhost.evil.example", "", "127.0.0.1.nip.io"):
                assert (await client.get("/v1/me", headers={"Host": host})).status_code == 403


async def test_a_service_without_keys_takes_nothing_from_pages_of_other_sites() -> None:
    from orchestrator.service.http.app import make_app

    async with house(keyless=True) as home:
        home.app = make_app(home.service, local_alone=True)
        async with home.client(None) as client:
            client.base_url = "http://localhost:8000"
            run = (await client.post("/v1/runs", json={"plan": "gated"})).json()["id"]
            for headers in (
                {"Origin": "http://evil.example"},
                {"Origin": "null"},
                {"Origin": "http://localhost:3000"},
                {"Origin": "https://localhost:8000"},
                {"Sec-Fetch-Site": "cross-site"},
                {"Sec-Fetch-Site": "same-site", "Origin": "http://localhost:8000"},
            ):
                answer = await client.post(f"/v1/runs/{run}/cancel", headers=headers)
                assert (headers, answer.status_code) == (headers, 403)
                assert answer.headers["x-content-type-options"] == "nosniff"
                assert (await client.get("/v1/me", headers=headers)).status_code == 200
            assert (await client.get(f"/v1/runs/{run}")).json()["status"] == "running"
            own = {"Origin": "http://localhost:8000", "Sec-Fetch-Site": "same-origin"}
            assert (await client.post(f"/v1/runs/{run}/cancel", headers=own)).json()["status"] == "cancelling"


async def test_answers_carry_the_headers_that_keep_them_where_they_are(home: House) -> None:
    async with home.client() as client, home.client(None) as nobody:
        for answer in (await client.get("/v1/runs"), await nobody.get("/v1/runs"), await client.post("/v1/runs")):
            assert answer.headers["x-content-type-options"] == "nosniff"
            assert answer.headers["cache-control"] == "no-store"
            assert answer.headers["content-security-policy"] == "default-src 'none'; frame-ancestors 'none'"


def test_the_server_keeps_its_limits() -> None:
    config = server_of(None).config  # type: ignore[arg-type]  # it is not started
    assert (config.access_log, config.proxy_headers, config.h11_max_incomplete_event_size) == (
        False, False, HEAD_BYTES_MAX
    )  # fmt: skip
