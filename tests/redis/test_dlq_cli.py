"""`orchestrator dlq` on a real server: list, show, requeue, drop, and their exit codes."""

import json
from collections.abc import AsyncIterator, Callable

import anyio
import pytest

from orchestrator.adapters.redis.owner import RedisTransport
from orchestrator.adapters.redis.worker import RedisWorkers
from orchestrator.cli.root import run
from orchestrator.ports.tasks import TaskMessage
from orchestrator.testing.transport_contract import POOL, done, until
from tests.redis.test_fencing import fetch, task
from tests.servers.redis import RedisServer, free_port, redis_server

pytestmark = pytest.mark.anyio
Told = tuple[int, str, str]


@pytest.fixture
async def with_letters(anyio_backend: str) -> AsyncIterator[tuple[RedisServer, RedisWorkers, list[TaskMessage]]]:
    """A server with two dead letters, and the worker that may get them again. The command knows one namespace."""
    with redis_server("valkey") as server:
        owner = await RedisTransport.open(server.url, owner="owner")
        port = await RedisWorkers.open(server.url, worker="worker")
        messages: list[TaskMessage] = []
        owner.bind(messages.append)
        for number in (1, 2):
            owner.send(task(number))
            (got,) = await fetch(port, 1)
            port._queue(POOL)._refuse(port._leases.pop(got.key), f"reason {number}")
        await until(lambda: len(messages) == 2)
        yield server, port, messages
        await port.close()
        await owner.close()


@pytest.fixture
def call(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Callable[..., object]:
    monkeypatch.delenv("ORCHESTRATOR_TRANSPORT", raising=False)
    monkeypatch.delenv("REDIS_URL", raising=False)

    async def told(*words: str) -> Told:
        capsys.readouterr()
        code = await anyio.to_thread.run_sync(lambda: run(["dlq", *words]))
        out, err = capsys.readouterr()
        return code, out, err

    return told


async def test_letters_are_listed_shown_put_back_and_dropped(with_letters, call) -> None:  # type: ignore[no-untyped-def]  # fixtures
    server, port, messages = with_letters
    at = ("--transport", server.url)

    code, out, _ = await call("list", "--json", *at)
    listed = json.loads(out)
    assert (code, [row["reason"] for row in listed]) == (0, ["reason 2", "reason 1"])
    assert (await call("list", *at))[1].splitlines()[0].split() == ["ID", "TASK", "GIVEN", "UP", "DELIVERIES", "REASON"]
    code, out, _ = await call("show", listed[1]["id"], "--json", *at)
    assert (code, json.loads(out)["task_sent"]["args"]["number"]) == (0, 1)

    assert (await call("requeue", listed[1]["id"], *at))[0] == 0
    assert await fetch(port, 1) == [task(1)]
    port.post(done(1))
    await until(lambda: done(1) in messages)
    assert (await call("drop", "--all", *at))[0] == 0
    assert json.loads((await call("list", "--json", *at))[1]) == []
    assert (await call("drop", listed[1]["id"], *at))[0] == 2


async def test_usage_and_a_missing_server_have_their_exit_codes(call) -> None:  # type: ignore[no-untyped-def]  # fixtures
    assert (await call("list"))[0] == 2
    assert (await call("drop", "--transport", "redis://127.0.0.1:1/0"))[0] == 2
    assert (await call("list", "--transport", f"redis://127.0.0.1:{free_port()}/0"))[0] == 6
