"""The load generator measures what it says: a small crowd on a real service, and its arithmetic."""

import asyncio
import json
from pathlib import Path

import pytest

from benchmarks.performance.load.__main__ import main
from benchmarks.performance.load.client import Client, Lost
from benchmarks.performance.load.figures import beyond, percentiles
from benchmarks.performance.load.served import tenants
from tests.service.webhooks.receiver import receiving

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    """The crowd runs on asyncio."""
    return "asyncio"


@pytest.mark.slow
def test_a_small_crowd_is_answered_and_its_figures_are_whole(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    written = tmp_path / "load.json"

    code = main(["--users", "6", "--turns", "2", "--think", "0.05", "--latency", "0.02", "--json", str(written)])

    [row] = json.loads(written.read_text())
    assert code == 0, row
    assert {name: row[name] for name in ("users", "tenants", "answers", "refused", "errors")} == {
        "users": 6,
        "tenants": 1,
        "answers": 12,
        "refused": {},
        "errors": {},
    }
    for name in ("submit_ms", "direct_ms", "turn_ms", "turn_overhead_ms", "job_overhead_ms"):
        assert [*row[name]] == ["p50", "p95", "p99"]
    assert row["direct_ms"]["p50"] >= 20.0
    assert row["turn_ms"]["p50"] > row["direct_ms"]["p50"]
    assert row["memory_peak_mib"] >= row["memory_idle_mib"] > 10
    shown = capsys.readouterr().out
    assert "cores: " in shown
    assert "6 users, 1 tenants: 12 answers" in shown


@pytest.mark.parametrize("users", ["0", "10001", "10,0", "many", ""])
def test_sizes_without_sense_are_a_usage_error(users: str) -> None:
    assert main(["--users", users]) == 2


def test_percentiles_are_of_the_nearest_rank_and_overheads_beyond_the_model() -> None:
    assert percentiles([]) == {}
    assert percentiles([0.002]) == {"p50": 2.0, "p95": 2.0, "p99": 2.0}
    assert percentiles([number / 1_000 for number in range(100, 0, -1)]) == {"p50": 50.0, "p95": 95.0, "p99": 99.0}
    assert beyond({"p50": 30.0, "p95": 50.0}, {"p50": 20.0}) == {"p50": 10.0}
    assert [tenants(users) for users in (1, 500, 1_000, 10_000)] == [1, 1, 2, 20]


@pytest.mark.parametrize(
    ("said", "body"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nwhole", b"whole"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nwho\r\n2;x\r\nle\r\n0\r\n\r\n", b"whole"),
        (b"HTTP/1.1 204 No Content\r\n\r\n", b""),
    ],
)
async def test_answers_are_read_whole(said: bytes, body: bytes) -> None:
    async with receiving(lambda _: said) as server:
        client = Client(server.port)
        answers = [await client.ask("POST", "/x", {"n": number}) for number in range(2)]
        client.close()

    assert [answer.body for answer in answers] == [body, body]
    assert server.connections == 2  # this receiver closes after each, and the client comes back by itself


async def test_an_answer_that_breaks_off_is_an_error_and_no_answer() -> None:
    async with receiving(lambda _: b"HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\nhalf") as server:
        client = Client(server.port)
        with pytest.raises(Lost, match="IncompleteReadError"):
            await asyncio.wait_for(client.ask("GET", "/x"), 10)
