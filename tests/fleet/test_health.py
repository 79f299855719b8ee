"""The small page of a fleet's process: probes, the scaling signal, and nothing for strangers."""

import json
from collections.abc import Sequence

import anyio
import pytest

from orchestrator.errors import PromiseError, TransportUnreachable
from orchestrator.ids import PoolName
from orchestrator.ports.tasks import Backlog
from orchestrator.service.health import Health, answer_of, serve_health

pytestmark = pytest.mark.anyio
BUSY = Backlog(
    pool=PoolName("research"), waiting=3, delayed=1, running=2, oldest_wait_s=1.5,
    by_lane={"high": 0, "normal": 3, "low": 0, "batch": 0},
)  # fmt: skip


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


async def backlog() -> Sequence[Backlog]:
    return [BUSY]


async def gone() -> Sequence[Backlog]:
    raise TransportUnreachable("redis at 127.0.0.1:1", "refused")


HEALTH = Health(role="supervisor", ready=lambda: "", backlog=backlog, pools=("research", "writer"))


async def get(path: str, health: Health = HEALTH, method: str = "GET") -> tuple[int, str]:
    status, _, body = await answer_of(f"{method} {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode(), health)
    return status, body


async def test_probes_tell_alive_from_ready() -> None:
    waiting = Health(role="worker", ready=lambda: "the transport does not answer")

    assert await get("/healthz", waiting) == (200, "worker is alive\n")
    assert await get("/readyz", waiting) == (503, "the transport does not answer\n")
    assert await get("/readyz") == (200, "ready\n")


async def test_the_backlog_of_a_pool_is_one_number_with_its_parts() -> None:
    status, body = await get("/v1/pools/research/backlog")

    assert status == 200
    assert json.loads(body) == {
        "pool": "research", "backlog": 6, "waiting": 3, "delayed": 1, "running": 2, "oldest_wait_s": 1.5,
        "by_lane": {"high": 0, "normal": 3, "low": 0, "batch": 0},
    }  # fmt: skip


async def test_a_pool_without_work_has_a_backlog_of_0_and_an_unknown_one_has_none() -> None:
    status, body = await get("/v1/pools/writer/backlog")

    assert (status, json.loads(body)["backlog"]) == (200, 0)
    assert await get("/v1/pools/wrtier/backlog") == (404, "there is no such pool\n")


async def test_metrics_are_gauges_per_pool() -> None:
    status, body = await get("/metrics")

    assert status == 200
    samples = [line for line in body.splitlines() if not line.startswith("#")]
    assert samples == [
        'orchestrator_pool_backlog{pool="research"} 6',
        'orchestrator_pool_backlog{pool="writer"} 0',
        'orchestrator_pool_tasks{pool="research",state="waiting"} 3',
        'orchestrator_pool_tasks{pool="research",state="delayed"} 1',
        'orchestrator_pool_tasks{pool="research",state="running"} 2',
        'orchestrator_pool_tasks{pool="writer",state="waiting"} 0',
        'orchestrator_pool_tasks{pool="writer",state="delayed"} 0',
        'orchestrator_pool_tasks{pool="writer",state="running"} 0',
        'orchestrator_pool_oldest_wait_seconds{pool="research"} 1.5',
        'orchestrator_pool_oldest_wait_seconds{pool="writer"} 0.0',
    ]


async def test_a_server_that_cannot_be_asked_is_no_backlog_of_0() -> None:
    status, body = await get("/v1/pools/research/backlog", Health(role="s", ready=lambda: "", backlog=gone))
    assert status == 503
    assert "refused" in body


@pytest.mark.parametrize(
    ("head", "status"),
    [
        (b"nonsense\r\n\r\n", 400),
        (b"GET /healthz HTTP/1.1\r\nX: " + b"x" * 9_000 + b"\r\n\r\n", 400),
        (b"POST /healthz HTTP/1.1\r\n\r\n", 405),
        (b"GET / HTTP/1.1\r\n\r\n", 404),
        (b"GET /v1/runs HTTP/1.1\r\n\r\n", 404),
        (b"GET /../etc/passwd HTTP/1.1\r\n\r\n", 404),
    ],
)
async def test_what_is_no_question_gets_no_answer(head: bytes, status: int) -> None:
    assert (await answer_of(head, HEALTH))[0] == status


async def test_it_answers_on_a_socket_and_closes_it() -> None:
    async with serve_health("127.0.0.1:0", HEALTH) as port:
        async with await anyio.connect_tcp("127.0.0.1", port) as stream:
            await stream.send(b"GET /readyz HTTP/1.1\r\nHost: x\r\n\r\n")
            said = b"".join([piece async for piece in stream])
        assert said.startswith(b"HTTP/1.1 200 OK\r\n")
        assert said.endswith(b"\r\n\r\nready\n")
        async with await anyio.connect_tcp("127.0.0.1", port):
            pass  # whoever goes without a word does no harm
        async with await anyio.connect_tcp("127.0.0.1", port) as stream:
            await stream.send(b"GET /healthz HTTP/1.0\r\n\r\n")
            assert (await stream.receive()).startswith(b"HTTP/1.1 200")


@pytest.mark.parametrize("address", ["nonsense", "127.0.0.1:x", "127.0.0.1:99999"])
async def test_an_address_that_cannot_be_used_is_refused_with_a_remedy(address: str) -> None:
    with pytest.raises(PromiseError, match="host:port"):
        async with serve_health(address, HEALTH):
            pass
